"""The documents say what is so: commands, options, keys, exit codes, JSON, numbers, links are held against the code."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli
import typer
from tools import configuration

from pinsync import errors, status
from pinsync.cli import main as cli_main
from pinsync.cli.app import app
from pinsync.clock import SystemClock
from pinsync.emulator import server
from pinsync.emulator.profiles import PROFILES
from pinsync.emulator.records import Seed
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.store import Store
from pinsync.model import PinStatus, Traits
from pinsync.planning import diff, guard, rules
from pinsync.planning.plan import Shut
from pinsync.remote import classify, client
from pinsync.remote.profiles import default_rate
from pinsync.service import control, runner
from pinsync.service.desk import Desk
from pinsync.settings import credentials, load
from pinsync.settings.schema import TABLES
from pinsync.settings.units import parse_duration, parse_rate
from pinsync.sources import kubo, kubo_pins, manifest_files
from pinsync.sources.manifest import read_manifest
from pinsync.steps import adding, record
from tests.fuzz.targets import TARGETS
from tests.unit.cli_kit import Home, home
from tests.unit.emulator_kit import cid
from tests.unit.setup_kit import Box

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMON = {"--config", "-c", "--json", "--quiet", "-q", "--verbose", "-v"}
CLI = ROOT / "docs/cli.md"
INDEX = ROOT / "docs/README.md"
SAFETY = ROOT / "docs/safety.md"
OURS = [path for path in DOCS if path.name != "CONTRIBUTING.md"]
# Made by others for the same release: told of already, and to be taken out of here when they are there.
COMING_TARGETS = {"simulate"}
every_document = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


# -- reading Markdown


def fences(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without their indent."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def sections(path: Path, level: int) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading of the same or a higher level."""
    parts = re.split(rf"^(#{{1,{level}}}) (.*)$", path.read_text(), flags=re.MULTILINE)
    return {parts[n + 1]: parts[n + 2] for n in range(1, len(parts), 3) if len(parts[n]) == level}


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, but for their heads."""
    found: list[list[str]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|") and before.startswith("|") and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
        before = line
    return found


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown_commands(path: Path) -> Iterator[str]:
    """Every `pinsync …` and `make …` that a document shows, in a block or in a line."""
    text = prose(path)
    for line in re.findall(r"^ {4,}(?:\$ )?(.*)$", text, re.MULTILINE):
        yield from re.findall(r"(?:^|&& )((?:pinsync|make) [a-z-].*?)(?= &&| \||$)", re.split(r"  +#|  {2,}", line)[0])
    yield from re.findall(r"`((?:pinsync|make) [a-z-][^`]*)`", text)


# -- links


@every_document
def test_links_lead_to_files_and_headings_that_are_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_index_leads_to_every_document_and_the_readme_to_the_index() -> None:
    text = INDEX.read_text()
    documents = [path for path in DOCS if path != INDEX and path.parent == INDEX.parent]
    assert [path.name for path in documents if f"]({path.name})" not in text] == []
    readme = (ROOT / "README.md").read_text()
    assert all(f"]({name})" in readme for name in ("docs/README.md", "CHANGELOG.md", "CONTRIBUTING.md"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_prose_is_wrapped_and_names_no_place_of_one_machine(path: Path) -> None:
    long = [line for line in path.read_text().splitlines() if len(line) > 120 and line[:1] not in ("|", " ")]
    assert long == []
    assert not re.search(r"/(?:work|tmp/v|root|home/\w+)/|\.\./shared", path.read_text())


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


# -- commands and options


TOP: Any = typer.main.get_command(app)


def commands(group: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name, those of groups included."""
    for word, command in (group or TOP).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


def options(command: Any) -> set[str]:
    return {text for parameter in command.params for text in parameter.opts if text.startswith("-")}


COMMANDS = dict(commands())


def test_every_command_has_its_section_and_every_section_its_command() -> None:
    told = re.findall(r"^### `pinsync (.*)`$", CLI.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_told_with_its_default_and_no_other(name: str) -> None:
    table = {row[0]: row[1] for row in rows(sections(CLI, 3)[f"`pinsync {name}`"])}
    told = {option: text for cell, text in table.items() for option in re.findall(r"`(--?[a-z-]+)", cell)}
    command = COMMANDS[name]
    assert set(told) == options(command) - COMMON
    for parameter in command.params:
        if parameter.default not in (None, False, "") and parameter.opts[0].startswith("-"):
            assert str(parameter.default) in told[parameter.opts[0]], parameter.name


def test_the_options_of_every_command_are() -> None:
    told = set(re.findall(r"`(--?[a-z-]+)", sections(CLI, 2)["Options of every command"]))
    top = {text for parameter in TOP.params for text in parameter.opts}
    assert top == COMMON | {"--version"}
    assert told == top | {"--help"}
    assert all(options(command) >= COMMON for command in COMMANDS.values())


def test_the_profiles_of_the_emulator_are_told() -> None:
    told = re.search(r"profiles are (.*?)\.\n", sections(CLI, 3)["`pinsync emulator`"], re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`([^`]+)`", told[1])) == set(PROFILES)


@every_document
def test_commands_that_are_shown_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for shown in shown_commands(path):
        program, *words = shlex.split(shown)
        if program == "make":
            assert words[0] in targets | COMING_TARGETS, shown
            continue
        used = {word for word in words if word.startswith("-")}
        if words[0].startswith("-"):
            assert used <= options(TOP) | {"--help"}, shown
            continue
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        assert name in COMMANDS, shown
        assert used <= options(COMMANDS[name]) | {"--help"}, shown


def test_what_safety_refers_to_is_there() -> None:
    """Promises without a test, or with the name of one that is gone, are none."""
    text = SAFETY.read_text()
    named = set(re.findall(r"`(tests/[^`*]+)`", text))
    assert {"tests/integration/test_secrets.py", "tests/fuzz/test_bounds.py"} <= named
    assert [path for path in named if not (ROOT / path).exists()] == []
    asked = {row[0].strip("`").split()[1] for row in rows(text.split("\n## ")[0])}
    shown = {shown.split()[1] for shown in shown_commands(SAFETY) if shown.startswith("make ")}
    assert asked == shown - {"simulate-planted"} == {
        "test", "simulate", "test-faults", "test-services", "fuzz", "soak",
    }  # fmt: skip
    promises = re.findall(r"^\d\. ", sections(SAFETY, 2)["The seven promises"], re.MULTILINE)
    kept = [number for row in rows(sections(SAFETY, 2)["How each is tested"]) for number in row[0].split(", ")]
    assert sorted(kept) == [number[0] for number in promises]
    targets = {row[0].strip("`") for row in rows(sections(SAFETY, 2)["Input from outside"]) if row[0].startswith("`")}
    assert targets - {"config.toml"} == set(TARGETS)


def test_the_bounds_are_those_of_the_code() -> None:
    told = [row[1].split() for row in rows(sections(SAFETY, 2)["Input from outside"])[len(TARGETS) :]]
    units = {"KiB": 1 << 10, "MiB": 1 << 20}
    assert [int(number) * units[unit] for number, unit in told] == [
        inspect.signature(client.RemoteClient).parameters["max_body"].default, client._ONE_PIN, classify.READ_OF_ERRORS,
        kubo_pins._MAX_LINE, kubo_pins._MAX_LIST, kubo._MAX_ANSWER, manifest_files.MAX_FILE, manifest_files.MAX_TOTAL,
        import_module("pinsync.settings.load")._LIMIT, credentials._LIMIT, control.MOST_BODY,
    ]  # fmt: skip


def test_every_make_target_is_told_to_those_who_work_on_it() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    told = {shown.split()[1] for shown in shown_commands(ROOT / "CONTRIBUTING.md") if shown.startswith("make ")}
    assert targets - told == set()


def test_commands_are_shown() -> None:
    assert len({shown for path in DOCS for shown in shown_commands(path)}) > 30
    two = re.findall(r"^ {4}(make [a-z]+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert two[:2] == ["make demo", "make test"]


# -- configuration and manifest


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_told_with_its_default_and_no_other(table: str) -> None:
    below = sections(ROOT / "docs/configuration.md", 2)[configuration.heading(table).removeprefix("## ")]
    told = {row[0].strip("`"): row[1] for row in rows(below)}
    fields = TABLES[table].model_fields
    assert set(told) == set(fields)
    shown = {key: cell.strip("`") for key, cell in told.items() if cell.startswith("`")}
    by_hand = {"remote": {"name", "rate", "safety"}, "state": {"path"}}.get(table, set())
    assert set(fields) - set(shown) == by_hand
    needed = {"name": "x"} if table == "remote" else {}
    stated = tomli.loads("\n".join(f"{key} = {value}" for key, value in shown.items()))
    assert TABLES[table].model_validate({**needed, **stated}) == TABLES[table].model_validate(needed)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_toml_that_is_shown_is_right(path: Path, tmp_path: Path) -> None:
    for number, text in enumerate(fences(path, "toml")):
        there = tmp_path / str(number)
        (there / "lists").mkdir(parents=True)
        (there / "file.toml").write_text(text)
        if "[[remote]]" in text:
            load(there / "file.toml", env={"HOME": "/nowhere"})
        else:
            assert read_manifest(there / "file.toml", remotes=["nftstorage"]).pins
    for number, text in enumerate(fences(path, "text")):
        (tmp_path / f"{number}.txt").write_text(text)
        (tmp_path / f"{number}.toml").write_text(f'include = ["{number}.txt"]')
        assert read_manifest(tmp_path / f"{number}.toml", remotes=[]).pins


def test_toml_is_shown() -> None:
    assert fences(ROOT / "README.md", "toml")
    assert fences(ROOT / "docs/manifest.md", "toml")
    assert fences(ROOT / "docs/manifest.md", "text")


def test_the_tables_of_keys_are_those_of_the_settings() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert configuration.generated(text) == text, "run `make docs`"
    assert configuration.generated(text.replace("| `grace` |", "| `grass` |")) == text


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_described(table: str) -> None:
    told = [
        row[2]
        for row in rows(sections(ROOT / "docs/configuration.md", 2)[configuration.heading(table).removeprefix("## ")])
    ]
    assert len(told) == len(TABLES[table].model_fields)
    assert all(len(text) > 15 for text in told)


# -- numbers, rates, traits


def test_the_fixed_numbers_are_those_of_the_code() -> None:
    told = [row[1] for row in rows(sections(ROOT / "docs/semantics.md", 2)["Fixed numbers"])]
    assert [float(value) if value.isdecimal() else parse_duration(value) for value in told] == [
        rules.RETRY_FIRST, adding.REFUSED_FIRST, record.PROBE_FIRST, rules.RETRY_CAP, rules.FOLLOW_FIRST,
        rules.FOLLOW_CAP, runner.FIRST_PAUSE, guard.SHARE_FLOOR, diff.MISSING_SIGHTINGS, record.KEEP_HISTORY,
    ]  # fmt: skip
    assert rules.RETRY_CAP == record.PROBE_CAP


def test_the_rates_are_those_of_the_code() -> None:
    told = rows(sections(ROOT / "docs/services.md", 2)["Rate limits"])
    assert len(told) == 4
    for host, rate in told:
        assert parse_rate(rate) == default_rate(f"https://api.{host.strip('`')}/pins")


def test_the_traits_are_those_of_the_code() -> None:
    told = rows(sections(ROOT / "docs/services.md", 2)["What is learned"])
    assert {name.strip("`") for row in told for name in row[0].split(", ")} == set(Traits.__slots__)


def test_what_the_code_calls_semantics_is_a_heading_there() -> None:
    named: set[str] = set()
    for file in (ROOT / "daemon").rglob("*.py"):
        for listed in re.findall(r"\(semantics: ([^)]*)\)", file.read_text()):
            named |= set(re.findall(r"\*([^*]+)\*", listed))
    assert named
    assert named <= set(sections(ROOT / "docs/semantics.md", 2))


def test_documents_that_messages_send_people_to_are_there() -> None:
    named: set[tuple[str, str]] = set()
    for file in (ROOT / "daemon").rglob("*.py"):
        named |= set(re.findall(r"(docs/[a-z]+\.md)(?:, \*([^*]+)\*)?", file.read_text()))
    assert ("docs/operating.md", "The ledger is damaged or lost") in named
    for document, heading in named:
        assert (ROOT / document).exists(), document
        assert not heading or heading in sections(ROOT / document, 2), heading


# -- exit codes and verdicts


def subclasses(of: type[errors.PinsyncError]) -> Iterator[type[errors.PinsyncError]]:
    yield of
    for one in of.__subclasses__():
        yield from subclasses(one)


def test_the_exit_codes_are_those_of_the_code() -> None:
    told = {int(code) for row in rows(sections(CLI, 2)["Exit codes"]) for code in row[0].split(", ")}
    raised = {one.exit_code for one in subclasses(errors.PinsyncError)}
    by_signal = {cli_main.INTERRUPTED, cli_main.BROKEN_PIPE, 128 + 15}
    assert {1, 2, 6} <= raised
    assert told == raised | set(status.EXIT.values()) | by_signal


def test_operating_tells_what_every_code_of_every_command_asks() -> None:
    page = sections(ROOT / "docs/operating.md", 3)
    told = rows(page["Exit codes: what they ask of you"])
    assert {name.strip("`") for row in told for name in row[0].split(", ")} >= set(COMMANDS)
    codes = {int(code) for row in told for code in re.findall(r"(?:^|[.,] )(\d) ", row[2])}
    assert codes == set(status.EXIT.values()) - {0} | {2, 6}
    verdicts = {row[0].strip("*").lower().replace(" ", "-") for row in rows(page["The verdict"])}
    assert verdicts == set(status.EXIT)


def test_the_verdicts_are_those_of_the_code() -> None:
    told = rows(sections(ROOT / "docs/semantics.md", 2)["Verdicts"])
    assert {row[0].strip("`"): int(row[1]) for row in told} == status.EXIT


# -- JSON


def keys(value: Any, path: str = "") -> set[str]:
    """Every key in a JSON value, by its way from the top. What a remote was seen to do varies, and is left out."""
    if isinstance(value, list):
        return {key for inner in value for key in keys(inner, f"{path}[]")}
    if not isinstance(value, dict) or path.endswith((".traits", ".traits_since")):
        return set()
    return {f"{path}.{key}" for key in value}.union(*(keys(inner, f"{path}.{key}") for key, inner in value.items()))


def told_json() -> dict[str, set[str]]:
    """Heading → the keys of the example below it."""
    found: dict[str, set[str]] = {}
    for heading, text in sections(CLI, 3).items():
        if blocks := re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            assert len(blocks) == 1
            found[heading.strip("`")] = keys(json.loads(blocks[0]))
    return found


@pytest.fixture
def at(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with home(tmp_path, capsys, monkeypatch, {cid(n): f"pin {n}" for n in range(3)}) as made:
        yield made


def test_json_that_is_shown_has_the_keys_that_are_printed_and_no_other(
    at: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: dict[str, set[str]] = {}

    def look(heading: str, *args: str) -> None:
        printed.setdefault(heading, set()).update(keys(at.run(*args, "--json").json()))

    at.service.emulator.seed_pins([Seed(cid(8)), Seed(cid(9), meta={"pinsync": "another"})])
    at.manifest(f'[[pin]]\ncid = "{cid(8)}"\n[[pin]]\ncid = "{cid(9)}"\n')
    at.configure('[safety]\nremovals = "approve"\ngrace = "0s"\n')
    look("sync --json", "sync")
    look("ls --json", "ls")
    look("adopt --json", "adopt", "--all")
    look("check --json", "check")
    at.node.pins.clear()  # a doubt, and removals that it holds
    look("sync --json", "sync")
    look("plan --json", "plan")
    look("status --json", "status")
    look("status CID --json", "status", cid(0))
    look("approve --json", "approve", "--all")
    for edit in ("add", "add", "rm"):
        look("manifest add --json", "manifest", edit, cid(7))
    at.manifest("nonsense\n")
    for heading in ("sync --json", "plan --json", "check --json"):
        look(heading, heading.split()[0])
    at.configure()
    at.manifest(f'[[pin]]\ncid = "{cid(8)}"\n')
    at.run("sync")
    for pin in at.service.emulator.pins():
        at.service.emulator.set_status(pin.requestid, PinStatus.FAILED, "no provider was found")
    at.run("sync")
    shut(at)
    look("retry --json", "retry", "--failed")
    look("disown --json", "disown", cid(8))
    at.run("pause", "--for", "2h", "--reason", "new disk")
    look("pause --json", "pause", "--remote", "nft", "--until", "2990-01-01")
    look("status --json", "status")
    look("pause --json", "resume")
    look("history --json", "history")
    look("history CID --json", "history", cid(0))
    look("completion --json", "completion", "bash")
    printed["status --json"] |= keys(about(), ".daemon")
    monkeypatch.setattr(server, "serve", lambda profile, *, ready, **rest: ready("http://127.0.0.1:5000"))
    look("emulator --json", "emulator")
    look("doctor --json", "doctor")
    at.configure('[notify]\ncommand = ["/bin/sh", "-c", "cat >&2"]\n')
    look("notify --json", "notify", "--test")
    printed |= service_json(at)
    assert told_json() == printed


def service_json(at: Home) -> dict[str, set[str]]:
    """What `service` prints, with errors and without, on a machine that is a directory."""
    box = Box(at.path / "machine", at.capsys, at.node.url)
    box.systemd.fails = {"start"}
    said = [box.install(json=True)]
    box.systemd.fails = {"disable"}
    gone = [box.uninstall(json=True)]
    box.systemd.fails = set()
    said += [box.install(json=True)]
    shown = [box.show(json=True)]
    box.layout.config.write_text("nonsense\n")
    shown += [box.show(json=True)]
    gone += [box.uninstall(json=True)]
    each = {"install": said, "uninstall": gone, "show": shown}
    return {f"service {name} --json": set().union(*(keys(one.json()) for one in all_)) for name, all_ in each.items()}


def shut(at: Home) -> None:
    """The remote takes no pins, by the ledger."""
    store = Store.open(at.ledger)
    ledger = Ledger(store)
    ledger.put_remote(replace(ledger.remote("nft"), closed=Shut("full", 0.0, 1.0)), 2.0)
    store.close()


def about() -> dict[str, Any]:
    """What a daemon says about itself in the middle of a pass."""
    world: Any = SimpleNamespace(house=SimpleNamespace(clock=SystemClock()), error="", restart_needed="")
    progress = {"node": {"step": "read", "what": "reading node kubo", "count": 1, "of": None}}
    works: Any = SimpleNamespace(running=runner.Running("schedule", None, 0.0, progress))
    nobody: Any = None
    monitor: Any = SimpleNamespace(listening=lambda: {"address": "127.0.0.1:9753", "error": None}, trouble="")
    return Desk(world, nobody, works, nobody, monitor).about()

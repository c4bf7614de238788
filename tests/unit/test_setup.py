"""`pinsync service`: what it writes and with which rights, what it starts, and that it leaves nothing half."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinsync.cli import service
from pinsync.emulator.kubo import KuboStandIn
from pinsync.errors import ConfigError, UsageError
from pinsync.settings.load import load
from pinsync.setup import checks, machine
from pinsync.setup.checks import Program, running
from pinsync.setup.layout import of_user, program_of, system, with_program
from pinsync.setup.machine import SetupError
from pinsync.setup.node import find_node
from tests.unit.remote_servers import VirtualClock
from tests.unit.setup_kit import TOKEN, Box, Typist

ETC = "etc/pinsync"
UNIT = "etc/systemd/system/pinsync.service"
FRESH = ["systemd-sysusers", "daemon-reload", "enable", "start"]


@pytest.fixture(scope="module")
def node() -> Iterator[KuboStandIn]:
    with KuboStandIn({}) as made:
        yield made


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str], node: KuboStandIn) -> Box:
    return Box(tmp_path, capsys, node.url)


@pytest.fixture
def own(tmp_path: Path, capsys: pytest.CaptureFixture[str], node: KuboStandIn) -> Box:
    return Box(tmp_path / "own", capsys, node.url, user=True)


# -- the system's service


def test_one_command_writes_everything_and_starts_it(box: Box, node: KuboStandIn) -> None:
    said = box.install()
    assert said.code == 0
    tree = box.tree()
    assert {path: mode for path, (mode, _) in tree.items()} == {
        UNIT: 0o644, "etc/sysusers.d/pinsync.conf": 0o644, f"{ETC}/config.toml": 0o644,
        f"{ETC}/nftstorage.token": 0o600,
    }  # fmt: skip
    assert tree[f"{ETC}/nftstorage.token"][1] == f"{TOKEN}\n"
    assert program_of(tree[UNIT][1]) == "/opt/pinsync/bin/pinsync"
    settings = load(box.layout.config, env={})
    assert (settings.nodes[0].api, settings.remotes[0].endpoint) == (node.url, "https://api.nft.storage/pins")
    assert box.systemd.calls == FRESH
    assert "Installed, enabled and running" in said.out
    assert f"Kubo 0.42.0 answers at {node.url}" in said.out


def test_a_second_install_changes_nothing_and_says_so(box: Box) -> None:
    box.install()
    before, box.systemd.calls = box.tree(), []
    said = box.install(token=None)
    assert said.code == 0 and "Nothing had to be changed" in said.out
    assert box.tree() == before and box.systemd.calls == []
    assert box.install(token=None, json=True).json()["changed"] is False


def test_a_dry_run_shows_all_of_it_and_changes_nothing(box: Box) -> None:
    said = box.install(token=None, dry_run=True)
    assert said.code == 0
    assert box.tree() == {} and box.systemd.calls == []
    for told in (UNIT, "config.toml, mode 0644", "nftstorage.token, mode 0600", "[[remote]]", "systemctl start"):
        assert told in said.out
    steps = box.install(token=None, dry_run=True, json=True).json()["steps"]
    assert {step["state"] for step in steps} == {"left"}


def test_a_dry_run_tells_what_would_be_refused(box: Box) -> None:
    said = box.install(token=None, dry_run=True, host=replace(box.host, uid=1000))
    assert said.code == 0 and "it would be refused: the system's service needs root" in said.err


def test_after_an_upgrade_the_unit_is_replaced_but_not_unasked(box: Box) -> None:
    box.install()
    new = box.layout.unit.read_text()
    box.layout.unit.write_text(new.replace("WatchdogSec=3min", "WatchdogSec=9min"))
    box.systemd(["systemctl", "daemon-reload"])
    before, box.systemd.calls = box.tree(), []
    with pytest.raises(UsageError, match="--yes"):
        box.install(token=None)
    assert box.tree() == before and box.systemd.calls == []
    refused = box.install(person=Typist(["n"]))
    assert "-WatchdogSec=9min" in refused.out and "+WatchdogSec=3min" in refused.out
    assert box.tree() == before
    assert box.install(token=None, yes=True).code == 0
    assert box.layout.unit.read_text() == new
    assert box.systemd.calls == ["daemon-reload", "restart"]


def test_another_token_is_taken_and_the_service_restarted(box: Box) -> None:
    box.install(token="the-first-one")
    box.systemd.calls = []
    assert box.install().code == 0
    assert box.tree()[f"{ETC}/nftstorage.token"] == (0o600, f"{TOKEN}\n")
    assert box.systemd.calls == ["restart"]


def test_a_token_that_others_may_read_is_closed(box: Box) -> None:
    box.install()
    box.layout.token("nftstorage").chmod(0o644)
    said = box.install(token=None, json=True)
    assert [(step["kind"], step["mode"]) for step in said.json()["steps"]] == [("chmod", "0600")]
    assert box.tree()[f"{ETC}/nftstorage.token"][0] == 0o600


def test_each_further_remote_has_its_token_passed_by_a_drop_in(box: Box) -> None:
    box.install()
    more = (
        '[[remote]]\nname = "pinata"\nendpoint = "https://pins.example.org"\n[[remote]]\nname = "own"\nauth = "none"\n'
    )
    config = box.layout.config.read_text() + more
    box.layout.config.write_text(config)
    box.systemd.calls = []
    assert box.install(remote="pinata").code == 0
    drop_in = box.layout.credentials.read_text()
    assert "LoadCredential=pinata.token:/etc/pinsync/pinata.token" in drop_in
    assert "nftstorage" not in drop_in and "own" not in drop_in
    assert box.tree()[f"{ETC}/pinata.token"] == (0o600, f"{TOKEN}\n")
    assert box.layout.config.read_text() == config
    assert box.systemd.calls == ["daemon-reload", "restart"]
    box.layout.config.write_text(config.replace(more, ""))
    assert box.install(token=None).code == 0
    assert not box.layout.credentials.exists()


def test_a_credential_that_somebody_else_passes_is_left_to_them(box: Box) -> None:
    box.install()
    box.layout.drop_ins.mkdir()
    (box.layout.drop_ins / "mine.conf").write_text("[Service]\nLoadCredential=pinata.token:/srv/pinata\n")
    with box.layout.config.open("a") as file:
        file.write('[[remote]]\nname = "pinata"\nendpoint = "https://pins.example.org"\n')
    assert box.install(token=None).code == 0
    assert not box.layout.credentials.exists()


def test_other_credentials_whose_file_is_there_are_passed_too(box: Box) -> None:
    (box.root / ETC).mkdir(parents=True)
    (box.root / ETC / "notify.webhook").write_text("https://example.org/hook\n")
    box.install()
    assert "LoadCredential=notify.webhook:/etc/pinsync/notify.webhook\n" in box.layout.credentials.read_text()


def test_a_configuration_that_is_there_is_never_overwritten(box: Box) -> None:
    box.install()
    before = box.tree()
    options: list[dict[str, Any]] = [
        {"endpoint": "https://pins.example.org"}, {"api": "http://127.0.0.1:1"}, {"auth": "none"},
    ]  # fmt: skip
    for option in options:
        with pytest.raises(UsageError, match="is not overwritten"):
            box.install(**option)
    with pytest.raises(UsageError, match="no remote is called 'pinata'"):
        box.install(remote="pinata")
    box.layout.config.write_text("[[remote]]\nnam = 1\n")
    with pytest.raises(ConfigError):
        box.install()
    box.layout.config.write_text(before[f"{ETC}/config.toml"][1])
    assert box.tree() == before


def test_what_a_package_brought_stays_its_own(box: Box) -> None:
    for path, text in (
        (box.layout.packaged[0], "[Service]\nExecStart=/opt/pinsync/bin/pinsync run\n"),
        (box.layout.sysusers[1], "u\n"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    said = box.install(dry_run=True, json=True)
    written = [step["path"] for step in said.json()["steps"] if step["kind"] == "write"]
    assert [Path(path).name for path in written] == ["config.toml", "nftstorage.token"]
    box.layout.packaged[0].write_text("[Service]\nExecStart=/usr/bin/pinsync run\n")  # another than the one that asks
    said = box.install(dry_run=True, json=True)
    assert str(box.layout.unit) in [step["path"] for step in said.json()["steps"]]


# -- a remote and its token


def test_a_person_is_asked_for_the_service_and_the_token_and_told_where_it_will_lie(box: Box) -> None:
    typist = Typist(["4", "https://pins.example.org/x", "", "y", "y"], [TOKEN])
    assert box.install(person=typist).code == 0
    remote = load(box.layout.config, env={}).remotes[0]
    assert (remote.name, remote.endpoint) == ("example", "https://pins.example.org/x/pins")
    assert box.tree()[f"{ETC}/example.token"] == (0o600, f"{TOKEN}\n")
    (told,) = (question for question in typist.asked if "will lie in" in question)
    assert "/etc/pinsync/example.token, which root" in told
    assert "LoadCredential=example.token" in box.layout.credentials.read_text()


def test_a_person_who_says_no_has_nothing_changed(box: Box) -> None:
    said = box.install(person=Typist(["", "n"], [TOKEN]))
    assert "To do:" in said.out and "nothing was changed" in said.err
    assert box.tree() == {} and box.systemd.calls == []


def test_a_token_that_makes_no_sense_is_asked_for_again(box: Box) -> None:
    typist = Typist(["", "y"], ['"quoted"', TOKEN])
    assert box.install(person=typist).code == 0
    assert any("Once more" in question for question in typist.asked)
    assert box.tree()[f"{ETC}/nftstorage.token"][1] == f"{TOKEN}\n"


def test_services_that_kubo_knows_are_offered(box: Box, node: KuboStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    services = {"RemoteServices": [{"Service": "my pins", "ApiEndpoint": "https://pins.example.net/api"}]}
    answer = KuboStandIn.answer
    monkeypatch.setattr(KuboStandIn, "answer", lambda self, command, query: (
        (200, json.dumps(services)) if command == "pin/remote/service/ls" else answer(self, command, query)
    ))  # fmt: skip
    typist = Typist(["4", "y"], [TOKEN])
    said = box.install(person=typist)
    assert "knows my pins (https://pins.example.net/api)" in said.out
    remote = load(box.layout.config, env={}).remotes[0]
    assert (remote.name, remote.endpoint) == ("my-pins", "https://pins.example.net/api/pins")


def test_by_options_alone(box: Box) -> None:
    box.install(remote="cluster", endpoint="http://127.0.0.1:9097", auth="none", token=None)
    assert [path for path in box.tree() if path.endswith(".token")] == []
    assert load(box.layout.config, env={}).remotes[0].auth == "none"


def test_the_token_may_come_from_standard_input(box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "given").write_text(f"Bearer {TOKEN}\n")
    with (tmp_path / "given").open() as given:
        monkeypatch.setattr("sys.stdin", given)
        assert box.install(token_file="-").code == 0
    assert box.tree()[f"{ETC}/nftstorage.token"][1] == f"{TOKEN}\n"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"token": None}, "--token-file FILE"),
        ({"token": "two\nlines"}, "more than one line"),
        ({"token": ""}, "is empty"),
        ({"token_file": "/nonexistent"}, "No such file"),
        ({"remote": "nobody"}, "needs --endpoint"),
        ({"endpoint": "ftp://example.org"}, "must be a URL"),
        ({"remote": "a b", "endpoint": "https://example.org"}, "must be 1 to 64 letters"),
        ({"auth": "digest"}, "auth"),
        ({"api": "nonsense"}, "must be"),
        ({"auth": "none"}, "no token is needed"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_changed(box: Box, asked: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, ConfigError)) as caught:
        box.install(**asked)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2
    assert box.tree() == {} and box.systemd.calls == []


def test_a_node_that_is_away_is_warned_of_and_waited_for(box: Box) -> None:
    said = box.install(api="http://127.0.0.1:1")
    assert said.code == 0
    assert "no connection" in said.err and "The service waits for it" in said.err


def test_the_node_of_the_caller_is_found_and_written_down(node: KuboStandIn, tmp_path: Path) -> None:
    (tmp_path / ".ipfs").mkdir()
    (tmp_path / ".ipfs/api").write_text(f"/ip4/127.0.0.1/tcp/{node.url.rpartition(':')[2]}")
    nowhere = tmp_path / "nowhere/.ipfs"
    nowhere.mkdir(parents=True)
    (nowhere / "api").write_text("/ip4/127.0.0.1/tcp/1")
    found = find_node(None, {"HOME": str(nowhere.parent)}, {"HOME": str(tmp_path)}, VirtualClock())
    assert (found.api, found.version) == (node.url, "0.42.0")


def test_the_token_may_come_through_a_pipe(box: Box) -> None:
    reading, writing = os.pipe()
    os.write(writing, TOKEN.encode())
    os.close(writing)
    assert box.install(token_file=f"/dev/fd/{reading}").code == 0
    os.close(reading)
    assert box.tree()[f"{ETC}/nftstorage.token"][1] == f"{TOKEN}\n"


def test_an_old_systemd_is_warned_of(box: Box) -> None:
    box.systemd.version = 249
    assert "this is systemd 249" in box.install().err


# -- what goes wrong


def test_a_file_that_cannot_be_written_leaves_the_machine_as_it_was(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.install(token="the-first-one")
    box.layout.unit.write_text("# an older one\n")
    box.layout.token("nftstorage").chmod(0o640)
    before, write = box.tree(), machine._write
    box.systemd.calls = []

    def full(path: Path, content: bytes, mode: int) -> None:
        if path.suffix == ".token":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content, mode)

    monkeypatch.setattr(machine, "_write", full)
    said = box.install(yes=True)
    assert said.code == 1
    assert "No space left on device" in said.err and "the machine is as it was" in said.err
    assert box.tree() == before and box.systemd.calls == []


def test_an_interrupt_takes_back_what_was_written(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, content: bytes, mode: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine, "_write", interrupted)
    said = box.install()
    assert said.code == 1 and "interrupted" in said.err
    assert box.tree() == {} and not (box.root / "etc").exists()


def test_a_fresh_machine_is_empty_again_when_a_file_cannot_be_written(box: Box) -> None:
    box.layout.config_dir.parent.mkdir()
    box.layout.config_dir.write_text("a file in the way")
    said = box.install()
    assert said.code == 1
    assert box.tree() == {ETC: (0o644, "a file in the way")}
    assert not (box.root / "etc/systemd").exists()


@pytest.mark.parametrize("verb", FRESH)
def test_a_command_that_fails_is_told_with_what_was_done_and_the_next_install_goes_on(box: Box, verb: str) -> None:
    box.systemd.fails = {verb}
    said = box.install()
    assert said.code == 1
    assert f"{verb}" in said.err and "done: write" in said.err and "pinsync service uninstall" in said.err
    rest = FRESH[FRESH.index(verb) + 1 :]
    assert all(f"not done: run {'systemctl ' + one}" in said.err for one in rest)
    assert ("its log: the token of nftstorage" in said.err) is (verb == "start")
    box.systemd.fails = set()
    box.systemd.calls = []
    assert box.install(token=None).code == 0
    assert box.systemd.calls == FRESH[FRESH.index(verb) :]
    assert box.systemd.active == "active"


def test_a_failure_is_told_to_programs(box: Box) -> None:
    box.systemd.fails = {"start"}
    said = box.install(json=True).json()
    assert said["errors"] and [step["state"] for step in said["steps"]][-1] == "failed"


def test_who_may_not_and_where_it_cannot_be(box: Box, own: Box) -> None:
    with pytest.raises(UsageError, match="needs root"):
        box.install(host=replace(box.host, uid=1000))
    with pytest.raises(UsageError, match="without sudo"):
        own.install(host=replace(own.host, uid=0, env={**own.env, "SUDO_UID": "1000"}))
    with pytest.raises(SetupError, match="below /home, which the service does not see"):
        box.install(host=replace(box.host, program_is=Program(Path("/x"), (Path("/home/alice/venv"),))))
    (box.root / "run/systemd/system").rmdir()
    with pytest.raises(SetupError, match="systemd does not run here"):
        box.install()
    assert box.tree() == {}


def test_a_masked_unit_stays_masked(box: Box) -> None:
    box.layout.unit.parent.mkdir(parents=True)
    box.layout.unit.symlink_to("/dev/null")
    with pytest.raises(SetupError, match="unmask"):
        box.install()
    assert box.layout.unit.is_symlink()


def test_a_program_that_its_user_may_not_reach_is_found_out(tmp_path: Path, box: Box) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert checks._closed(closed) in (closed, *closed.parents)
    open_to_all = Path("/usr/bin/env")
    assert checks._closed(open_to_all) is None


def test_the_program_is_named_as_it_lies_and_not_where_links_lead(tmp_path: Path) -> None:
    real = tmp_path / "venv/bin/pinsync"
    real.parent.mkdir(parents=True)
    real.write_text("")
    link = tmp_path / "home/.local/bin/pinsync"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert running(str(real), tmp_path / "home").command == link
    assert running(str(real)).command == real


# -- what is left


def test_uninstall_leaves_nothing_but_the_state_and_what_people_wrote(box: Box) -> None:
    box.install(remote="pinata", endpoint="https://pins.example.org")
    (box.layout.drop_ins / "override.conf").write_text("[Service]\nNice=5\n")
    (box.root / ETC / "pins.toml").write_text("")
    said = box.uninstall()
    assert said.code == 0
    assert set(box.tree()) == {
        f"{ETC}/config.toml", f"{ETC}/pinata.token", f"{ETC}/pins.toml", f"{UNIT}.d/override.conf",
    }  # fmt: skip
    assert "/var/lib/pinsync  the ledger" in said.out and "--purge" in said.out
    assert not box.systemd.enabled and box.systemd.active == "inactive"
    (box.layout.drop_ins / "override.conf").unlink()
    box.uninstall(purge=True)
    assert set(box.tree()) == {f"{ETC}/pins.toml"}
    assert box.layout.state.is_dir()
    assert "Nothing of it is installed" in box.uninstall().out


def test_a_person_is_asked_before_configuration_and_tokens_go(box: Box) -> None:
    box.install()
    before = box.tree()
    typist = Typist(["n", "n"])
    box.uninstall(person=typist)
    assert box.tree() == before and "/etc/pinsync/nftstorage.token" in typist.asked[0]
    box.uninstall(person=Typist(["y", "y"]))
    assert box.tree() == {} and not (box.root / ETC).exists()


def test_uninstall_can_be_tried_and_told_to_programs(box: Box) -> None:
    box.install()
    before = box.tree()
    assert "Would do:" in box.uninstall(dry_run=True, purge=True).out
    assert box.tree() == before and box.systemd.active == "active"
    said = box.uninstall(json=True).json()
    assert said["changed"] and {"path": "/var/lib/pinsync", "what": "the ledger and the mirror's id"} in said["left"]


def test_what_cannot_be_stopped_is_not_taken_away(box: Box) -> None:
    box.install()
    before = box.tree()
    box.systemd.fails = {"disable"}
    assert box.uninstall(purge=True).code == 1
    assert box.tree() == before


# -- a service of one's own


def test_a_users_service_lies_in_their_home_and_is_theirs_alone(own: Box) -> None:
    said = own.install()
    assert said.code == 0
    home = "home/alice/.config"
    tree = own.tree()
    assert {path: mode for path, (mode, _) in tree.items()} == {
        f"{home}/systemd/user/pinsync.service": 0o644, f"{home}/pinsync/config.toml": 0o600,
        f"{home}/pinsync/nftstorage.token": 0o600,
    }  # fmt: skip
    assert (own.root / home / "pinsync").stat().st_mode & 0o777 == 0o700
    remote = load(own.layout.config, env={}).remotes[0]
    assert remote.token_file == own.layout.token("nftstorage")
    assert own.systemd.calls == ["daemon-reload", "enable", "start"]
    assert "enable-linger" in said.err
    own.systemd.calls = []
    assert "Nothing had to be changed" in own.install(token=None).out
    assert own.systemd.calls == []
    own.uninstall(purge=True)
    assert own.tree() == {} and own.layout.state.is_dir()


def test_a_users_configuration_without_token_file_is_for_them_to_complete(own: Box) -> None:
    own.layout.config_dir.mkdir(parents=True)
    own.layout.config.write_text(f'[kubo]\napi = "{own.api}"\n[[remote]]\nname = "nft"\n')
    with pytest.raises(UsageError, match=r'Add token_file = "nft\.token"'):
        own.install()


# -- show


def test_show_tells_what_is_in_force_and_what_differs(box: Box) -> None:
    said = box.show()
    assert said.code == 1 and "Not installed" in said.out
    box.install()
    said = box.show()
    assert said.code == 0 and "active (running), enabled, process 812" in said.out
    assert "differs" not in said.out
    box.layout.unit.write_text(box.layout.unit.read_text().replace("ProtectHome=yes", "ProtectHome=no"))
    box.layout.token("nftstorage").write_text("\n")
    said = box.show()
    assert "-ProtectHome=no" in said.out and "+ProtectHome=yes" in said.out
    told = box.show(json=True).json()
    assert told["unit"]["difference"] and "is empty" in told["tokens"][0]["problem"]
    box.systemd.active = "failed"
    assert box.show().code == 1


# -- small things


def test_units_name_programs_with_strange_paths() -> None:
    unit = "[Service]\nExecStart=/usr/local/bin/pinsync run --config x\n"
    assert program_of(with_program(unit, Path("/opt/a b/pinsync"))) == "/opt/a b/pinsync"
    assert "ExecStart=/opt/100%%/pinsync run --config x\n" in with_program(unit, Path("/opt/100%/pinsync"))
    with pytest.raises(ValueError, match="no unit can name"):
        with_program(unit, Path('/opt/"/pinsync'))


def test_a_home_is_needed_for_a_service_of_ones_own() -> None:
    assert system().journal == "journalctl -u pinsync"
    assert of_user({"HOME": "/home/a", "XDG_CONFIG_HOME": "/c"}).unit == Path("/c/systemd/user/pinsync.service")


def test_config_names_the_services_own_file_or_is_refused(box: Box) -> None:
    from pinsync.cli.ui import Ui

    with pytest.raises(UsageError, match="goes by"):
        service.by_its_own_file(Ui(config=Path("/elsewhere.toml")), box.layout)
    service.by_its_own_file(Ui(config=box.layout.config), box.layout)

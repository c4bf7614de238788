"""`config.example.toml` is documentation that is tested: it loads, it names every key, it states the true defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli

from pinsync.settings import RemoteSettings, load
from pinsync.settings.schema import TABLES

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SETTING = re.compile(r"#(\[|[a-z_]+ = )")

# What is shown is no default: an example, or a default that depends on the machine or the host.
SHOWN_OTHERWISE = {("state", "path"), ("remote", "name"), ("remote", "rate"), ("remote", "safety")}


@pytest.fixture(scope="module")
def uncommented() -> str:
    return "\n".join(line[1:] if SETTING.match(line) else line for line in EXAMPLE.read_text().splitlines())


def test_it_loads_as_it_stands_and_sets_nothing_but_a_remote() -> None:
    settings = load(EXAMPLE, env={"HOME": "/nowhere"})
    assert settings.remotes == (RemoteSettings("nftstorage"),)
    assert settings.warnings == ()
    assert tomli.loads(EXAMPLE.read_text()) == {
        "remote": [{"name": "nftstorage"}], "mirror": {}, "kubo": {}, "manifest": {}, "state": {}, "schedule": {},
        "safety": {}, "listen": {}, "metrics": {}, "notify": {},
    }  # fmt: skip


def test_it_loads_with_every_key_uncommented(uncommented: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(uncommented)
    settings = load(tmp_path / "config.toml", env={"HOME": "/nowhere"})
    assert [remote.name for remote in settings.remotes] == ["nftstorage", "cluster"]
    assert settings.remotes[1].auth == "none"
    assert settings.remotes[0].safety.grace == 30 * 86400.0


@pytest.mark.parametrize("table", TABLES)
def test_it_names_every_key_with_its_default(uncommented: str, table: str) -> None:
    shown = tomli.loads(uncommented)[table]
    if table == "remote":
        shown = shown[0]
    assert set(shown) == set(TABLES[table].model_fields)
    needed = {"name": shown["name"]} if table == "remote" else {}
    defaults = TABLES[table].model_validate(needed)
    as_shown = TABLES[table].model_validate(shown)
    for key in shown:
        if (table, key) not in SHOWN_OTHERWISE:
            assert getattr(as_shown, key) == getattr(defaults, key), f"{table}.{key}"


def test_every_key_is_explained(uncommented: str) -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if SETTING.match(line) and "skip_names" not in line and not line.startswith("#["):
            before = lines[number - 1]
            assert before.startswith(("# ", "#[[remote]]", '#name = "cluster"', "#endpoint", "[")), line

"""Words that the log, the terminal and doctor share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pinsync.cli.render_status import status_lines
from pinsync.cli.text import plain
from pinsync.service.telling import counts
from pinsync.settings.model import ManifestSettings
from pinsync.words import bare, counted, placed
from tests.mirror import Mirror


@pytest.mark.parametrize(
    ("where", "message", "said"),
    [
        ("remote spec", "spec: no connection", "remote spec: no connection"),
        ("remote spec", "remote spec: no connection", "remote spec: no connection"),
        ("remote spec", "no connection", "remote spec: no connection"),
        ("remote spec", "the token of remote spec is refused", "the token of remote spec is refused"),
        ("manifest", "pins.toml:1: no TOML", "manifest: pins.toml:1: no TOML"),
        ("manifest", "/srv/manifest/pins.toml:1: no TOML", "manifest: /srv/manifest/pins.toml:1: no TOML"),
        ("pass", "the disk is full", "pass: the disk is full"),
    ],
)
def test_a_place_is_said_once(where: str, message: str, said: str) -> None:
    assert placed(where, message) == said
    assert not bare(where, message).startswith((f"{where}: ", "spec: "))


def test_one_is_no_plural() -> None:
    assert [counted(one, "pin") for one in (0, 1, 1204)] == ["0 pins", "1 pin", "1,204 pins"]


def test_what_could_not_be_sent_is_not_on_its_way(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.emulator.faults.next("status:503", times=99)
    report = mirror.sync()
    assert mirror.there() == {}
    assert "on their way" not in counts(report)
    assert "2 not there yet" in counts(report)
    assert report.exit_code() == 1


def test_a_manifest_that_never_was_is_not_in_force(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.settings = replace(mirror.settings, manifest=ManifestSettings(tmp_path / "pins.toml", configured=False))
    mirror.sync()
    found = mirror.status()
    assert (found["sources"]["manifest"]["ok"], found["sources"]["manifest"]["there"]) == (True, False)
    lines = map(plain, status_lines(found, width=None, now=0.0, verbose=False))
    [told] = [one for one in lines if one.startswith("  manifest")]
    assert "no such file" in told and "in force" not in told

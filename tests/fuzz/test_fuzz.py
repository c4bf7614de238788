"""A little of each target, the same cases at every run; `make fuzz` looks for new ones. And what was once found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pinsync.planning import diff
from pinsync.settings import credentials
from pinsync.sources import kubo_stream, manifest_reading
from pinsync.sources.kubo_pins import PinLines
from pinsync.steps import removing
from tests.fuzz.config import SECRET
from tests.fuzz.kit import CORPUS, Case, dump, parse, tried
from tests.fuzz.targets import TARGETS

FILES = sorted(CORPUS.rglob("*.json"))


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a strategy
@pytest.mark.parametrize("name", TARGETS)
def test_what_nobody_would_write(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=target.quick,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases)
    def tries(case: Case) -> None:
        assert dump(parse(dump(case))) == dump(case)
        tried(target, case)

    tries()


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_once_found(file: Path) -> None:
    kept = json.loads(file.read_text())
    tried(TARGETS[file.parent.name], parse(json.dumps(kept["case"])))


def test_every_file_of_the_corpus_belongs_to_a_target_and_says_what_it_found() -> None:
    assert FILES
    assert {file.parent.name for file in FILES} <= set(TARGETS)
    assert all(json.loads(file.read_text())["found"] for file in FILES)


# -- what the targets would find: a bug planted in the product, and a case that meets it


def everything_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (diff, removing):
        monkeypatch.setattr(module, "is_ours", lambda *_: True)


def half_a_manifest_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_reading.Reading, "complain", lambda self, path, line, message: None)


def an_end_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read = kubo_stream._Body.__aiter__

    async def quietly(self: kubo_stream._Body) -> AsyncIterator[bytes]:
        try:
            async for data in read(self):
                yield data
        except httpx.RemoteProtocolError:
            return

    monkeypatch.setattr(kubo_stream._Body, "__aiter__", quietly)
    monkeypatch.setattr(PinLines, "end", PinLines.flush)


def every_path_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_pasted", lambda path: False)


CUT = {"rows": None, "trailer": "", "head": [], "body": [["cut", 600]], "reset": False, "from": 0}
PASTED = f'[[remote]]\nname = "there"\ntoken_file = "{SECRET}"\n'.encode()
PLANTED = [
    (everything_is_ours, "answers", {"profile": "spec", "spoils": [], "pause": 86_400.0, "plan": False}),
    (half_a_manifest_will_do, "manifest", {"files": [["pins.toml", "bytes", b"[[pin]\n"]]}),
    (an_end_is_an_end, "kubo", {"spoils": {"ls": CUT}}),
    (every_path_is_shown, "config", {"file": PASTED, "env": {}, "tokens": {}}),
]


@pytest.mark.parametrize(("plant", "name", "case"), PLANTED, ids=[one[1] for one in PLANTED])
def test_a_planted_bug_is_found(plant: Any, name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    tried(TARGETS[name], case)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        tried(TARGETS[name], case)

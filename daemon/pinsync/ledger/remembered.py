"""What outlives the ledger: a small file beside it that shows when the ledger went back, or is gone.

The ledger is a convenience, but four things that it knows are worth more: which pins of others once met a POST of ours
and carry our mark since (they look like ours, and are not), how many pins there were, what each source gave, and what
a person paused. With them a new ledger neither removes the first, nor buys the second again, nor believes another node
or an emptied include, nor goes on against a person's word. The number of the ledger's generation grows with every pass
and every word of a person: a ledger with a smaller one is an old copy.
"""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from pinsync.planning.plan import How

from .ledger import Ledger
from .owner import entrust
from .pauses import all_pauses
from .records import Pause

log = logging.getLogger(__name__)

LEDGER_ID = "ledger_id"
GENERATION = "generation"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the file says.

    `ledger` and `generation`: of the ledger as it last was. `had`: remote → [endpoint, pins of wanted content there].
    `sources`: name → [kind, pins, peer id, include → [files, entries]], by the last reading that was believed.
    `foreign`: [remote, requestid, key in hexadecimal, cid, created] of pins that are not ours whatever their meta says.
    `ids`: the mirror ids, the last first. `settings`: the facts that hold the configuration of the last passes.
    `pauses`: [remote, since, until, reason, who] of each that was asked for.
    """

    ledger: str
    generation: int
    had: dict[str, list[Any]] = field(default_factory=dict)
    sources: dict[str, list[Any]] = field(default_factory=dict)
    foreign: list[list[Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    pauses: list[list[Any]] = field(default_factory=list)


def beside(ledger: Path) -> Path:
    """The file's path."""
    return ledger.with_name(f"{ledger.name}.remembered")


def remembered(ledger: Path) -> Remembered | None:
    """What was noted beside a ledger; None where nothing was, or nothing that makes sense."""
    try:
        found = json.loads(beside(ledger).read_text(encoding="utf-8"))
        kept = Remembered(
            str(found["ledger"]), int(found["generation"]), dict(found["had"]), dict(found["sources"]),
            [list(one) for one in found["foreign"]], [str(one) for one in found["ids"]],
            {str(name): json.dumps(json.loads(text)) for name, text in found["settings"].items()},
            [list(one) for one in found.get("pauses", [])],
        )  # fmt: skip
        for endpoint, pins in kept.had.values():
            int(pins), str(endpoint)
        for kind, pins, peer_id, *includes in kept.sources.values():
            str(kind), int(pins), str(peer_id)
            for files, entries in (includes[0] if includes else {}).values():
                int(files), int(entries)
        for remote, requestid, key, cid, created in kept.foreign:
            str(remote), str(requestid), bytes.fromhex(key), str(cid), int(created or 0)
        for pause in kept.pauses:
            Pause(*pause).stands(0.0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return kept


def identify(ledger: Ledger) -> str:
    """The ledger's own name, given to it once."""
    known = ledger.fact(LEDGER_ID)
    if known is None:
        known = secrets.token_hex(8)
        ledger.set_fact(LEDGER_ID, known)
    return known


def generation(ledger: Ledger) -> int:
    """The number of the ledger's generation; 0 for one that no pass has used."""
    return int(ledger.fact(GENERATION) or 0)


def advance(ledger: Ledger, had: dict[str, list[Any]] | None = None) -> None:
    """The ledger changes in a way that an older copy of it would not know: count on, there and in the file beside.

    `had`: what this pass found at remotes; given at its end, when the rest of the file is written anew too. A file that
    cannot be written stays as it was: it then shows less than it could.
    """
    known = identify(ledger)
    number = generation(ledger) + 1
    ledger.set_fact(GENERATION, str(number))
    path = ledger.store.path
    before = remembered(path) or Remembered(known, number)
    pauses = [list(astuple(one)) for one in all_pauses(ledger)]
    now = replace(before, ledger=known, generation=number, pauses=pauses)
    if had is not None:
        now = replace(
            now, had={**before.had, **had}, sources=_sources(ledger), foreign=_foreign(ledger),
            ids=json.loads(ledger.fact("mirror_ids") or "[]"), settings=_settings(ledger),
        )  # fmt: skip
    restore(path, now)


def restore(path: Path, kept: Remembered) -> None:
    """Write the file beside the ledger at `path`, as far as that is possible."""
    temporary = beside(path).with_name(f".{beside(path).name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        temporary.touch(mode=0o640)
        temporary.write_text(json.dumps(asdict(kept)), encoding="utf-8")
        entrust(temporary)
        temporary.replace(beside(path))
    except OSError as error:
        log.debug("%s cannot be written: %s", beside(path), error)


def _sources(ledger: Ledger) -> dict[str, list[Any]]:
    return {
        name: [one.kind, one.good_pins, one.good_peer_id or "", json.loads(one.includes)]
        for name, one in ledger.sources().items()
        if one.good_pins
    }


def _settings(ledger: Ledger) -> dict[str, str]:
    rows = ledger.store.execute("SELECT name, value FROM facts WHERE name GLOB 'fingerprint of *'")
    return {str(name): str(value) for name, value in rows}


def _foreign(ledger: Ledger) -> list[list[Any]]:
    rows = ledger.store.execute(
        "SELECT remote, requestid, hex(key), cid, created FROM owned WHERE how = ? AND gone_at IS NULL",
        (How.FOREIGN.value,),
    )
    return [list(row) for row in rows]

"""What pinsync must achieve on every pinning service, written once: each function is one line of the promise.

Each takes a fresh `Stage` and what is known of the service, and raises `AssertionError`. `test_contract.py` runs them
as tests, `python -m tests.services.table` as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pinsync.cid import key_of
from pinsync.emulator import profiles
from pinsync.emulator.behaviour import Behaviour
from pinsync.model import PinStatus
from pinsync.planning.diff import UPDATE_LOOKS
from tests.mirror import cid
from tests.services.stage import PREFIX, Row, Stage

OLD, NEW = f"{PREFIX}old", f"{PREFIX}new"
MINE = [f"mine {n}" for n in range(23)]  # a round number of rows could be a service's idea of a page
THEIRS = [f"theirs {n}" for n in range(8)]


@dataclass(frozen=True)
class Nature:
    """What a service makes possible.

    `listable`: its whole list can be had. `crowded`: also where hundreds of pins were made at one time.
    `names`: whether it takes another name for a pin (*taken*), never does (*never*), only until its nature is known
    (*once*), or is not asked because the list cannot be had (*waits*).
    `retry`: whether it tries a failed pin again when asked (*again*), goes on saying failed (*stuck*), or is not asked
    because the list cannot be had (*waits*).
    `deletes_pairs`: deleting one of two requests for a CID deletes both, which can only be learned by its happening
    once; the pin is put back at once.
    `traits`: what must have been learned by the end.
    """

    listable: bool = True
    crowded: bool = True
    names: Literal["taken", "once", "never", "waits"] = "taken"
    retry: Literal["again", "stuck", "waits"] = "again"
    deletes_pairs: bool = False
    traits: Mapping[str, Any] = field(default_factory=dict)


def listing(stage: Stage, nature: Nature) -> None:
    """All pins of 0, 1, 25 and 230, ours and other people's; or the word that it is not all."""
    claims = []
    for name, size in (("one", 1), ("some", 24), ("many", 205)):
        claims.append(_whole(stage))
        stage.theirs(*(f"{name} {n}" for n in range(size)))
    assert len(stage.rows()) == 230
    claims.append(_whole(stage))
    _, _, learned = stage.listed()
    reading, pins, _ = stage.listed(learned)
    assert reading.complete is False or set(pins) == _ids(stage), "with what was learned it lists worse"
    assert not nature.listable or (all(claims) and reading.complete), f"incomplete: {reading.reason}"
    assert nature.listable or not claims[-1], "a list that cannot be had whole was claimed to be"


def _whole(stage: Stage) -> bool:
    """Whether the list claims to be whole; it must then be, and else say why it is not."""
    reading, pins, _ = stage.listed()
    assert set(pins) <= _ids(stage)
    if not reading.complete:
        assert reading.reason
        return False
    assert set(pins) == _ids(stage), f"{len(pins)} of {len(_ids(stage))} pins, and said to be all"
    shown = {row.requestid: row for row in stage.rows()}
    assert all(key_of(pin.cid) == key_of(shown[requestid].cid) for requestid, pin in pins.items())
    return True


def _ids(stage: Stage) -> set[str]:
    return {row.requestid for row in stage.rows()}


def crowded_second(stage: Stage, nature: Nature) -> None:
    """500 pins made within one second."""
    stage.burst(500)
    assert len(stage.rows()) == 500
    assert _whole(stage) or not (nature.listable and nature.crowded)


def first_mirror(stage: Stage, nature: Nature) -> None:
    """Everything wanted is there once, what others have is used and left alone, and then there is nothing to do."""
    stage.theirs(*THEIRS)
    before = set(stage.rows())
    stage.pin(*MINE, THEIRS[0], called=OLD)
    report = stage.at_rest()
    assert before <= set(stage.rows()), "other people's pins were touched"
    assert len(stage.live(THEIRS[0])) == 1, "a pin that others have is not made again"
    for name in MINE:
        (row,) = stage.of(name)
        assert row.status is PinStatus.PINNED
    assert len(stage.rows()) == len(MINE) + len(THEIRS)
    stage.silent()
    line = stage.status()["remotes"][0]
    if nature.listable:
        assert not report.troubles
        assert (line["complete"], line["wanted"], line["pinned"], line["foreign"]) == (
            True,
            len(MINE) + 1,
            len(MINE) + 1,
            len(THEIRS),
        )
    else:
        assert report.troubles, "an incomplete list is said"
        assert line["complete"] is False


def rename(stage: Stage, nature: Nature) -> None:
    """A new name reaches the service without a moment in which it is not pinned; then there is nothing to do."""
    stage.pin(*MINE, called=OLD)
    stage.at_rest()
    first_name = stage.live(MINE[0])[0].name
    held = [status for status in PinStatus if status.live] if nature.deletes_pairs else [PinStatus.PINNED]
    for turn, called in enumerate((NEW, f"{PREFIX}newer")):
        stage.node.pins[cid(MINE[0])] = called
        with stage.watching(MINE[0], *held) as counted:
            stage.at_rest()
            for _ in range(UPDATE_LOOKS if len(stage.of(MINE[0])) > 1 else 0):
                stage.later(1800.0)
                stage.sync()
            stage.at_rest()
        first = nature.deletes_pairs and not turn
        assert min(counted) >= 1 or (first and _filled(counted)), "for a moment it was not pinned"
        (row,) = stage.live(MINE[0])
        assert row.status is PinStatus.PINNED
        stage.silent()
        if nature.names == "taken" or (nature.names == "once" and not turn):
            assert row.name == called
        else:
            assert row.name == (NEW if nature.names == "once" else first_name)
            assert (_waiting(stage) == 1) is (nature.names == "waits")
    assert [len(stage.live(name)) for name in MINE] == [1] * len(MINE)


def _filled(counted: list[int]) -> bool:
    """Whether the one moment without the pin, by which a service showed its nature, ended with our next request."""
    gaps = [place for place, live in enumerate(counted) if not live]
    return len(gaps) <= 2 and gaps[-1] - gaps[0] < 2 and counted[-1] == 1


def _waiting(stage: Stage) -> int:
    return sum(action.state == "waiting" for action in stage.actions)


def removal(stage: Stage, nature: Nature) -> None:
    """What is not wanted any more goes, if it is ours; on a list that is not whole nothing goes."""
    stage.theirs(*THEIRS)
    stage.pin(*MINE, *THEIRS[:2], called=OLD)
    stage.at_rest()
    before = set(stage.rows())
    stage.unpin(*MINE[:3], THEIRS[0])
    stage.at_rest()
    gone = before - set(stage.rows())
    assert not set(stage.rows()) - before
    if nature.listable:
        assert {row.cid for row in gone} == {cid(name) for name in MINE[:3]}
    else:
        assert not gone
        assert _waiting(stage) >= 3
    stage.silent()


def failed_retry(stage: Stage, nature: Nature) -> None:
    """A failed pin is asked for again with growing pauses, never by first deleting it, and not over and over."""
    bad = "fails at first"
    stage.break_(bad)
    stage.pin(*MINE, bad, called=OLD)
    stage.sync()
    stage.wait(10.0)
    stage.sync()
    (row,) = stage.of(bad)
    assert row.status is PinStatus.FAILED
    stage.mend(bad)
    before = stage.mutations
    stage.sync()
    assert stage.mutations == before, "tried again without a pause"
    with stage.watching(bad) as counted:
        stage.later(90.0)
        stage.at_rest()
    assert min(counted) >= 1 or (nature.deletes_pairs and _filled(counted)), "deleted before another was there"
    if nature.retry == "again":
        (row,) = stage.of(bad)
        assert row.status is PinStatus.PINNED
        stage.silent()
        assert stage.status()["verdict"] == "in-sync"
        return
    (row,) = stage.of(bad)
    assert row.status is PinStatus.FAILED
    before = stage.mutations
    for _ in range(48):
        stage.later(1800.0)
        stage.sync()
    asked = stage.mutations - before
    assert asked <= 12, f"asked {asked} times in a day for what goes on failing"
    assert (asked > 0) is (nature.retry == "stuck")
    assert stage.of(bad), "a wanted pin was deleted"


def learned(stage: Stage, nature: Nature) -> None:
    """What the ledger knows of the service afterwards, by its answers alone."""
    stage.theirs(*THEIRS)
    stage.pin(*MINE, called=OLD)
    stage.at_rest()
    stage.node.pins[cid(MINE[0])] = NEW
    stage.at_rest()
    stage.silent()
    traits = stage.traits
    assert {name: getattr(traits, name) for name in nature.traits} == dict(nature.traits)


Check = Callable[[Stage, Nature], None]

CHECKS: dict[str, Check] = {
    "listing complete": listing,
    "500 in one second": crowded_second,
    "second pass silent": first_mirror,
    "rename": rename,
    "removal": removal,
    "failed retry": failed_retry,
    "traits learned": learned,
}

_UUID = {"id_is_cid": False, "meta_kept": True, "name_kept": True}

NATURES: dict[str, Nature] = {
    "spec": Nature(traits=_UUID | {"count_is_total": True, "newest_first": True}),
    "nft.storage": Nature(
        retry="stuck", traits={"id_is_cid": True, "count_is_total": False, "newest_first": True, "meta_kept": True}
    ),
    "pinata": Nature(traits=_UUID | {"newest_first": True}),
    "filebase": Nature(traits=_UUID | {"count_is_total": True, "newest_first": True}),
    "cluster": Nature(traits={"id_is_cid": True, "count_is_total": True, "newest_first": None, "meta_kept": True}),
    "helia": Nature(names="never", traits=_UUID | {"count_is_total": True, "newest_first": True}),
    "mock": Nature(
        names="never", retry="stuck", traits={"id_is_cid": False, "count_is_total": False, "newest_first": False}
    ),
    "rb": Nature(
        names="once", deletes_pairs=True, traits={"id_is_cid": False, "meta_kept": False, "lone_delete": False}
    ),
    "kubo-hostile": Nature(
        crowded=False, names="never", traits={"id_is_cid": False, "meta_kept": False, "count_is_total": False}
    ),
    "no whole list": Nature(listable=False, names="waits", retry="waits", traits={"id_is_cid": False}),
}

PROFILES: dict[str, Behaviour] = {
    **profiles.PROFILES,
    "no whole list": replace(
        profiles.PROFILES["kubo-hostile"], max_limit=10, created_resolution=10**15, created_reset_by_repost=True
    ),
}
"""Those of the emulator, and one whose list nobody could have whole: ten pins a page, by lot, and all of one time."""

REAL: dict[str, Nature] = {name: NATURES[name] for name in ("mock", "helia", "cluster")}
"""The real servers are what their profiles say."""

__all__ = ["CHECKS", "NATURES", "PROFILES", "REAL", "Check", "Nature", "Row"]

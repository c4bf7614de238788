"""What is told, and when: on changes alone, by table and by every sequence that a machine thinks of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.service.news import Matter, Standing, broken, matters, message, news, remembered, stale

HOUR = 3600.0
FAILS = Matter("remote there", "failing", "the token is wrong", "Mend it.")
HELD = Matter("remote there", "held", "2 actions are held", "Approve.")
NODE = Matter("node kubo", "failing", "no connection", "Start it.")


class Told:
    """A teller's memory over a series of looks."""

    def __init__(self, patience: float = 0.0) -> None:
        self.patience = patience
        self.before: dict[str, Standing] = {}
        self.now = 1_790_000_000.0

    def look(self, *found: Matter, after: float = 900.0) -> tuple[str, list[str], list[str]] | None:
        """What is told: the event, what is new and what is over."""
        self.now += after
        change = news(self.before, found, self.now, self.patience)
        self.before = remembered(json.loads(json.dumps([one.as_json() for one in change.after.values()])))
        if change.news is None:
            return None
        told = change.news
        return told.event, [one.matter.key for one in told.new], [one.matter.key for one in told.over]


def test_what_is_held_is_told_once_and_once_more_when_it_is_over() -> None:
    told = Told(HOUR)
    assert told.look(HELD) == ("held", ["remote there: held"], [])
    assert told.look(HELD) is None
    assert told.look() == ("recovered", [], ["remote there: held"])
    assert told.look() is None


def test_what_fails_is_told_when_it_has_failed_for_long_enough() -> None:
    told = Told(2700.0)  # three intervals
    assert [told.look(FAILS) for _ in range(3)] == [None, None, None]
    assert told.look(FAILS) == ("failing", ["remote there: failing"], [])
    assert told.look(FAILS) is None
    assert told.look() == ("recovered", [], ["remote there: failing"])


def test_what_failed_for_a_moment_is_never_told() -> None:
    told = Told(2700.0)
    assert [told.look(FAILS), told.look(), told.look(FAILS), told.look(FAILS), told.look()] == [None] * 5


def test_a_second_part_that_fails_is_news_and_the_first_is_not_repeated() -> None:
    told = Told()
    assert told.look(FAILS) is not None
    assert told.look(FAILS, NODE) == ("failing", ["node kubo: failing"], [])
    assert told.look(NODE) == ("recovered", [], ["remote there: failing"])


def test_something_new_goes_before_something_that_is_over() -> None:
    told = Told()
    told.look(FAILS)
    assert told.look(HELD) == ("held", ["remote there: held"], ["remote there: failing"])


def test_another_reason_for_the_same_is_no_news() -> None:
    told = Told()
    told.look(FAILS)
    assert told.look(Matter("remote there", "failing", "it does not answer")) is None


def test_a_clock_set_back_repeats_nothing_and_tells_in_time() -> None:
    told = Told(2700.0)
    told.look(FAILS)
    assert told.look(FAILS, after=-10 * HOUR) is None
    assert told.look(FAILS, after=2700.0) is not None


def test_memory_that_makes_no_sense_is_left_out() -> None:
    good = {"since": 5, "told": True, "part": "manifest", "what": "failing"}
    kept: Any = [good, {}, None, {**good, "what": "shining"}, {**good, "since": "x"}, 7]
    assert list(remembered(kept)) == ["manifest: failing"]
    assert remembered("nonsense") == {} == remembered(None)


LOOKS = st.lists(st.tuples(st.sets(st.sampled_from([FAILS, HELD, NODE, stale(5.0)])), st.floats(0, 2000)), max_size=30)


@given(LOOKS, st.sampled_from([0.0, 900.0, 2700.0]))
def test_of_each_matter_people_hear_its_beginning_and_its_end_in_turn(
    looks: list[tuple[set[Matter], float]], patience: float
) -> None:
    told, known, since = Told(patience), set[str](), dict[str, float]()
    for found, pause in looks:
        heard = told.look(*found, after=pause)
        keys = {matter.key for matter in found}
        since = {key: since.get(key, told.now) for key in keys}
        _, new, over = heard or ("", [], [])
        assert heard is None or new or over
        assert known.isdisjoint(new) and known.issuperset(over)
        known = (known | set(new)) - set(over)
        assert known <= keys
        # Whoever looks at what was told knows all that is held or stale, and all that has failed for long enough.
        late = {key for key in keys if not key.endswith("failing") or told.now - since[key] >= patience}
        assert late <= known


# -- from the report


def report(**changes: Any) -> dict[str, Any]:
    remote = {
        "name": "there", "ok": True, "error": None, "wanted": 5, "failed": 0, "refused": 0, "held": 0, "reasons": [],
    }  # fmt: skip
    made: dict[str, Any] = {
        "verdict": "in-sync",
        "sources": {"nodes": [{"name": "kubo", "ok": True, "error": None}], "manifest": {"ok": True, "error": None}},
        "remotes": [remote],
        "doubts": [],
        "paused": [],
    }
    remote.update({name: value for name, value in changes.items() if name in remote})
    return made


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"ok": False, "error": "the token is wrong"}, "remote there: failing", "the token is wrong"),
        ({"failed": 2, "refused": 1}, "remote there: failing", "2 failed and 1 refused of 5 wanted pins"),
        (
            {"held": 1, "reasons": [{"state": "held", "reason": "too many at once"}]},
            "remote there: held", "1 action is held: too many at once",
        ),
    ],
)  # fmt: skip
def test_the_report_says_what_needs_a_person(changes: dict[str, Any], key: str, why: str) -> None:
    (found,) = matters(report(**changes))
    assert (found.key, found.why) == (key, why)
    assert found.meaning


def test_nodes_and_the_manifest_need_a_person_too() -> None:
    made = report()
    made["sources"]["nodes"][0] |= {"ok": False, "error": "no connection"}
    made["sources"]["manifest"] |= {"ok": False, "error": "line 3"}
    assert [one.key for one in matters(made)] == ["node kubo: failing", "manifest: failing"]


@pytest.mark.parametrize("remote", ["there", None])
def test_nothing_is_said_of_what_a_person_paused(remote: str | None) -> None:
    assert list(matters({**report(ok=False, held=1), "paused": [{"remote": remote}]})) == []
    assert len(list(matters({**report(ok=False, held=1), "paused": [{"remote": "another"}]}))) == 2


def test_well_converging_and_never_read_need_nobody() -> None:
    made = report()
    made["sources"]["nodes"][0]["ok"] = None
    made["sources"]["manifest"]["ok"] = None
    made["remotes"][0]["ok"] = None
    assert list(matters(made)) == []


def test_the_message_says_which_since_when_what_it_means_and_what_to_do() -> None:
    change = news({}, [FAILS, HELD], 1_790_000_000.0, 0.0)
    told = message(change.news, verdict="failing", host="web-1", mirror="web-1-3fa2c1", now=1_790_000_000.0)
    assert told["event"] == "failing" and told["verdict"] == "failing" and told["mirror"] == "web-1-3fa2c1"
    assert told["subject"] == "pinsync on web-1: remote there is failing (and 1 more)"
    assert "remote there is failing since 2026-09-21 14:13 UTC: the token is wrong. Mend it." in told["text"]
    assert {(one["part"], one["what"], one["change"]) for one in told["changes"]} == {
        ("remote there", "failing", "new"), ("remote there", "held", "new"),
    }  # fmt: skip
    over = news(change.after, [HELD], 1_790_000_000.0 + 3 * HOUR, 0.0)
    told = message(over.news, verdict="held", host="web-1", mirror="", now=1_790_000_000.0 + 3 * HOUR)
    assert told["event"] == "recovered"
    assert "remote there works again; it began 2026-09-21 14:13 UTC, 3 h ago." in told["text"]
    assert "As before: remote there is held for a person since" in told["text"]
    assert [one["what"] for one in told["standing"]] == ["held"]


def test_a_pass_that_broke_and_a_mirror_that_is_stale_are_told_of_the_mirror() -> None:
    for matter in (broken("the disk is full"), stale(1_790_000_000.0)):
        told = message(news({}, [matter], 5.0, 0.0).news, verdict="", host="h", mirror="", now=5.0)
        assert told["subject"].startswith("pinsync on h: the mirror is ")
        assert "`pinsync doctor`" in told["text"]

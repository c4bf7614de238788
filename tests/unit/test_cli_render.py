"""What people are shown: verdicts, plans and what needs them, in any width."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.cli.render_plan import PlanView, plan_lines
from pinsync.cli.render_status import status_lines
from pinsync.cli.render_sync import sync_lines
from pinsync.cli.text import parse_time, plain, width_of
from tests.unit.emulator_kit import cid

AT = "2026-11-23T04:42:00.000Z"
NOW = parse_time(AT) or 0.0
COUNTS = ("wanted", "pinned", "queued", "pinning", "failed", "refused", "missing", "foreign", "waiting_removal",
          "waiting", "held")  # fmt: skip


def remote(name: str = "nftstorage", **values: Any) -> dict[str, Any]:
    return {
        "name": name, "endpoint": "https://api.nft.storage/pins", "mode": "mirror", "ok": True, "error": None,
        "complete": True, "reason": None, **dict.fromkeys(COUNTS, 0), "present": 0, "other_mirrors": [],
        "listed_at": AT, "closed_since": None, "next_probe_at": None, "reasons": [], "traits": {}, **values,
    }  # fmt: skip


def report(verdict: str, *remotes: dict[str, Any], **values: Any) -> dict[str, Any]:
    node = {"name": "kubo", "ok": True, "pins": 1204, "peer_id": "12D3KooW" + "x" * 44, "version": "0.42.0",
            "read_at": AT, "error": None}  # fmt: skip
    return {
        "format": 1, "verdict": verdict, "daemon": {"running": False},
        "sources": {"nodes": [node], "manifest": {"ok": True, "path": "/etc/pins.toml", "pins": 2, "error": None}},
        "remotes": list(remotes), "doubts": [],
        "last_pass": {"trigger": "sync", "started_at": AT, "progress_at": AT, "finished_at": AT, "good": True,
                      "exit_code": 0},
        "last_good_pass_at": AT, "next_pass_at": None, "config": "/etc/pinsync/config.toml", "state": "/var/lib/p.db",
        **values,
    }  # fmt: skip


def shown(found: Mapping[str, Any], width: int | None = None, *, verbose: bool = False) -> str:
    return "\n".join(plain(one) for one in status_lines(found, width=width, now=NOW + 180, verbose=verbose))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (report("in-sync", remote(wanted=4, pinned=4)), "In sync: every wanted pin is pinned at nftstorage."),
        (
            report("converging", remote(wanted=4, pinned=1, queued=2, missing=1, waiting_removal=1)),
            "Converging: 3 pins are on the way and 1 removal waits out the grace; nothing for you to do.",
        ),
        (
            report("converging", remote(wanted=4, pinned=3, missing=1, mode="read-only")),
            "Converging: 1 pin is not at nftstorage, which is read-only; nothing for you to do.",
        ),
        (report("held", remote(held=2)), "Held: 2 changes wait for your word: see below."),
        (
            report("failing", remote(ok=False, error="it refuses the token", failed=1, wanted=1)),
            "Failing: remote nftstorage does not work and 1 wanted pin has failed or been refused: see below.",
        ),
        (
            report("stale", remote()),
            "Stale: the last good pass was 3 min ago, and one is due every 15 min; no daemon runs",
        ),
        (report("never-ran", remote(listed_at=None), last_pass=None), "Never ran: there was no pass yet."),
    ],
)
def test_the_verdict_comes_first_with_what_it_means(found: dict[str, Any], verdict: str) -> None:
    assert shown(found).splitlines()[0].startswith(verdict)


def test_a_manifest_without_entries_is_not_said_to_be_in_force() -> None:
    found = report("in-sync", remote())
    assert re.search(r"manifest +2 +pins +in force", shown(found))
    found["sources"]["manifest"]["pins"] = 0
    assert re.search(r"manifest +0 +pins +no entries", shown(found))


def test_what_is_held_comes_with_its_reason_and_the_command() -> None:
    why = {"state": "held", "kind": "remove", "reason": "3 to remove is more than safety.max_removals = 2", "count": 3}
    text = shown(report("held", remote(held=3, reasons=[why])))
    assert "held      3 removals at nftstorage: 3 to remove is more than safety.max_removals = 2" in text
    assert "pinsync approve --remote nftstorage --all" in text


def test_everything_that_needs_a_person_is_named() -> None:
    refused = {"state": "waiting", "kind": "add", "reason": "the remote refused it: too large", "count": 1}
    found = report(
        "failing",
        remote(refused=1, wanted=1, reasons=[refused], other_mirrors=["web-2-aaaaaa"]),
        remote("second", ok=False, error="remote 'second' does not answer"),
        doubts=[{"code": "emptied:node:kubo", "reason": "node 'kubo' had 4 pins and has none now"}],
        daemon={"running": True, "pid": 7, "config_error": "config.toml:3: unknown key", "pass": None},
    )
    found["sources"]["manifest"] |= {"ok": False, "error": "pins.toml:9: not a CID"}
    text = shown(found)
    for what in (
        "the remote refused it: too large",
        "web-2-aaaaaa",
        "remote 'second' does not answer",
        "pins.toml:9: not a CID",
        "node 'kubo' had 4 pins and has none now",
        "config.toml:3: unknown key",
    ):
        assert what in text.partition("Needs a person")[2]


def test_what_keeps_others_from_watching_is_named() -> None:
    listen = {"address": "127.0.0.1:9753", "error": "127.0.0.1:9753 cannot be listened at: Address already in use"}
    daemon = {
        "running": True,
        "pid": 7,
        "listen": listen,
        "textfile_error": "the metrics cannot be written",
        "pass": None,
    }
    text = shown(report("in-sync", remote(), daemon=daemon))
    assert "watching  127.0.0.1:9753 cannot be listened at" in text.partition("Needs a person")[2]
    assert "watching  the metrics cannot be written" in text


def test_the_pass_that_the_daemon_makes_is_shown() -> None:
    steps = [{"step": "read", "what": "reading node kubo", "count": 4000, "of": None},
             {"step": "apply", "what": "mirroring to nft", "count": 12, "of": 4000}]  # fmt: skip
    under_way = {"trigger": "start", "remote": None, "since": AT, "progress": steps}
    text = shown(report("converging", remote(), daemon={"running": True, "pid": 7, "pass": under_way}))
    assert "a pass since 3 min ago: reading node kubo, 4,000 and mirroring to nft, 12 of 4,000" in text


def test_when_all_is_well_nothing_needs_a_person() -> None:
    assert "Needs a person" not in shown(report("in-sync", remote(wanted=1, pinned=1)))


def test_numbers_of_several_remotes_line_up_and_what_is_zero_everywhere_is_left_out() -> None:
    found = report("converging", remote(wanted=12345, pinned=12000, queued=345), remote("b", wanted=7, pinned=7))
    lines = shown(found).splitlines()
    head = next(text for text in lines if text.startswith("Remotes"))
    assert head.split() == ["Remotes", "wanted", "pinned", "queued"]
    end = head.index("wanted") + len("wanted")
    assert lines[lines.index(head) + 1][:end].endswith("12,345")
    assert lines[lines.index(head) + 2][:end].endswith(" 7")


def test_what_a_remote_was_seen_to_do_is_shown_on_demand() -> None:
    found = report("in-sync", remote(traits={"id_is_cid": True, "skew": 0.26}))
    assert "the request id is the CID  yes" in shown(found, verbose=True)
    assert "its clock is ahead by      0.3 s" in shown(found, verbose=True)
    assert "request id" not in shown(found)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_status_fits_its_terminal(width: int) -> None:
    long = {"state": "held", "kind": "remove", "reason": "because of reasons " * 20, "count": 3}
    big: dict[str, Any] = dict.fromkeys(COUNTS, 1234567)
    found = report("held", remote(**big, reasons=[long], error="word " * 60, ok=False))
    assert all(width_of(text) <= width for text in shown(found, width).splitlines())


# -- plan


def action(kind: str = "add", state: str = "do", n: int = 0, **values: Any) -> dict[str, Any]:
    return {"kind": kind, "cid": cid(n), "name": f"pin {n}", "state": state, "reason": "not at the remote",
            "until": None, "requestid": None, **values}  # fmt: skip


def view(*actions: dict[str, Any], complete: bool = True, reason: str | None = None) -> PlanView:
    def again() -> Iterator[dict[str, Any]]:
        return iter(actions)

    return PlanView("nft", complete, reason, again)


def planned(*views: PlanView, width: int | None = None, verbose: bool = False, trouble: bool = False) -> list[str]:
    return [plain(one) for one in plan_lines(views, trouble, width=width, verbose=verbose, now=NOW)]


def test_the_plan_begins_with_its_counts() -> None:
    adds = [action(n=n) for n in range(3)]
    leaving = [action("remove", "waiting", n, until="2026-11-29T07:42:00.000Z") for n in (4, 5)]
    first = planned(view(*adds, action("update", n=3), *leaving, action("remove", "held", 9)))[0]
    assert first == "3 to add, 1 to update, 2 removals wait for grace, 1 removal held for you."


def test_an_empty_plan_says_so_unless_something_could_not_be_read() -> None:
    assert planned(view()) == ["Nothing to do: everything is as it should be."]
    broken = planned(view(complete=False, reason="it is away"), trouble=True)
    assert broken[0] == "Nothing is planned, but not everything could be read."
    assert any("it is away" in text for text in broken)


def test_a_wait_is_told_by_its_end() -> None:
    [row] = [text for text in planned(view(action("remove", "waiting", until="2026-11-29T07:42:00.000Z")))
             if "remove " in text]  # fmt: skip
    assert "in 6 d 3 h" in row


def test_in_a_pipe_rows_are_whole() -> None:
    rows = planned(view(action(reason="because " * 40)))
    assert any(cid(0) in text and ("because " * 40).strip() in text for text in rows)


def test_many_of_one_kind_are_summed_up_after_twenty_and_verbose_shows_all() -> None:
    many = [action(n=n) for n in range(57)] + [action("remove", "held", 99, reason="too many")]
    rows = planned(view(*many))
    assert sum(text.startswith("  add ") for text in rows) == 20
    assert any("37 more adds" in text for text in rows)
    assert any(cid(99) in text for text in rows), "the few of another kind are not crowded out"
    everything = planned(view(*many), verbose=True)
    assert all(any(cid(n) in text for text in everything) for n in [*range(57), 99])


def test_what_is_held_is_told_once_with_the_way_out() -> None:
    rows = planned(view(*(action("remove", "held", n, reason="too many at once") for n in range(5))), width=80)
    told = [text for text in rows if "too many at once" in text]
    assert len(told) == 1
    assert "pinsync approve --remote nft" in " ".join(rows)


@given(st.integers(60, 200), st.text(max_size=200), st.text(max_size=300))
def test_a_plan_fits_its_terminal_and_stays_on_its_line(width: int, name: str, reason: str) -> None:
    rows = planned(view(action(name=name, reason=" ".join(word[:30] for word in reason.split()))), width=width)
    assert all(text.isprintable() for text in rows)
    assert all(width_of(text) <= width for text in rows if "add" in text)


# -- sync


def done(**values: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("added", "updated", "removed", "retried", "refused", "waiting", "held", "requests"), 0)
    return {
        "format": 1,
        "errors": [],
        "remotes": [{"name": "nft", "complete": True, **counts, "seconds": 1.0, **values}],
    }


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        (done(added=3, removed=1, waiting=2), 3, "Done: 3 added and 1 removed; 2 waiting."),
        (done(), 0, "Nothing to change: everything is as it should be."),
        (done(), 3, "Nothing to change; some pins are still on their way, as `pinsync status` shows."),
        (done(held=4), 4, "Nothing to change now; 4 held."),
        (done() | {"errors": [{"where": "node kubo", "message": "away"}]}, 1,
         "Nothing was changed, and not everything could be read."),
    ],
)  # fmt: skip
def test_a_sync_ends_with_what_it_did(found: dict[str, Any], code: int, told: str) -> None:
    assert plain(next(sync_lines(found, code, width=None))) == told

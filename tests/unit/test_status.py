"""The verdict: one word for everything, by the promised order, and stale when nobody has looked for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinsync.cli.render_status import status_lines
from pinsync.model import PinStatus, Safety
from pinsync.status import EXIT, exit_code, verdict
from tests.mirror import Mirror, cid


def remote(**changes: object) -> dict[str, object]:
    base: dict[str, object] = dict.fromkeys(
        ("failed", "refused", "held", "queued", "pinning", "missing", "waiting_removal", "waiting"), 0
    )
    return {**base, "name": "there", "ok": True, "listed_at": "then", **changes}


def report(*remotes: dict[str, object], node: object = True, finished: object = "then") -> dict[str, object]:
    return {
        "last_pass": {"finished_at": finished},
        "sources": {"nodes": [{"ok": node}], "manifest": {"ok": True}},
        "remotes": remotes or (remote(),),
    }


@pytest.mark.parametrize(
    ("shown", "good", "word"),
    [
        (report(), 100.0, "in-sync"),
        (report(remote(queued=1)), 100.0, "converging"),
        (report(remote(waiting_removal=1)), 100.0, "converging"),
        (report(finished=None), 100.0, "converging"),
        (report(remote(held=1, queued=1)), 100.0, "held"),
        (report(remote(held=1)), 99.9 - 45 * 60, "stale"),
        (report(remote(failed=1, held=1)), 0.0, "failing"),
        (report(remote(refused=1)), 100.0, "failing"),
        (report(remote(ok=False)), 100.0, "failing"),
        (report(node=False), 100.0, "failing"),
        (report(node=None), 100.0, "in-sync"),
        ({**report(), "last_pass": None}, None, "never-ran"),
    ],
)
def test_the_worst_of_what_applies_is_the_verdict(shown: dict[str, object], good: float | None, word: str) -> None:
    assert verdict(shown, good, 900.0, 100.0) == word
    assert EXIT[word] == {"in-sync": 0, "failing": 1, "converging": 3, "held": 4}.get(word, 5)


def test_an_unreadable_manifest_exits_2_and_leaves_the_verdict() -> None:
    shown = {**report(), "verdict": "in-sync"}
    assert exit_code(shown) == 0
    shown["sources"] = {"nodes": [], "manifest": {"ok": False}}
    assert exit_code(shown) == 2


def test_never_ran_then_in_sync_then_stale_then_good_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    assert mirror.status()["verdict"] == "never-ran"
    mirror.pin("a")
    mirror.sync()
    mirror.sync()
    assert mirror.status()["verdict"] == "in-sync"
    mirror.later(3 * 900 + 1)
    assert mirror.status()["verdict"] == "stale"
    mirror.sync()
    assert mirror.status()["verdict"] == "in-sync"


def test_the_promised_keys_are_all_there(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=60))
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    mirror.sync()
    shown = mirror.status()
    assert {"format", "verdict", "daemon", "sources", "remotes", "last_pass", "next_pass_at"} <= shown.keys()
    (node,) = shown["sources"]["nodes"]
    assert {"name", "ok", "pins", "peer_id", "read_at", "error"} <= node.keys()
    assert {"ok", "path", "pins", "error"} <= shown["sources"]["manifest"].keys()
    (line,) = shown["remotes"]
    promised = [
        "name",
        "ok",
        "error",
        "complete",
        "wanted",
        "pinned",
        "queued",
        "pinning",
        "failed",
        "refused",
        "missing",
        "foreign",
    ]
    promised += ["waiting_removal", "held"]
    assert set(promised) <= line.keys()
    assert (line["waiting_removal"], line["wanted"], shown["verdict"]) == (1, 1, "converging")


def test_a_pin_that_fails_shows_and_clears(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no providers")
    mirror.sync()
    assert mirror.status()["verdict"] == "failing"
    mirror.settle("a", PinStatus.PINNED)
    mirror.sync()
    assert mirror.status()["verdict"] == "in-sync"
    assert mirror.there()[cid("a")] == ["pinned"]


def test_the_first_list_without_any_of_ours_is_told_at_once(tmp_path: Path) -> None:
    """As of another account, whose token took the place of the right one."""
    mirror = Mirror(tmp_path)
    mirror.pin(*range(25))
    mirror.sync()
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins()])

    def shown() -> str:
        return " ".join("".join(text for text, _ in one) for one in status_lines(
            mirror.status(), width=None, now=0.0, verbose=False
        ))  # fmt: skip

    assert mirror.sync().exit_code() == 3
    assert "Converging: 25 pins are on the way; most of ours are gone at once, see below." in shown()
    assert "25 of the 25 pins of ours are gone at once" in shown()
    assert "token of another account" in shown()
    assert "approve" not in shown(), "there is nothing to approve yet"
    assert mirror.sync().exit_code() == 4
    assert mirror.status()["remotes"][0]["reasons"][0]["code"] == "lost"


def test_a_few_that_are_gone_are_no_matter(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*range(25))
    mirror.sync()
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins()][:2])
    mirror.sync()
    text = "".join("".join(text for text, _ in one) for one in status_lines(
        mirror.status(), width=None, now=0.0, verbose=False
    ))  # fmt: skip
    assert "2 pins are on the way; nothing for you to do" in text

"""`status` for people: the verdict and what it means, sources, remotes, what needs a person. Pure, from its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pinsync.planning.guard import LOST_ONCE

from .render_steering import pause_words
from .text import Cell, Line, ago, counted, duration, line, listed, number, paragraph, table, when, width_of

_STYLE = {
    "in-sync": "bold green", "converging": "bold cyan", "held": "bold magenta", "failing": "bold red",
    "stale": "bold red", "never-ran": "bold yellow",
}  # fmt: skip
_WORD = {"in-sync": "In sync", "never-ran": "Never ran"}
_COLUMNS = {
    "wanted": "bold", "pinned": "green", "queued": "cyan", "pinning": "cyan", "failed": "red", "refused": "red",
    "missing": "yellow", "foreign": "dim", "waiting_removal": "yellow", "held": "magenta",
}  # fmt: skip
_HEADS = {"waiting_removal": "leaving"}
_ALWAYS = ("wanted", "pinned")

Report = Mapping[str, Any]


def status_lines(
    report: Report, *, width: int | None, now: float, verbose: bool, quiet: bool = False, every: float = 900.0
) -> Iterator[Line]:
    """The lines of `pinsync status`. `every`: the configured pause between passes, for what *stale* means."""
    verdict = report["verdict"]
    word = _WORD.get(verdict, verdict.capitalize())
    yield from paragraph(
        f"{word}: {_meaning(report, now, every)}", width=width, indent=0, style=_STYLE.get(verdict, "")
    )
    if quiet:
        return
    if at := report.get("summary_at"):
        group = report.get("group")
        members = f" and for the members of the group {group} (usermod -aG {group} USER)" if group else ""
        yield from paragraph(
            f"These are the counts that every user may see, as of {ago(at, now)}. Which pins, and why, is for root"
            f"{members}.", width=width, indent=0, style="dim",
        )  # fmt: skip
    yield []
    yield from _sources(report, width, now)
    yield []
    yield from _remotes(report, width, now)
    if verbose:
        yield from _traits(report)
    needs = list(_needs(report, width, now))
    if needs:
        yield []
        yield line(("Needs a person", "bold"))
        yield from needs
    yield []
    yield from _passes(report, width, now)


def brief(report: Report) -> Iterator[str]:
    """A report, or that of a CID, in a few words, for a line in a pipe."""
    if "cid" in report:
        for remote in report["remotes"]:
            yield f"{remote['name']}: {remote['status'] or 'not there'}"
        return
    yield report["verdict"]
    for remote in report["remotes"]:
        counts = ", ".join(f"{number(remote[what])} {_HEADS.get(what, what)}" for what in _shown([remote]))
        yield f" {remote['name']}: {counts}"


def _meaning(report: Report, now: float, every: float) -> str:
    """One plain sentence: what the verdict means, and what to do."""
    if report["sources"]["manifest"]["ok"] is False:
        return "the manifest cannot be read, the last good one is in force, and nothing is removed: mend it, see below."
    remotes = report["remotes"]
    match report["verdict"]:
        case "in-sync":
            return f"every wanted pin is pinned at {listed(remote['name'] for remote in remotes)}."
        case "converging":
            codes = {why.get("code") for remote in remotes for why in remote["reasons"]}
            todo = "most of ours are gone at once, see below" if LOST_ONCE in codes else "nothing for you to do"
            return f"{_under_way(report)}; {todo}."
        case "held":
            if held := sum(remote["held"] for remote in remotes):
                return f"{counted(held, 'change waits', 'changes wait')} for your word: see below."
            if doubts := len(report.get("doubts", ())):
                waits = counted(doubts, "doubt waits", "doubts wait")
                return f"nothing is removed while {waits} for your word: see below."
            if report.get("paused"):
                words = pause_words(report["paused"][0], now)
                return f"{words[0].lower()}{words[1:]}."
            return "something waits for your word: see below."
        case "failing":
            return f"{_broken(report)}: see below. What can be read is mirrored all the same."
        case "stale":
            good = report["last_good_pass_at"]
            since = f"the last good pass was {ago(good, now)}" if good else "no pass has gone well yet"
            start = "; no daemon runs: start `pinsync run`, or make one pass with `pinsync sync`"
            return f"{since}, and one is due every {duration(every)}{'' if report['daemon'].get('running') else start}."
    return "there was no pass yet. `pinsync plan` shows what the first one would do, `pinsync sync` makes it."


def _under_way(report: Report) -> str:
    remotes = report["remotes"]
    coming = sum(
        remote[what]
        for remote in remotes
        for what in ("queued", "pinning", "missing")
        if what != "missing" or remote["mode"] != "read-only"
    )
    lacking = {remote["name"]: remote["missing"] for remote in remotes if remote["mode"] == "read-only"}
    leaving = sum(remote["waiting_removal"] for remote in remotes)
    parts = []
    if coming:
        parts.append(f"{counted(coming, 'pin is', 'pins are')} on the way")
    if leaving:
        parts.append(f"{counted(leaving, 'removal waits', 'removals wait')} out the grace")
    for name, missing in lacking.items():
        if missing:
            parts.append(f"{counted(missing, 'pin is', 'pins are')} not at {name}, which is read-only")
    if parts:
        return listed(parts)
    last = report["last_pass"]
    return "a pass is under way" if last and last["finished_at"] is None else "something waits for its next try"


def _broken(report: Report) -> str:
    remotes = report["remotes"]
    failed = sum(remote["failed"] + remote["refused"] for remote in remotes)
    broken = [f"node {node['name']}" for node in report["sources"]["nodes"] if node["ok"] is False]
    broken += [f"remote {remote['name']}" for remote in remotes if remote["ok"] is False]
    parts = []
    if broken:
        parts.append(f"{listed(broken)} {'does' if len(broken) == 1 else 'do'} not work")
    if failed:
        parts.append(f"{counted(failed, 'wanted pin has', 'wanted pins have')} failed or been refused")
    return listed(parts or ["something does not work"])


def _sources(report: Report, width: int | None, now: float) -> Iterator[Line]:
    yield line(("Sources", "bold"))
    rows: list[list[Cell]] = []
    for node in report["sources"]["nodes"]:
        unread = node["ok"] is None
        pins = "–" if node["pins"] is None else number(node["pins"])
        told = "not read yet" if unread else f"read {ago(node['read_at'], now)}"
        style = "" if node["ok"] or unread else "red"
        rows.append([f"node {node['name']}", pins, "pins", (told, style), (node["peer_id"] or "", "dim")])
    manifest = report["sources"]["manifest"]
    if manifest["path"]:
        good = (
            "in force" if manifest["pins"] else "no entries" if manifest.get("there") is not False else "no such file"
        )
        state = {True: (good, ""), False: ("unreadable; the last good one is in force", "red")}.get(
            manifest["ok"], ("not read yet" if report["last_pass"] is None else "none there", "dim")
        )
        rows.append(["manifest", number(manifest["pins"]), "pins", state, (manifest["path"], "dim")])
    if not rows:
        yield line("  none: nothing is wanted anywhere")
    yield from table(rows, "<><<<", width=width)


def _shown(remotes: list[Report]) -> list[str]:
    return [what for what in _COLUMNS if what in _ALWAYS or any(remote[what] for remote in remotes)]


def _remotes(report: Report, width: int | None, now: float) -> Iterator[Line]:
    remotes = report["remotes"]
    shown = _shown(remotes)
    head: list[Cell] = [("Remotes", "bold"), *((_HEADS.get(what, what), "dim") for what in shown), ("", "")]
    rows: list[list[Cell]] = [head]
    for remote in remotes:
        row: list[Cell] = [f"  {remote['name']}"]
        row += [(number(remote[what]), _COLUMNS[what] if remote[what] else "dim") for what in shown]
        row.append(_condition(remote, now))
        rows.append(row)
    lines = list(table(rows, "<" + ">" * len(shown) + "<", indent=0))
    if width is None or all(sum(width_of(text) for text, _ in one) <= width + 2 for one in lines):
        yield from lines
        return
    for remote in remotes:  # too narrow for columns
        yield line((remote["name"], "bold"), "  ", _condition(remote, now))
        yield from table([[_HEADS.get(what, what), (number(remote[what]), _COLUMNS[what])] for what in shown], "<>")


def _condition(remote: Report, now: float) -> Cell:
    mode = "" if remote["mode"] == "mirror" else f"{remote['mode']}, "
    if remote["ok"] is False:
        return f"{mode}does not work", "red"
    if remote["listed_at"] is None:
        return f"{mode}not listed yet", "dim"
    if remote["complete"] is False:
        return f"{mode}last list was not complete", "yellow"
    return f"{mode}listed {ago(remote['listed_at'], now)}", "dim"


def _traits(report: Report) -> Iterator[Line]:
    for remote in report["remotes"]:
        yield []
        yield line((f"What {remote['name']} was seen to do", "bold"), f"  {remote['endpoint']}")
        traits = [[_TRAITS.get(name, name), _said(value)] for name, value in remote["traits"].items()]
        yield from table(traits, "<<") if traits else [line("  nothing yet")]


_TRAITS = {
    "id_is_cid": "the request id is the CID", "count_is_total": "`count` is a total", "meta_kept": "keeps meta",
    "name_kept": "keeps names", "newest_first": "lists newest first", "page_cap": "most pins on a page",
    "lone_delete": "deleting one of two pins leaves the other", "update_in_place": "a second POST changes the pin",
    "skew": "its clock is ahead by",
}  # fmt: skip


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f} s" if isinstance(value, float) else str(value)


def _needs(report: Report, width: int | None, now: float) -> Iterator[Line]:
    """What stays as it is until somebody does something, each with what that is."""

    def item(what: str, text: str, style: str) -> Iterator[Line]:
        return paragraph(text, width=width, indent=12, first=f"  {what}", style=style)

    for one in report.get("paused", ()):
        option = f" --remote {one['remote']}" if one["remote"] else ""
        text = f"{pause_words(one, now)}; nothing is asked or changed there. `pinsync resume{option}` ends it"
        yield from item("paused", text, "magenta")
    if wrong := report["daemon"].get("config_error"):
        yield from item(
            "config", f"changed, and cannot be used; the daemon goes on with the last good one. {wrong}", "red"
        )
    if report["daemon"].get("answers") is False:
        yield from item("daemon", report["daemon"]["error"], "red")
    if again := report["daemon"].get("restart_needed"):
        text = again if isinstance(again, str) else "the configuration has changed in what a restart alone takes over"
        yield from item("daemon", f"{text}: restart it", "yellow")
    for told in ((report["daemon"].get("listen") or {}).get("error"), report["daemon"].get("textfile_error")):
        if told:
            yield from item("watching", told, "yellow")
    if (manifest := report["sources"]["manifest"])["ok"] is False:
        yield from item(
            "manifest", f"{manifest['error'] or 'it is wrong'}. Nothing is removed until it can be read", "red"
        )
    for node in report["sources"]["nodes"]:
        if node["error"]:
            yield from item("node", node["error"], "red")
    yield from _ledger(report.get("ledger") or {}, item)
    for doubt in report.get("doubts", ()):
        yield from item("doubt", f"{doubt['reason']}: no removal. If it is meant, `pinsync approve --all`", "magenta")
    for remote in report["remotes"]:
        yield from _remote_needs(remote, item)


def _ledger(ledger: Report, item: Any) -> Iterator[Line]:
    """That the ledger is a new one, for as long as it does not know everything again."""
    if ledger.get("lost"):
        text = "it is gone. The next pass begins a new one, knows our pins by their marks and removes nothing"
        yield from item("ledger", text, "yellow")
    if ledger.get("behind"):
        text = "it is older than the one that was here before: the next pass holds every removal until you approve"
        yield from item("ledger", text, "yellow")
    if ledger.get("old_since"):
        for name in ledger["unmarked"]:
            text = (
                f"it is an older copy, and {name} keeps no marks: what was added there since that copy counts as "
                "foreign, satisfies what is wanted and is never removed. `pinsync adopt` with its CIDs, or with --all "
                f"for every wanted pin there, makes it ours (`pinsync ls --remote {name}` tells)"
            )
            yield from item("ledger", text, "yellow")
        return
    if not ledger.get("since"):
        return
    what = f"was damaged ({ledger['why']}) and is now {ledger['set_aside']}" if ledger["set_aside"] else "was lost"
    if unknown := [name for name, rebuilt in ledger["rebuilt"].items() if not rebuilt]:
        where = listed(unknown)
        text = (
            f"it {what}. A new one was begun; nothing is removed at {where} before a complete list shows what is ours"
        )
        yield from item("ledger", text, "yellow")
    for name in ledger["unmarked"]:
        yield from item(
            "ledger", f"it {what}, and no pin at {name} carries our mark: they count as foreign, satisfy what is "
            f"wanted and are never removed. `pinsync adopt --remote {name} --all` makes the wanted ones ours", "yellow",
        )  # fmt: skip


def _remote_needs(remote: Report, item: Any) -> Iterator[Line]:
    name = remote["name"]
    if remote["error"]:
        yield from item("remote", _with_name(name, remote["error"]), "red")
    elif remote["complete"] is False and remote["reason"]:
        yield from item(
            "remote", f"the list of {name} is not complete: {remote['reason']}; nothing is removed there", "yellow"
        )
    for why in remote["reasons"]:
        what = counted(why["count"], _NOUN.get(why["kind"], why["kind"]), _NOUNS.get(why["kind"]))
        if why["state"] == "held":
            yield from item("held", f"{what} at {name}: {why['reason']}", "magenta")
        elif why.get("code") == LOST_ONCE:
            yield from item("lost", f"at {name}: {why['reason']}. Else there is nothing to do", "magenta")
    if remote["held"]:
        yield from item("", f"pinsync approve --remote {name} --all      (`pinsync plan` shows each)", "bold")
    for what in ("failed", "refused"):
        if remote[what]:
            said = [
                why["reason"] for why in remote["reasons"]
                if why["state"] == "waiting" and (why["kind"] == "retry") == (what == "failed")
                and why["kind"] in ("add", "retry")
            ]  # fmt: skip
            told = f": {said[0]}" if said else "; `pinsync plan` says which and why"
            yield from item(what, f"{counted(remote[what], 'pin')} at {name}{told}. Tried again by itself", "red")
    if remote["other_mirrors"]:
        marks = listed(remote["other_mirrors"])
        yield from item(
            "mirrors", f"{name} also holds pins of {marks}: two mirrors on one account cannot know each other's "
            "wishes; give each its own", "yellow",
        )  # fmt: skip


_NOUN = {"add": "add", "retry": "retry", "update": "update", "remove": "removal"}
_NOUNS = {"retry": "retries"}


def _with_name(name: str, text: str) -> str:
    return text if f"remote {name!r}" in text else f"{name}: {text}"


def _doing(progress: Report) -> str:
    """A step of the pass that the daemon is making."""
    of = f" of {number(progress['of'])}" if progress.get("of") else ""
    return f"{progress.get('what') or 'working'}, {number(progress.get('count') or 0)}{of}"


def _passes(report: Report, width: int | None, now: float) -> Iterator[Line]:
    last = report["last_pass"]
    rows: list[list[Cell]] = []
    if last is not None:
        if last["finished_at"] is None:
            told = f"under way or interrupted, last heard of {ago(last['progress_at'], now)}"
        else:
            told = f"{when(last['finished_at'], now)}{'' if last['good'] else ', not everything went well'}"
        rows.append(["last pass", told])
    daemon = report["daemon"]
    if daemon.get("running"):
        pid = f"process {daemon['pid']}" if daemon.get("pid") else "running"
        after = f", next pass {ago(report['next_pass_at'], now)}" if report["next_pass_at"] else ""
        rows.append(["daemon", f"{pid}{after}"])
        if daemon.get("error") and daemon.get("answers") is not False:
            rows.append(["", (daemon["error"], "yellow")])
        if under_way := daemon.get("pass"):
            doing = [_doing(one) for one in under_way["progress"]]
            rows.append(["under way", f"a pass since {ago(under_way['since'], now)}: {listed(doing or ['beginning'])}"])
    else:
        rows.append(["daemon", ("not running", "dim")])
    why = f" ({report['config_why']})" if report.get("config_why") else ""
    rows.append(["config", (f"{report['config'] or 'no file'}{why}", "dim")])
    rows.append(["state", (report["state"], "dim")])
    yield from table(rows, "<<", indent=0)

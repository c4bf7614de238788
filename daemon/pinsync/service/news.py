"""What people are told, and when: on a change, never again and again. Pure.

A *matter* is something that needs a person: a part of the mirror (`node kubo`, `remote nftstorage`, `manifest`,
`mirror` as a whole) that is held, failing or stale. What is held and what is stale is news at once; what fails is news
when it has failed for `failing_after` intervals, since most of it passes by itself. That it is over is news to those
who were told of it. Being in sync, converging or on the way to failing is no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pinsync.clock import rfc3339

What = Literal["failing", "stale", "held"]
WORST: tuple[What, ...] = ("failing", "stale", "held")
Event = Literal["failing", "stale", "held", "recovered", "test"]


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that needs a person. `why` is from the report, `meaning` what it is to their pins and what to do."""

    part: str
    what: What
    why: str = ""
    meaning: str = ""

    @property
    def key(self) -> str:
        """What tells one matter from another: why may change from pass to pass and is not in it."""
        return f"{self.part}: {self.what}"

    @property
    def remote(self) -> str:
        """The remote that it is about; "" where it is about none."""
        kind, _, name = self.part.partition(" ")
        return name if kind == "remote" else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A matter as it is remembered from pass to pass: since when (epoch seconds), and whether people know of it."""

    since: float
    told: bool = False
    matter: Matter = field(default_factory=lambda: Matter("", "failing"))

    @property
    def untold(self) -> Standing:
        """The same, which nobody has been told of."""
        return replace(self, told=False)

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {"since": self.since, "told": self.told, "part": self.matter.part, "what": self.matter.what}


@dataclass(frozen=True, slots=True)
class News:
    """What changed: `new` matters that people are to know of now, those that are `over`, and all that they know of."""

    new: tuple[Standing, ...]
    over: tuple[Standing, ...]
    standing: tuple[Standing, ...]

    @property
    def event(self) -> Event:
        """The worst that is new; `recovered` where nothing is."""
        kinds = {one.matter.what for one in self.new}
        return next((what for what in WORST if what in kinds), "recovered")


@dataclass(frozen=True, slots=True)
class Change:
    """What one look found: what to remember, what to tell (None for nothing), and what began and ended, told or not."""

    after: dict[str, Standing]
    news: News | None
    began: tuple[Standing, ...]
    ended: tuple[Standing, ...]


def news(before: Mapping[str, Standing], matters: Iterable[Matter], now: float, patience: float) -> Change:
    """Compare what is remembered with what is found `now`. `patience`: seconds that something fails before it is told.

    A clock that was set back makes nothing older than it is: `since` is then now.
    """
    after: dict[str, Standing] = {}
    new: list[Standing] = []
    began: list[Standing] = []
    for matter in matters:
        known = before.get(matter.key)
        since = now if known is None else min(known.since, now)
        due = matter.what != "failing" or now - since >= patience
        one = Standing(since, due or (known is not None and known.told), matter)
        after[matter.key] = one
        if known is None:
            began.append(one)
        if one.told and not (known is not None and known.told):
            new.append(one)
    ended = tuple(one for key, one in before.items() if key not in after)
    over = tuple(one for one in ended if one.told)
    told = News(tuple(new), over, tuple(one for one in after.values() if one.told)) if new or over else None
    return Change(after, told, tuple(began), ended)


def remembered(kept: Any) -> dict[str, Standing]:
    """What `Standing.as_json` made, by key; what makes no sense is left out, and would be told again."""
    found: dict[str, Standing] = {}
    for one in kept if isinstance(kept, list) else ():
        try:
            matter = Matter(str(one["part"]), one["what"])
            standing = Standing(float(one["since"]), bool(one["told"]), matter)
        except (KeyError, TypeError, ValueError):
            continue
        if matter.what in WORST:
            found[matter.key] = standing
    return found


# -- from the status report


def matters(report: Mapping[str, Any]) -> Iterator[Matter]:
    """What needs a person, by the object of `status --json`; nothing of a remote that is paused."""
    for node in report["sources"]["nodes"]:
        if node["ok"] is False:
            yield Matter(f"node {node['name']}", "failing", node["error"] or "it could not be read", _NODE)
    manifest = report["sources"]["manifest"]
    if manifest["ok"] is False:
        yield Matter("manifest", "failing", manifest["error"] or "it could not be read", _MANIFEST)
    at_rest = resting(report)
    for remote in report["remotes"]:
        if remote["name"] in at_rest:
            continue
        part = f"remote {remote['name']}"
        if remote["ok"] is False or remote["failed"] or remote["refused"]:
            yield Matter(part, "failing", _failing(remote), _REMOTE if remote["ok"] is False else _NOT_TAKEN)
        if remote["held"]:
            approve = f"`pinsync plan` shows it, `pinsync approve --remote {remote['name']}` releases it"
            yield Matter(part, "held", _held(remote), f"{_HELD}. {approve}.")
    if report["doubts"]:
        yield Matter("mirror", "held", "; ".join(doubt["reason"] for doubt in report["doubts"][:3]), _DOUBT)


def resting(report: Mapping[str, Any]) -> set[str]:
    """The remotes that a person paused, by the object of `status --json`."""
    named = {one["remote"] for one in report["paused"]}
    return {remote["name"] for remote in report["remotes"] if named & {None, remote["name"]}}


def stale(last_good: float) -> Matter:
    """No pass has gone well for three intervals; `last_good` is when the last one did (epoch seconds)."""
    return Matter("mirror", "stale", f"the last good pass was {_utc(last_good)}", _STALE)


def broken(why: str) -> Matter:
    """A pass could not be finished at all: the state fails, or pinsync does."""
    return Matter("mirror", "failing", why, _STALE)


_NODE = (
    "Its new pins are not mirrored, and nothing is removed, until it can be read again. See that the node runs; "
    "`pinsync doctor` tries it."
)
_MANIFEST = (
    "The last good manifest stays in force and nothing is removed for the sake of the one on disk. `pinsync check` "
    "shows each line that is wrong."
)
_REMOTE = (
    "The pins there stay as they are; what is new or changed does not reach it until it works again. `pinsync doctor` "
    "tries it."
)
_NOT_TAKEN = "Those pins are not safe there; they are tried again by themselves. `pinsync status CID` has the reason."
_HELD = "What is held is not done before a person says so; everything else goes on, and no pin is lost by waiting"
_DOUBT = (
    "Nothing is removed while that is in doubt; everything else goes on, and no pin is lost by waiting. Bring things "
    "back as they were, or, if it is meant, `pinsync approve --all`."
)
_STALE = (
    "What has changed since then is not mirrored; the pins that are there stay. `pinsync status` and `pinsync doctor` "
    "say what hinders it."
)


def _failing(remote: Mapping[str, Any]) -> str:
    if remote["ok"] is False:
        return str(remote["error"] or "it could not be read")
    counts = [f"{remote[what]} {what}" for what in ("failed", "refused") if remote[what]]
    said = f"{' and '.join(counts)} of {remote['wanted']} wanted pins"
    return f"{said}; {remote['error']}" if remote["error"] else said


def _held(remote: Mapping[str, Any]) -> str:
    said = list(dict.fromkeys(one["reason"] for one in remote["reasons"] if one["state"] == "held"))
    count = f"{remote['held']} {'action is' if remote['held'] == 1 else 'actions are'} held"
    return f"{count}: {'; '.join(said[:3])}" if said else count


# -- the message


def message(news: News | None, *, verdict: str, host: str, mirror: str, now: float) -> dict[str, Any]:
    """The object that commands read and webhooks are sent; `text` is what a person reads. No news: a trial."""
    changes = [*(_change(one, "new", now) for one in news.new), *(_change(one, "over", now) for one in news.over)] \
        if news else []  # fmt: skip
    event: Event = news.event if news else "test"
    subject = f"pinsync on {host}: {_subject(news)}"
    lines = [subject, *(change["text"] for change in changes)] if news else [subject, _TRIAL]
    left = [one for one in news.standing if one not in news.new] if news else []
    if left:
        lines.append(f"As before: {', '.join(_short(one) for one in left)}.")
    return {
        "format": 1,
        "event": event,
        "verdict": verdict,
        "host": host,
        "mirror": mirror,
        "at": rfc3339(now),
        "subject": subject,
        "text": "\n".join(lines),
        "changes": changes,
        "standing": [_standing(one) for one in (news.standing if news else ())],
    }


_TRIAL = "This is a trial, asked for by `pinsync notify --test`: nothing is the matter."
_SAID = {"failing": "is failing", "held": "is held for a person", "stale": "is stale"}
_BACK = {"failing": "works again", "held": "is held no more", "stale": "is up to date again"}


def _subject(news: News | None) -> str:
    if news is None:
        return "a trial"
    if news.new:
        worst = [one for one in news.new if one.matter.what == news.event]
        more = f" (and {len(news.new) - 1} more)" if len(news.new) > 1 else ""
        return f"{_name(worst[0])} {_SAID[worst[0].matter.what]}{more}"
    first = news.over[0]
    more = f" (and {len(news.over) - 1} more)" if len(news.over) > 1 else ""
    return f"{_name(first)} {_BACK[first.matter.what]}{more}"


def _change(one: Standing, change: Literal["new", "over"], now: float) -> dict[str, Any]:
    matter = one.matter
    since = _utc(one.since)
    if change == "new":
        text = f"{_name(one)} {_SAID[matter.what]} since {since}: {matter.why.rstrip('.')}. {matter.meaning}"
    else:
        text = f"{_name(one)} {_BACK[matter.what]}; it began {since}, {_lasted(now - one.since)} ago."
    return {**_standing(one), "change": change, "text": " ".join(text.split())}


def _standing(one: Standing) -> dict[str, Any]:
    return {"part": one.matter.part, "what": one.matter.what, "since": rfc3339(one.since)}


def _short(one: Standing) -> str:
    return f"{_name(one)} {_SAID[one.matter.what]} since {_utc(one.since)}"


def _name(one: Standing) -> str:
    return "the mirror" if one.matter.part == "mirror" else one.matter.part


def _utc(at: float) -> str:
    """For readers who may be elsewhere."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _lasted(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes >= 2 * size:
            return f"{minutes / size:.0f} {unit}"
    return f"{minutes} min"

"""A pinning service: its token and what that may do, its clock, its rate, what was learned, who else is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from pinsync.ledger.records import RemoteRecord
from pinsync.model import Mode, RemotePin
from pinsync.remote.calls import ListQuery
from pinsync.remote.client import RemoteClient
from pinsync.remote.cluster import kubo_behind
from pinsync.remote.errors import OutOfService, RateLimited, RemoteError
from pinsync.remote.profiles import default_rate
from pinsync.remote.rights import Right, may_add, may_remove
from pinsync.settings.credentials import load_token
from pinsync.settings.model import RemoteSettings

from .finding import About, Finding, moment
from .patient import Patient

SKEW = 30.0  # seconds of difference that are worth a word; everything here allows for more
PEEK = 100  # pins that are looked at for marks and delegates
_CLUSTER = "IPFS cluster"

_TRAITS = {
    "id_is_cid": ("the id of a pin is its CID", "each pin has an id of its own"),
    "count_is_total": ("`count` is a total", "`count` is not a total"),
    "meta_kept": ("meta is kept", "meta is dropped"),
    "name_kept": ("names are kept", "names are not kept"),
    "newest_first": ("lists begin with the newest", "lists begin with the oldest"),
    "lone_delete": ("one of two pins of a CID can be removed", "removing one of two pins of a CID removes both"),
    "update_in_place": ("a second POST changes the pin", "a second POST makes another pin"),
}


async def remote(patient: Patient, settings: RemoteSettings) -> AsyncIterator[Finding]:
    """Everything about one remote. It sends at most five requests, none of which can change anything."""
    about = About(f"remote {settings.name}")
    record = patient.record(settings)
    token = load_token(settings, patient.env)
    patient.house.tokens[settings.name] = token
    if token is None:
        yield about.ok("token", f"none is needed for {settings.endpoint}")
    else:
        yield about.ok("token", f"from {token.where}, for {settings.endpoint}")
        for warning in token.warnings:
            yield about.warn("token file", warning)
    async with patient.house.remote(settings, record) as client:
        began = patient.clock.monotonic()
        try:
            await client.list_page(ListQuery(limit=1))
        except RemoteError as error:
            yield about.fail("list", str(error), _advice(error, settings))
            yield _rate(about, settings, client)
            return
        seconds = patient.clock.monotonic() - began
        yield about.ok("list", f"answers in {seconds:.2f} s{_how_many(record, patient.now)}")
        async for finding in _rights(about, settings, client, record):
            yield finding
        yield _clock(about, client)
        try:
            pins: Sequence[RemotePin] = (await client.list_page(ListQuery(limit=PEEK))).pins
        except RemoteError as error:
            yield about.warn("pins", str(error), "the next pass tells more")
            pins = ()
        yield _marks(about, patient, record, pins)
        yield await _loop(about, patient, settings, pins)
        yield _rate(about, settings, client)
    yield _behaviour(about, record, patient.now)


def _how_many(record: RemoteRecord, now: float) -> str:
    if record.present is not None and record.listed_at is not None:
        return f"; {record.present:,} pins after the last whole listing, {moment(record.listed_at, now)}"
    return ""  # a first look at one pin: `count` may be no more than the length of that page


def _advice(error: RemoteError, settings: RemoteSettings) -> str:
    if isinstance(error, RateLimited):
        return "wait; if it stays, set a lower `rate`"
    if isinstance(error, OutOfService) and error.kind in ("auth", "rights", "forbidden"):
        return f"get a token at the service that may list, add and remove pins, and put it where {settings.name}'s is"
    return "is `endpoint` right, and does this machine reach it? Nothing is changed there until it answers"


# -- what the token may do


async def _rights(
    about: About, settings: RemoteSettings, client: RemoteClient, record: RemoteRecord
) -> AsyncIterator[Finding]:
    if settings.mode is Mode.READ_ONLY:
        yield about.skip("write", 'mode = "read-only": nothing is written there')
        return
    adding = await may_add(client)
    if adding.may == "yes" and record.closed is not None:
        adding = Right(
            "closed",
            f"{record.closed.reason} (since {moment(record.closed.since, client.clock.now())}, by the last pass)",
        )
    yield _right(about, "add", "adding pins", adding)
    if settings.mode is Mode.ADD_ONLY:
        yield about.skip("remove", 'mode = "add-only": nothing is removed there')
        return
    removing = await may_remove(client)
    if removing.may == "yes" and record.no_deletes is not None:
        since = moment(record.no_deletes.since, client.clock.now())
        removing = Right("closed", f"{record.no_deletes.reason} (since {since}, by the last pass)")
    yield _right(about, "remove", "removing pins", removing)


def _right(about: About, check: str, what: str, right: Right) -> Finding:
    if right.may == "yes":
        return about.ok(check, f"{what} is allowed: {right.said}")
    if right.may == "no":
        return about.fail(check, f"{what} is refused: {right.said}", "use a token with the right to do it")
    if right.may == "closed":
        return about.warn(check, right.said, "it is tried again by itself; pins that are there stay")
    return about.warn(
        check, f"whether {what} is allowed could not be found out: {right.said}", "the next pass will tell"
    )


# -- its clock, its rate, what was learned


def _clock(about: About, client: RemoteClient) -> Finding:
    skew = client.skew
    if skew is None:
        return about.skip("clock", "it does not tell its time")
    told = f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    if abs(skew) < 1.5:  # `Date` is whole seconds
        return about.ok("clock", "its clock agrees with ours")
    if abs(skew) <= SKEW:
        return about.ok("clock", told)
    return about.warn("clock", told, "pinsync allows for it; if ours is wrong, run a time service (timedatectl)")


def _rate(about: About, settings: RemoteSettings, client: RemoteClient) -> Finding:
    rate = client.limiter.rate
    why = "as configured" if settings.rate != "default" else "what is known of this host"
    if rate is None:
        why = "none is configured" if settings.rate is None else "none is known of this host"
        return about.ok("rate", f"no limit: {why}; {settings.concurrency} requests at a time")
    recent = len(client.limiter.recent())
    known = default_rate(settings.endpoint)
    if known is not None and rate.count / rate.seconds > known.count / known.seconds:
        return about.warn("rate", f"{rate}, and this host is known to allow {known}", "leave `rate` out")
    return about.ok("rate", f"{rate}, {why}; {recent} of {rate.count} used just now")


def _behaviour(about: About, record: RemoteRecord, now: float) -> Finding:
    """What the ledger has learned of a remote, in words, and since when."""
    told = []
    for name, (yes, no) in _TRAITS.items():
        value = getattr(record.traits, name)
        if value is not None:
            told.append(yes if value else no)
    if record.traits.page_cap is not None:
        told.append(f"at most {record.traits.page_cap} pins on a page")
    if not told:
        return about.skip("behaviour", "nothing has been learned yet; the first passes will")
    since = min((at for _, at in record.seen), default=None)
    return about.ok("behaviour", f"{', '.join(told)}{f'; the first was learned {moment(since, now)}' if since else ''}")


# -- who else is there


def _marks(about: About, patient: Patient, record: RemoteRecord, pins: Sequence[RemotePin]) -> Finding:
    ours = patient.mirror_ids()
    seen = {pin.mark for pin in pins if pin.mark} | set(record.other_marks)
    others = sorted(seen - set(ours))
    if others:
        return about.warn(
            "other mirrors",
            f"also holds pins of {', '.join(others[:5])}; we are {ours[0] if ours else 'not named yet'}",
            "two mirrors on one account cannot know each other's wishes: give each its own account",
        )
    whole = record.listed_at is not None
    return about.ok(
        "other mirrors", f"no other mirror's mark {'is there' if whole else 'on the pins that were looked at'}"
    )


async def _loop(about: About, patient: Patient, settings: RemoteSettings, pins: Sequence[RemotePin]) -> Finding:
    """Whether the service pins on the very node that is mirrored: then there is no second copy."""
    ours = set(_our_peers(patient))
    hosts = {peer for pin in pins for address in pin.delegates if (peer := _peer_of(address))}
    if any(_CLUSTER in pin.info.get("source", "") for pin in pins) or settings.endpoint.startswith("http://"):
        behind = await kubo_behind(settings.endpoint)
        hosts |= {behind} if behind else set()
    if not hosts:
        return about.skip(
            "loop", "it does not tell which nodes hold its pins; see that none of them is the mirrored one"
        )
    if not ours:
        return about.skip("loop", "our own node has not answered, so its peer id cannot be compared")
    if hosts <= ours:
        return about.fail(
            "loop",
            f"it pins on the very node that is mirrored (peer {min(hosts)}): there is no second copy of anything",
            "give that service, an IPFS Cluster for instance, a Kubo node of its own",
        )
    if hosts & ours:
        return about.warn(
            "loop",
            f"one of its nodes is the mirrored one (peer {min(hosts & ours)})",
            "what it pins there is wanted by that very fact: give the service nodes of its own",
        )
    return about.ok("loop", "the nodes that it names are not the mirrored one")


def _our_peers(patient: Patient) -> Iterator[str]:
    """Of the nodes that have answered, else as the ledger knows them."""
    for node in patient.settings.nodes:
        peer = patient.peers.get(node.name) or patient.source(f"node:{node.name}").peer_id
        if node.mirror and peer:
            yield peer


def _peer_of(multiaddr: str) -> str | None:
    _, found, peer = multiaddr.rpartition("/p2p/")
    return peer.partition("/")[0] if found else None

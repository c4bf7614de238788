"""A Kubo node: where it is and why there, who it is, what it has pinned and how long that takes to read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pinsync.errors import NodeError, PinsyncError
from pinsync.model import Mode
from pinsync.paths import to_close
from pinsync.settings.credentials import load_authorization
from pinsync.settings.model import NodeSettings
from pinsync.settings.schema import is_loopback
from pinsync.sources.kubo import KuboClient, NodeIdentity, choose_origins, resolve_api

from .finding import About, Finding
from .patient import Patient

_START = "start it (`ipfs daemon`, or its service), or correct `api` in [kubo]"


async def node(patient: Patient, settings: NodeSettings) -> AsyncIterator[Finding]:
    """Everything about one node."""
    about = About(f"node {settings.name}")
    address = resolve_api(settings.api, patient.env, name=settings.name)
    yield about.ok("address", f"{address}, by {address.where}")
    if load_authorization(settings, patient.env) is not None:
        yield about.ok("authorization", "an Authorization header is sent with each call")
    secret = settings.authorization_file
    if secret is not None and secret.stat().st_mode & 0o004:
        yield about.warn("authorization file", f"every user of this machine can read {secret}", to_close(secret))
    async with patient.house.node(settings) as client:
        began = patient.clock.monotonic()
        try:
            who = await client.identity()
        except NodeError as error:
            if settings.mirror:
                yield about.fail("reachable", str(error), _START)
            else:
                yield about.warn("reachable", str(error), "its pins are not mirrored, so this hinders little")
            return
        seconds = patient.clock.monotonic() - began
        version = who.version or "of a version that it does not tell"
        yield about.ok("reachable", f"Kubo {version} answers in {seconds:.3f} s")
        patient.peers[settings.name] = who.peer_id
        yield _identity(about, patient, settings, who)
        if not settings.mirror:
            yield about.skip("pins", "its pins are not mirrored: mirror = false")
            return
        yield await _pins(about, patient, settings, client)
        yield _names(about, settings, who)
    yield _origins(about, patient, who)


def _identity(about: About, patient: Patient, settings: NodeSettings, who: NodeIdentity) -> Finding:
    if settings.peer_id and settings.peer_id != who.peer_id:
        return about.fail(
            "identity",
            f"peer {who.peer_id} answers, and the configuration wants {settings.peer_id}",
            "correct `api` or `peer_id` in [kubo]; until then its pins are not mirrored",
        )
    known = patient.source(f"node:{settings.name}").good_peer_id
    if known and known != who.peer_id:
        return about.warn(
            "identity",
            f"peer {who.peer_id}, and the mirror knows this node as {known}",
            "if you have moved, approve it (`pinsync approve`); if not, correct `api`. Removals are held",
        )
    return about.ok("identity", f"peer {who.peer_id}{', as at the last good pass' if known else ''}")


async def _pins(about: About, patient: Patient, settings: NodeSettings, client: KuboClient) -> Finding:
    began = patient.clock.monotonic()
    reading = await client.read_pins(lambda rows: None)
    told = f"{_counted(reading.count)} read in {patient.clock.monotonic() - began:.1f} s"
    if not reading.complete:
        return about.warn("pins", f"{told}, which may not be all: {reading.reason}", "nothing is removed until it is")
    before = patient.source(f"node:{settings.name}").good_pins
    if before and not reading.count:
        return about.warn(
            "pins", f"none, and there were {before} before", "a new or emptied repository? Removals are held"
        )
    return about.ok("pins", told)


def _names(about: About, settings: NodeSettings, who: NodeIdentity) -> Finding:
    parts = (who.version or "").split(".")
    if not (len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit()):
        return about.skip("names", "it is not known whether it tells the names of pins")
    if (int(parts[0]), int(parts[1])) >= (0, 27):
        return about.ok("names", "it tells the names of pins")
    filtered = (
        " With only_names or skip_names nothing is removed." if settings.only_names or settings.skip_names else ""
    )
    return about.warn(
        "names", f"Kubo {who.version} does not tell the names of pins.{filtered}", "Kubo 0.27 or newer does"
    )


def _origins(about: About, patient: Patient, who: NodeIdentity) -> Finding:
    remotes = [one for one in patient.settings.remotes if one.origins == "auto" and one.mode is not Mode.READ_ONLY]
    if not remotes:
        return about.skip("addresses", "no remote is sent this node's addresses")
    if all(is_loopback(one.endpoint) for one in remotes):
        return about.skip("addresses", "every remote is on this machine, and needs no public address")
    public = choose_origins(who.addresses, who.peer_id)
    if public:
        return about.ok("addresses", f"{len(public)} public, under which services can fetch from it: {public[0]}…")
    return about.warn(
        "addresses",
        "it has no public address: services can fetch from it only over connections that it makes itself",
        "open its swarm port (4001) to the internet, or set `origins`; not needed for a service in the same network",
    )


def _counted(count: int) -> str:
    return "1 recursive pin" if count == 1 else f"{count:,} recursive pins"


async def known_services(client: KuboClient, about: About) -> AsyncIterator[Finding]:
    """Which pinning services Kubo itself knows: a hint for those who have not configured one yet."""
    try:
        async with client:
            services = await client.remote_services()
    except PinsyncError as error:
        yield about.skip("services of Kubo", str(error))
        return
    if not services:
        yield about.skip("services of Kubo", "Kubo's own configuration has no pinning service either")
        return
    told = ", ".join(f"{name} ({endpoint})" for name, endpoint in services)
    yield about.ok(
        "services of Kubo", f"Kubo knows {told}: give one of them a [[remote]]; its key has to be given anew"
    )

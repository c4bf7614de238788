"""The examination: every part in order, nodes and remotes each at the same time, whatever is broken on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pinsync.clock import Clock
from pinsync.errors import ConfigError
from pinsync.house import House
from pinsync.model import Safety
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import (
    ConfigFile,
    ManifestSettings,
    MirrorSettings,
    NodeSettings,
    Schedule,
    Settings,
    StateSettings,
)

from . import machine, settings, state
from .finding import About, Finding, gathered
from .node import known_services, node
from .patient import Patient, admitted
from .remote import remote

Part = tuple[str, list[Finding]]
"""A part of the mirror, and what was found about it."""


async def examine(
    wanted: Settings, env: Mapping[str, str], clock: Clock, *, only: str | None = None
) -> AsyncIterator[Part]:
    """Everything about the mirror that `wanted` describes; of remotes, `only` one where it is named."""
    yield _part(machine.MACHINE, await gathered(machine.MACHINE, "versions", machine.machine(clock)))
    with admitted(wanted, env, clock) as patient:
        for about, findings in (
            (settings.CONFIGURATION, settings.configuration(patient)),
            (settings.MANIFEST, settings.manifest(patient)),
        ):
            yield _part(about, await gathered(about, "contents", findings))
        async for part in _nodes(patient):
            yield part
        async for part in _remotes(patient, only):
            yield part
        for about, findings in ((state.STATE, state.state(patient)), (state.MIRROR, state.mirror(patient))):
            yield _part(about, await gathered(about, "ledger", findings))
        yield _part(machine.DAEMON, await gathered(machine.DAEMON, "answers", machine.daemon(patient)))
        yield _part(machine.SERVICE, await gathered(machine.SERVICE, "unit", machine.service(wanted)))
        yield _part(settings.NOTIFY, await gathered(settings.NOTIFY, "receivers", settings.notify(patient)))


async def examine_for_another(
    wanted: Settings, env: Mapping[str, str], clock: Clock, limiters: dict[str, RateLimiter], only: str | None
) -> list[Finding]:
    """What a daemon can see and the user who asks it may not: remotes with their tokens, the state, the mirror."""
    found: list[Finding] = []
    with admitted(wanted, env, clock, limiters) as patient:
        async for _, findings in _remotes(patient, only):
            found += findings
        for about, more in ((state.STATE, state.state(patient)), (state.MIRROR, state.mirror(patient))):
            found += await gathered(about, "ledger", more)
        found += await gathered(settings.NOTIFY, "receivers", settings.notify(patient))
    return found


async def examine_without(
    source: ConfigFile, error: ConfigError, env: Mapping[str, str], clock: Clock
) -> AsyncIterator[Part]:
    """What can be said where there is no configuration that can be used."""
    yield _part(machine.MACHINE, await gathered(machine.MACHINE, "versions", machine.machine(clock)))
    wrong = settings.wrong_configuration(source, error)
    yield _part(settings.CONFIGURATION, await gathered(settings.CONFIGURATION, "contents", wrong))
    patient = _nobody(source, env, clock)
    about = About("node kubo")
    found = await gathered(about, "reachable", node(patient, patient.settings.nodes[0]))
    if patient.peers:
        client = patient.house.node(patient.settings.nodes[0])
        found += await gathered(about, "services of Kubo", known_services(client, about))
    yield about.part, found
    yield _part(machine.SERVICE, await gathered(machine.SERVICE, "unit", machine.service(None)))


def _nobody(source: ConfigFile, env: Mapping[str, str], clock: Clock) -> Patient:
    """A mirror by the defaults, for the node alone."""
    blank = Settings(
        source, MirrorSettings(), (NodeSettings(retry_for=0),), ManifestSettings(None),
        StateSettings(Path("/nonexistent")), Schedule(), Safety(), (),
    )  # fmt: skip
    return Patient(blank, env, clock, House(blank, env, clock))


async def _nodes(patient: Patient) -> AsyncIterator[Part]:
    abouts = [About(f"node {one.name}") for one in patient.settings.nodes]
    each = zip(abouts, patient.settings.nodes, strict=True)
    found = await _together([gathered(about, "address", node(patient, one)) for about, one in each])
    for about, findings in zip(abouts, found, strict=True):
        yield about.part, findings


async def _remotes(patient: Patient, only: str | None) -> AsyncIterator[Part]:
    remotes = [one for one in patient.settings.remotes if only in (None, one.name)]
    abouts = [About(f"remote {one.name}") for one in remotes]
    each = zip(abouts, remotes, strict=True)
    found = await _together([gathered(about, "token", remote(patient, one)) for about, one in each])
    for about, findings in zip(abouts, found, strict=True):
        yield about.part, findings


async def _together(work: Sequence[Any]) -> list[list[Finding]]:
    return list(await asyncio.gather(*work))


def _part(about: About, findings: list[Finding]) -> Part:
    return about.part, findings

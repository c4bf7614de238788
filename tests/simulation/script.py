"""What happens in a history, thought out from a seed: a description of the world, and steps in plain data.

A step is an action of `world` or `["pass", {…}]`, whose faults and events fall into the pass at its n-th request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from .at_remotes import KNOBS
from .effects import KINDS

PROFILES = ("spec", "nft.storage", "pinata", "filebase", "cluster", "helia", "mock", "rb", "kubo-hostile")
GAPS = (5.0, 15.0, 61.0, 900.0, 3600.0, 21600.0, 90000.0, 180000.0)
LOSSES = (
    "lost-before", "lost-after", "lost-after", "timeout-before", "timeout-after", "late", "twice", "refused",
    "status:429", "status:500", "status:503", "status:502", "status:400", "status:401", "status:403", "status:404",
    "status:409", "status-after:500", "status-after:504", "html:502", "html:200", "html:404", "garbage", "empty",
    "truncate", "slow:5", "slow:200", "echo:400", "echo:401", "echo:500", "echo:200",
)  # fmt: skip


@dataclass(frozen=True)
class Script:
    """A history to be. `seed` None where it was cut down by hand or by the minimiser."""

    seed: int | None
    spec: dict[str, Any]
    steps: list[list[Any]] = field(default_factory=list)


def write(seed: int, *, brief: bool = False) -> Script:
    """The history of a seed: always the same. `brief`: another, half as long, of one mirror and one remote."""
    chance = Random(f"brief {seed}" if brief else seed)
    spec = _spec(chance, brief)
    return Script(seed, spec, _steps(chance, spec, brief))


def _spec(chance: Random, brief: bool) -> dict[str, Any]:
    many = chance.random() < 0.05 and not brief
    names = ["east", "west"][: 1 if brief or many or chance.random() < 0.75 else 2]
    remotes = [_remote(chance, name, many) for name in names]
    mirrors = [_mirror(chance, names) for _ in range(2 if chance.random() < 0.12 and not brief else 1)]
    contents = chance.randint(14, 30) if many else chance.choice((2, 2, 3, 3, 4, 5, 6, 8))
    return {"salt": chance.getrandbits(30), "contents": contents, "remotes": remotes, "mirrors": mirrors}


def _remote(chance: Random, name: str, many: bool) -> dict[str, Any]:
    knobs: dict[str, Any] = {"settle": chance.choice((0.0, 0.0, 0.0, 1.0, 30.0, 4000.0))}
    if chance.random() < 0.5:
        knobs["list_lag"] = 0.0
    while chance.random() < 0.3:
        knobs.update(KNOBS[chance.randrange(len(KNOBS))])
    if many:
        knobs.update(max_limit=10, over_limit="clamp")
    # Twenty pins on pages of ten in no order, with no filter that works, cannot be listed: nothing is claimed of that.
    profile = chance.choice(PROFILES[:-1] if many else PROFILES)
    return {"name": name, "profile": profile, "knobs": knobs, "dated": chance.random() < 0.92}


def _mirror(chance: Random, remotes: list[str]) -> dict[str, Any]:
    manifest = chance.random() < 0.5
    grace = chance.choice((0.0, 0.0, 0.0, 3600.0, 172800.0))
    policies = [
        {
            "name": name,
            "nodes": chance.random() < 0.9,
            "mode": chance.choice(("mirror",) * 9 + ("add-only", "read-only")),
            "removals": chance.choice(("auto",) * 9 + ("approve", "never")),
            "grace": grace,
            "max_removals": chance.choice((100, 100, 1, 1, 2, 3)),
            "share": chance.choice((10.0, 10.0, 50.0, 100.0)),
            "lost_share": chance.choice((10.0, 10.0, 100.0)),
        }
        for name in remotes
    ]
    return {
        "nodes": chance.choice((1, 1, 1, 2)),
        "mirror": chance.random() < 0.95 or not manifest,
        "manifest": manifest,
        "include": manifest and chance.random() < 0.5,
        "policies": policies,
        "concurrency": chance.choice((1, 1, 2, 3, 8)),
        "retry_for": chance.choice((0.0, 0.0, 20.0)),
        "rate": chance.choice((None, None, None, (5, 10.0))),
        "full_listing": chance.choice((21600.0, 21600.0, 0.0)),
    }


_NODE = (
    (("pin", 4, 8, 400, 9), 10), (("unpin", 4, 8, 40), 9), (("rename", 4, 8, 40, 9), 4), (("away", 4, 8), 1),
    (("cut", 4, 8, 4), 1), (("silent", 4, 8, 4), 1.5), (("hide", 4, 8, 40), 2), (("peer", 4, 8, 3), 1),
    (("empty", 4, 8), 1.5), (("heal-node", 4, 8), 4),
)  # fmt: skip
_MANIFEST = (
    (("entry", 4, 400, 9, 9), 5), (("line", 4, 400, 9), 3), (("strike", 4, 40), 4), (("ignore", 4, 400), 1),
    (("invalid", 4), 1), (("missing", 4), 0.7), (("clear", 4), 1), (("list-gone", 4), 1), (("mend", 4), 2),
)  # fmt: skip
_REMOTE = (
    (("foreign-add", 4, 400, 9, 8), 5), (("foreign-remove", 4, 40), 2.5), (("foreign-rename", 4, 40, 9), 1),
    (("lose", 4, 40), 2), (("lose-all", 4), 0.5), (("account", 4, 4), 1), (("status", 4, 40, 4), 4),
    (("mass-fail", 4), 0.5), (("closed", 4, 40), 1), (("full", 4, 4), 0.6), (("refuses", 4, 40), 0.6),
    (("fails", 4, 40), 1), (("open", 4), 2), (("knob", 4, 400), 1), (("list-hides", 4, 40), 1.5),
    (("list-garbles", 4, 40), 0.7), (("list-shows", 4), 1.5),
)  # fmt: skip
_PEOPLE = (
    (("approve", 4, 4), 4), (("approve-now", 4, 4, 40), 1.5), (("adopt", 4, 4, 40), 2), (("takes-nodes", 4, 4), 0.8),
    (("mode", 4, 4, 40), 0.8), (("removals", 4, 4, 40), 0.5), (("skip", 4, 8), 0.8), (("mirrors-node", 4, 8), 0.5),
    (("drop-remote", 4, 4), 0.8), (("id", 4, 40), 0.4), (("restart", 4), 1), (("backup", 4), 1.2),
    (("restore", 4), 1), (("lose-ledger", 4, 40), 0.6),
)  # fmt: skip
_MEANWHILE = tuple((what, weight) for what, weight in (*_NODE, *_MANIFEST, *_REMOTE) if what[0] != "account")
_BETWEEN = (*_NODE, *_MANIFEST, *_REMOTE, *_PEOPLE)


def _deck(table: tuple[Any, ...], *, manifest: bool) -> tuple[list[Any], list[float]]:
    names = {what[0] for what, _ in _MANIFEST}
    rows = [(what, weight) for what, weight in table if manifest or what[0] not in names]
    return [what for what, _ in rows], [weight for _, weight in rows]


def _dealt(chance: Random, what: Any) -> list[Any]:
    name, *bounds = what
    action: list[Any] = [name, *(chance.randrange(bound) for bound in bounds)]
    if name in ("approve", "adopt") and chance.random() < 0.6:
        action[-1] = -1
    return action


def _calm(chance: Random, **more: Any) -> list[Any]:
    return ["pass", {"m": 0, "salt": chance.getrandbits(20), **more}]


def _bleed(chance: Random) -> list[list[Any]]:
    """Pins go one by one, hour by hour."""
    steps = [["removals", 0, 0, 0], ["mode", 0, 0, 0], ["grace", 0, 0, 0.0], _calm(chance)]
    for _ in range(4):
        steps += [["unpin", 0, 0, chance.randrange(40)], _calm(chance), ["later", 900.0]]
    return steps


def _reborn(chance: Random) -> list[list[Any]]:
    """A pin of ours goes, is missed, and somebody else makes one in its place."""
    c, at = chance.randrange(400), chance.choice((0, 2))
    steps = [["pin", 0, 0, c, 1], ["grace", 0, 0, 0.0], _calm(chance), _calm(chance)]
    if chance.random() < 0.6:
        steps += [["lose-all", 0], _calm(chance), ["foreign-add", 0, c, 2, at], _calm(chance)]
    else:
        steps += [["empty", 0, 0], _calm(chance), ["approve", 0, -1], _calm(chance), ["foreign-add", 0, c, 2, at]]
        steps += [["heal-node", 0, 0], _calm(chance)]
    rename = [["rename", 0, 0, number, 4] for number in range(8)]
    return [*steps, *(rename if chance.random() < 0.5 else [["empty", 0, 0]]), _calm(chance), _calm(chance)]


def _renamed(chance: Random) -> list[list[Any]]:
    """One name after the other, before the last one is everywhere."""
    which, steps = chance.randrange(40), list[list[Any]]()
    for name in (1, 2, 4):
        crash = {"crash": [chance.choice(KINDS[:5]), chance.randint(1, 12)]} if chance.random() < 0.3 else {}
        steps += [["rename", 0, 0, which, name], _calm(chance, **crash), ["later", chance.choice((5.0, 61.0))]]
    return steps


def _late_list(chance: Random) -> list[list[Any]]:
    """What was just posted is in no list yet, and nobody noted that it was."""
    steps = [["list-lags", 0, 1200.0]]
    for _ in range(2):
        steps += [["pin", 0, 0, chance.randrange(400), 1], ["entry", 0, chance.randrange(400), 1, 0]]
        steps += [_calm(chance, crash=["answer", chance.randint(4, 9)]), _calm(chance)]
    return steps


def _closed(chance: Random) -> list[list[Any]]:
    """Much is to be added, and nothing is taken."""
    many = [["pin", 0, 0, number, number] for number in range(8)]
    return [["closed", 0, chance.randrange(40)], *many, _calm(chance), ["later", 1000.0], _calm(chance)]


def _failing(chance: Random) -> list[list[Any]]:
    """A pin fails again as soon as it is asked for."""
    c = chance.randrange(400)
    return [["pin", 0, 0, c, 1], ["fails", 0, c], *(_calm(chance) for _ in range(3)), ["later", 70.0], *(
        _calm(chance) for _ in range(3)
    )]  # fmt: skip


def _stillness(chance: Random) -> list[list[Any]]:
    """Nothing happens for a while; then something is pinned, and something not any more."""
    steps = [["pin", 0, 0, 1, 1], ["pin", 0, 0, 2, 1], *(_calm(chance) for _ in range(3))]
    return [
        *steps,
        *(["pin", 0, 0, number, 0] for number in range(8)),
        _calm(chance),
        ["unpin", 0, 0, 1],
        _calm(chance),
    ]


_THEMES = (_stillness, _bleed, _reborn, _renamed, _late_list, _closed, _failing)


def _steps(chance: Random, spec: dict[str, Any], brief: bool) -> list[list[Any]]:
    manifest = any(mirror["manifest"] for mirror in spec["mirrors"])
    between, meanwhile = _deck(_BETWEEN, manifest=manifest), _deck(_MEANWHILE, manifest=manifest)
    contents, steps = spec["contents"], list[list[Any]]()
    for _ in range(chance.randint(contents // 2, contents)):
        steps.append(["pin", chance.randrange(4), chance.randrange(8), chance.randrange(400), chance.randrange(9)])
        if manifest and chance.random() < 0.5:
            steps.append(
                ["entry", chance.randrange(4), chance.randrange(400), chance.randrange(9), chance.randrange(9)]
            )
    if chance.random() < 0.12:
        steps.append(["list-lags", chance.randrange(4), chance.choice((10.0, 60.0, 1200.0))])
    if chance.random() < 0.3:
        steps.append(["foreign-add", chance.randrange(4), chance.randrange(400), chance.randrange(9), 0])
    wild = chance.random()  # some histories are calm, in some everything happens
    theme = chance.choice(_THEMES) if chance.random() < 0.3 and not brief else None
    for turn in range(2 if brief else chance.randint(2, 3 if theme else 5)):
        steps.append(["pass", _pass(chance, wild, meanwhile, len(spec["mirrors"]), first=turn == 0)])
        steps.append(["later", chance.choice(GAPS)])
        if theme and turn == 1:
            steps += theme(chance)
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            if chance.random() < 0.03:
                steps.append(["jump", chance.randrange(4), chance.choice((-90000.0, -600.0, 600.0, 90000.0))])
            elif chance.random() < 0.03:
                steps.append(["list-lags", chance.randrange(4), chance.choice((60.0, 1200.0, 10000.0))])
            elif chance.random() < 0.03:
                steps.append(
                    ["grace", chance.randrange(4), chance.randrange(4), chance.choice((0.0, 3600.0, 172800.0))]
                )
            else:
                steps.append(_dealt(chance, chance.choices(*between)[0]))
    return steps


def _pass(chance: Random, wild: float, meanwhile: Any, mirrors: int, *, first: bool) -> dict[str, Any]:
    step: dict[str, Any] = {"m": chance.randrange(mirrors), "salt": chance.getrandbits(20)}
    if chance.random() < 0.4 * wild:
        kind = chance.choice((None, None, *KINDS[:5]))
        step["crash"] = [kind, int(chance.expovariate(1 / (25 if kind is None else 6))) + 1]
    if chance.random() < 0.5 * wild:
        step["faults"] = sorted(
            [int(chance.expovariate(1 / 8)), chance.choice(LOSSES)] for _ in range(chance.choice((1, 1, 2, 4)))
        )
    if chance.random() < 0.5 * wild and not first:
        step["events"] = sorted(
            ([int(chance.expovariate(1 / 6)), _dealt(chance, chance.choices(*meanwhile)[0])]
             for _ in range(chance.choice((1, 1, 2)))),
            key=lambda one: one[0],
        )  # fmt: skip
    if chance.random() < 0.08 * wild:
        step["full"] = [int(chance.expovariate(1 / 8)) + 1, chance.choice((1, 1, 3, 1000))]
    if chance.random() < 0.3:
        step["restart"] = True
    if chance.random() < 0.06:
        step["only"] = chance.choice(("east", "west"))
    return step

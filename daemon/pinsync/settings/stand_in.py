"""What a configuration that cannot be used still tells: where the state lies, and so where a daemon may be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pinsync.model import Safety

from .files import Unreadable, decode, read_small
from .model import ManifestSettings, MirrorSettings, Schedule, Settings, StateSettings
from .places import absolute, default_state, expand_home, find_config

_LIMIT = 1 << 20
_TABLE = re.compile(r"^[ \t]*\[[ \t]*state[ \t]*\](.*?)(?=^[ \t]*\[|\Z)", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"^[ \t]*path[ \t]*=[ \t]*(?:\"([^\"\\\n]+)\"|'([^'\n]+)')", re.MULTILINE)


def stand_in(explicit: Path | None, env: Mapping[str, str]) -> Settings | None:
    """Settings that are right in `source` and `state` alone, for finding the daemon; None where even that is unknown.

    The state's place is what `PINSYNC_STATE__PATH` or a readable line of `[state]` says, else the default one. It may
    be another one than the daemon's, so whoever answers there is to be asked for its configuration.
    """
    source = find_config(explicit, env)
    given = env.get("PINSYNC_STATE__PATH", "").strip() or _written(source.path)
    base = source.path.parent if source.path else None
    state = absolute(expand_home(given, env), base) if given else default_state(source, env)
    if state is None:
        return None
    return Settings(
        source, MirrorSettings(), (), ManifestSettings(None, False), StateSettings(state), Schedule(), Safety(), ()
    )


def _written(path: Path | None) -> str:
    """`[state] path`, from a file that may be no TOML; "" where no such line can be read."""
    if path is None:
        return ""
    try:
        text = decode(read_small(path, _LIMIT)[0])
    except Unreadable:
        return ""
    found = [one for table in _TABLE.finditer(text) for one in _PATH.finditer(table[1])]
    return found[0][1] or found[0][2] if found else ""

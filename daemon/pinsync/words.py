"""Small words for people, for the log and the terminal alike."""

from __future__ import annotations


def number(count: int) -> str:
    """1204 → `1,204`."""
    return f"{count:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """1 → `1 pin`, 1204 → `1,204 pins`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def placed(where: str, message: str) -> str:
    """`remote nft: no connection …`: a message after its place, which is said once, however the message begins."""
    name = where.partition(" ")[2]
    bare = message.removeprefix(f"{where}: ")
    if name:
        bare = bare.removeprefix(f"{name}: ")
    return bare if name and where in bare else f"{where}: {bare}"

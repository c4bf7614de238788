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
    said = bare(where, message)
    return said if " " in where and where in said else f"{where}: {said}"


def bare(where: str, message: str) -> str:
    """`no connection …` of `remote nft: no connection …`: a message for below its place, as in a heading."""
    said, name = message.removeprefix(f"{where}: "), where.partition(" ")[2]
    return said.removeprefix(f"{name}: ") if name else said

"""What the fuzzing shares: targets, cases that can be kept as files, and the two things that are always watched.

A target makes cases and checks one. A case is plain data (None, numbers, text with half surrogates, bytes, lists,
dicts with text keys), so that one which found something becomes a file in `corpus/`, which a person can read.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pinsync.errors import PinsyncError

Case = Any
CORPUS = Path(__file__).with_name("corpus")

MOST_CPU = 8.0
"""Seconds of this process that one case may cost. A hundred times what the slowest good one takes, so that it tells a
cost that grows with the square of the input from a busy machine."""

MOST_WAIT = 60.0
"""Seconds that a case may last, whatever it waits for; clocks are simulated, so none has anything to wait for."""

_SHM = Path("/dev/shm")
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Target:
    """`check` raises for a case that found something; `quick` is how many cases the default suite tries."""

    name: str
    cases: st.SearchStrategy[Case]
    check: Callable[[Case], None]
    quick: int = 40


class Stuck(BaseException):
    """The time for a case is over. Not an `Exception`, which the code under test might live through."""


def tried(target: Target, case: Case) -> None:
    """Check one case, within `MOST_CPU` and `MOST_WAIT`. For the main thread of a process."""

    main = threading.get_ident()

    def over(number: int, frame: object) -> None:
        raise Stuck

    waker = threading.Timer(MOST_WAIT, signal.pthread_kill, (main, signal.SIGPROF))
    before = signal.signal(signal.SIGPROF, over)
    try:
        waker.start()
        signal.setitimer(signal.ITIMER_PROF, MOST_CPU)
        target.check(case)
    except Stuck as stuck:
        raise AssertionError(f"a case came to no end: {_where(stuck)}") from stuck
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        waker.cancel()
        signal.signal(signal.SIGPROF, before)


def _where(stuck: BaseException) -> str:
    """Where the product was when the time was over."""
    frames = [frame for frame in traceback.extract_tb(stuck.__traceback__) if "/pinsync/" in frame.filename]
    return f"{Path(frames[-1].filename).name} {frames[-1].name}" if frames else "waiting"


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory of its own, in memory where the system has such a place."""
    path = Path(tempfile.mkdtemp(prefix="pinsync-fuzz-", dir=_SHM if _SHM.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def speakable(error: PinsyncError | str, most: int = 200_000) -> str:
    """The text of an error after a look at whether a terminal and a log may have it."""
    text = str(error)
    bad = _UNPRINTABLE.search(text)
    assert bad is None, f"{bad[0]!r} in the message {text[max(0, bad.start() - 60) : bad.end() + 60]!r}"
    assert 0 < len(text) <= most, len(text)
    return text


# -- cases as files


def dump(case: Case) -> str:
    """A case as JSON."""
    return json.dumps(_plain(case), indent=1)


def parse(text: str) -> Case:
    """The case that `dump` wrote."""
    return _rich(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        if value.isascii() and all(32 <= byte < 127 or byte in (9, 10, 13) for byte in value):
            return {"ascii": value.decode()}
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {"dict": {key: _plain(one) for key, one in value.items()}}
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return [_rich(one) for one in value]
    if isinstance(value, dict):
        if "ascii" in value:
            return value["ascii"].encode()
        if "base64" in value:
            return base64.b64decode(value["base64"])
        return {key: _rich(one) for key, one in value["dict"].items()}
    return value


# -- what many targets draw


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, mostly."""
    return st.one_of(st.none(), st.none(), st.none(), strategy)


NASTY_TEXT = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\x1b[31m",
        "\n",
        "\ud800",
        "\udfff\ud800",
        "\u202eevil",
        "a\u0000b",
        "\u202ex",
        "%s%n{}",
        "..",
        ".",
        "/",
        "../../etc/passwd",
        "x" * 300,
        "ü" * 260,
        "é" * 5000,
        "'",
        '"',
        '"""',
        "\\",
        "$(id)",
        "[[pin]]",
        "-1",
        "null",
        "NaN",
        "1e999",
        "true",
        "Qm" * 23,
        "bafy",
        "b",
        "z",
        "\ufeff",
        "𝟘",
        "İ",
        "ß",
        "0x10",
        "١٢",
    ]
)
TEXT = st.one_of(NASTY_TEXT, st.text(max_size=20), st.text(st.characters(), max_size=20))
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    TEXT,
    st.sampled_from([2**31, 2**53, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, float("inf"), float("nan")]),
    st.sampled_from(
        [
            "2023-11-15T22:13:20Z",
            "0000-00-00T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "2023-11-15T22:13:20.1+99:99",
            "2023-11-15",
            "١٢٣٤-01-01T00:00:00Z",
            "+023-11-15T22:13:20Z",
            "2023-11-15T22:13:20.5-0500",
            "-1",
        ]
    ),
)
JSONS: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)


# -- bytes that are almost right


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 1000)),
        st.tuples(st.just("flip"), st.integers(0, 1000), st.integers(1, 255)),
        st.tuples(st.just("put"), st.integers(0, 1000), st.binary(max_size=6)),
        st.tuples(
            st.just("put"),
            st.integers(0, 1000),
            st.sampled_from(
                [
                    b"\0",
                    b"\xff\xfe",
                    b"\xef\xbb\xbf",
                    b"\xc3(",
                    b"\xed\xa0\x80",
                    b'"',
                    b"\\u",
                    b"\\ud800",
                    b"[" * 5000,
                    b"{",
                    b"}",
                    b"]",
                    b",",
                    b":",
                    b"\n",
                    b"\r\n",
                    b"9" * 5000,
                    b"1e999",
                    b"-",
                    b"<html>",
                    b"NaN",
                ]
            ),
        ),
        st.tuples(st.just("drop"), st.integers(0, 1000), st.integers(1, 30)),
        st.tuples(st.just("twice"), st.integers(0, 1000), st.integers(1, 200)),
        st.tuples(st.just("move"), st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 60)),
    ),
    min_size=1,
    max_size=4,
).map(lambda edits: [list(edit) for edit in edits])
"""Edits of bytes for `edited`; places are in thousandths of the length."""


def edited(data: bytes, edits: list[list[Any]]) -> bytes:
    """`data` after a row of `EDITS`."""
    for kind, place, *rest in edits:
        at = len(data) * place // 1000
        match kind:
            case "cut":
                data = data[:at]
            case "flip" if at < len(data):
                data = data[:at] + bytes([data[at] ^ rest[0]]) + data[at + 1 :]
            case "put":
                data = data[:at] + rest[0] + data[at:]
            case "drop":
                data = data[:at] + data[at + rest[0] :]
            case "twice":
                data = data[: at + rest[0]] + data[at:]
            case "move":
                to, size = len(data) * rest[0] // 1000, rest[1]
                data = data[:to] + data[at : at + size] + data[to + size :]
    return data

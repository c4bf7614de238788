"""Chunks, trailers, lines, rows and name filters: what is read from a node's pin list, without a node."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libipld import encode_multibase

from pinsync.cid import key_of
from pinsync.sources.kubo_pins import (
    BrokenListError,
    KuboReading,
    NameFilter,
    PinLines,
    PinRow,
    judged,
    printable,
)
from pinsync.sources.kubo_stream import Dechunker

V0 = "QmdrJnfLDWxuMVQ7vbJcBcka8LrSz6kPVCAek9tmBUwFXT"


def cid(n: int) -> str:
    return str(encode_multibase("b", b"\x01\x55\x12\x20" + n.to_bytes(32, "big")))


def line(text: str, name: str | None = None, kind: str = "recursive") -> bytes:
    row = {"Cid": text} | ({} if name is None else {"Name": name}) | {"Type": kind}
    return json.dumps(row).encode() + b"\n"


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` in pieces, cut at `cuts` (taken modulo its length)."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(at)]


def chunked(parts: Sequence[bytes], trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"


class Spool:
    """Collects what `PinLines` delivers."""

    def __init__(self) -> None:
        self.batches: list[list[PinRow]] = []

    def __call__(self, rows: Sequence[PinRow]) -> None:
        self.batches.append(list(rows))

    @property
    def rows(self) -> list[PinRow]:
        return [row for batch in self.batches for row in batch]


def read(*pieces: bytes, tells_names: bool = True) -> tuple[list[PinRow], PinLines]:
    spool = Spool()
    lines = PinLines(spool, tells_names=tells_names)
    for piece in pieces:
        lines.feed(piece)
    lines.end()
    return spool.rows, lines


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 500), max_size=12))
def test_chunks_are_undone_wherever_the_network_cuts_them(parts: list[bytes], cuts: list[int]) -> None:
    dechunker = Dechunker()
    encoded = chunked(parts, b"X-Stream-Error: out of luck\r\nOther:1\r\n")
    body = b"".join(dechunker.feed(piece) for piece in split(encoded, cuts))
    assert body == b"".join(parts)
    assert dechunker.ended
    assert dechunker.trailers == {"x-stream-error": "out of luck", "other": "1"}


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 60))
def test_chunks_that_stop_early_never_count_as_ended(parts: list[bytes], missing: int) -> None:
    encoded = chunked(parts, b"A: b\r\n")
    dechunker = Dechunker()
    dechunker.feed(encoded[: max(0, len(encoded) - missing)])
    assert not dechunker.ended


@pytest.mark.parametrize(
    "data",
    [
        b"xyz\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"1_0\r\n",
        b"\r\n",
        b"5\nhello",
        b"3\r\nhello\r\n",
        b"<html>\n",
        b"f" * 300,
        b"0\r\n" + b"A: " + b"x" * 70_000,
        b"0\r\n" + b"A: b\r\n" * 20_000,
    ],
)
def test_what_is_not_chunked_is_refused(data: bytes) -> None:
    dechunker = Dechunker()
    assert dechunker.feed(b"2\r\nok\r\n" + data).startswith(b"ok")
    assert dechunker.broken
    assert not dechunker.ended
    assert dechunker.feed(b"0\r\n\r\n") == b""
    assert not dechunker.ended


def test_an_extension_of_a_chunk_is_passed_over() -> None:
    dechunker = Dechunker()
    assert dechunker.feed(b'5 ;a="b"\r\nhello\r\n0;x\r\n\r\n') == b"hello"
    assert dechunker.ended


names = st.none() | st.text(max_size=12)


@given(st.lists(st.tuples(st.integers(0, 10**9), names), max_size=12), st.lists(st.integers(0, 2000), max_size=12))
def test_rows_are_read_wherever_the_network_cuts_them(pins: list[tuple[int, str | None]], cuts: list[int]) -> None:
    data = b"".join(line(cid(n), name) for n, name in pins)
    rows, lines = read(*split(data, cuts))
    assert rows == [(key_of(cid(n)), cid(n), name or "") for n, name in pins]
    assert (lines.count, lines.nameless, lines.unreadable) == (len(pins), 0, 0)


def test_version_0_and_1_keep_their_spelling_and_share_a_key() -> None:
    v1 = "bafybeihgpaz7b63yel5qrwhzgnkivnusc7gyzxau4nrr3r3nlhl2oxbyxy"
    rows, _ = read(line(V0, "a") + line(v1, "b"))
    assert [row[1:] for row in rows] == [(V0, "a"), (v1, "b")]
    assert rows[0][0] == rows[1][0]


def test_a_row_without_a_name_has_none_only_where_the_node_tells_names() -> None:
    data = line(V0) + line(cid(1), "x")
    assert [row[2] for row in read(data, tells_names=True)[0]] == ["", "x"]
    rows, lines = read(data, tells_names=False)
    assert [row[2] for row in rows] == [None, "x"]
    assert lines.nameless == 1


def test_batches_are_of_about_a_thousand_and_progress_is_told() -> None:
    spool, told = Spool(), list[int]()
    lines = PinLines(spool, tells_names=True, progress=told.append)
    for n in range(2500):
        lines.feed(line(cid(n)))
    assert [len(batch) for batch in spool.batches] == [1000, 1000]
    lines.end()
    assert [len(batch) for batch in spool.batches] == [1000, 1000, 500]
    assert told == [1000, 2000, 2500]


def test_pins_of_other_types_are_passed_over() -> None:
    rows, lines = read(
        line(V0)
        + line(cid(1), kind="direct")
        + line(cid(2), kind="indirect")
        + line(cid(3), kind=f"indirect through {V0}")
    )
    assert [row[1] for row in rows] == [V0]
    assert (lines.count, lines.unreadable) == (1, 0)


def test_a_name_that_is_no_text_can_still_be_stored() -> None:
    rows, _ = read(b'{"Cid":"%s","Name":"a\\ud800b","Type":"recursive"}\n' % V0.encode())
    (name,) = (row[2] for row in rows)
    assert name is not None
    assert name.encode()[:1] == b"a"


@pytest.mark.parametrize(
    "row",
    [
        b'{"hello":1}',
        b"[]",
        b"null",
        b"17",
        b'"Cid"',
        b'{"Cid":"bafy","Type":"recursive"}',
        b'{"Cid":"QmdrJnfLDWxuMVQ7vbJcBcka8LrSz6kPVCAek9tmBUwFX0","Type":"recursive"}',
        b'{"Cid":7,"Type":"recursive"}',
        b'{"Cid":["aaaaaaaaaaaa"],"Type":"recursive"}',
        b'{"Cid":{"/":"x"},"Type":"recursive"}',
        b'{"Cid":null,"Type":"recursive"}',
        b'{"Cid":"\\ud800aaaaaaaaaa","Type":"recursive"}',
        b'{"Cid":"%s"}' % V0.encode(),
        b'{"Cid":"%s","Type":"sideways"}' % V0.encode(),
        b'{"Cid":"%s","Type":null}' % V0.encode(),
        b'{"Cid":"%s","Type":"recursive","Name":5}' % V0.encode(),
        b'{"Cid":"%s","Type":"recursive","Name":["a"]}' % V0.encode(),
    ],
)
def test_a_row_that_is_no_pin_is_counted_and_the_others_are_read(row: bytes) -> None:
    rows, lines = read(line(cid(1)) + row + b"\n" + line(cid(2)))
    assert [found[1] for found in rows] == [cid(1), cid(2)]
    assert lines.unreadable == 1
    assert lines.first_unreadable


@pytest.mark.parametrize(
    "data",
    [
        b"<html>502</html>\n",
        b'{"Cid"\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
        b"{},{}\n",
        b" \n",
    ],
)
def test_a_line_that_is_no_json_breaks_the_list_and_what_came_before_is_kept(data: bytes) -> None:
    spool = Spool()
    lines = PinLines(spool, tells_names=True)
    with pytest.raises(BrokenListError) as caught:
        lines.feed(line(V0) + data + line(cid(1)))
    assert not caught.value.passing
    assert len(str(caught.value)) < 400
    lines.flush()
    assert [row[1] for row in spool.rows] == [V0]


def test_rows_spread_over_lines_are_not_taken_for_whole_ones() -> None:
    with pytest.raises(BrokenListError):
        read(b'{"a":[1\n2]}\n')


def test_a_list_that_ends_within_a_line_was_cut() -> None:
    with pytest.raises(BrokenListError, match="within a line") as caught:
        read(line(V0) + line(cid(1))[:30])
    assert caught.value.passing


def test_a_last_line_without_a_line_end_counts_when_it_is_whole() -> None:
    rows, _ = read(line(V0) + line(cid(1)).rstrip())
    assert len(rows) == 2


def test_an_error_as_a_line_is_kubos_own_message() -> None:
    with pytest.raises(BrokenListError, match=r"Kubo says: pinner:.* closed") as caught:
        read(line(V0) + b'{"Message":"pinner:\\u001b[2J closed","Code":0,"Type":"error"}\n')
    assert caught.value.passing
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_node_that_cannot_stream_is_told_apart(end: bytes) -> None:
    with pytest.raises(BrokenListError, match="update"):
        read(b'{"Keys":{"%s":{"Type":"recursive"}}}' % V0.encode() + end)


def test_an_endless_line_is_cut_off_in_little_memory() -> None:
    lines = PinLines(Spool(), tells_names=True)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenListError, match="1 MiB"):
            for _ in range(10_000):
                lines.feed(b"x" * 65536)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_no_message_repeats_a_secret() -> None:
    lines = PinLines(Spool(), tells_names=True, hide=("hunter2",))
    with pytest.raises(BrokenListError) as caught:
        lines.feed(b"Authorization: Bearer hunter2\n")
    assert "hunter2" not in str(caught.value)
    lines.feed(b'{"token":"hunter2"}\n')
    assert "hunter2" not in lines.first_unreadable
    assert "token" in lines.first_unreadable


@given(st.text(max_size=500), st.integers(1, 50))
def test_words_of_a_server_fit_on_one_line(text: str, width: int) -> None:
    shown = printable(text, width)
    assert len(shown) <= width
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("only", "skip", "name", "wanted"),
    [
        ((), (), "x", True),
        ((), (), "", True),
        ((), (), None, True),
        (("docs*",), (), "docs v3", True),
        (("docs*",), (), "Docs", False),
        (("docs*",), (), "", False),
        (("docs*", "site"), (), "site", True),
        (("site",), (), "site 2", False),
        ((), ("tmp-*",), "tmp-1", False),
        ((), ("tmp-*",), "", True),
        (("*",), ("tmp-*",), "tmp-1", False),
        (("*",), (), "two\nlines", True),
        (("*",), (), None, False),
        ((), ("tmp-*",), None, False),
    ],
)
def test_name_filters(only: tuple[str, ...], skip: tuple[str, ...], name: str | None, wanted: bool) -> None:
    assert NameFilter(only, skip).wants(name) is wanted


globs = st.lists(st.text("ab*?[!]-", max_size=5), max_size=3)


@given(globs, globs, st.text("ab-[]!", max_size=5))
def test_name_filters_agree_with_fnmatchcase(only: list[str], skip: list[str], name: str) -> None:
    wanted = (not only or any(fnmatchcase(name, glob) for glob in only)) and not any(
        fnmatchcase(name, glob) for glob in skip
    )
    assert NameFilter(only, skip).wants(name) is wanted


def test_a_reading_without_names_is_incomplete_where_a_filter_needs_them() -> None:
    whole = KuboReading(complete=True, count=3, name="attic", version="0.26.0", names_known=False)
    assert judged(whole, NameFilter()) == whole
    doubtful = judged(whole, NameFilter(only=["docs*"]))
    assert not doubtful.complete
    assert doubtful.reason is not None
    assert "0.27" in doubtful.reason and "'attic'" in doubtful.reason
    broken = KuboReading(complete=False, reason="cut", names_known=False)
    assert (judged(broken, NameFilter(skip=["a"])).reason or "").startswith("cut; ")
    assert judged(KuboReading(complete=True), NameFilter(only=["docs*"])).complete

"""Reading the manifest: what it gives, and what it says when something is wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from pinsync.cid import spellings, text_of
from pinsync.errors import ManifestError
from pinsync.model import Ignore, ManifestPin
from pinsync.sources import manifest_files, manifest_reading
from pinsync.sources.manifest import (
    Included,
    Manifest,
    UnusableManifest,
    emptied,
    manifest_from_rows,
    manifest_rows,
    read_manifest,
)
from pinsync.sources.manifest_files import Entry, TooLarge
from pinsync.sources.manifest_toml import blocks

MAIN = Path("/m/pins.toml")
REMOTES = ("nftstorage", "pinata")
PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


def key(number: int) -> bytes:
    return b"\x01\x70\x12\x20" + hashlib.sha256(str(number).encode()).digest()


def cid(number: int) -> str:
    return text_of(key(number))


def old_cid(number: int) -> str:
    return next(text for text in spellings(key(number)) if text.startswith("Qm"))


class Tree:
    """Files out of a dictionary; an OSError as content is what opening the file raises."""

    def __init__(self, content: Mapping[str, str | bytes | OSError]) -> None:
        self.content = {
            Path("/m") / name: text.encode() if isinstance(text, str) else text for name, text in content.items()
        }
        self.reads: list[Path] = []

    def read(self, path: Path, limit: int) -> bytes:
        path = self.real(path)
        self.reads.append(path)
        if self.is_dir(path):
            raise IsADirectoryError
        data = self._at(path)
        if len(data) > limit:
            raise TooLarge(len(data))
        return data

    def size(self, path: Path) -> int:
        return len(self._at(self.real(path)))

    def _at(self, path: Path) -> bytes:
        if path not in self.content:
            raise FileNotFoundError
        data = self.content[path]
        if isinstance(data, OSError):
            raise data
        return data

    def entries(self, directory: Path) -> Sequence[Entry]:
        directory = self.real(directory)
        below = [path.relative_to(directory).parts for path in self.content if directory in path.parents]
        if not below:
            raise FileNotFoundError
        return sorted({Entry(parts[0], len(parts) > 1) for parts in below}, reverse=True)

    def is_dir(self, path: Path) -> bool:
        return any(self.real(path) in file.parents for file in self.content)

    def real(self, path: Path) -> Path:
        return Path(os.path.normpath(path))


def read(main: str | bytes | OSError, **others: str | bytes | OSError) -> Manifest:
    """The manifest with this main file; other files by keyword, `__` for `/` and `_` for the last dot."""
    named = {
        "/".join(name.rpartition("_")[0].split("__")) + "." + name.rpartition("_")[2]: text
        for name, text in others.items()
    }
    return read_manifest(MAIN, remotes=REMOTES, files=Tree({"pins.toml": main, **named}))


def faults(main: str | bytes | OSError, **others: str | bytes | OSError) -> list[str]:
    """The problems of a manifest, as people see them, without the directory."""
    with pytest.raises(UnusableManifest) as caught:
        read(main, **others)
    return [str(problem).replace("/m/", "") for problem in caught.value.problems]


def pin(number: int, *lines: str) -> str:
    return "\n".join(["[[pin]]", f'cid = "{cid(number)}"', *lines, ""])


# --- what a right manifest gives


def test_every_field_of_an_entry_is_read() -> None:
    origin = f"/ip4/203.0.113.7/tcp/4001/p2p/{PEER}"
    text = f"""
include = []

[[pin]]
cid = "/ipfs/{cid(1)}"
name = "docs v3"
meta = {{ team = "web" }}
origins = ["{origin}"]
remotes = ["pinata"]

[[ignore]]
cid = "{cid(2)}"

[[ignore]]
name = "scratch-*"
"""
    manifest = read(text)
    assert manifest.pins == (
        ManifestPin(key(1), cid(1), "docs v3", {"team": "web"}, (origin,), ("pinata",), "/m/pins.toml:4"),
    )
    assert set(manifest.ignores) == {
        Ignore(key(2), None, "/m/pins.toml:11"),
        Ignore(None, "scratch-*", "/m/pins.toml:14"),
    }


def test_what_is_not_said_is_none() -> None:
    (only,) = read(pin(1)).pins
    assert (only.name, only.meta, only.origins, only.remotes) == (None, None, None, None)


def test_pins_come_sorted_by_key_with_the_spelling_of_the_source() -> None:
    manifest = read("".join(pin(n) for n in range(20)) + f'[[pin]]\ncid = "{old_cid(99)}"\n')
    assert [one.key for one in manifest.pins] == sorted([*map(key, range(20)), key(99)])
    assert next(one for one in manifest.pins if one.key == key(99)).cid == old_cid(99)


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "\ufeff", "pin = []\n"])
def test_an_empty_file_is_a_manifest_without_entries(text: str) -> None:
    assert read(text).pins == ()


def test_an_inline_array_is_read_with_lines() -> None:
    manifest = read(f'# head\npin = [\n  {{ cid = "{cid(1)}" }},\n  {{ cid = "{cid(2)}", name = "b" }},\n]\n')
    assert {one.cid: one.where for one in manifest.pins} == {cid(1): "/m/pins.toml:3", cid(2): "/m/pins.toml:4"}


def test_a_header_inside_a_multi_line_string_is_text() -> None:
    text = f'[[pin]]\ncid = "{cid(1)}"\nmeta = {{ how = """write\n[[pin]]\ncid = "x"\n[[pin]]\n""" }}\n{pin(2)}'
    manifest = read(text)
    assert {one.cid: one.where for one in manifest.pins} == {cid(1): "/m/pins.toml:1", cid(2): "/m/pins.toml:8"}
    assert any(one.meta == {"how": 'write\n[[pin]]\ncid = "x"\n[[pin]]\n'} for one in manifest.pins)


def test_crlf_byte_order_mark_quoted_headers_and_sub_tables_are_read() -> None:
    text = (
        f'\ufeff[[ "pin" ]]\r\ncid = "{cid(1)}"\r\n[pin.meta]\r\nteam = "web"\r\n\r\n  [[pin]]\r\ncid = "{cid(2)}"\r\n'
    )
    manifest = read(text)
    assert {one.cid: (one.meta, one.where) for one in manifest.pins} == {
        cid(1): ({"team": "web"}, "/m/pins.toml:1"),
        cid(2): (None, "/m/pins.toml:6"),
    }


def test_a_text_list_holds_names_comments_and_blank_lines() -> None:
    lines = (
        f"\ufeff# mine\r\n\r\n{cid(1)}\r\n  {cid(2)}   docs v#3   # a remark\r\n/ipfs/{cid(3)}\tx\r\n{cid(4)} # none"
    )
    manifest = read('include = ["l.txt"]', l_txt=lines)
    assert {one.cid: (one.name, one.where) for one in manifest.pins} == {
        cid(1): (None, "/m/l.txt:3"),
        cid(2): ("docs v#3", "/m/l.txt:4"),
        cid(3): ("x", "/m/l.txt:5"),
        cid(4): (None, "/m/l.txt:6"),
    }


def test_includes_are_relative_to_the_file_that_holds_them() -> None:
    manifest = read(
        'include = ["more/*.toml"]',
        more__a_toml='include = ["../lists/*.txt", "own.txt"]',
        more__own_txt=cid(1),
        lists__one_txt=cid(2),
        lists__two_txt=f"{cid(3)}\n{cid(4)}",
    )
    assert {one.cid for one in manifest.pins} == {cid(n) for n in (1, 2, 3, 4)}
    assert manifest.includes == {
        "/m/pins.toml: more/*.toml": Included(1, 0),
        "/m/more/a.toml: ../lists/*.txt": Included(2, 3),
        "/m/more/a.toml: own.txt": Included(1, 1),
    }


def test_a_directory_gives_its_toml_files_without_what_editors_drop() -> None:
    files = Tree(
        {
            "d/b.toml": pin(2),
            "d/a.toml": pin(1),
            "d/.hidden.toml": "broken",
            "d/.#a.toml": "broken",
            "d/a.toml~": "broken",
            "d/.a.toml.swp": b"\0",
            "d/notes.txt": "broken",
            "d/sub/c.toml": "broken",
        }
    )
    manifest = read_manifest(Path("/m/d"), remotes=REMOTES, files=files)
    assert {one.cid for one in manifest.pins} == {cid(1), cid(2)}
    assert manifest.includes == {"/m/d/*.toml": Included(2, 2)}
    assert files.reads == [Path("/m/d/a.toml"), Path("/m/d/b.toml")]


def test_double_stars_reach_every_depth_and_leave_hidden_directories_out() -> None:
    manifest = read('include = ["l/**/*.txt"]', l__a_txt=cid(1), l__x__y__b_txt=cid(2), **{"l__.git__c_txt": "broken"})
    assert {one.cid for one in manifest.pins} == {cid(1), cid(2)}


def test_a_file_that_two_patterns_reach_is_read_once_and_counted_by_both() -> None:
    files = Tree({"pins.toml": 'include = ["*.txt", "l.txt", "./l.txt"]', "l.txt": cid(1)})
    manifest = read_manifest(MAIN, remotes=REMOTES, files=files)
    assert files.reads.count(Path("/m/l.txt")) == 1
    assert set(manifest.includes.values()) == {Included(1, 1)}


def test_a_pattern_that_covers_its_own_file_means_the_others() -> None:
    assert len(read('include = ["*.toml"]', other_toml=pin(1)).pins) == 1


def test_a_wildcard_may_match_nothing_and_losing_all_files_shows() -> None:
    main = 'include = ["lists/*.txt", "b/*.txt"]'
    before = read(main, lists__a_txt=cid(1), b__b_txt=cid(2))
    now = read(main, b__b_txt=cid(2))
    assert now.includes["/m/pins.toml: lists/*.txt"] == Included(0, 0)
    assert emptied(before.includes, now.includes) == ("/m/pins.toml: lists/*.txt",)
    assert emptied(now.includes, before.includes) == ()
    assert emptied(before.includes, read("").includes) == ()


def test_files_to_watch_are_all_that_could_change_the_outcome() -> None:
    manifest = read('include = ["lists/*/*.txt", "a.txt"]', a_txt=cid(1), lists__x__y_txt=cid(2))
    expected = {"pins.toml", "a.txt", "lists", "lists/x", "lists/x/y.txt"}
    assert {Path("/m") / name for name in expected} <= set(manifest.files)


def test_a_refused_manifest_says_what_to_watch_for_its_repair() -> None:
    with pytest.raises(UnusableManifest) as caught:
        read('include = ["gone.txt", "there.txt"]', there_txt="rubbish")
    assert {Path("/m/pins.toml"), Path("/m/gone.txt"), Path("/m/there.txt")} <= set(caught.value.files)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"pins_toml": pin(1)}, {"pins_toml": pin(1)}, True),
        ({"pins_toml": pin(1)}, {"pins_toml": pin(1) + "\n"}, False),
        ({"l__a_txt": cid(1)}, {"l__a_txt": cid(2)}, False),
        ({"l__a_txt": cid(1)}, {"l__b_txt": cid(1)}, False),
        ({"l__a_txt": cid(1)}, {"l__a_txt": cid(1), "l__b_txt": ""}, False),
    ],
)
def test_the_digest_tells_whether_anything_changed(one: dict[str, str], other: dict[str, str], same: bool) -> None:
    def digest(files: dict[str, str]) -> str:
        return read(
            files.get("pins_toml", 'include = ["l/*.txt"]'), **{k: v for k, v in files.items() if k != "pins_toml"}
        ).digest

    assert (digest(one) == digest(other)) is same


# --- what is wrong, and where

FAULTY_ENTRIES: list[tuple[str, int, str]] = [
    ('cid = "bafybeigarbage"', 1, "is not a CID"),
    (f'cid = "{cid(1).upper()}"', 1, f"write it as '{cid(1)}'"),
    (f'cid = "z{old_cid(1)}"', 1, "leave out the first character"),
    (f'cid = "{cid(1)}/readme.md"', 1, "names a path"),
    (f'cid = "{cid(1)[:-3]}"', 1, "is not a CID"),
    ("cid = 3", 1, "cid must be text in quotes, not a number"),
    ('name = "no cid"', 0, "needs a cid"),
    (f'cid = "{cid(1)}"\nnmae = "x"', 2, "unknown key 'nmae' in [[pin]]; did you mean 'name'?"),
    (f'cid = "{cid(1)}"\nzzz = 1', 2, "known are cid, meta, name, origins, remotes"),
    (f'cid = "{cid(1)}"\ninclude = ["x"]', 2, "belongs above the first [[pin]]"),
    (f'cid = "{cid(1)}"\nname = 2024-01-01', 2, "name must be text in quotes, not a date or time"),
    (f'cid = "{cid(1)}"\nname = "{"x" * 256}"', 2, "256 characters; a pinning service takes at most 255"),
    (f'cid = "{cid(1)}"\nname = "a\\u0007b"', 2, "control character '\\x07'"),
    (f'cid = "{cid(1)}"\nmeta = "web"', 2, "meta must be a table"),
    (f'cid = "{cid(1)}"\nmeta = {{ a = 1 }}', 2, "meta 'a' must be text in quotes, not a number"),
    (f'cid = "{cid(1)}"\n[pin.meta]\nb = true', 2, "meta 'b' must be text in quotes, not true or false"),
    (f'cid = "{cid(1)}"\nmeta = {{ pinsync = "x" }}', 2, "pinsync's own mark"),
    (f'cid = "{cid(1)}"\nmeta = {{ a = "\\u0000" }}', 2, "control character"),
    (f'cid = "{cid(1)}"\norigins = "x"', 2, "must be a list of multiaddrs in [ ], not text"),
    (f'cid = "{cid(1)}"\norigins = ["x"]', 2, "origin 'x' is no multiaddr"),
    (f'cid = "{cid(1)}"\norigins = ["/ip4/203.0.113.7/tcp/4001"]', 2, "does not end in /p2p/"),
    (f'cid = "{cid(1)}"\norigins = ["/ip4/203.0.113.7/tcp/4001/p2p/12D3Koo"]', 2, "does not end in /p2p/"),
    (f'cid = "{cid(1)}"\norigins = ["/ipv4/203.0.113.7/tcp/4001/p2p/{PEER}"]', 2, "did you mean 'ip4'?"),
    (f'cid = "{cid(1)}"\norigins = ["/ip4/203.0.113.700/tcp/4001/p2p/{PEER}"]', 2, "no address after /ip4/"),
    (f'cid = "{cid(1)}"\norigins = ["/dns4/x.example/tcp/99999/p2p/{PEER}"]', 2, "no port number after /tcp/"),
    (f'cid = "{cid(1)}"\nremotes = []', 2, "remotes is empty"),
    (f'cid = "{cid(1)}"\nremotes = ["nftstorag"]', 2, "no remote 'nftstorag'; did you mean 'nftstorage'?"),
    (f'cid = "{cid(1)}"\nremotes = [1]', 2, "texts in quotes only, not a number"),
]


@pytest.mark.parametrize(("body", "offset", "message"), FAULTY_ENTRIES)
def test_a_faulty_entry_is_told_at_its_line_and_alone(body: str, offset: int, message: str) -> None:
    found = faults(f"# a\n{pin(50)}\n[[pin]]\n{body}\n\n{pin(51)}")
    assert len(found) == 1
    assert found[0].startswith(f"pins.toml:{5 + offset}: ")
    assert message in found[0]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[[ignore]]\nname = "x"\ncid = "y"', 1, "both cid and name"),
        ("[[ignore]]", 1, "neither cid nor name"),
        ("[[ignore]]\nname = 1", 2, "name must be text"),
        ('[[ignore]]\nname = ""', 2, "would match nothing"),
        ('[[ignore]]\ncid = "x"', 2, "is not a CID"),
        ('[[ignore]]\nnames = "x"', 2, "did you mean 'name'?"),
        ('[[ignore]]\nname = "a"\n\n[[ignore]]\nname = "a"', 4, "already at pins.toml:1"),
        ('[[pins]]\ncid = "x"', 1, "unknown key 'pins' in the manifest; did you mean 'pin'?"),
        ("title = 1", 1, "known are ignore, include, pin"),
        ('[pin]\ncid = "x"', 1, "write [[pin]]"),
        (f"{pin(1)}[[ignore]]\nname = 'x'\n[pin.meta]\na = 'b'", 5, "directly under its [[pin]]"),
        ("pin = 3", 1, "not a number"),
        ("\ninclude = 'x.txt'", 2, "include must be a list, not text"),
        ("include = [\n 1,\n]", 2, "in quotes, not 1"),
        ("include = [\n 'a.txt',\n]", 2, "there is no file a.txt"),
        ("include = ['l']", 1, "is a directory; write 'l/*.txt'"),
        ("include = ['']", 1, "is no file name"),
        ("include = ['a\\u0000b*']".replace("'", '"'), 1, "is no file name"),
        ("include = ['l/*']", 1, "l/README.md, which is neither a .toml nor a .txt"),
        (f"pin = [{{ cid = '{cid(1)}' }}]\n\n[[pin]]\ncid = '{cid(2)}'", 3, "write all of them in one way"),
        (f"{pin(1)}[[pin]]\ncid = '{cid(2)}", 4, "is it half-written?"),
        (f"{pin(1)}[[pin]\n", 3, "not TOML"),
        (f"{pin(1)}{pin(2, 'cid = 1')}{pin(3)}", 5, "not TOML"),
        ("x = " + "[" * 3000, 1, "not TOML"),
        ("x = " + "9" * 5000, 1, "not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_file_is_told_at_its_line(text: str, line: int, message: str) -> None:
    found = faults(text, l__README_md="# hi")
    assert len(found) == 1
    assert found[0].startswith(f"pins.toml:{line}: ")
    assert message in found[0]


def test_all_problems_of_all_files_come_at_once_in_file_order() -> None:
    found = faults(
        f"include = ['l.txt', 'm.toml']\n[[pin]]\ncid = 'x'\nmeta = 1\n{pin(1)}\n"
        f"[[pin]]\nbroken\n\n{pin(2, 'colour = 1')}",
        l_txt=f"rubbish\n{cid(3)}\n{cid(1)}\n",
        m_toml="[[pin]]\ncid = 'y'",
    )
    places = [text.split(": ")[0] for text in found]
    assert places == ["pins.toml:3", "pins.toml:4", "pins.toml:9", "pins.toml:13", "l.txt:1", "l.txt:3", "m.toml:2"]


@pytest.mark.parametrize("spelling", [cid, old_cid])
def test_the_same_content_twice_names_both_places(spelling: Callable[[int], str]) -> None:
    (found,) = faults(f"include = ['l.txt']\n{pin(1)}", l_txt=f"\n{spelling(1)} again\n")
    assert found.startswith(f"l.txt:2: {spelling(1)} is already at pins.toml:2")


def test_more_than_twenty_origins_or_a_thousand_meta_keys_are_refused() -> None:
    origins = ", ".join(f"'/ip4/203.0.113.7/tcp/{port}/p2p/{PEER}'" for port in range(1, 22))
    meta = ", ".join(f"k{n} = 'v'" for n in range(1001))
    found = faults(pin(1, f"origins = [{origins}]", f"meta = {{ {meta} }}"))
    assert ["pins.toml:3: 21 origins" in found[0], "pins.toml:4: meta has 1001 keys" in found[1]] == [True, True]


def test_limits_of_the_specification_are_reached_before_they_are_exceeded() -> None:
    origins = ", ".join(f"'/ip4/203.0.113.7/tcp/{port}/p2p/{PEER}'" for port in range(1, 21))
    meta = ", ".join(f"k{n} = 'v'" for n in range(1000))
    (one,) = read(pin(1, f"origins = [{origins}]", f"meta = {{ {meta} }}", f'name = "{"é" * 255}"')).pins
    assert one.origins is not None and one.meta is not None and one.name is not None
    assert (len(one.origins), len(one.meta), len(one.name)) == (20, 1000, 255)


@pytest.mark.parametrize(
    "origin",
    [
        f"/dns4/node.example/udp/4001/quic-v1/p2p/{PEER}",
        f"/ip6/2001:db8::1/udp/4001/quic-v1/webtransport/certhash/uEiA/p2p/{PEER}",
        f"/ip4/203.0.113.7/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit/p2p/{PEER}",
        f"/dnsaddr/x.example/p2p/{PEER}",
        "/ip4/203.0.113.7/tcp/4001/p2p/k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
    ],
)
def test_origins_as_kubo_writes_them_are_taken(origin: str) -> None:
    assert read(pin(1, f"origins = ['{origin}']")).pins[0].origins == (origin,)


def test_circular_includes_name_the_chain_once() -> None:
    found = faults("include = ['a.toml']", a_toml="\ninclude = ['b.toml']", b_toml="include = ['./a.toml']")
    assert found == ["b.toml:1: includes go in a circle: a.toml includes b.toml includes a.toml; take one of them out"]


def test_includes_nest_only_so_deep() -> None:
    chain = {f"n{n}_toml": f"include = ['n{n + 1}.toml']" for n in range(60)}
    found = faults("include = ['n0.toml']", **chain, n60_toml="")
    assert len(found) == 1 and "deeper than" in found[0]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b'[[pin]]\ncid = "\xe9"\n', 2, "byte 0xe9 is not UTF-8"),
        (b"\n\x7fELF\0\0", 2, "binary file"),
        ("[[pin]]\n".encode("utf-16"), 1, "this is UTF-16; save it as UTF-8"),
        (FileNotFoundError(), None, "there is no such file; create it"),
        (PermissionError(), None, "no permission to read it"),
        (IsADirectoryError(), None, "directory where a file is expected"),
        (TooLarge(100 << 20), None, "100 MiB is too large"),
        (manifest_files.Unsettled(), None, "being written at this moment"),
        (manifest_files.NotAFile(), None, "device, pipe or socket"),
        (OSError(5, "Input/output error"), None, "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(content: bytes | OSError, line: int | None, message: str) -> None:
    (found,) = faults(content)
    assert found.startswith(f"pins.toml:{line}: " if line else "pins.toml: ")
    assert message in found


def test_an_unreadable_include_says_who_asked_for_it() -> None:
    (found,) = faults("\ninclude = ['l/*.txt']", l__a_txt=PermissionError())
    assert found.startswith("l/a.txt: no permission") and found.endswith("(included by pins.toml:2)")


@pytest.mark.parametrize("cut", [3, 12, 30, 60])
def test_a_file_cut_off_in_its_last_entry_is_refused(cut: int) -> None:
    whole = pin(1) + pin(2, 'name = "docs"')
    found = faults(whole[: len(pin(1)) + cut] if cut > 10 else whole[:-cut])
    assert len(found) == 1


def test_a_cut_off_file_is_recognised_as_such() -> None:
    assert "half-written" in faults(pin(1) + f'[[pin]]\ncid = "{cid(2)[:20]}')[0]
    assert "half-written" in faults("include = ['l.txt']", l_txt=f"{cid(1)}\n{cid(2)[:30]}")[0]
    assert "half-written" not in faults("include = ['l.txt']", l_txt=f"{cid(2)[:30]}\n{cid(1)}\n")[0]


def test_a_text_list_as_the_manifest_itself_says_how_to_use_it() -> None:
    with pytest.raises(ManifestError, match=r'include = \["l.txt"\]'):
        read_manifest(Path("/m/l.txt"), remotes=REMOTES, files=Tree({"l.txt": cid(1)}))


def test_the_list_of_problems_has_an_end() -> None:
    found = faults("include = ['l.txt']", l_txt="rubbish\n" * 1234)
    assert len(found) == manifest_reading.MAX_PROBLEMS + 1
    assert found[-1] == "pins.toml: and 234 more problems"


def test_reading_gives_up_where_everything_is_wrong() -> None:
    found = faults("include = ['l.txt', 'm.txt']", l_txt="x\n" * 60_000, m_txt="rubbish")
    assert found[-1] == "pins.toml: and at least 49000 more problems"


def test_files_too_large_together_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_reading, "MAX_TOTAL", 3 << 20)
    files = Tree({"pins.toml": "include = ['*.txt']", "a.txt": " " * (2 << 20), "b.txt": " " * (2 << 20)})
    with pytest.raises(ManifestError, match=r"pins.toml:1: with these files the manifest has 4 MiB; it may have 3"):
        read_manifest(MAIN, remotes=REMOTES, files=files)
    assert files.reads == [MAIN]


def test_the_same_content_twice_is_told_even_where_one_of_the_two_has_another_fault() -> None:
    found = faults(pin(1, "name = 1") + pin(1))
    assert [one.split(": ")[0] for one in found] == ["pins.toml:3", "pins.toml:4"]
    assert "already at pins.toml:1" in found[1]


def test_the_same_content_twice_in_an_array_has_two_lines() -> None:
    (found,) = faults(f'pin = [\n{{ cid = "{cid(1)}" }},\n{{ cid = "{cid(1)}" }},\n]\n')
    assert found.startswith("pins.toml:3: ") and "already at pins.toml:2" in found


def test_a_long_inline_array_takes_no_longer_than_tables() -> None:
    text = "pin = [\n" + "".join(f'{{ cid = "{cid(n)}" }},\n' for n in range(20_000)) + "]\n"
    assert max(int(one.where.split(":")[1]) for one in read(text).pins) == 20_001


# --- on the disk


def test_a_pipe_in_the_place_of_the_manifest_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pins.toml")
    with pytest.raises(ManifestError, match="device, pipe or socket"):
        read_manifest(tmp_path / "pins.toml", remotes=REMOTES)


def test_a_sparse_giant_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "pins.toml").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ManifestError, match="100 MiB is too large"):
        read_manifest(tmp_path / "pins.toml", remotes=REMOTES)


def test_a_linked_manifest_is_watched_at_both_ends(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.toml").write_text(pin(1))
    (tmp_path / "pins.toml").symlink_to("real/p.toml")
    manifest = read_manifest(tmp_path / "pins.toml", remotes=REMOTES)
    assert {tmp_path / "pins.toml", (tmp_path / "real" / "p.toml").resolve()} <= set(manifest.files)
    assert manifest.pins[0].where == f"{tmp_path}/pins.toml:1"


def test_links_that_go_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "up").symlink_to("..")
    (tmp_path / "l" / "loop.txt").symlink_to("loop.txt")
    (tmp_path / "pins.toml").write_text('include = ["l/**/*.txt"]')
    with pytest.raises(ManifestError, match=r"loop.txt: .*\(included by .*pins.toml:1\)"):
        read_manifest(tmp_path / "pins.toml", remotes=REMOTES)


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(pin(1))
    opened = os.open
    left = [times]

    def replaced(name: Path, flags: int) -> int:
        handle = opened(name, flags)
        if name == path and left[0]:
            left[0] -= 1
            (tmp_path / "new").write_text(pin(2 + left[0]))
            (tmp_path / "new").replace(path)
        return handle

    monkeypatch.setattr(os, "open", replaced)
    if times == 1:
        assert read_manifest(path, remotes=REMOTES).pins[0].cid == cid(2)
    else:
        with pytest.raises(ManifestError, match="being written at this moment"):
            read_manifest(path, remotes=REMOTES)
    assert left == [0]


def test_in_a_large_manifest_every_line_is_right_and_equal_values_are_shared(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text("".join(pin(n, 'meta = { team = "web" }') for n in range(20_000)))
    manifest = read_manifest(path, remotes=REMOTES)
    assert len(manifest.pins) == 20_000
    assert len({id(one.meta) for one in manifest.pins}) == 1
    last = next(one for one in manifest.pins if one.key == key(19_999))
    assert last.where.endswith(f":{19_999 * 3 + 1}")


# --- what always holds

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
pins = st.builds(
    ManifestPin,
    key=st.integers(0, 10_000).map(key),
    cid=st.just(""),
    name=st.none() | words,
    meta=st.none() | st.dictionaries(words, words, max_size=3),
    origins=st.none() | st.lists(words, max_size=3).map(tuple),
    remotes=st.none() | st.lists(words, max_size=3).map(tuple),
    where=words,
)
ignores = st.builds(Ignore, st.integers(0, 10_000).map(key), st.none(), words) | st.builds(
    Ignore, st.none(), words.filter(bool), words
)


@given(
    st.lists(pins, max_size=8, unique_by=lambda one: one.key),
    st.lists(ignores, max_size=4, unique_by=lambda one: (one.key, one.name_glob)),
    st.dictionaries(words.filter(bool), st.builds(Included, st.integers(0), st.integers(0)), max_size=3),
    st.randoms(),
)
def test_rows_give_the_manifest_back_in_any_order(some, ignored, includes, random) -> None:  # type: ignore[no-untyped-def]
    spelt = [old_or_new(one, random.random() < 0.5) for one in some]
    manifest = Manifest(
        tuple(sorted(spelt, key=lambda one: one.key)),
        tuple(sorted(ignored, key=lambda one: (one.key or b"", one.name_glob or ""))),
        "d1",
        (Path("/a"), Path("/b")),
        includes,
    )
    rows = list(manifest_rows(manifest))
    assert all(isinstance(cell, str | None) for row in rows for cell in row)
    random.shuffle(rows)
    assert manifest_from_rows(rows) == manifest


def old_or_new(one: ManifestPin, old: bool) -> ManifestPin:
    text = spellings(one.key)[-1 if old else 0]
    return ManifestPin(one.key, text, one.name, one.meta, one.origins, one.remotes, one.where)


def test_damaged_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown row"):
        manifest_from_rows([("nonsense", None, None, None, None, None, "")])


fragments = st.sampled_from(
    [
        "[[pin]]\n", "[[ignore]]\n", "[pin.meta]\n", "[pin]\n", f'cid = "{cid(1)}"\n', f'cid = "{cid(2)}"\n',
        'name = "a"\n', 'meta = { a = "b" }\n', "include = [", '"*.txt"', "]\n", '"""', "'''", "\n", "# x\n",
        "pin = [{", "}]\n", "remotes = []\n", "\r\n", "\r", "=", ".", "cid", '"', "1979-05-27", "\\u00e9",
        "include = ['**', 'l.txt']\n", "\ufeff", "\u2028", "[[",
    ]
)  # fmt: skip
texts = st.text(max_size=60) | st.lists(fragments, max_size=20).map("".join)


@settings(max_examples=300)
@given(texts.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60), texts)
def test_any_content_is_a_manifest_or_a_clear_refusal(main: bytes, listed: str) -> None:
    try:
        manifest = read(main, l_txt=listed.encode("utf-8", "replace"))
    except ManifestError as error:
        assert error.problems
        lines = main.count(b"\n") + 1
        for problem in error.problems:
            assert problem.message
            assert problem.file != "/m/pins.toml" or 1 <= (problem.line or 1) <= lines
    else:
        assert manifest == manifest_from_rows(manifest_rows(manifest))


@given(st.data())
def test_every_fault_in_a_manifest_is_told_at_its_line(data: st.DataObject) -> None:
    lines: list[str] = []
    expected: list[int] = []
    for number in range(data.draw(st.integers(1, 8))):
        lines += data.draw(st.sampled_from([[], [""], ["# a comment", ""]]))
        if data.draw(st.booleans()):
            lines += pin(number).split("\n")[:-1]
            continue
        body, offset, _ = data.draw(st.sampled_from([one for one in FAULTY_ENTRIES if "upper" not in one[2]]))
        body = body.replace(cid(1), cid(1000 + number))
        lines.append("[[pin]]")
        expected.append(len(lines) + offset)
        lines += body.split("\n")
    text = "\n".join(lines) + "\n"
    if not expected:
        assert read(text)
        return
    assert [int(one.split(":")[1]) for one in faults(text)] == expected


pieces = [
    "[[pin]]\n", "[[ignore]]\n", "[pin.meta]\n", 'name = "a"\n', 'a = """', '"""', "'''", "\n", "# x\n", 'b = "c"\n',
    "c = [\n", "]\n", "d = {", "}\n", "[[pin]]", "x = '''\n[[pin]]\n'''\n",
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(pieces), max_size=12).map("".join))
def test_reading_table_by_table_agrees_with_a_parser_of_the_whole(text: str) -> None:
    found = list(blocks(text))
    assert "".join(block.text for block in found) == text
    try:
        whole = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert not any(block.broken for block in found)
    if not any(isinstance(block.data.get("pin"), dict) for block in found):  # refused: far from its [[pin]]
        assert [one for block in found for one in block.data.get("pin", [])] == whole.get("pin", [])

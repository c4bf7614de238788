"""Manifests that nobody would write: bytes, TOML of wrong shapes, lists, includes, links, directories, devices.

Read alone; then put in the place of one that a mirror stands on: no pin goes but those that a manifest, read whole,
does not name any more. Then edited by the command's functions, which keep what they do not understand.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pinsync.cid import key_of
from pinsync.emulator.records import Request
from pinsync.errors import ManifestError, PinsyncError
from pinsync.model import Safety
from pinsync.sources.manifest import Manifest, manifest_from_rows, manifest_rows, read_manifest
from pinsync.sources.manifest_edit import NewEntry, add_entries, remove_entries
from tests.fuzz.kit import EDITS, TEXT, Case, Target, edited, scratch, speakable
from tests.mirror import Mirror, cid

NAMES = ["pins.toml", "lists/a.txt", "lists/b.txt", "more/c.toml", "more/d.toml", "more/ü.toml", "more/deep/e.toml"]
LINKS = [
    "pins.toml",
    "more/c.toml",
    "lists/a.txt",
    ".",
    "..",
    "nowhere",
    "/dev/zero",
    "/dev/null",
    "/proc/self/mem",
    "more",
    "lists",
    "/proc/self/environ",
]
NEW = cid("new")


def write(root: Path, files: list[list[Any]]) -> None:
    """Lay a case's files down; a later one of the same name replaces the earlier."""
    for name, kind, content in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            if path.is_dir() and not path.is_symlink():
                continue
            path.unlink()
        match kind:
            case "bytes":
                path.write_bytes(content)
            case "link":
                path.symlink_to(content if content.startswith("/") else os.path.relpath(root / content, path.parent))
            case "pipe":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case "sparse":
                with path.open("wb") as file:
                    file.truncate(content)


def read(path: Path) -> Manifest | None:
    """The manifest, or None after a look at what is said about it."""
    try:
        found = read_manifest(path, remotes=["there"])
    except ManifestError as error:
        speakable(error, 2_000_000)
        assert error.problems
        assert all(problem.line is None or problem.line > 0 for problem in error.problems)
        return None
    keys = [pin.key for pin in found.pins]
    assert keys == sorted(set(keys))
    assert manifest_from_rows(manifest_rows(found)) == found
    return found


def check(case: Case) -> None:
    with scratch() as root:
        place = root / "files"
        place.mkdir()
        (root / "outside").mkdir()
        mirror = Mirror(root / "mirror", safety=Safety(grace=0, max_removal_share=100))
        path = mirror.manifest("".join(f'[[pin]]\ncid = "{cid(number)}"\n' for number in range(6)))
        mirror.seed("theirs")
        mirror.sync()
        assert len(mirror.emulator.pins()) == 7
        path.unlink()
        write(path.parent, case["files"])
        found = read(path)
        _agrees(path, found)
        gone: list[str] = []

        def watch(request: Request) -> None:
            if request.method == "DELETE":
                ids = {pin.requestid: pin.cid for pin in mirror.emulator.pins()}
                gone.append(ids[request.path.removeprefix("/pins/")])

        mirror.emulator.before_request = watch
        for _ in range(2):
            report = mirror.sync()
            for trouble in report.troubles:
                speakable(trouble.message, 2_000_000)
            mirror.status()
        kept = {pin.key for pin in found.pins} if found else set()
        assert found or not gone, f"removed by a manifest that cannot be read: {gone}"
        assert not [text for text in gone if key_of(text) in kept or text == cid("theirs")], gone
        if found:
            assert all(len(statuses) == 1 for statuses in mirror.there().values()), mirror.there()
        _edit(path, found)


def _agrees(path: Path, found: Manifest | None) -> None:
    """A second opinion of the main file, by Python's own parser: whether it is TOML, and which CIDs it names."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 20:
        return
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        named = [table["cid"] for table in data.get("pin", [])]
    except (ValueError, TypeError, KeyError, AttributeError):
        assert found is None, "taken for a manifest"
        return
    except RecursionError:
        return
    if found is not None:
        assert {key_of(text.removeprefix("ipfs://").removeprefix("/ipfs/")) for text in named} <= {
            pin.key for pin in found.pins
        }


def _edit(path: Path, found: Manifest | None) -> None:
    """Add an entry and take it out again."""
    try:
        add_entries(path, [NewEntry(NEW, "a name", {"k": "v"}, ())], remotes=["there"])
    except PinsyncError as error:
        speakable(error, 2_000_000)
        return
    more = read(path)
    assert more is not None, "an edit broke the manifest"
    assert found is not None, "an edit mended the manifest"
    assert {pin.key for pin in more.pins} == {pin.key for pin in found.pins} | {key_of(NEW)}
    try:
        remove_entries(path, [NEW], remotes=["there"])
    except PinsyncError as error:
        speakable(error, 2_000_000)
        return
    less = read(path)
    assert less is not None, "an edit broke the manifest"
    assert [pin.key for pin in less.pins] == [pin.key for pin in found.pins if pin.key != key_of(NEW)]


# -- cases

CIDS = st.one_of(
    st.integers(0, 8).map(cid),
    st.integers(0, 8).map(cid),
    st.sampled_from(
        [
            f"/ipfs/{cid(1)}",
            f"ipfs://{cid(2)}",
            cid(3).upper(),
            f" {cid(1)}",
            f"/ipfs/{cid(1)}/x",
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG",
            "zQmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG",
            "bafkqaaa",
            "b" * 5000,
            "f0155",
            "k51qzi5uqu5dh71qgwangrt6r0nd4094i88nsady6qgd1dhjcyfsaqmpp143ab",
        ]
    ),
    TEXT,
)


def toml_text(text: str) -> str:
    """As a TOML string, with what TOML cannot hold left as it is."""
    return '"' + "".join(f"\\u{ord(c):04x}" if c < " " or c in '"\\\x7f' else c for c in text) + '"'


TOML_VALUES = st.recursive(
    st.one_of(
        TEXT.map(toml_text),
        CIDS.map(toml_text),
        st.sampled_from(
            [
                "0",
                "-1",
                "1e999",
                "nan",
                "true",
                "1979-05-27T07:32:00Z",
                "07:32:00",
                "0x10",
                "9" * 5000,
                "''''''",
                '"""\n[[pin]]\n"""',
                "[",
                "]",
                "{}",
                "[[]]",
                "'unfinished",
                "1979-13-45",
                "[" * 600 + "]" * 600,
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["cid", "name", "k", "pinsync", '"ü x"']), inner, max_size=2).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "cid",
        "name",
        "meta",
        "origins",
        "remotes",
        "include",
        "pin",
        "x",
        '"cid"',
        "meta.k",
        "meta.pinsync",
        "Cid",
        "a.b.c",
        '""',
        "pin.cid",
    ]
)
PATTERNS = st.sampled_from(
    [
        "lists/*.txt",
        "more/*.toml",
        "lists/a.txt",
        "more/c.toml",
        "**/*.toml",
        "**",
        "*",
        "../*",
        "/",
        "",
        "nowhere.txt",
        "more",
        "lists/[",
        "lists/[!a]*",
        "more/../pins.toml",
        "pins.toml",
        "./pins.toml",
        "\0",
        "x" * 600,
        "/dev/zero",
        "/proc/self/fd/*",
        "lists/a.TXT",
        "~/x.txt",
    ]
)
STATEMENTS = st.one_of(
    CIDS.map(lambda text: f"[[pin]]\ncid = {toml_text(text)}\n"),
    CIDS.map(lambda text: f"[[ignore]]\ncid = {toml_text(text)}\n"),
    st.tuples(KEYS, TOML_VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}\n"),
    st.tuples(KEYS, TOML_VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}\n"),
    st.lists(PATTERNS, max_size=3).map(lambda some: f"include = [{', '.join(map(toml_text, some))}]\n"),
    st.sampled_from(
        [
            "[[pin]]\n",
            "[pin]\n",
            "[[ignore]]\n",
            "[[ pin ]]\n",
            '[["pin"]]\n',
            "[[pin.x]]\n",
            "[pin.meta]\n",
            "# [[pin]]\n",
            "[x]\n",
            "\r\n",
            "\r",
            '"""\n',
            "'''\n",
            '[[pin]] # """\n',
            "\ufeff",
            "[[pin]]\\\n",
        ]
    ),
)
TOMLS = st.lists(STATEMENTS, max_size=8).map(lambda some: "".join(some).encode("utf-8", "replace"))
LINES = st.lists(
    st.one_of(CIDS, st.tuples(CIDS, TEXT).map(" ".join), st.tuples(CIDS, TEXT).map("  # ".join), TEXT), max_size=8
).map(lambda some: "\n".join(some).encode("utf-8", "surrogatepass"))
CONTENTS = st.one_of(
    TOMLS,
    TOMLS,
    LINES,
    st.tuples(st.one_of(TOMLS, LINES), EDITS).map(lambda pair: edited(*pair)),
    st.binary(max_size=60),
    st.tuples(TOMLS, st.sampled_from(["utf-16", "latin-1", "utf-8-sig"])).map(
        lambda p: p[0].decode().encode(p[1], "replace")
    ),
    st.sampled_from(
        [
            b"[[pin]]\n" * 3000,
            b"#" * 100_000,
            b'a = """' + b"[[pin]]\n" * 2000,
            b"x\n" * 2000,
            b"[" * 20_000,
            b"a=" + b"{a=" * 2000,
            b"a." * 5000 + b"a=1",
        ]
    ),
)
FILES = st.one_of(
    st.tuples(st.just("bytes"), CONTENTS),
    st.tuples(st.just("bytes"), CONTENTS),
    st.tuples(st.just("bytes"), CONTENTS),
    st.tuples(st.just("link"), st.sampled_from(LINKS)),
    st.tuples(st.sampled_from(["pipe", "directory"]), st.none()),
    st.tuples(st.just("sparse"), st.sampled_from([1 << 20, (64 << 20) + 1, 10 << 30, 1 << 42])),
)
MANIFEST = Target(
    "manifest",
    st.fixed_dictionaries(
        {
            "files": st.lists(
                st.tuples(st.sampled_from(["pins.toml", "pins.toml", *NAMES]), FILES).map(
                    lambda one: [one[0], *one[1]]
                ),
                min_size=1,
                max_size=5,
            )
        }
    ),
    check,
)

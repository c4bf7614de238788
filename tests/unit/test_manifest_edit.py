"""`pinsync manifest add` and `rm`: what changes in the file, and everything that does not."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinsync.errors import ManifestError, UsageError
from pinsync.sources.manifest import read_manifest
from pinsync.sources.manifest_edit import EditResult, NewEntry, add_entries, remove_entries
from pinsync.sources.manifest_files import Disk
from tests.unit.test_manifest import cid, key, old_cid, pin

REMOTES = ("nftstorage", "pinata")

WRITTEN = f"""# What our group keeps.
include = ["lists/*.txt"]   # by the others

# -- sites --
[[pin]]
cid   =   "{cid(1)}"     # odd spacing
name = 'docs'

# the blog
[[pin]]
cid = "{cid(2)}"
origins = [
]
[pin.meta]
team = "web"  # theirs
# below the blog

[[ignore]]
name = "scratch-*"

# the end
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pins.toml").write_text(WRITTEN)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.txt").write_text(f"# list\n{cid(7)} seven\n")
    return tmp_path / "pins.toml"


def add(path: Path, *entries: NewEntry) -> EditResult:
    return add_entries(path, entries, remotes=REMOTES)


def remove(path: Path, *cids: str) -> EditResult:
    return remove_entries(path, cids, remotes=REMOTES)


def keys(path: Path) -> set[bytes]:
    return {one.key for one in read_manifest(path, remotes=REMOTES).pins}


def refused(path: Path, call: object, *args: object, error: type[Exception] = UsageError) -> str:
    """The message of a refused edit, which must leave the file and its directory as they were."""
    before = {one: one.read_bytes() for one in sorted(path.parent.rglob("*")) if one.is_file()}
    with pytest.raises(error) as caught:
        call(path, *args)  # type: ignore[operator]
    assert {one: one.read_bytes() for one in sorted(path.parent.rglob("*")) if one.is_file()} == before
    return str(caught.value)


# --- add


def test_an_entry_comes_at_the_end_and_nothing_else_changes(path: Path) -> None:
    entry = NewEntry(f"/ipfs/{cid(3)}", 'a "new" one\\', {"team": "web", "läng": "x"}, ("pinata",))
    result = add(path, entry)
    assert path.read_text() == WRITTEN + (
        f'\n[[pin]]\ncid = "{cid(3)}"\nname = "a \\"new\\" one\\\\"\n'
        'meta = { team = "web", "läng" = "x" }\nremotes = ["pinata"]\n'
    )
    (added,) = result.added
    assert (added.key, added.name, added.meta, added.remotes) == (key(3), entry.name, entry.meta, entry.remotes)
    assert added.where == f"{path}:{WRITTEN.count(chr(10)) + 2}"
    assert (result.path, result.created, result.unchanged) == (path, False, ())


@pytest.mark.parametrize(
    ("before", "between"),
    [("", ""), ("# x", "\n\n"), ("# x\n", "\n"), ("# x\n\n", ""), ("\ufeff", ""), ("# x\r\n", "\r\n")],
)
def test_the_files_own_ways_of_ending_lines_are_kept(tmp_path: Path, before: str, between: str) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes(before.encode())
    add(path, NewEntry(cid(1)))
    newline = "\r\n" if "\r" in before else "\n"
    assert path.read_bytes().decode() == f'{before}{between}[[pin]]{newline}cid = "{cid(1)}"{newline}'


def test_a_missing_file_is_created_and_a_directory_has_its_main_file(tmp_path: Path) -> None:
    assert add(tmp_path / "new.toml", NewEntry(cid(1))).created
    result = add(tmp_path, NewEntry(cid(2)))
    assert (result.path, result.created) == (tmp_path / "pins.toml", True)
    assert keys(tmp_path) == {key(1), key(2)}
    assert stat.S_IMODE(result.path.stat().st_mode) == stat.S_IMODE((tmp_path / "new.toml").stat().st_mode)


def test_several_entries_come_in_their_order(path: Path) -> None:
    result = add(path, NewEntry(cid(9)), NewEntry(cid(8), "eight"))
    assert [one.key for one in result.added] == [key(9), key(8)]
    assert path.read_text().endswith(f'\n\n[[pin]]\ncid = "{cid(9)}"\n\n[[pin]]\ncid = "{cid(8)}"\nname = "eight"\n')


def test_what_is_there_exactly_so_is_unchanged_and_nothing_is_written(path: Path) -> None:
    before = path.stat()
    result = add(path, NewEntry(cid(1), "docs"), NewEntry(cid(7), "seven"))
    assert [one.key for one in result.unchanged] == [key(1), key(7)]
    assert result.added == ()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (NewEntry(cid(1), "other"), "pins.toml:5"),
        (NewEntry(cid(1)), "pins.toml:5"),
        (NewEntry(old_cid(1), "docs"), "pins.toml:5"),
        (NewEntry(cid(7)), "a.txt:2"),
    ],
)
def test_what_is_there_otherwise_is_refused_with_its_place(path: Path, entry: NewEntry, place: str) -> None:
    message = refused(path, add, NewEntry(cid(4)), entry)
    assert f"{entry.cid} is already at " in message
    assert place in message
    assert "nothing was changed" in message


def test_one_content_twice_in_one_request_is_added_once_or_refused(path: Path) -> None:
    assert "given before" in refused(path, add, NewEntry(cid(4), "a"), NewEntry(cid(4), "b"))
    assert len(add(path, NewEntry(cid(4), "a"), NewEntry(cid(4), "a")).added) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (NewEntry("bafybad"), "'bafybad' is not a CID"),
        (NewEntry(cid(4), "x" * 256), "256 characters"),
        (NewEntry(cid(4), "a\nb"), "control character"),
        (NewEntry(cid(4), meta={"pinsync": "x"}), "pinsync's own mark"),
        (NewEntry(cid(4), remotes=("nowhere",)), "no remote 'nowhere'"),
        (NewEntry(cid(4), remotes=()), "remotes is empty"),
    ],
)
def test_a_wrong_entry_is_refused_before_the_file_is_touched(path: Path, entry: NewEntry, message: str) -> None:
    assert message in refused(path, add, NewEntry(cid(5)), entry)


def test_a_manifest_that_is_not_in_order_is_not_edited(path: Path) -> None:
    path.write_text(WRITTEN + "\n[[pin]]\n")
    assert "needs a cid" in refused(path, add, NewEntry(cid(4)), error=ManifestError)
    assert "needs a cid" in refused(path, remove, cid(1), error=ManifestError)


def test_an_edit_that_would_break_the_manifest_changes_nothing(path: Path) -> None:
    path.write_text(f'pin = [{{ cid = "{cid(1)}" }}]\n')
    message = refused(path, add, NewEntry(cid(4)), error=ManifestError)
    assert "would not be valid" in message
    assert "write all of them in one way" in message
    assert f"take it out by hand at {path}:1" in refused(path, remove, cid(1))


# --- remove


def test_an_entry_goes_and_every_comment_around_it_stays(path: Path) -> None:
    result = remove(path, cid(2))
    head, _, rest = WRITTEN.partition('[[pin]]\ncid = "' + cid(2))
    assert path.read_text() == head + rest[rest.index("# below") :]
    assert [one.key for one in result.removed] == [key(2)]


def test_any_spelling_removes(path: Path) -> None:
    remove(path, old_cid(1), "/ipfs/" + cid(2))
    assert keys(path) == {key(7)}
    assert "[[pin]]" not in path.read_text()
    assert '[[ignore]]\nname = "scratch-*"' in path.read_text()


def test_capitals_remove_too(path: Path) -> None:
    remove(path, cid(1).upper())
    assert keys(path) == {key(2), key(7)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A\nB\n", "B\n"),
        ("A\n\nB\n", "B\n"),
        ("B\n\nA\n", "B\n"),
        ("B\n\nA", "B\n"),
        ("B\n\nA\n\nC\n", "B\n\nC\n"),
        ("B\n\n\nA\n\n\nC\n", "B\n\n\nC\n"),
        ("B\nA\n\nC\n", "B\n\nC\n"),
        ("# h\nA\n# t\n", "# h\n# t\n"),
        ("B\r\n\r\nA\r\n\r\nC\r\n", "B\r\n\r\nC\r\n"),
        ("A\n", ""),
    ],
)
def test_the_gap_around_an_entry_closes(tmp_path: Path, before: str, after: str) -> None:
    newline = "\r\n" if "\r" in before else "\n"

    def written(form: str) -> bytes:
        for number, letter in enumerate("ABC"):
            form = form.replace(letter, newline.join(["[[pin]]", f'cid = "{cid(number)}"']))
        return form.encode()

    path = tmp_path / "pins.toml"
    path.write_bytes(written(before))
    remove(path, cid(0))
    assert path.read_bytes() == written(after)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (cid(7), "lies in an included file; take it out by hand at"),
        (cid(99), "is not in the manifest"),
        ("x", "is not a CID"),
    ],
)
def test_what_cannot_be_removed_says_why_and_nothing_goes(path: Path, given: str, message: str) -> None:
    found = refused(path, remove, cid(1), given)
    assert message in found
    assert given != cid(7) or f"{path.parent}/lists/a.txt:2" in found


def test_removing_from_a_manifest_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert "is not in the manifest" in refused(tmp_path / "pins.toml", remove, cid(1))


# --- the file itself


def test_mode_and_link_stay_and_nothing_is_left_behind(path: Path) -> None:
    real = path.with_name("real.toml")
    path.rename(real)
    real.chmod(0o640)
    path.symlink_to("real.toml")
    add(path, NewEntry(cid(3)))
    remove(path, cid(1))
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert keys(path) == {key(2), key(3), key(7)}
    assert sorted(one.name for one in path.parent.iterdir()) == ["lists", "pins.toml", "real.toml"]


def test_a_link_to_nothing_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "pins.toml").symlink_to("away/pins.toml")
    with pytest.raises(ManifestError):
        add(tmp_path / "pins.toml", NewEntry(cid(1)))
    assert (tmp_path / "pins.toml").is_symlink()


@pytest.mark.parametrize("failing", ["fsync", "fchmod"])
def test_a_full_disk_leaves_the_old_file_whole(path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    message = refused(path, add, NewEntry(cid(3)), error=ManifestError)
    assert f"{path}: cannot be written: No space left on device; nothing was changed" in message


def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"its directory .* cannot be opened: No such file or directory"):
        add(tmp_path / "away" / "pins.toml", NewEntry(cid(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_write_protected_file_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    assert "write-protected" in refused(path, add, NewEntry(cid(3)), error=ManifestError)


def test_an_edit_by_somebody_else_meanwhile_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = WRITTEN + "# theirs\n"
    sync = os.fsync

    def meanwhile(handle: int) -> None:
        path.write_text(theirs)
        sync(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(ManifestError, match="changed meanwhile"):
        add(path, NewEntry(cid(3)))
    assert path.read_text() == theirs
    assert sorted(one.name for one in path.parent.iterdir()) == ["lists", "pins.toml"]


def test_edits_at_the_same_time_wait_for_each_other(path: Path) -> None:
    failures: list[BaseException] = []

    def edit(start: int) -> None:
        try:
            for number in range(start, start + 5):
                add(path, NewEntry(cid(number)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=edit, args=(start,)) for start in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {key(start + n) for start in (100, 200, 300) for n in range(5)} <= keys(path)


# --- what always holds

names = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
metas = st.none() | st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("\n\t"), max_size=6),
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(name=names, meta=metas, remotes=st.sampled_from([None, ("pinata",), REMOTES]), number=st.integers(10, 99))
def test_adding_and_removing_leaves_the_file_byte_for_byte(
    path: Path, name: str | None, meta: dict[str, str] | None, remotes: tuple[str, ...] | None, number: int
) -> None:
    path.write_text(WRITTEN)
    (added,) = add(path, NewEntry(cid(number), name, meta, remotes)).added
    assert (added.name, added.meta, added.remotes) == (name, meta, remotes)
    remove(path, old_cid(number))
    assert path.read_text() == WRITTEN


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["P", "P2", "\n", "# note\n", "I"]), max_size=12).map(tuple),
    data=st.data(),
)
def test_a_removal_takes_its_entry_and_no_comment_or_other_entry(
    path: Path, pieces: tuple[str, ...], data: st.DataObject
) -> None:
    text = ""
    for number, piece in enumerate(pieces):
        extra = [] if piece == "P" else ["", "[pin.meta]", 'a = """', "# no comment", '"""']
        ignore = f'[[ignore]]\nname = "n{number}"\n'
        text += pin(number, *extra) if piece[0] == "P" else ignore if piece == "I" else piece
    path.write_text(text)
    there = [number for number, piece in enumerate(pieces) if piece[0] == "P"]
    gone = data.draw(st.sets(st.sampled_from(there))) if there else set()
    if gone:
        remove(path, *map(cid, gone))
    left = Disk().read(path, 1 << 20).decode()
    assert keys(path) == {key(number) for number in there if number not in gone}
    assert left.count("# note\n") == text.count("# note\n")
    assert left.count("[[ignore]]") == text.count("[[ignore]]")
    assert left.count('"""') == sum(2 for n in there if pieces[n] == "P2" and n not in gone)

"""The line of each value in a TOML text, which the parser does not tell."""

from __future__ import annotations

from collections.abc import Iterator

import tomli
from hypothesis import given
from hypothesis import strategies as st

from pinsync.settings.toml_lines import Loc, line_index, line_of

TEXT = """\
# [not.a.table]
top = "a # no comment"
dotted."quo.ted" . 'k' = 1

[safety]
multi = \"\"\"
[fake]
x = 1 \\\"\"\" still
\"\"\"\"\"
after = '''
[[fake]]
'''''
list = [ # [
  "a, b]", { deep = [
    1, 1979-05-27 07:32:00 ] },
]
last = 'C:\\'

[[remote]]
name = "a"
[[remote]]   # another
name = "b"
[remote.safety]
grace = "1h"
[[remote.sub]]
x = 1
[[remote.sub]]
x = 2
[[ remote ]]
safety = { grace = "1h",
  removals = "auto" }
"""


def test_every_form_of_value_keeps_its_line() -> None:
    tomli.loads(TEXT)
    index = line_index(TEXT)
    expected: dict[Loc, int] = {
        ("top",): 2,
        ("dotted", "quo.ted", "k"): 3,
        ("safety",): 5,
        ("safety", "multi"): 6,
        ("safety", "after"): 10,
        ("safety", "list"): 13,
        ("safety", "list", 0): 14,
        ("safety", "list", 1, "deep", 1): 15,
        ("safety", "last"): 17,
        ("remote", 0): 19,
        ("remote", 0, "name"): 20,
        ("remote", 1): 21,
        ("remote", 1, "name"): 22,
        ("remote", 1, "safety", "grace"): 24,
        ("remote", 1, "sub", 1): 27,
        ("remote", 1, "sub", 1, "x"): 28,
        ("remote", 2): 29,
        ("remote", 2, "safety", "removals"): 31,
    }
    assert {loc: index.get(loc) for loc in expected} == expected
    assert ("fake",) not in index


def test_what_is_missing_has_the_line_of_what_is_around_it() -> None:
    index = line_index(TEXT)
    assert line_of(index, ("remote", 1, "endpoint")) == 21
    assert line_of(index, ("remote", 0, "safety", "grace")) == 19
    assert line_of(index, ("nothing",)) is None


VALUES = st.sampled_from(
    ["1", '"#"', "'[x]'", '"""\n[[a]]\n""', "'''\n\n'", "[1,\n # ]\n 2]", "[]", "{}", '{ "a b" = [\n{x = 1}] }', "true",
     "1979-05-27 07:32:00Z", '"\\"]"', '"""a\\\n  b"""', "[[], [[1], 2,],]", "-inf"]
).map(lambda text: {'"""\n[[a]]\n""': '"""\n[[a]]\n"""""', "'''\n\n'": "'''\n\n''''"}.get(text, text))  # fmt: skip
LINES = st.lists(
    st.tuples(st.sampled_from(["key", "key", "dotted", "table", "array", "sub", "subarray", "#"]), VALUES), max_size=25
)


@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_every_value_of_any_text_is_found_on_the_line_where_its_key_was_written(
    lines: list[tuple[str, str]], end: str
) -> None:
    text, expected, table = "", dict[Loc, int](), Loc()
    arrays: dict[Loc, int] = {}
    for number, (kind, value) in enumerate(lines):
        line = text.count("\n") + 1
        if kind == "#":
            text += f"  # {value.splitlines()[0]}\n\n"
        elif kind == "key":
            text += f"k{number} = {value} # end\n"
            expected[(*table, f"k{number}")] = line
        elif kind == "dotted":
            text += f"d{number}.'e.f' = {value}\n"
            expected[(*table, f"d{number}", "e.f")] = line
        elif kind == "table":
            text += f" [ t{number} ]\n"
            table = (f"t{number}",)
            expected[table] = line
        else:
            keys: Loc = ("array",) if kind == "array" or ("array",) not in arrays else ("array", arrays[("array",)])
            if kind == "array" or keys == ("array",):
                text += "[[array]]\n"
            elif kind == "sub":
                keys = (*keys, f"s{number}")
                text += f"[array.s{number}]\n"
                table = keys
                expected[table] = line
                continue
            else:
                keys = (*keys, "list")
                text += "[[array.list]]\n"
            arrays[keys] = arrays.get(keys, -1) + 1
            table = (*keys, arrays[keys])
            expected[table] = line
    text = text.replace("\n", end)
    index = line_index(text)
    assert {loc: index.get(loc) for loc in expected} == expected
    assert set(leaves(tomli.loads(text))) <= set(index)


def leaves(value: object, at: Loc = ()) -> Iterator[Loc]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*at, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from leaves(inner, (*at, position))
    else:
        yield at

"""What is wanted at a remote: nodes and manifest, merged field by field (docs/semantics.md, *Wanted*)."""

from __future__ import annotations

from collections.abc import Sequence

from pinsync.model import DesiredPin, Excluded, Ignore, ManifestPin
from pinsync.sources.kubo_pins import NameFilter
from pinsync.sources.merge import Ignores, NodeRow, NodeRules, wanted_at

from .planning import cid, key

RULES = [NodeRules("node:a", NameFilter(skip=["tmp-*"]).wants), NodeRules("node:b", NameFilter().wants)]


def node(of: str, name: str | None = "", index: int = 0, spelt: str | None = None) -> NodeRow:
    return key(of), index, spelt or cid(of), name


def manifest(of: str, **fields: object) -> ManifestPin:
    return ManifestPin(key(of), cid(of), **fields)  # type: ignore[arg-type]


def merged(
    rows: Sequence[NodeRow] = (), pins: Sequence[ManifestPin] = (), ignores: Sequence[Ignore] = (),
    *, remote: str = "there", takes_nodes: bool = True,
) -> dict[str, DesiredPin]:  # fmt: skip
    found = wanted_at(remote, takes_nodes, sorted(rows), RULES, sorted(pins, key=lambda pin: pin.key), Ignores(ignores))
    out = list(found)
    assert [pin.key for pin in out] == sorted(pin.key for pin in out)
    return {of: pin for of in "abcdef" for pin in out if pin.key == key(of)}


def test_the_union_of_nodes_and_manifest_is_wanted() -> None:
    out = merged([node("a"), node("b", "docs", 1), node("a", "", 1)], [manifest("c", name="x")])
    assert {of: pin.sources for of, pin in out.items()} == {
        "a": ("node:a", "node:b"), "b": ("node:b",), "c": ("manifest",),
    }  # fmt: skip
    assert (out["b"].name, out["c"].name) == ("docs", "x")
    assert all(pin.excluded is Excluded.NOT for pin in out.values())


def test_an_omitted_field_falls_back_to_the_node_and_the_manifests_spelling_wins() -> None:
    out = merged(
        [node("a", "from the node", spelt="Qmnode"), node("b", "from the node")],
        [manifest("a", meta={"team": "web"}), manifest("b", name="mine")],
    )
    assert (out["a"].name, out["a"].meta, out["a"].cid) == ("from the node", {"team": "web"}, cid("a"))
    assert out["b"].name == "mine"
    assert out["a"].sources == ("node:a", "manifest")


def test_filters_ignores_and_routing_exclude_with_their_reason() -> None:
    ignores = [Ignore(key("b"), None), Ignore(None, "scratch-*")]
    out = merged(
        [node("a", "tmp-1"), node("b"), node("c", "scratch-9"), node("d", "keep")],
        [manifest("e", remotes=("other",))],
        ignores,
    )
    assert {of: pin.excluded for of, pin in out.items()} == {
        "a": Excluded.FILTER, "b": Excluded.IGNORED, "c": Excluded.IGNORED, "d": Excluded.NOT, "e": Excluded.ROUTING,
    }  # fmt: skip


def test_a_pin_entry_wins_over_ignore_and_over_filters() -> None:
    out = merged([node("a", "tmp-1"), node("b")], [manifest("a"), manifest("b")], [Ignore(key("b"), None)])
    assert all(pin.excluded is Excluded.NOT for pin in out.values())
    assert out["b"].sources == ("manifest",)


def test_one_node_that_wants_it_is_enough() -> None:
    out = merged([node("a", "tmp-1", 0), node("a", "kept", 1)])
    assert (out["a"].excluded, out["a"].sources, out["a"].name) == (Excluded.NOT, ("node:b",), "kept")


def test_a_remote_without_nodes_takes_manifest_entries_and_an_explicit_list_wins() -> None:
    rows = [node("a"), node("b"), node("c")]
    pins = [manifest("b"), manifest("c", remotes=("there",)), manifest("d", remotes=("other",))]
    here = merged(rows, pins, takes_nodes=False)
    assert {of: pin.excluded for of, pin in here.items()} == {
        "a": Excluded.ROUTING, "b": Excluded.NOT, "c": Excluded.NOT, "d": Excluded.ROUTING,
    }  # fmt: skip
    assert merged(rows, pins)["d"].excluded is Excluded.ROUTING


def test_names_that_the_node_does_not_tell_stay_unknown() -> None:
    assert merged([node("a", None, 1)])["a"].name is None

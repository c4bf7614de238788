"""What happens at the sources of a history: nodes and manifests, right and wrong."""

from __future__ import annotations

from .mirror import SimMirror
from .stage import CIDS, NAMES, Stage
from .truth import ManifestTruth, NodeTruth


class AtSources(Stage):
    """Actions on nodes and manifests."""

    # -- a node -----------------------------------------------------------------------------------------------------

    def _noded(self, mirror: SimMirror, node: NodeTruth) -> None:
        self.oracle.changed(mirror.watch, source=f"node:{node.name}")

    def do_pin(self, m: int, n: int, c: int, name: int) -> None:
        mirror, node = self._node(m, n)
        cid = self._cid(c)
        if not any(other in node.pins for other in CIDS[c % self.spec["contents"]]):
            node.pins[cid] = NAMES[name % len(NAMES)]
        self._noded(mirror, node)

    def do_unpin(self, m: int, n: int, c: int) -> None:
        mirror, node = self._node(m, n)
        if node.pins:
            del node.pins[list(node.pins)[c % len(node.pins)]]
        self._noded(mirror, node)

    def do_rename(self, m: int, n: int, c: int, name: int) -> None:
        mirror, node = self._node(m, n)
        if node.pins:
            node.pins[list(node.pins)[c % len(node.pins)]] = NAMES[name % len(NAMES)]
        self._noded(mirror, node)

    def do_away(self, m: int, n: int) -> None:
        mirror, node = self._node(m, n)
        node.away = True
        self._noded(mirror, node)

    def do_cut(self, m: int, n: int, most: int) -> None:
        mirror, node = self._node(m, n)
        node.cut = most
        self._noded(mirror, node)

    def do_silent(self, m: int, n: int, most: int) -> None:
        mirror, node = self._node(m, n)
        node.silent = most
        self._noded(mirror, node)

    def do_hide(self, m: int, n: int, c: int) -> None:
        mirror, node = self._node(m, n)
        if node.pins:
            node.hidden = {list(node.pins)[c % len(node.pins)]}
        self._noded(mirror, node)

    def do_peer(self, m: int, n: int, number: int) -> None:
        mirror, node = self._node(m, n)
        node.peer = f"12D3KooWOther{number}"
        self._noded(mirror, node)

    def do_empty(self, m: int, n: int) -> None:
        mirror, node = self._node(m, n)
        if node.pins:
            node.saved, node.pins = node.pins, {}
        self._noded(mirror, node)

    def do_heal_node(self, m: int, n: int) -> None:
        mirror, node = self._node(m, n)
        node.away, node.cut, node.silent, node.hidden = False, None, None, set()
        if node.saved is not None and not node.pins:
            node.pins, node.saved = node.saved, None
        self._noded(mirror, node)

    # -- the manifest -----------------------------------------------------------------------------------------------

    def _write(self, mirror: SimMirror) -> None:
        """The manifest's files as the truth has them."""
        manifest = mirror.wishes.manifest
        if not manifest.configured:
            return
        path, lists = mirror.directory / "pins.toml", mirror.directory / "lists"
        lists.mkdir(exist_ok=True)
        listed = lists / "some.txt"
        if manifest.include and manifest.list_there:
            listed.write_text("".join(f"{cid} {name}\n" for cid, name in manifest.listed.items()))
        else:
            listed.unlink(missing_ok=True)
        if manifest.state == "missing":
            path.unlink(missing_ok=True)
            return
        lines = ['include = ["lists/*.txt"]'] if manifest.include else []
        for cid, (name, remotes) in manifest.main.items():
            lines += ["[[pin]]", f'cid = "{cid}"']
            lines += [f'name = "{name}"'] if name is not None else []
            lines += [f"remotes = [{', '.join(map(repr, remotes))}]"] if remotes is not None else []
        for cid in manifest.ignored:
            lines += ["[[ignore]]", f'cid = "{cid}"']
        for glob in manifest.ignored_names:
            lines += ["[[ignore]]", f'name = "{glob}"']
        if manifest.state == "invalid":
            lines.append("[[pin")
        path.write_text("\n".join(lines) + "\n")

    def _edited(self, mirror: SimMirror, state: str = "good") -> None:
        manifest = mirror.wishes.manifest
        manifest.state = state
        if mirror.wishes.readable:
            manifest.last_good = manifest.written()
        self._write(mirror)
        self.oracle.changed(mirror.watch, source="manifest")

    def _there(self, manifest: ManifestTruth, c: int) -> bool:
        spellings = CIDS[c % self.spec["contents"]]
        return any(cid in manifest.main or cid in manifest.listed for cid in spellings)

    def do_entry(self, m: int, c: int, name: int, routing: int) -> None:
        mirror = self._mirror(m)
        manifest = mirror.wishes.manifest
        names = list(self.remotes)
        routes = (None, None, (names[routing % len(names)],), tuple(names))
        if not self._there(manifest, c):
            said = NAMES[name % len(NAMES)]
            manifest.main[self._cid(c)] = (said or None, routes[routing % 4])
        self._edited(mirror)

    def do_line(self, m: int, c: int, name: int) -> None:
        mirror = self._mirror(m)
        manifest = mirror.wishes.manifest
        if not self._there(manifest, c):
            manifest.listed[self._cid(c)] = NAMES[name % len(NAMES)]
            manifest.list_there = True
        self._edited(mirror)

    def do_strike(self, m: int, c: int) -> None:
        mirror = self._mirror(m)
        manifest = mirror.wishes.manifest
        if manifest.main:
            del manifest.main[list(manifest.main)[c % len(manifest.main)]]
        self._edited(mirror)

    def do_ignore(self, m: int, c: int) -> None:
        mirror = self._mirror(m)
        manifest = mirror.wishes.manifest
        if c % 3 == 0:
            manifest.ignored_names = () if manifest.ignored_names else ("tmp-*",)
        else:
            manifest.ignored = () if manifest.ignored else (self._cid(c),)
        self._edited(mirror)

    def do_invalid(self, m: int) -> None:
        self._edited(self._mirror(m), "invalid")

    def do_missing(self, m: int) -> None:
        self._edited(self._mirror(m), "missing")

    def do_clear(self, m: int) -> None:
        mirror = self._mirror(m)
        mirror.wishes.manifest.main.clear()
        mirror.wishes.manifest.ignored = mirror.wishes.manifest.ignored_names = ()
        self._edited(mirror)

    def do_list_gone(self, m: int) -> None:
        mirror = self._mirror(m)
        mirror.wishes.manifest.list_there = not mirror.wishes.manifest.list_there
        self._edited(mirror, mirror.wishes.manifest.state)

    def do_mend(self, m: int) -> None:
        self._edited(self._mirror(m))

"""Configurations and environments that nobody would write. Either they are in force whole, or every reason is told.

A token stands in places where it does not belong. No message may show it.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from pinsync.errors import ConfigError, PinsyncError
from pinsync.house import House
from pinsync.settings import load
from pinsync.settings.model import Settings
from pinsync.settings.places import socket_path
from pinsync.settings.schema import TABLES
from tests.fuzz.kit import EDITS, JSONS, TEXT, Case, Target, edited, scratch, speakable
from tests.fuzz.manifests import toml_text

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmdXp6In0.c2VjcmV0LXQwa2Vu"


def check(case: Case) -> None:
    with scratch() as root:
        path = root / "config.toml"
        if case["file"] is not None:
            path.write_bytes(case["file"])
        (root / "tokens").mkdir()
        for name, content in case["tokens"].items():
            (root / "tokens" / name).write_bytes(content)
        env = {name: text for name, text in case["env"].items() if "\0" not in name + text and "=" not in name}
        env = {"HOME": str(root), "CREDENTIALS_DIRECTORY": str(root / "tokens"), **env}
        try:
            settings = load(path if case["file"] is not None else None, env=env)
        except ConfigError as error:
            hides(speakable(error))
            return
        assert settings.remotes
        for warning in settings.warnings:
            hides(speakable(warning))
        _use(settings, env)


def hides(text: str) -> None:
    assert SECRET not in text, text


def _use(settings: Settings, env: dict[str, str]) -> None:
    """What every command does next."""
    socket_path(settings, env)
    house = House(settings, env)
    try:
        for warning in house.unlock():
            hides(speakable(warning))
    except PinsyncError as error:
        hides(speakable(error))
    for remote in settings.remotes:
        try:
            hides(repr(house.remote(remote)))
        except PinsyncError as error:
            hides(speakable(error))
    for node in settings.nodes:
        try:
            hides(repr(house.node(node)))
        except PinsyncError as error:
            hides(speakable(error))
    if SECRET not in repr(settings):  # a path, where a token may stand too
        hides(repr(house))


# -- cases

GOOD: dict[str, list[str]] = {
    "id": ['"web-1"'],
    "api": ['"auto"', '"http://127.0.0.1:5001"', '"/ip4/127.0.0.1/tcp/5001"', '"unix:/run/kubo.sock"'],
    "authorization_file": ['""', '"tokens/node"'],
    "peer_id": ['""'],
    "mirror": ["true", "false"],
    "only_names": ["[]", '["a*"]'],
    "skip_names": ["[]", '["[!"]'],
    "timeout": ['"30s"'],
    "retry_for": ['"0s"'],
    "path": ['"pins.toml"', '""', '"~/x"', '"../x"'],
    "every": ['"15m"'],
    "full_listing": ['"6h"'],
    "removals": ['"auto"', '"never"'],
    "grace": ['"7d"', '"0s"'],
    "max_removals": ["0", "5"],
    "max_removal_share": ["10", "2.5"],
    "max_lost_share": ["10"],
    "name": ['"there"', '"a.b"', '"a-b"', '"a_b"'],
    "mode": ['"mirror"', '"read-only"'],
    "endpoint": ['"https://pins.example"', '"http://127.0.0.1:1/pins/"', '"https://[::1]:9/x"'],
    "token_file": ['"tokens/there"', '""'],
    "auth": ['"bearer"', '"basic"', '"none"'],
    "nodes": ["true"],
    "rate": ['"30/10s"', '""'],
    "concurrency": ["1", "64"],
    "origins": ['"auto"', '["/dns4/x/tcp/1/p2p/12D3KooWx"]'],
    "ca_file": ['""', '"nowhere.pem"'],
    "safety": ['{ grace = "30d" }'],
}
LOST_TOKENS = st.sampled_from(
    [
        SECRET,
        f"Bearer {SECRET}",
        f"user:{SECRET}",
        f"https://user:{SECRET}@pins.example",
        f"https://pins.example/?key={SECRET}",
        f"http://{SECRET}@127.0.0.1:5001",
        f"https://pins.example/#{SECRET}",
        f"{SECRET}\n",
        f" {SECRET}",
        f"{SECRET}/10s",
    ]
)
SHOWN = {"endpoint", "path", "name", "api", "id"}
"""Keys whose values people have to see in messages: an address, a path, a name. Of a token in an address that is one,
only what stands where tokens stand there (user, query) is kept back."""
BAD_VALUES = st.one_of(
    TEXT.map(toml_text),
    JSONS.map(lambda value: json.dumps(value)),
    st.sampled_from(
        [
            "nan",
            "inf",
            "-inf",
            "1979-05-27",
            "[[1]]",
            "{}",
            '"1e999d"',
            '"9999999999999999999d"',
            '"-1s"',
            '"0/0s"',
            '"1/1e-300s"',
            '"١٥m"',
            "9" * 400,
            '"http://[::1"',
            '"https://x:99999"',
            '"https://xn--a.example"',
            '"http://ä.example"',
            '"https://a..b"',
            '"https://%00"',
            '"https://.:1"',
            '"/ip4/1.2.3.4"',
            '"/unix"',
            '"unix:"',
            '"/dns4//tcp/5001"',
            '"/ip6/::1/tcp/99999/http"',
            '"http://127.0.0.1:5001/api/v0"',
        ]
    ),
)


def pairs(table: str) -> st.SearchStrategy[str]:
    keys = sorted(TABLES[table].model_fields)
    good = st.sampled_from(keys).flatmap(
        lambda key: st.sampled_from(GOOD.get(key, ['""', '"x"'])).map(lambda value: f"{key} = {value}")
    )
    bad = st.tuples(st.sampled_from([*keys, "x", "token", "max_removal", '""', "safety.grace"]), BAD_VALUES).map(
        " = ".join
    )
    lost = st.tuples(
        st.sampled_from([key for key in keys if key not in SHOWN] + ["token", "key", "x"]), LOST_TOKENS.map(toml_text)
    ).map(" = ".join)
    addresses = st.tuples(
        st.sampled_from([key for key in keys if key in ("endpoint", "api")] or ["token"]),
        st.sampled_from(
            [
                f'"https://user:{SECRET}@pins.example"',
                f'"https://pins.example/?key={SECRET}"',
                f'"https://{SECRET}@x"',
                f'"https://pins.example/#{SECRET}"',
            ]
        ),
    ).map(" = ".join)
    return st.one_of(good, good, good, bad, lost, addresses)


HEADERS = {name: [f"[[{name}]]", f"[{name}]"] if name in ("remote", "kubo") else [f"[{name}]"] for name in TABLES}
BLOCKS = st.sampled_from(sorted(TABLES)).flatmap(
    lambda table: st.tuples(st.sampled_from(HEADERS[table]), st.lists(pairs(table), max_size=4)).map(
        lambda one: "\n".join([one[0], *{pair.partition(" = ")[0]: pair for pair in one[1]}.values()])
    )
)
REMOTE = st.sampled_from(
    [
        '[[remote]]\nname = "there"\nendpoint = "https://pins.example"\n',
        '[[remote]]\nname = "there"\n',
        "",
        '[[remote]]\nname = "there"\ntoken_file = "tokens/there"\n',
        '[[remote]]\nname = "there"\nauth = "basic"\n',
    ]
)
TOMLS = st.tuples(REMOTE, st.lists(BLOCKS, max_size=4)).map(
    lambda one: "\n".join([*one[1], one[0]]).encode("utf-8", "replace")
)
FILES = st.one_of(
    TOMLS,
    TOMLS,
    TOMLS,
    st.tuples(TOMLS, EDITS).map(lambda pair: edited(*pair)),
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"[" * 20_000,
            b"a." * 5000 + b"a=1",
            b"[[remote]]\n" * 3000,
            b"x = 1\n",
            b"#" * 100_000,
            b"[[kubo]]\n[[remote]]\nname = 'x'\n" * 50,
            f"{SECRET}\n".encode(),
            f"[{SECRET}\n".encode(),
        ]
    ),
)
VARIABLES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(sorted(TABLES)).flatmap(
        lambda table: st.tuples(
            st.sampled_from(sorted(TABLES[table].model_fields)).map(lambda key: f"PINSYNC_{table}__{key}".upper()),
            st.one_of(
                TEXT, LOST_TOKENS, st.sampled_from(["true", "5", "30s", "[]", "{", '{"a":1}', "null", '["a"]', "1e999"])
            ),
        )
    ),
    st.tuples(
        st.sampled_from(
            [
                "PINSYNC_REMOTE",
                "PINSYNC_KUBO",
                "PINSYNC_SAFETY",
                "PINSYNC_SAFTY__GRACE",
                "PINSYNC_SAFETY_GRACE",
                "PINSYNC_REMOTE__NAME",
                "PINSYNC_PORT",
                "PINSYNC_",
                "PINSYNC___",
                "PINSYNC_SAFETY__GRACE__X",
            ]
        ),
        st.one_of(
            TEXT,
            LOST_TOKENS,
            JSONS.map(json.dumps),
            st.sampled_from(
                [
                    '[{"name": "there"}]',
                    '[{"name": "there", "auth": "none"}]',
                    "[" * 5000,
                    '[{"name": "' + SECRET + ' "}]',
                    '[{"token": "' + SECRET + '"}]',
                    "[1]",
                    '{"name": "x"}',
                    "[]",
                    "9" * 5000,
                ]
            ),
        ),
    ),
    st.tuples(st.sampled_from(["PINSYNC_TOKEN_THERE", "PINSYNC_TOKEN_A_B"]), st.one_of(LOST_TOKENS, TEXT)),
    st.tuples(
        st.sampled_from(
            ["HOME", "XDG_STATE_HOME", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "IPFS_PATH", "XDG_RUNTIME_DIR"]
        ),
        st.sampled_from(["", "/", "relative", "/nowhere", "/dev/null", "/x" * 200, "\ud800"]),
    ),
).filter(lambda pair: pair[1].isascii() or "\ud800" not in pair[1])
CONFIG = Target(
    "config",
    st.fixed_dictionaries(
        {
            "file": st.one_of(FILES, FILES, FILES, st.none()),
            "env": st.lists(VARIABLES, max_size=3).map(dict),
            "tokens": st.dictionaries(
                st.sampled_from(["there", "there.token", "a.b.token", "node", "kubo.authorization"]),
                st.one_of(
                    LOST_TOKENS.map(str.encode),
                    st.binary(max_size=20),
                    st.sampled_from(
                        [
                            b"",
                            b"\n",
                            SECRET.encode() + b"\nsecond",
                            b"\xff\xfe" + SECRET.encode("utf-16-le"),
                            SECRET.encode() + b"\0",
                            b"x" * 70_000,
                            b'"' + SECRET.encode() + b'"',
                            b"Bearer",
                            b"bearer:" + SECRET.encode(),
                            b"basic:u:" + SECRET.encode(),
                        ]
                    ),
                ),
                max_size=2,
            ),
        }
    ),
    check,
)

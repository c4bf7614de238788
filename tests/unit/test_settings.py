"""The configuration: where it is found, what it may say, and how it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pinsync.errors import ConfigError
from pinsync.model import Mode, Removals
from pinsync.settings import (
    ConfigFile,
    Rate,
    RemoteSettings,
    Safety,
    Schedule,
    Settings,
    find_config,
    load,
    places,
    socket_path,
)

ONE = '[[remote]]\nname = "nftstorage"\n'
SECRET = "eyJhbGciOi+this-must-never-be=shown"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and a system without a configuration."""
    monkeypatch.setattr(places, "SYSTEM_CONFIG", tmp_path / "etc/pinsync/config.toml")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def read(path: Path, text: str, **env: str) -> Settings:
    path.write_text(text)
    return load(path, env={"HOME": str(path.parent), **env})


def refused(path: Path, text: str | bytes, **env: str) -> list[str]:
    """The problems that a configuration has, its own path shortened to `config.toml`."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return problems(path, {"HOME": str(path.parent), **env})


def problems(path: Path | None, env: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, env=env)
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value) + repr(caught.value)
    return [str(one).replace(f"{path}:", "config.toml:") for one in caught.value.problems]


class TestSearch:
    def test_the_first_of_the_four_places_is_taken(self, home: Path, tmp_path: Path) -> None:
        mine, system = home / ".config/pinsync/config.toml", places.SYSTEM_CONFIG
        env = {"HOME": str(home)}
        nothing = find_config(None, env)
        assert nothing.path is None
        assert str(mine) in nothing.why
        assert str(system) in nothing.why
        for path in (system, mine):
            path.parent.mkdir(parents=True)
            path.write_text(ONE)
            assert find_config(None, env).path == path
        other = tmp_path / "xdg"
        assert find_config(None, {**env, "XDG_CONFIG_HOME": str(other)}).path == system
        env["PINSYNC_CONFIG"] = str(tmp_path / "named.toml")
        assert find_config(None, env) == ConfigFile(tmp_path / "named.toml", "named by $PINSYNC_CONFIG")
        assert find_config(tmp_path / "x.toml", env) == ConfigFile(tmp_path / "x.toml", "given by --config")

    def test_a_relative_xdg_directory_and_an_empty_variable_count_as_unset(self, home: Path) -> None:
        mine = home / ".config/pinsync/config.toml"
        mine.parent.mkdir(parents=True)
        mine.write_text(ONE)
        env = {"HOME": str(home), "XDG_CONFIG_HOME": "relative", "PINSYNC_CONFIG": ""}
        assert find_config(None, env).path == mine

    def test_a_dangling_link_is_not_passed_over_for_the_systems_file(self, home: Path) -> None:
        mine = home / ".config/pinsync/config.toml"
        mine.parent.mkdir(parents=True)
        mine.symlink_to("gone.toml")
        places.SYSTEM_CONFIG.parent.mkdir(parents=True)
        places.SYSTEM_CONFIG.write_text(ONE)
        assert problems(None, {"HOME": str(home)}) == [
            f"{mine}: the configuration is a link to a file that is not there"
        ]

    def test_nothing_found_says_where_it_looked_and_what_to_do(self, home: Path) -> None:
        [problem] = problems(None, {"HOME": str(home)})
        for part in ("--config", "$PINSYNC_CONFIG", str(home / ".config/pinsync/config.toml"), "config.example.toml"):
            assert part in problem
        assert str(places.SYSTEM_CONFIG) in problem

    @pytest.mark.parametrize("how", ["explicit", "variable"])
    def test_a_named_file_that_is_missing_is_an_error_whatever_else_there_is(self, home: Path, how: str) -> None:
        gone = home / "gone.toml"
        env = {"HOME": str(home), "PINSYNC_REMOTE": '[{"name": "a"}]'}
        if how == "variable":
            env["PINSYNC_CONFIG"] = str(gone)
        [problem] = problems(gone if how == "explicit" else None, env)
        assert problem.endswith("the configuration is not there")

    def test_the_environment_alone_is_enough(self, home: Path) -> None:
        env = {"HOME": str(home), "PINSYNC_REMOTE": '[{"name": "a", "auth": "none"}]', "PINSYNC_STATE__PATH": "/s/x.db"}
        settings = load(env=env)
        assert settings.source.path is None
        assert [remote.name for remote in settings.remotes] == ["a"]
        assert settings.state.path == Path("/s/x.db")
        assert settings.manifest.path is None  # not "pins.toml" of wherever the command was started
        settings = load(env={**env, "PINSYNC_MANIFEST__PATH": "/data/pins.toml"})
        assert settings.manifest.path == Path("/data/pins.toml")


class TestValues:
    def test_a_remote_with_a_name_is_a_whole_configuration(self, config: Path) -> None:
        settings = read(config, ONE)
        assert settings.remotes == (RemoteSettings("nftstorage"),)
        assert settings.remotes[0].endpoint == "https://api.nft.storage/pins"
        assert settings.remotes[0].rate == "default"
        assert settings.schedule == Schedule(900.0, 21600.0)
        assert settings.safety == Safety(Removals.AUTO, 7 * 86400.0, 100, 10.0, 10.0)
        assert [(node.name, node.api, node.mirror, node.sole) for node in settings.nodes] == [
            ("kubo", "auto", True, True)
        ]
        assert settings.mirror.id is None
        assert settings.manifest.path == config.parent / "pins.toml"
        assert not settings.manifest.configured
        assert settings.warnings == ()

    def test_every_key_is_read(self, config: Path) -> None:
        settings = read(
            config,
            """
            [mirror]
            id = "web-1-3fa2c1"
            [kubo]
            name = "home"
            api = "/ip4/127.0.0.1/tcp/5002"
            authorization_file = "auth"
            peer_id = "12D3KooWAbcdefghijkmnopqrstuvwxyz123456789ABCDEFGHJK"
            mirror = false
            only_names = ["a*"]
            skip_names = ["b*", "c"]
            timeout = "1m"
            retry_for = "0s"
            [manifest]
            path = "m/pins.toml"
            [state]
            path = "ledger.db"
            [schedule]
            every = "1s"
            full_listing = "1d"
            [safety]
            removals = "approve"
            grace = "0s"
            max_removals = 0
            max_removal_share = 0.5
            max_lost_share = 100
            [[remote]]
            name = "own"
            endpoint = "http://127.0.0.1:9097/"
            mode = "add-only"
            token_file = "own.token"
            auth = "basic"
            nodes = false
            rate = "5/s"
            concurrency = 64
            origins = ["/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWAbc"]
            timeout = "0.5s"
            retry_for = "1h"
            ca_file = "ca.pem"
            """,
        )
        here = config.parent
        assert settings.mirror.id == "web-1-3fa2c1"
        [node] = settings.nodes
        assert (node.name, node.api, node.mirror) == ("home", "/ip4/127.0.0.1/tcp/5002", False)
        assert node.authorization_file == here / "auth"
        assert (node.peer_id or "").startswith("12D3KooW")
        assert (node.only_names, node.skip_names) == (("a*",), ("b*", "c"))
        assert (node.timeout, node.retry_for) == (60.0, 0.0)
        assert settings.manifest.path == here / "m/pins.toml"
        assert settings.manifest.configured
        assert settings.state.path == here / "ledger.db"
        assert settings.schedule == Schedule(1.0, 86400.0)
        assert settings.safety == Safety(Removals.APPROVE, 0.0, 0, 0.5, 100.0)
        assert settings.remotes == (
            RemoteSettings(
                name="own",
                endpoint="http://127.0.0.1:9097/pins",
                mode=Mode.ADD_ONLY,
                token_file=here / "own.token",
                auth="basic",
                nodes=False,
                rate=Rate(5, 1.0),
                concurrency=64,
                origins=("/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWAbc",),
                timeout=0.5,
                retry_for=3600.0,
                ca_file=here / "ca.pem",
                safety=settings.safety,
            ),
        )

    def test_a_remotes_own_safety_goes_over_the_global_one_key_by_key(self, config: Path) -> None:
        text = (
            '[safety]\nmax_removals = 7\ngrace = "1h"\n' + ONE + 'safety = { grace = "30d" }\n[[remote]]\nname = "b"\n'
        )
        first, second = read(config, text, PINSYNC_TOKEN_B="x").remotes
        assert (first.safety.grace, first.safety.max_removals) == (30 * 86400.0, 7)
        assert second.safety == Safety(grace=3600.0, max_removals=7)

    def test_a_value_set_to_its_default_in_a_remote_still_beats_the_global_one(self, config: Path) -> None:
        text = '[safety]\ngrace = "1h"\n' + ONE + 'safety = { grace = "7d" }\n'
        assert read(config, text).remotes[0].safety.grace == 7 * 86400.0

    @pytest.mark.parametrize(
        "written",
        ["https://a.example", "https://a.example/", "https://a.example/pins", "https://a.example/pins/"],
    )
    def test_an_endpoint_is_taken_with_and_without_pins_and_slash(self, config: Path, written: str) -> None:
        assert read(config, f'{ONE}endpoint = "{written}"').remotes[0].endpoint == "https://a.example/pins"

    def test_an_empty_rate_is_no_limit_and_an_empty_path_is_none(self, config: Path) -> None:
        text = f'{ONE}rate = ""\ntoken_file = ""\nca_file = ""\n[manifest]\npath = ""\n[kubo]\npeer_id = ""\n'
        settings = read(config, text)
        assert settings.remotes[0].rate is None
        assert settings.remotes[0].token_file is None
        assert settings.remotes[0].ca_file is None
        assert settings.manifest.path is None
        assert settings.nodes[0].peer_id is None

    def test_several_nodes_each_have_a_name(self, config: Path) -> None:
        settings = read(config, f'{ONE}[[kubo]]\nname = "a"\n[[kubo]]\nname = "b"\napi = "http://b.example:5001"\n')
        assert [(node.name, node.sole) for node in settings.nodes] == [("a", False), ("b", False)]
        assert [node.name for node in read(config, f'{ONE}[[kubo]]\napi = "auto"\n').nodes] == ["kubo"]

    def test_paths_are_relative_to_the_file_and_know_the_home_directory(
        self, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        text = f'{ONE}token_file = "~/t"\nca_file = "/abs/ca"\n[manifest]\npath = "../pins.toml"\n'
        expected = read(config, text)
        assert expected.remotes[0].token_file == tmp_path / "t"
        assert expected.remotes[0].ca_file == Path("/abs/ca")
        assert expected.manifest.path == tmp_path.parent / "pins.toml"
        monkeypatch.chdir(tmp_path)
        (tmp_path / "sub").mkdir()
        for same in (Path("config.toml"), Path("sub/../config.toml")):
            assert load(same, env={"HOME": str(tmp_path)}).fingerprint() == expected.fingerprint()

    def test_a_configuration_behind_a_switched_link_keeps_its_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "v1").mkdir()
        (tmp_path / "v1/config.toml").write_text(ONE)
        (tmp_path / "current").symlink_to("v1")
        settings = load(tmp_path / "current/config.toml", env={"HOME": str(tmp_path)})
        assert settings.manifest.path == tmp_path / "current/pins.toml"

    def test_the_ledgers_place_follows_the_configuration(self, config: Path) -> None:
        state = Path("pinsync/pinsync.db")
        assert read(config, ONE).state.path == config.parent / ".local/state" / state
        assert read(config, ONE, XDG_STATE_HOME="/x/state").state.path == Path("/x/state") / state
        for path in ("/etc/pinsync/config.toml", "/etc/other.toml"):
            found = places.default_state(ConfigFile(Path(path), ""), {"HOME": "/root", "XDG_STATE_HOME": "/x"})
            assert found == Path("/var/lib") / state

    def test_without_a_home_directory_the_ledgers_path_is_asked_for(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(places, "_home", lambda env: None)
        [problem] = refused(config, ONE)
        assert "state.path must be set" in problem
        assert read(config, ONE, PINSYNC_STATE__PATH="s.db").state.path == config.parent / "s.db"

    def test_a_byte_order_mark_is_no_matter(self, config: Path) -> None:
        config.write_bytes(b"\xef\xbb\xbf" + ONE.encode())
        assert load(config, env={"HOME": "/"}).remotes[0].name == "nftstorage"

    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("127.0.0.1:9753", ("127.0.0.1", 9753)), ("[::1]:9753", ("::1", 9753)), ("", None),
            ("localhost:80", ("127.0.0.1", 80)), ("127.9.9.9:0", ("127.9.9.9", 0)),
        ],
    )  # fmt: skip
    def test_where_to_listen(self, config: Path, text: str, address: tuple[str, int] | None) -> None:
        assert read(config, f'{ONE}[listen]\naddress = "{text}"\n').listen.address == address

    def test_the_metrics_file_is_relative_to_the_configuration(self, config: Path) -> None:
        assert read(config, ONE).metrics.textfile is None
        found = read(config, f'{ONE}[metrics]\ntextfile = "metrics/p.prom"\n')
        assert found.metrics.textfile == config.parent / "metrics/p.prom"


class TestEnvironment:
    def test_a_variable_goes_over_the_file_and_leaves_the_rest_of_its_table(self, config: Path) -> None:
        text = f'{ONE}[safety]\ngrace = "1h"\nmax_removals = 5\n'
        settings = read(
            config,
            text,
            PINSYNC_SAFETY__GRACE="48h",
            PINSYNC_SAFETY__MAX_LOST_SHARE="12.5",
            PINSYNC_SCHEDULE__EVERY="5m",
            PINSYNC_KUBO__MIRROR="false",
            PINSYNC_KUBO__ONLY_NAMES='["a", "b"]',
            PINSYNC_MANIFEST__PATH="other.toml",
        )
        assert settings.safety == Safety(grace=48 * 3600.0, max_removals=5, max_lost_share=12.5)
        assert settings.remotes[0].safety == settings.safety
        assert settings.schedule.every == 300.0
        assert not settings.nodes[0].mirror
        assert settings.nodes[0].only_names == ("a", "b")
        assert settings.manifest.path == config.parent / "other.toml"

    def test_only_the_given_environment_counts(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PINSYNC_SAFETY__GRACE", "1s")
        monkeypatch.setenv("PINSYNC_SAFETY__NONSENSE", "1s")
        assert read(config, ONE).safety.grace == 7 * 86400.0

    def test_the_remotes_come_as_a_json_list_in_place_of_the_files(self, config: Path) -> None:
        remotes = [{"name": "b", "auth": "none", "rate": "1/s", "safety": {"grace": "1h"}}]
        [remote] = read(config, ONE, PINSYNC_REMOTE=json.dumps(remotes)).remotes
        assert (remote.name, remote.rate, remote.safety.grace) == ("b", Rate(1, 1.0), 3600.0)
        assert read(config, ONE, PINSYNC_REMOTE="").remotes[0].name == "nftstorage"

    def test_a_wrong_value_is_reported_by_its_variable(self, config: Path) -> None:
        found = refused(
            config,
            ONE,
            PINSYNC_SAFETY__GRACE=SECRET,
            PINSYNC_SAFETY__MAX_REMOVALS="many",
            PINSYNC_KUBO__MIRROR="maybe",
            PINSYNC_KUBO__SKIP_NAMES=SECRET,
            PINSYNC_SAFETY__GRCE="1h",
        )
        assert len(found) == 5
        for line in (
            'environment variable PINSYNC_SAFETY__GRCE: unknown key "grce" in safety; did you mean "grace"?',
            "environment variable PINSYNC_SAFETY__MAX_REMOVALS: safety.max_removals must be a whole number",
            "environment variable PINSYNC_KUBO__MIRROR: kubo.mirror must be true or false",
            "environment variable PINSYNC_KUBO__SKIP_NAMES: kubo.skip_names must be a list as JSON, "
            'such as ["one", "two"]',
        ):
            assert line in found
        assert any("PINSYNC_SAFETY__GRACE: safety.grace must be a number with one unit" in line for line in found)

    @pytest.mark.parametrize("value", [f'[{{"name": "{SECRET}', '{"name": "a"}', SECRET, "[" * 100_000])
    def test_remotes_that_are_no_json_list_are_refused_without_being_shown(self, config: Path, value: str) -> None:
        assert refused(config, ONE, PINSYNC_REMOTE=value) == [
            'environment variable PINSYNC_REMOTE: remote must be a list of tables as JSON, such as [{"name": "…"}]'
        ]

    def test_what_was_surely_meant_as_a_setting_is_refused(self, config: Path) -> None:
        found = refused(
            config,
            ONE,
            PINSYNC_SAFTY__GRACE="1h",
            PINSYNC_SAFETY_GRACE="1h",
            PINSYNC_REMOTE__ENDPOINT="https://a.example",
        )
        assert sorted(found) == [
            "environment variable PINSYNC_REMOTE__ENDPOINT: remotes are set all at once, "
            "as a JSON list in PINSYNC_REMOTE",
            "environment variable PINSYNC_SAFETY_GRACE: not a setting; did you mean PINSYNC_SAFETY__GRACE?",
            'environment variable PINSYNC_SAFTY__GRACE: unknown table "safty"; did you mean "SAFETY"?',
        ]

    def test_names_that_others_make_are_left_alone(self, config: Path) -> None:
        kubernetes = {"PINSYNC_PORT": "tcp://10.0.0.1:80", "PINSYNC_SERVICE_HOST": "10.0.0.1"}
        assert read(config, ONE, PINSYNC_TOKEN_A__B="x", **kubernetes).remotes

    def test_a_variable_for_a_node_needs_to_be_clear_which(self, config: Path) -> None:
        one = f'{ONE}[[kubo]]\nname = "a"\n'
        assert read(config, one, PINSYNC_KUBO__API="http://x.example").nodes[0].api == "http://x.example"
        found = refused(config, f'{one}[[kubo]]\nname = "b"\n', PINSYNC_KUBO__API="http://x.example")
        assert len(found) == 1
        assert found[0].startswith("environment variable PINSYNC_KUBO__API: there are several nodes")
        both = '[{"name": "c"}, {"name": "d"}]'
        assert [node.name for node in read(config, one, PINSYNC_KUBO=both).nodes] == ["c", "d"]
        assert refused(config, ONE, PINSYNC_KUBO=both, PINSYNC_KUBO__API="auto")


class TestRefusals:
    @pytest.mark.parametrize(
        "address", ["0.0.0.0:9753", "192.0.2.1:9753", "[::]:9753", "[2001:db8::1]:9753", "[::ffff:192.0.2.1]:9753"]
    )
    def test_an_address_that_others_can_reach(self, config: Path, address: str) -> None:
        [problem] = refused(config, f'{ONE}[listen]\naddress = "{address}"\n')
        assert problem.startswith("config.toml:4: ")
        assert "must be a loopback address" in problem and "nobody is asked for a password" in problem

    @pytest.mark.parametrize(
        "address", ["9753", "127.0.0.1", "here:80", "127.0.0.1:99999", "::1:80", "[1.2.3:80", "1.2.3:80"]
    )
    def test_what_is_no_address(self, config: Path, address: str) -> None:
        [problem] = refused(config, f'{ONE}[listen]\naddress = "{address}"\n')
        assert "must be a loopback address and a port, such as" in problem

    def test_a_metrics_file_that_nobody_would_collect(self, config: Path) -> None:
        [problem] = refused(config, f'{ONE}[metrics]\ntextfile = "/x/metrics.txt"\n')
        assert "must end in .prom" in problem

    def test_all_at_once_in_file_order_each_with_its_line(self, config: Path) -> None:
        text = f"""\
[safety]
grace = "soon"
max_removals = -1
removals = "maybe"
grce = "{SECRET}"

[schedule]
every = 15
[[remote]]
name = "good"

[[remote]]
name = "bad"
concurrency = 65
tokn_file = "{SECRET}"
timeout = ["{SECRET}"]
safety = {{
  max_lost_share = 101 }}

[[remote]]
endpoint = "https://user:{SECRET}@a.example"
token = "{SECRET}"
[logging]
level = "{SECRET}"
"""
        found = refused(config, text)
        assert [line.split(": ", 1)[0] for line in found] == [
            f"config.toml:{number}" for number in (2, 3, 4, 5, 8, 14, 15, 16, 18, 20, 21, 22, 23)
        ]
        said = dict(line.removeprefix("config.toml:").split(": ", 1) for line in found)
        assert said["2"].startswith("safety.grace must be a number with one unit")
        assert said["3"] == "safety.max_removals must be between 0 and 1000000000"
        assert said["4"] == 'safety.removals must be "auto", "approve" or "never"'
        assert said["5"] == 'unknown key "grce" in safety; did you mean "grace"?'
        assert said["8"].startswith("schedule.every must be a duration")
        assert said["14"] == "remote bad: concurrency must be between 1 and 64"
        assert said["15"] == 'unknown key "tokn_file" in remote bad; did you mean "token_file"?'
        assert said["18"] == "remote bad: safety.max_lost_share must be between 0 and 100"
        assert said["20"] == "remote number 3: name is missing"
        assert "must not hold a user or password" in said["21"]
        assert "put it in a file and name that in token_file" in said["22"]
        assert said["23"].startswith('unknown key "logging"; known here: mirror, kubo')

    @pytest.mark.parametrize(
        ("key", "hint"),
        [
            ("[shedule]\n", 'did you mean "schedule"?'),
            ("[remotes]\n", 'did you mean "remote"?'),
            ('grace = "1h"\n', "it belongs in [safety]"),
            ('[kubo]\nfull_listing = "1h"\n', "it belongs in [schedule]"),
            ('[kubo]\nmax_removal = "1h"\n', 'did you mean "max_removals" in [safety]?'),
            ('[kubo]\nonly-names = ["a"]\n', 'did you mean "only_names"?'),
            ('[safety]\n"\\u001b[31m" = 1\n', '"\\u001b[31m"'),
        ],
    )
    def test_an_unknown_key_comes_with_the_closest_known_one(self, config: Path, key: str, hint: str) -> None:
        [problem] = refused(config, key + ONE)
        assert hint in problem
        assert "unknown key" in problem
        assert "\x1b" not in problem

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no remote"),
            ("# nothing\n\n", "no remote"),
            ("remote = []\n", "no remote"),
            ('[remote]\nname = "a"\n', "remote must be a table: write [[remote]], with two brackets"),
            ('remote = ["a"]\n', "remote number 1 must be a table"),
            (ONE + "safety = 1\n", "remote nftstorage: safety must be a table"),
            ("safety = 1\n" + ONE, "safety must be a table: write [safety]"),
            ("kubo = []\n" + ONE, "to mirror the manifest alone set mirror = false"),
            (ONE + 'mode = "mirorr"\n', 'mode must be "mirror", "add-only" or "read-only"'),
            (ONE + 'auth = "digest"\n', 'auth must be "bearer", "basic" or "none"'),
            (ONE + 'rate = "fast"\n', "rate must be requests/duration"),
            (ONE + "rate = 3\n", "rate must be requests/duration"),
            (ONE + 'rate = "0/10s"\n', "rate must allow 1 to"),
            (ONE + "nodes = 1\n", "nodes must be true or false"),
            (ONE + "concurrency = 0\n", "concurrency must be between 1 and 64"),
            (ONE + "concurrency = 2.5\n", "concurrency must be a whole number"),
            (ONE + 'timeout = "0s"\n', 'timeout must be between "0.1s" and "1h"'),
            (ONE + 'origins = "all"\n', 'origins must be "auto", "none" or a list'),
            (ONE + 'origins = ["/ip4/1.2.3.4/tcp/1"]\n', "origins must be multiaddrs that end with the peer id"),
            (ONE + f"origins = {['/ip4/1.2.3.4/p2p/12D'] * 21}\n", "origins must not have more than 20"),
            (ONE + 'endpoint = "api.nft.storage"\n', "endpoint must be a URL that starts with"),
            (ONE + 'endpoint = "ftp://a.example"\n', "endpoint must be a URL that starts with"),
            (ONE + 'endpoint = "https://"\n', "endpoint must be a URL that starts with"),
            (ONE + 'endpoint = "https://a.example:x"\n', "endpoint is not a URL"),
            (ONE + 'endpoint = "https://a.example/?token=x"\n', "endpoint must not have a query"),
            (ONE + 'endpoint = "https://a.example/#x"\n', "endpoint must not have a query"),
            (ONE + 'endpoint = "https://a.exa mple"\n', "endpoint must be a URL without spaces"),
            (ONE + 'token_file = "a\\u0000b"\n', "token_file must not contain control characters"),
            ('[[remote]]\nname = "../evil"\n', "name must be 1 to 64 letters"),
            (f'[[remote]]\nname = "{SECRET}"\n', "remote number 1: name must be 1 to 64 letters"),
            ('[[remote]]\nname = ""\n', "name must be 1 to 64 letters"),
            (f'[[remote]]\nname = "{"x" * 65}"\n', "name must be 1 to 64 letters"),
            (ONE + '[schedule]\nevery = "0.5s"\n', 'schedule.every must be between "1s" and "365d"'),
            (ONE + "[safety]\nmax_lost_share = nan\n", "safety.max_lost_share must be between 0 and 100"),
            (ONE + "[safety]\nmax_lost_share = -1\n", "safety.max_lost_share must be between 0 and 100"),
            (ONE + "[safety]\nmax_removals = true\n", "safety.max_removals must be a whole number"),
            (ONE + '[kubo]\napi = "127.0.0.1:5001"\n', 'kubo.api must be "auto", a URL (http://127.0.0.1:5001)'),
            (ONE + f'[kubo]\napi = "http://u:{SECRET}@h"\n', "name a file in authorization_file"),
            (ONE + '[kubo]\npeer_id = "Qm abc"\n', "kubo.peer_id must be a peer id"),
            (ONE + "[kubo]\nonly_names = [1]\n", "kubo.only_names[0] must be text in quotes"),
            (ONE + '[kubo]\nonly_names = "a*"\n', "kubo.only_names must be a list in [ ]"),
            (ONE + '[mirror]\nid = "a b"\n', "mirror.id must be 1 to 64 letters"),
            (ONE + "[state]\npath = 1979-05-27\n", "state.path must be text in quotes"),
        ],
    )
    def test_each_wrong_value_is_one_problem_that_says_what_is_right(self, config: Path, text: str, said: str) -> None:
        [problem] = refused(config, text)
        assert said in problem

    def test_no_remote_shows_the_two_lines_that_make_one(self, config: Path) -> None:
        [problem] = refused(config, "")
        assert '[[remote]]\n    name = "nftstorage"' in problem

    @pytest.mark.parametrize("nodes", ['[[kubo]]\nname = "a"\n[[kubo]]\nname = "a"\n'])
    def test_the_same_name_twice_names_both_places(self, config: Path, nodes: str) -> None:
        assert refused(config, nodes + ONE + ONE) == [
            "config.toml:4: kubo a: the same name is on line 2 already; rename one of them",
            "config.toml:8: remote nftstorage: the same name is on line 6 already; rename one of them",
        ]

    def test_several_nodes_without_names_are_refused(self, config: Path) -> None:
        assert refused(config, '[[kubo]]\nname = "a"\n[[kubo]]\n' + ONE) == [
            "config.toml:3: kubo number 2: name is missing; each of several needs one"
        ]

    def test_two_remotes_whose_token_variable_is_the_same_are_refused(self, config: Path) -> None:
        text = '[[remote]]\nname = "a-b"\n[[remote]]\nname = "A.b"\n'
        [problem] = refused(config, text)
        assert problem.startswith("config.toml:4: remote A.b: its token would be PINSYNC_TOKEN_A_B")
        assert "remote a-b on line 2" in problem

    def test_problems_between_tables_come_together_with_those_inside(self, config: Path) -> None:
        found = refused(config, ONE + ONE + "concurrency = 0\n")
        assert [line.split(":")[1] for line in found] == ["4", "5"]

    def test_a_great_many_problems_are_cut_with_their_number(self, config: Path) -> None:
        found = refused(config, "".join(f"x{number} = 1\n" for number in range(300)) + ONE)
        assert len(found) == 101
        assert found[-1] == "config.toml: and 200 more problems"

    def test_a_syntax_error_has_line_and_column(self, config: Path) -> None:
        assert refused(config, f'[[remote]]\nname = "a"\ntoken {SECRET}\n') == [
            "config.toml:3: not valid TOML, column 7: Expected '=' after a key in a key/value pair"
        ]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"\x7fELF\x02\0\0\0", "is not text"),
            (b'[[remote]]\nname = "\xff"\n', "is not UTF-8 (line 2)"),
            (ONE.encode("utf-16"), "is written in UTF-16"),
            (b"a = " + b"[" * 50_000, "nested too deeply"),
            (b"a = " + b"9" * 5_000, "a number or a date in it cannot be read"),
            (b'[[remote]]\nname = "half', "not valid TOML"),
        ],
    )
    def test_what_is_no_text_or_no_toml_is_one_problem(self, config: Path, content: bytes, said: str) -> None:
        [problem] = refused(config, content)
        assert said in problem

    def test_a_huge_file_is_refused_unread(self, config: Path) -> None:
        with config.open("wb") as file:
            file.truncate(100 * 1024 * 1024 * 1024)  # a hole: reading it would not end within the test
        assert "more than 10485760 are not read" in problems(config, {"HOME": "/"})[0]

    def test_a_directory_and_a_pipe_are_refused_without_waiting(self, config: Path, tmp_path: Path) -> None:
        assert "is a directory" in problems(tmp_path, {"HOME": "/"})[0]
        os.mkfifo(config)
        assert "is not a regular file" in problems(config, {"HOME": "/"})[0]

    def test_a_file_that_may_not_be_read_says_for_whom(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def closed(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        config.write_text(ONE)
        monkeypatch.setattr(Path, "open", closed)
        assert problems(config, {"HOME": "/"}) == [
            f"config.toml: the configuration may not be read by this user (uid {os.getuid()}); "
            "use sudo, or have its owner let this user read it"
        ]


class TestWarnings:
    def test_a_token_over_plain_http_is_warned_of_unless_it_stays_here(self, config: Path) -> None:
        for endpoint in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "https://a.example"):
            assert read(config, f'{ONE}endpoint = "{endpoint}"\n').warnings == ()
        assert read(config, f'{ONE}endpoint = "http://a.example"\nauth = "none"\n').warnings == ()
        [warning] = read(config, f'{ONE}endpoint = "http://a.example"\n').warnings
        assert "plain http" in warning

    def test_what_cannot_be_meant_is_warned_of(self, config: Path) -> None:
        [unused] = read(config, f'{ONE}auth = "none"\ntoken_file = "t"\n').warnings
        assert "token_file is not used" in unused
        [nothing] = read(config, f'{ONE}[kubo]\nmirror = false\n[manifest]\npath = ""\n').warnings
        assert "nothing is wanted" in nothing
        twice = (
            f'{ONE}token_file = "t"\n[[remote]]\nname = "b"\nendpoint = "https://api.nft.storage"\ntoken_file = "t"\n'
        )
        [same] = read(config, twice).warnings
        assert "remotes nftstorage and b are the same account" in same


class TestFingerprint:
    BASE = f'{ONE}[kubo]\nonly_names = ["a", "b"]\n'

    @pytest.mark.parametrize(
        ("changed", "part"),
        [
            (BASE.replace('"b"', '"c"'), "node kubo: only_names"),
            (BASE + 'skip_names = ["x"]\n', "node kubo: skip_names"),
            (BASE + "mirror = false\n", "node kubo: mirror"),
            (BASE + '[manifest]\npath = "other.toml"\n', "manifest.path"),
            (BASE + '[mirror]\nid = "x"\n', "mirror.id"),
            (BASE.replace(ONE, ONE + "nodes = false\n"), "remote nftstorage: nodes"),
            (BASE.replace(ONE, ONE + 'mode = "add-only"\n'), "remote nftstorage: mode"),
        ],
    )
    def test_what_decides_the_wish_changes_it_and_is_named(self, config: Path, changed: str, part: str) -> None:
        before, after = read(config, self.BASE), read(config, changed)
        assert before.fingerprint() != after.fingerprint()
        old, new = before.fingerprint_parts(), after.fingerprint_parts()
        assert {name for name in old if old[name] != new[name]} == {part}

    @pytest.mark.parametrize(
        "changed",
        [
            BASE.replace('"a", "b"', '"b", "a", "b"'),
            BASE + 'api = "http://127.0.0.1:5001"\ntimeout = "5s"\n',
            BASE + '[safety]\ngrace = "1h"\n[schedule]\nevery = "1h"\n[manifest]\npath = "./pins.toml"\n',
            BASE.replace(ONE, ONE + 'endpoint = "https://b.example"\nrate = "1/s"\ntoken_file = "t"\n'),
        ],
    )
    def test_nothing_else_changes_it(self, config: Path, changed: str) -> None:
        before = read(config, self.BASE)
        after = read(config, changed)
        assert before != after
        assert before.fingerprint() == after.fingerprint()

    def test_the_order_of_remotes_does_not_matter_but_their_number_does(self, config: Path) -> None:
        other = '[[remote]]\nname = "b"\n'
        assert read(config, ONE + other).fingerprint() == read(config, other + ONE).fingerprint()
        assert read(config, ONE + other).fingerprint() != read(config, ONE).fingerprint()


class TestSocket:
    def test_it_is_in_the_runtime_directory_or_run_or_beside_the_ledger(self, config: Path) -> None:
        mine = read(config, ONE, XDG_STATE_HOME="/s")
        assert socket_path(mine, {}) == Path("/s/pinsync/pinsync.sock")
        assert socket_path(mine, {"RUNTIME_DIRECTORY": "/run/a:/run/b"}) == Path("/run/a/pinsync.sock")
        system = Settings(
            ConfigFile(Path("/etc/pinsync/config.toml"), ""), mine.mirror, mine.nodes, mine.manifest, mine.state,
            mine.schedule, mine.safety, mine.remotes,
        )  # fmt: skip
        assert socket_path(system, {}) == Path("/run/pinsync/pinsync.sock")

    def test_a_path_too_long_for_a_socket_becomes_a_short_one_of_its_own(self, config: Path) -> None:
        deep = read(config, ONE, XDG_STATE_HOME="/" + "x" * 120)
        other = read(config, ONE, XDG_STATE_HOME="/" + "y" * 120)
        runtime = {"XDG_RUNTIME_DIR": "/run/user/1000"}
        short = socket_path(deep, runtime)
        assert short.parent == Path("/run/user/1000")
        assert short == socket_path(deep, {**runtime, "RUNTIME_DIRECTORY": "/" + "z" * 120})
        assert short != socket_path(other, runtime)
        assert socket_path(deep, {}).parent == Path("/tmp")
        assert socket_path(deep, {"XDG_RUNTIME_DIR": "/" + "x" * 120}).parent == Path("/tmp")


KEYS = st.sampled_from(
    ["mirror", "kubo", "manifest", "state", "schedule", "safety", "remote", "name", "grace", "api", "origins", "path",
     "rate", "only_names", "endpoint", "token", "timeout", "x", "self", "_env_file", "_cli_parse_args", ""]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.just(SECRET) | st.sampled_from(["auto", "7d", "a", "", "https://a.example", "\x00", f"https://a:{SECRET}@b"])
)  # fmt: skip
TREES = st.dictionaries(KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12), max_size=6)  # fmt: skip # noqa: E501


def toml(value: object) -> str:
    """Any JSON-like value as inline TOML; None, which TOML lacks, as a date."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "1979-05-27" if value is None else json.dumps(value)


class TestWhatever:
    """Whatever stands in it: settings, or `ConfigError` without a secret. Never another error."""

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(tree=TREES, whole_remote=st.booleans())
    def test_any_values_in_the_file(self, config: Path, tree: dict[str, object], whole_remote: bool) -> None:
        if whole_remote:
            tree = {**tree, "remote": [{"name": "a"}]}
        config.write_text("".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in tree.items()))
        try:
            load(config, env={"HOME": "/"})
        except ConfigError as error:
            assert error.problems
            assert SECRET not in str(error)
            assert all(one.line for one in error.problems if "no remote" not in one.message)

    @hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        variables=st.dictionaries(
            st.tuples(KEYS, KEYS).map(lambda pair: "__".join(pair).upper()) | KEYS.map(str.upper),
            TREES.map(json.dumps) | LEAVES.filter(lambda leaf: leaf != "\x00").map(str),
            max_size=5,
        )
    )
    def test_any_variables(self, config: Path, variables: dict[str, str]) -> None:
        config.write_text(ONE)
        try:
            load(config, env={"HOME": "/", **{f"PINSYNC_{name}": value for name, value in variables.items()}})
        except ConfigError as error:
            assert error.problems
            assert SECRET not in str(error)

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (ONE + text).encode(errors="replace"))
    )
    def test_any_bytes(self, config: Path, content: bytes) -> None:
        config.write_bytes(content)
        try:
            load(config, env={"HOME": "/"})
        except ConfigError as error:
            assert error.problems


def test_importing_the_package_leaves_pydantic_unloaded() -> None:
    code = "import pinsync.settings, sys; print(sorted({'pydantic', 'pydantic_settings', 'tomli'} & set(sys.modules)))"
    root = str(Path(places.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

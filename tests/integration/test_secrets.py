"""Where a token must not be: searched byte by byte after every way in which something can go wrong.

The servers repeat what they are told in every spelling (`echo`). The commands run in this process with every logger at
its lowest level, some of them and the daemon as processes; then what they printed and logged, what they wrote, what
they answered over the control socket and what the system shows of them is searched for any trace of a secret.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pinsync.cli.main import main
from pinsync.emulator.server import EmulatorServer
from pinsync.errors import PinsyncError
from pinsync.model import PinBody
from pinsync.remote.calls import ListQuery
from pinsync.remote.client import RemoteClient
from pinsync.remote.limits import RateLimiter
from pinsync.settings import load
from pinsync.settings.places import socket_path
from pinsync.sources.kubo import KuboClient, resolve_api
from tests.integration import echo
from tests.integration.echo import KUBO_SECRET, PAIR, PASSWORD, PROXY_PASSWORD, TOKEN, Answer, Echo, clean, clean_files
from tests.mirror import cid
from tests.unit.cli_process import COMMAND, environment
from tests.unit.remote_servers import VirtualClock
from tests.unit.service_kit import until

STATUSES = [
    300,
    301,
    302,
    307,
    308,
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    409,
    410,
    413,
    415,
    418,
    422,
    425,
    429,
    451,
    500,
    501,
    502,
    503,
    504,
    507,
    599,
]
SHAPES = ["spec", "nft", "bare", "deep", "text", "html", "cut", "maintenance", "full", "empty"]
FAULTS = [
    "hang",
    "hang-after",
    "cut-before",
    "cut-after",
    "cut-middle",
    "status:401",
    "status:403",
    "status:429",
    "status:500",
    "status-after:503",
    "html",
    "html:404",
    "empty",
    "truncate",
    "garbage",
    "slow:0.3",
    f"body:{TOKEN}",
    f'body:{{"error": "{PASSWORD}"}}',
]


class Everything(logging.Handler):
    """All that any library logs, at any level, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("{levelname} {name} {message}", style="{"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile, with every level open; the libraries may close theirs."""
    handler, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(before)


class Desk:
    """A configuration over some remotes, and commands in this process whose every word is searched."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.capsys, self.monkeypatch = path, capsys, monkeypatch
        self.secrets = path / "secrets"
        self.secrets.mkdir()
        monkeypatch.setenv("PINSYNC_DEBUG", "1")

    def secret(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.secrets / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def configure(
        self, *remotes: str, kubo: str = "mirror = false", state: str = "pinsync", more: str = "", timeout: str = "20s"
    ) -> Path:
        path = self.path / "config.toml"
        (self.path / "pins.toml").write_text("".join(f'[[pin]]\ncid = "{cid(number)}"\n' for number in range(2)))
        path.write_text(
            f'[kubo]\n{kubo}\nretry_for = "0s"\ntimeout = "20s"\n'
            f'[state]\npath = "state/{state}.db"\n[safety]\ngrace = "0s"\n{more}\n'
            + "\n".join(
                f'[[remote]]\nrate = ""\nretry_for = "0s"\ntimeout = "{timeout}"\n{remote}' for remote in remotes
            )
        )
        return path

    def run(self, *args: str, config: Path | None = None) -> tuple[int, str]:
        """Exit code and all that was said; searched already."""
        self.capsys.readouterr()
        code = main(["--config", str(config or self.path / "config.toml"), *args])
        out, err = self.capsys.readouterr()
        clean(out, args)
        clean(err, args)
        assert "bug in pinsync" not in err, err
        return code, out + err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)


def service(status: int, shape: str) -> Any:
    """What a pinning service that repeats everything answers: errors, or with 200 two pins that are full of it."""

    def reply(method: str, path: str, said: Mapping[str, str]) -> Answer:
        known = dict(said)
        place = {"Location": echo.nowhere(known, "http://127.0.0.1:9")[len(shape) % 7]} if 300 <= status < 400 else {}
        if status != 200:
            # As long as nobody waits for: a pause that is told, and not made.
            pause = {"Retry-After": "3600"} if status == 429 else {}
            return status, {**echo.headers(known), **place, **pause}, echo.words(shape, known)
        rows = [echo.row(cid(0), known, 0, "failed"), echo.row(cid(9), known, 9, "pinned")]
        if method == "GET" and path.startswith("/pins?"):
            return 200, echo.headers(known), json.dumps({"count": 2, "results": rows}).encode()
        if method == "POST":
            return 202, echo.headers(known), json.dumps(echo.row(cid(1), known, 1, "failed")).encode()
        return 200, {}, json.dumps(rows[0]).encode()

    return reply


def test_the_search_finds_every_spelling() -> None:
    for secret in (f"Bearer {TOKEN}", "Basic " + echo.spelled(f"Bearer {PAIR}")["packed"]):
        for name, text in echo.spelled(secret).items():
            assert echo.traces(text), name
            assert echo.traces(json.dumps({"x": f"abc {text}"})), name
            assert echo.traces(f"ab{text}".encode()), name
    clean("nothing here: " + str(os.environ.get("PATH")))


SOME = [
    *((status, SHAPES[number % len(SHAPES)]) for number, status in enumerate(STATUSES)),
    *((401, shape) for shape in SHAPES),
    (503, "maintenance"),
    (400, "full"),
    (200, "spec"),
]
ALL = [(status, shape) for status in [*STATUSES, 200] for shape in SHAPES]


@pytest.mark.parametrize("cases", [SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
def test_no_status_of_a_service_makes_it_tell(cases: list[tuple[int, str]], desk: Desk, logged: list[str]) -> None:
    desk.secret("token", TOKEN)
    desk.secret("pair", PAIR)
    for status, shape in cases:
        with Echo(service(status, shape)) as server:
            desk.configure(
                f'name = "bearer"\nendpoint = "{server.url}"\ntoken_file = "secrets/token"\n',
                f'name = "basic"\nendpoint = "{server.url}"\ntoken_file = "secrets/pair"\nauth = "basic"\n',
                state=f"{status}-{shape}",
            )
            code, said = desk.run("--verbose", "sync")
            assert code in (0, 1, 3), (status, shape, said)
            if status >= 400:
                assert str(status) in said
            assert any(TOKEN in told for told in server.told)
            assert any(told.startswith("Basic ") for told in server.told)
    with Echo(service(200, "spec")) as server:
        desk.run("sync", "--json")
    for args in (
        ["status"],
        ["status", "--json"],
        ["status", cid(0)],
        ["status", cid(1), "--json"],
        ["plan", "-v"],
        ["doctor"],
        ["doctor", "--json"],
    ):
        desk.run(*args)
    clean("\n".join(logged))
    assert clean_files(desk.path / "state") >= len(cases)


@pytest.mark.parametrize("call", ["list", "get", "add", "replace", "delete"])
def test_no_error_of_a_client_holds_it(call: str) -> None:
    """Neither its words nor its parts, nor the local variables of the frames that it came through."""
    for auth, secret in (("bearer", TOKEN), ("basic", PAIR)):
        for number, status in enumerate([*STATUSES, 0, 200, 202]):
            with Echo(_garbled(status, SHAPES[number % len(SHAPES)])) as server:
                error = asyncio.run(_error_of(server.url, auth, secret, call))
            if error is not None:
                _search(error)


def _garbled(status: int, shape: str) -> Any:
    def reply(method: str, path: str, said: Mapping[str, str]) -> Answer:
        known = dict(said)
        if status == 0:
            return 0, {}, ("HTTP/1.1 " + " ".join(known.values())).encode()
        place = {"Location": echo.nowhere(known, "https://example.invalid")[status % 7]} if 300 <= status < 400 else {}
        return status, {**echo.headers(known), **place}, echo.words(shape, known)

    return reply


async def _error_of(url: str, auth: Any, secret: str, call: str) -> PinsyncError | None:
    clock = VirtualClock()
    async with RemoteClient(
        "there",
        url,
        auth=auth,
        token=SecretStr(secret),
        clock=clock,
        limiter=RateLimiter(clock, None, 1),
        retry_for=0,
    ) as client:
        clean(repr(client))
        try:
            match call:
                case "list":
                    await client.list_page(ListQuery())
                case "get":
                    await client.get("id-1")
                case "add":
                    await client.add(PinBody(cid(1)))
                case "replace":
                    await client.replace("id-1", PinBody(cid(1)))
                case "delete":
                    await client.delete("id-1")
        except PinsyncError as error:
            return error
    return None


def _search(error: BaseException) -> None:
    clean(str(error))
    clean(repr(error))
    clean(repr(vars(error)))
    clean("".join(traceback.TracebackException.from_exception(error).format()))
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if "/pinsync/" in frame.filename:
            # What a server sent is the server's; `told` are its words as they came.
            held = {name: text for name, text in (frame.locals or {}).items() if name not in ("answer", "response")}
            clean(repr(held), frame)


def test_no_answer_of_a_node_makes_it_tell(desk: Desk, logged: list[str]) -> None:
    forms = {
        "bearer": f"bearer:{KUBO_SECRET}",
        "basic": f"basic:{echo.USER}:{KUBO_SECRET}",
        "pair": f"{echo.USER}:{KUBO_SECRET}",
        "header": f"Bearer {KUBO_SECRET}",
        "token": KUBO_SECRET,
    }
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    with EmulatorServer("spec", token=TOKEN) as there:
        for number, (name, content) in enumerate(forms.items()):
            desk.secret("node", content)
            for status in (200, *(301, 400, 401, 403, 404, 500, 502, 503)[number::3]):
                shape = ["kubo", *SHAPES][(number + status) % (len(SHAPES) + 1)]
                with echo.kubo(shape, status, cid(5)) as node:
                    kubo = f'api = "{node.url}"\nauthorization_file = "secrets/node"'
                    desk.configure(f'name = "there"\nendpoint = "{there.url}"\n', kubo=kubo)
                    code, _ = desk.run("-v", "sync")
                    assert code in (0, 1, 3), (name, status, shape)
                    assert node.told and node.told[0] != "Bearer "
                    settings = load(desk.path / "config.toml", env={"HOME": str(desk.path)})
                    _search_node(node.url, content)
                    clean(repr(settings))
    desk.run("status", "--json")
    clean("\n".join(logged))
    clean_files(desk.path / "state")


def _search_node(url: str, secret: str) -> None:
    async def error() -> PinsyncError | None:
        client = KuboClient(
            "kubo", resolve_api(url, {}), authorization=SecretStr(secret), retry_for=0, clock=VirtualClock()
        )
        async with client:
            try:
                await client.read_pins(lambda rows: None)
                await client.is_pinned(cid(1))
            except PinsyncError as error:
                return error
        return None

    found = asyncio.run(error())
    if found is not None:
        clean(str(found) + repr(found) + repr(vars(found)))
        clean("".join(traceback.TracebackException.from_exception(found).format()))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_a_service_makes_it_tell(fault: str, desk: Desk, logged: list[str]) -> None:
    with EmulatorServer("spec", token=TOKEN) as there:
        desk.secret("token", TOKEN)
        desk.configure(f'name = "there"\nendpoint = "{there.url}"\ntoken_file = "secrets/token"\n', timeout="0.2s")
        for method in ("GET", "POST"):
            there.emulator.faults.next(fault, method=method, times=2, headers={"Retry-After": "3600", "X": TOKEN})
            desk.run("-v", "sync")
            there.emulator.faults.clear()
        desk.run("ls", "--json")
        clean(repr(list(there.emulator.requests)))
        clean(repr(there.emulator.pins()))
    clean("\n".join(logged))
    clean_files(desk.path / "state")


# -- where secrets are put, and do not belong


BAD_FILES: dict[str, bytes] = {
    "two lines": f"{TOKEN}\n{PASSWORD}\n".encode(),
    "quotes": f'"{TOKEN}"'.encode(),
    "a space": f"{TOKEN} {TOKEN}".encode(),
    "beyond ASCII": f"{TOKEN}ü".encode(),
    "not UTF-8": TOKEN.encode() + b"\xff",
    "a zero": TOKEN.encode() + b"\0",
    "UTF-16": TOKEN.encode("utf-16"),
    "much": (TOKEN * 5000).encode(),
    "a control": f"{TOKEN}\x1b[31m".encode(),
    "a scheme": b"Bearer",
    "nothing": b"\n",
}


@pytest.mark.parametrize("what", BAD_FILES)
@pytest.mark.parametrize("place", ["file", "credential", "variable"])
def test_a_malformed_token_is_not_shown(what: str, place: str, desk: Desk, logged: list[str]) -> None:
    content = BAD_FILES[what]
    named = ""
    if place == "file":
        named = 'token_file = "secrets/there.token"\n'
    if place in ("file", "credential"):
        desk.secret("there.token", content)
        desk.monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(desk.secrets))
    else:
        desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", content.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
    for auth in ("bearer", "basic"):
        desk.configure(f'name = "there"\nendpoint = "http://127.0.0.1:9"\nauth = "{auth}"\n{named}')
        for args in (["check", "-v"], ["check", "--json"], ["sync", "-v"], ["ls", "--json"]):
            code, _ = desk.run(*args)
            assert code in (0, 1, 2)  # 0: what only a service could find wrong
    clean("\n".join(logged))


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "dangling", "device", "world-readable"])
def test_what_is_no_file_of_a_token_is_told_without_it(kind: str, desk: Desk) -> None:
    path = desk.secrets / "there.token"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(desk.path / "nowhere")
        case "device":
            path.symlink_to("/dev/zero")
        case "world-readable":
            desk.secret("there.token", TOKEN, 0o644)
    desk.configure('name = "there"\nendpoint = "http://127.0.0.1:9"\ntoken_file = "secrets/there.token"\n')
    for command in ("check", "sync"):
        _, said = desk.run("-v", command)
        assert "there.token" in said


WRONG_PLACES = [
    f'token = "{TOKEN[:4]}{echo.CORE}"',
    f'key = "x{echo.CORE}"',
    f'endpoint = "https://u:{PASSWORD}@pins.example"',
    f'endpoint = "https://pins.example/?token={echo.CORE}"',
    f'endpoint = "https://{echo.CORE}@pins.example"',
    f'endpoint = "https://pins.example/#{echo.CORE}"',
    f'rate = "{echo.CORE}"',
    f'mode = "{echo.CORE}"',
    f'auth = "{echo.CORE}"',
    f'timeout = "{echo.CORE}"',
    f'concurrency = "{echo.CORE}"',
    f'origins = ["{echo.CORE}"]',
    f'nodes = "{echo.CORE}"',
    f'name = "there {echo.CORE}"',
    f'token_file = "secret-{echo.CORE}-value-1234"',
    f'token_file = ["{echo.CORE}"]',
    f'token_file = "tok/{echo.CORE}+more/1234567890"',
    f'safety = {{ grace = "{echo.CORE}" }}',
    f'safety = "{echo.CORE}"',
    f'auth = "basic"\ntoken_file = "{echo.USER}:{echo.CORE}-1234567890"',
    f'token_file = "eyJ{"x1" * 200}{echo.CORE}"',
    f'endpoint = "{echo.CORE} https://x"',
    f'mode = """\n{echo.CORE}\n"""',
    f'name = "a"\n{echo.CORE}',
    f'= "{echo.CORE}"',
    f'"{echo.CORE}',
    f'token_file = "\x01{echo.CORE}"',
]


@pytest.mark.parametrize("line", WRONG_PLACES)
def test_a_token_in_a_wrong_place_of_the_configuration_is_not_shown(line: str, desk: Desk, logged: list[str]) -> None:
    path = desk.path / "wrong.toml"
    name = "" if line.startswith("name") else 'name = "there"\n'
    path.write_text(f'[kubo]\nmirror = false\n[state]\npath = "state/x.db"\n[[remote]]\n{name}{line}\n')
    for args in (["check", "-v"], ["check", "--json"], ["sync", "-v"], ["status"], ["run", "-v"]):
        code, _ = desk.run(*args, config=path)
        assert code in (1, 2, 5), args
    clean("\n".join(logged))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PINSYNC_REMOTE", '[{"name": "there", "token": "@"}]'),
        ("PINSYNC_REMOTE", '[{"name": "there @"}]'),
        ("PINSYNC_REMOTE", '[{"name": "there", "rate": "@"}'),
        ("PINSYNC_REMOTE", "@"),
        ("PINSYNC_SAFETY__GRACE", "@"),
        ("PINSYNC_KUBO__API", "http://u:@@127.0.0.1:5001"),
        ("PINSYNC_KUBO__PEER_ID", "@ @"),
        ("PINSYNC_SAFTY__GRACE", "@"),
        ("PINSYNC_REMOTE", '[{"name": "there", "endpoint": "https://u:@@x"}]'),
        ("PINSYNC_MIRROR__ID", "@ @"),
        ("PINSYNC_KUBO", '[{"name": "a", "authorization": "@"}]'),
        ("PINSYNC_KUBO__AUTHORIZATION_FILE", "bearer:1234567890@"),
    ],
)
def test_a_token_in_a_wrong_variable_is_not_shown(name: str, value: str, desk: Desk) -> None:
    desk.monkeypatch.setenv(name, value.replace("@", echo.CORE))
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    desk.configure('name = "there"\nendpoint = "http://127.0.0.1:9"\n')
    for command in ("check", "sync", "status"):
        desk.run("-v", command)
        desk.run(command, "--json")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://u:@@127.0.0.1:9",
        "socks5://u:@@127.0.0.1:9",
        "foo://u:@@x",
        "http://u:@@[::1",
        "http://u:@@x:99999",
        "https://u:@@127.0.0.1:9",
        "u:@@127.0.0.1:9",
    ],
)
def test_the_password_of_a_proxy_is_not_shown(proxy: str, desk: Desk, logged: list[str]) -> None:
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    for variable in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        desk.monkeypatch.setenv(variable, proxy.replace("@", PROXY_PASSWORD, 1))
    desk.configure('name = "there"\nendpoint = "http://pins.invalid"\n')
    for command in ("sync", "ls", "status"):
        code, _ = desk.run("-v", command)
        assert code in (1, 5)
    clean("\n".join(logged))
    clean_files(desk.path / "state")


def test_a_proxy_that_repeats_secrets_makes_it_not_tell(desk: Desk, logged: list[str]) -> None:
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    for status in (200, 403, 407, 502):
        with Echo(_garbled(status, "text")) as proxy:
            host = proxy.url.removeprefix("http://")
            desk.monkeypatch.setenv("http_proxy", f"http://u:{PROXY_PASSWORD}@{host}")
            desk.monkeypatch.setenv("https_proxy", f"http://u:{PROXY_PASSWORD}@{host}")
            for scheme in ("http", "https"):
                desk.configure(f'name = "there"\nendpoint = "{scheme}://pins.invalid"\n')
                code, _ = desk.run("-v", "sync")
                assert code == 1
    clean("\n".join(logged))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_token_to_another_host(status: int, desk: Desk) -> None:
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    with Echo(_garbled(200, "text")) as other:

        def away(method: str, path: str, said: Mapping[str, str]) -> Answer:
            return status, {"Location": f"{other.url}{path}"}, b""

        with Echo(away) as server, Echo(away) as node:
            for kubo in ("mirror = false", f'api = "{node.url}"\nauthorization_file = "secrets/node"'):
                desk.secret("node", KUBO_SECRET)
                desk.configure(f'name = "there"\nendpoint = "{server.url}"\n', kubo=kubo)
                code, said = desk.run("-v", "sync")
                assert (code, "was redirected" in said) == (1, True)
            assert server.told and node.told
        assert other.told == []


def test_no_trouble_with_tls_makes_it_tell(desk: Desk, logged: list[str], tmp_path: Path) -> None:
    desk.monkeypatch.setenv("PINSYNC_TOKEN_THERE", TOKEN)
    certificate = tmp_path / "self-signed.pem"
    with Echo(_garbled(200, "text")) as plain, Echo(_garbled(200, "spec"), certificate=certificate) as secure:
        for endpoint in (plain.url.replace("http:", "https:"), secure.url, secure.url.replace("https:", "http:")):
            desk.configure(f'name = "there"\nendpoint = "{endpoint}"\n')
            code, _ = desk.run("-v", "sync")
            assert code == 1
            desk.configure(f'name = "there"\nendpoint = "{endpoint}"\nca_file = "secrets/nowhere.pem"\n')
            desk.run("-v", "sync")
        assert secure.told == [], "a token went to a server that proved nothing"
    clean("\n".join(logged))
    clean_files(desk.path / "state")


# -- processes


def test_processes_and_the_daemon_do_not_tell(desk: Desk) -> None:
    """The real commands and the real daemon, at their most talkative, over a service that repeats everything."""
    desk.secret("bearer.token", TOKEN)
    desk.secret("basic.token", PAIR)
    desk.secret("kubo.authorization", f"bearer:{KUBO_SECRET}")
    mood = [503]

    def reply(method: str, path: str, said: Mapping[str, str]) -> Answer:
        found: Answer = service(mood[0], "spec")(method, path, said)
        return found

    with Echo(reply) as server, echo.kubo("kubo", 200, cid(5)) as node:
        for name in ("notify.webhook", "notify.heartbeat"):
            desk.secret(name, f"{server.url}/{echo.CORE}?key={echo.CORE}")
        hook = desk.path / "hook"
        hook.write_text(f"#!/bin/sh\ncat - /proc/$$/environ /proc/$$/cmdline >>{desk.path}/hook.log\n")
        hook.chmod(0o755)
        desk.configure(
            f'name = "bearer"\nendpoint = "{server.url}"\n',
            f'name = "basic"\nauth = "basic"\nendpoint = "{server.url}"\n',
            kubo=f'api = "{node.url}"',
            more='[metrics]\ntextfile = "state/pinsync.prom"\n[schedule]\nevery = "1s"\n[notify]\nfailing_after = 0\n'
            + f"command = ['{hook}']\n",
        )
        env = environment(
            desk.path, PINSYNC_DEBUG="1", CREDENTIALS_DIRECTORY=str(desk.secrets), PINSYNC_TOKEN_OTHER=TOKEN
        )
        config = str(desk.path / "config.toml")
        once = subprocess.run(
            [*COMMAND, "-c", config, "-v", "sync"], env=env, capture_output=True, timeout=60, check=False
        )
        assert once.returncode == 1, once.stderr
        clean(once.stdout + once.stderr)
        log = (desk.path / "daemon.log").open("wb")
        daemon = subprocess.Popen([*COMMAND, "-c", config, "--verbose", "run"], env=env, stdout=log, stderr=log)
        try:
            settings = load(Path(config), env={"HOME": str(desk.path)})
            path = socket_path(settings, {"HOME": str(desk.path)})
            _asked(path, "GET", "/v1/status", daemon)
            events = _listening(path)
            for mood[0] in (503, 401, 301, 200):
                assert b"exit_code" in _asked(path, "POST", "/v1/sync", daemon)
                for method, target in (
                    ("GET", "/v1/status"),
                    ("GET", f"/v1/status?cid={cid(0)}"),
                    ("GET", "/v1/plan"),
                    ("GET", "/v1/held"),
                    ("GET", "/v1/ls?remote=bearer"),
                    ("GET", "/v1/ls?remote=basic"),
                    ("GET", "/v1/nonsense"),
                    ("GET", "/metrics"),
                    ("GET", "/healthz"),
                    ("GET", "/readyz"),
                    ("POST", "/v1/adopt"),
                ):
                    clean(_asked(path, method, target, daemon), target)
                _look_at_processes(daemon.pid)
            assert server.told and node.told
            until((desk.path / "hook.log").exists, "the command that is told")
            heard = events.recv(1 << 20)
            assert heard.startswith(b"HTTP/1.1 200")
            clean(heard)
            events.close()
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
            log.close()
        said = (desk.path / "daemon.log").read_text()
        assert "GET /pins" in said, "the daemon logs requests"
        clean(said)
    assert clean_files(desk.path, but=[*desk.secrets.iterdir()]) > 4


def _asked(path: Path, method: str, target: str, daemon: subprocess.Popen[bytes]) -> bytes:
    """The whole answer of the daemon, as soon as it listens."""
    end = time.monotonic() + 30
    while True:
        assert daemon.poll() is None, "the daemon ended"
        assert time.monotonic() < end
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            try:
                sock.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.02)
                continue
            sock.sendall(
                f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            answer = bytearray()
            while data := sock.recv(1 << 16):
                answer += data
            clean(bytes(answer), target)
            return bytes(answer)


def _listening(path: Path) -> socket.socket:
    """A connection that is told what happens in the daemon."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(path))
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    return sock


def _look_at_processes(pid: int) -> None:
    """What `ps` shows of the daemon, and what its children can read in their environment."""
    clean(Path(f"/proc/{pid}/cmdline").read_bytes())
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            clean(Path(f"/proc/{child}/cmdline").read_bytes())
            clean(Path(f"/proc/{child}/environ").read_bytes())


@pytest.mark.skipif(sys.platform != "linux", reason="the system shows no arguments in /proc")
def test_a_token_of_the_environment_is_in_nobodys_arguments(desk: Desk) -> None:
    with EmulatorServer("spec", token=TOKEN) as there:
        there.emulator.faults.next("hang", method="GET")
        desk.configure(f'name = "there"\nendpoint = "{there.url}"\n')
        env = environment(desk.path, PINSYNC_TOKEN_THERE=TOKEN)
        command = subprocess.Popen(
            [*COMMAND, "-c", str(desk.path / "config.toml"), "sync"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while not there.emulator.requests and command.poll() is None:
            time.sleep(0.01)
        clean(Path(f"/proc/{command.pid}/cmdline").read_bytes())
        command.send_signal(signal.SIGTERM)
        out, _ = command.communicate(timeout=60)
        assert b"there" in out
        clean(out)
        clean(repr(there.emulator.requests))
    clean_files(desk.path / "state")

"""Telling somebody: a command that is run, a webhook that is sent JSON, a heartbeat that is called.

Each is tried once here, within its timeout, and never raises: what came of it is an `Answered`. No answer, log line or
process list holds a secret: of a URL only the host is shown, and a command's environment is made anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pinsync import __version__
from pinsync.clock import Clock
from pinsync.remote.classify import tidy
from pinsync.settings.credentials import CredentialError, Token, hook_host, load_hook
from pinsync.settings.model import NotifySettings

Receiver = Literal["command", "webhook", "heartbeat"]
RECEIVERS: tuple[Receiver, ...] = get_args(Receiver)

_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")
_MOST_OUTPUT = 4096  # bytes of a command's output that are kept
_LAST_WORDS = 0.2  # seconds for output that is still on its way when the command has ended


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one try. `where` is the program or the host, `said` words for people; `again`: worth another try."""

    receiver: Receiver
    ok: bool
    where: str
    said: str
    seconds: float = 0.0
    again: bool = True

    def as_json(self) -> dict[str, Any]:
        """For `notify --json` and the control socket."""
        return {
            "receiver": self.receiver, "ok": self.ok, "where": self.where, "answer": self.said,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


def configured(notify: NotifySettings, env: Mapping[str, str]) -> list[Receiver]:
    """Who is to be told, in the order of `RECEIVERS`; one whose URL cannot be had is among them."""
    found: list[Receiver] = ["command"] if notify.command else []
    for kind in ("webhook", "heartbeat"):
        try:
            if load_hook(notify, kind, env) is not None:
                found.append(kind)
        except CredentialError:
            found.append(kind)
    return found


def whereto(notify: NotifySettings, receiver: Receiver, env: Mapping[str, str]) -> str:
    """The program, or the host of the URL and the place that it is from. Raises `CredentialError`."""
    if receiver == "command":
        return notify.command[0]
    token = load_hook(notify, receiver, env)
    return "" if token is None else f"{hook_host(token.secret.get_secret_value())}, from {token.where}"


async def tell(
    receiver: Receiver, notify: NotifySettings, message: Mapping[str, Any], env: Mapping[str, str], clock: Clock
) -> Answered:
    """Try once."""
    began = clock.monotonic()
    try:
        if receiver == "command":
            ok, where, said, again = await _run(notify, message, env)
        else:
            token = load_hook(notify, receiver, env)
            if token is None:
                return Answered(receiver, False, "", f"there is no {receiver}", again=False)
            ok, where, said, again = await _call(token, notify.timeout, message if receiver == "webhook" else None)
    except CredentialError as error:
        return Answered(receiver, False, "", str(error), again=False)
    return Answered(receiver, ok, where, said, clock.monotonic() - began, again)


_Came = tuple[bool, str, str, bool]  # ok, where, said, again


async def _call(token: Token, timeout: float, body: Mapping[str, Any] | None) -> _Came:
    """POST `body` as JSON, or GET where there is none. Redirects are not followed: they would carry the message on."""
    import httpx

    for logger in ("httpx", "httpcore"):  # they write whole URLs
        logging.getLogger(logger).setLevel(logging.WARNING)
    url = token.secret.get_secret_value()
    host = hook_host(url)
    try:
        async with (
            asyncio.timeout(timeout),
            httpx.AsyncClient(
                headers={"User-Agent": f"pinsync/{__version__}"}, timeout=timeout, follow_redirects=False
            ) as client,
        ):
            request = client.build_request("GET" if body is None else "POST", url, json=body)
            answer = await client.send(request, stream=True)  # what it says beyond its status is not read
            status = answer.status_code
            await answer.aclose()
    except (TimeoutError, httpx.TimeoutException):
        return False, host, f"no answer within {timeout:g} s", True
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return False, host, _cause(error, url), True
    if answer.is_success:
        return True, host, f"HTTP {status}", False
    if answer.is_redirect:
        return False, host, f"HTTP {status}: it points elsewhere, which is not followed; use the final address", False
    refused = "HTTP {}: it refuses; is the URL still the right one?"
    again = status >= 500 or status in (408, 425, 429)
    return False, host, f"HTTP {status}" if again else refused.format(status), again


def _cause(error: Exception, url: str) -> str:
    """Without the URL, nor the part of it that is the secret."""
    if "certificate verify failed" in str(error).lower().replace("_", " "):
        return "its certificate cannot be verified"
    kind = {"ConnectError": "no connection", "ProxyError": "the proxy refused", "InvalidURL": "the URL is wrong"}
    said = kind.get(type(error).__name__, "the connection broke")
    words = tidy(str(error), (url,)) if type(error).__name__ == "ConnectError" else ""
    return f"{said} ({words})" if words else said


async def _run(notify: NotifySettings, message: Mapping[str, Any], env: Mapping[str, str]) -> _Came:
    """Run the command without a shell: the message on its standard input, a group of its own that ends with it."""
    program, *arguments = notify.command
    try:
        transport, ran = await asyncio.get_running_loop().subprocess_exec(
            _Ran, program, *arguments, env=environment(message, env), cwd="/", start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        return False, program, f"it cannot be run: {error.strerror or error}", False
    try:
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(json.dumps(message).encode() + b"\n")
        stdin.close()  # once it has been read; whether it is read is the command's affair
        async with asyncio.timeout(notify.timeout):
            await ran.exited.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await ran.silent.wait()
    except TimeoutError:
        return False, program, f"it did not end within {notify.timeout:g} s and was killed", True
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)  # and whatever it has left behind
        await ran.exited.wait()
        transport.close()
    code = transport.get_returncode() or 0
    words = tidy(ran.output.decode("utf-8", "replace"))
    ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return code == 0, program, f"{ended}: {words}" if words else ended, True


class _Ran(asyncio.SubprocessProtocol):
    """What a command says, as far as it is kept, and when it has said and done everything."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.silent = asyncio.Event()
        self.exited = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data[: max(_MOST_OUTPUT - len(self.output), 0)]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()


def environment(message: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """What a command gets: a few of our variables, and none that could hold a token or a credential."""
    passed = {name: env[name] for name in env if name in _PASSED_ON or name.startswith("LC_")}
    told = {
        "PINSYNC_EVENT": message["event"],
        "PINSYNC_VERDICT": message["verdict"],
        "PINSYNC_SUBJECT": message["subject"],
        "PINSYNC_TEXT": message["text"],
    }
    return {"PATH": os.defpath, **passed, **{name: str(value).replace("\0", "") for name, value in told.items()}}

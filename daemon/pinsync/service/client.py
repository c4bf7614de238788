"""Asking the daemon: the other end of the control socket, for the commands. Cheap to import."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pinsync.errors import PinsyncError, StateHeld, UsageError
from pinsync.settings.model import Settings
from pinsync.settings.places import socket_path

if TYPE_CHECKING:
    import httpx

CONNECT = 2.0  # seconds; a local daemon that takes longer is not well
ANSWER = 60.0  # seconds for what the daemon knows without asking anybody
ALIVE = 20.0  # seconds in which a daemon that does not hang answers at all
EXIT_CODE = "Pinsync-Exit-Code"

_KINDS: Mapping[int, type[PinsyncError]] = {2: UsageError, 6: StateHeld}


class DaemonError(PinsyncError):
    """The daemon could not be asked, or ended in the middle of its answer."""


class DaemonClient:
    """The daemon that listens at `path`.

    Every method raises `PinsyncError` with the exit code that the daemon gave (`UsageError` for 2, `StateHeld` for 6),
    and `DaemonError` where there is no answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls, settings: Settings, env: Mapping[str, str]) -> DaemonClient | None:
        """The daemon of this configuration; None when nobody listens.

        Raises `DaemonError` for a daemon that this user may not ask, and for a socket in a directory open to all
        (`/tmp`) that belongs to neither us nor root nor the ledger's owner: anybody could have put it there.
        """
        path = socket_path(settings, env)
        found: os.stat_result | None = None
        try:
            found = path.lstat()
            if not stat.S_ISSOCK(found.st_mode):
                return None
            _check_owner(path, found.st_uid, settings.state.path)
            _knock(path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        except PermissionError as error:
            raise DaemonError(f"this user may not ask the daemon at {path}: {_whose(path, found)}") from error
        except OSError as error:
            raise DaemonError(f"the daemon at {path} does not answer: {error.strerror or error}") from error
        return cls(path)

    def status(self, remote: str | None = None, cid: str | None = None, patience: float = ANSWER) -> dict[str, Any]:
        """The object of `status --json`, or of `status CID --json`; waited for at most `patience` seconds."""
        return self._get("status", {"remote": remote, "cid": cid}, patience)[0]

    def plan(self, remote: str | None = None) -> tuple[dict[str, Any], int]:
        """The object of `plan --json`, and the exit code. Takes as long as reading both sides does."""
        report, headers = self._get("plan", {"remote": remote}, None)
        return report, int(headers.get(EXIT_CODE, "1"))

    def held(self, remote: str | None = None) -> dict[str, Any]:
        """What the last pass held: `{"format", "held": […], "doubts": […]}`."""
        return self._get("held", {"remote": remote}, ANSWER)[0]

    def doctor(self, remote: str | None = None) -> dict[str, Any]:
        """What it finds of its remotes, its state and the mirror: `{"format", "checks": […]}`."""
        return self._get("doctor", {"remote": remote}, None)[0]

    def approve(
        self, remote: str | None, cids: Sequence[str], now: bool = False, by: str = "", shown: str | None = None
    ) -> dict[str, Any]:
        """Release what is held, all of it for no `cids`: `{"format", "released": […], "doubts": […]}`.

        `by` counts only where the system does not tell the daemon who asks. `shown`: the `digest` of what `held`
        answered; where something else is held by now, nothing is released.
        """
        body: dict[str, Any] = {"remote": remote, "cids": list(cids), "now": now}
        told = {name: value for name, value in (("by", by), ("shown", shown)) if value}
        return self._post("approve", body | told, ANSWER)

    def adopt(self, remote: str, cids: Sequence[str]) -> dict[str, Any]:
        """Make pins ours, the wanted ones for no `cids`: `{"format", "remote", "adopted": […], "skipped": […]}`."""
        return self._post("adopt", {"remote": remote, "cids": list(cids)}, None)

    def notify(self) -> dict[str, Any]:
        """Tell every receiver of its `[notify]` that this is a trial: `{"format", "receivers": […]}`."""
        return self._post("notify", {}, None)

    def history(
        self, cid: str | None = None, remote: str | None = None, since: float | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """The object of `history --json`, or of `history CID --json`. `since` in epoch seconds."""
        asked = {"cid": cid, "remote": remote, "since": _digits(since), "limit": _digits(limit)}
        return self._get("history", asked, ANSWER)[0]

    def retry(self, remote: str | None, cids: Sequence[str], by: str = "") -> dict[str, Any]:
        """Make pins due, all that failed or were refused for no `cids`: `{"format", "retried", "opened", …}`."""
        return self._say("retry", {"remote": remote, "cids": list(cids)}, by)

    def disown(self, remote: str | None, cids: Sequence[str], by: str = "") -> dict[str, Any]:
        """Make pins of ours foreign: `{"format", "disowned": […]}`."""
        return self._say("disown", {"remote": remote, "cids": list(cids)}, by)

    def pause(
        self, remote: str | None, seconds: float | None, until: float | None, reason: str, by: str = ""
    ) -> dict[str, Any]:
        """Leave a remote alone, or all for None, for so long or until then: `{"format", "paused", "ended"}`."""
        return self._say("pause", {"remote": remote, "for": seconds, "until": until, "reason": reason or None}, by)

    def resume(self, remote: str | None, by: str = "") -> dict[str, Any]:
        """End the pause of a remote, or all for None: `{"format", "paused", "ended"}`."""
        return self._say("resume", {"remote": remote}, by)

    def sync(
        self,
        remote: str | None = None,
        dry_run: bool = False,
        on_progress: Callable[[dict[str, Any]], None] = lambda progress: None,
        on_request: Callable[[str], None] | None = None,
    ) -> tuple[dict[str, Any], int]:
        """One pass: the object of `sync --json`, and the exit code. It goes on when this process ends.

        `on_progress` gets `{"step": "wait"|"read"|"apply", "what", "count", "of"}`: `what` is for people, `of` None
        where nobody knows how many there are. `on_request` gets each request to a remote in words.
        """
        asked = _set(remote, dry_run) | ({"verbose": True} if on_request else {})
        with self._asking(None) as http, http.stream("POST", "/v1/sync", json=asked) as answer:
            if answer.is_error:
                answer.read()
                _raise(answer)
            for text in answer.iter_lines():
                line = json.loads(text) if text else {}
                if "progress" in line:
                    on_progress(line["progress"])
                elif "request" in line and on_request:
                    on_request(line["request"])
                elif "result" in line:
                    return line["result"], int(line["exit_code"])
                elif "error" in line:
                    _raise_error(line["error"])
        raise DaemonError(f"the daemon at {self.path} ended before the pass did; the next pass goes on from there")

    @contextmanager
    def ls(self, remote: str) -> Iterator[tuple[dict[str, Any], Iterator[dict[str, Any]]]]:
        """All pins of a remote: `{"complete", "reason", "count"}`, and the pins as `ls --json` has them, streamed."""
        with self._asking(None) as http, http.stream("GET", "/v1/ls", params={"remote": remote}) as answer:
            if answer.is_error:
                answer.read()
                _raise(answer)
            lines = (json.loads(text) for text in answer.iter_lines() if text)
            head = next(lines, None)
            if head is None:
                raise DaemonError(f"the daemon at {self.path} ended in the middle of its answer")
            yield head["reading"], (line["pin"] for line in lines)

    def _get(
        self, what: str, query: Mapping[str, str | None], patience: float | None
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        with self._asking(patience) as http:
            answer = http.get(f"/v1/{what}", params={name: value for name, value in query.items() if value is not None})
            return _read(answer), answer.headers

    def _post(self, what: str, body: Mapping[str, Any], patience: float | None) -> dict[str, Any]:
        with self._asking(patience) as http:
            return _read(http.post(f"/v1/{what}", json={k: v for k, v in body.items() if v is not None}))

    def _say(self, what: str, body: Mapping[str, Any], by: str) -> dict[str, Any]:
        return self._post(what, {**body, "by": by or None}, ANSWER)

    @contextmanager
    def _asking(self, patience: float | None) -> Iterator[httpx.Client]:
        try:
            _knock(self.path)  # httpx leaves a socket open that found nobody
        except OSError as error:
            raise DaemonError(f"no daemon answers at {self.path} any more: {error.strerror or error}") from error
        import httpx

        transport = httpx.HTTPTransport(uds=str(self.path), trust_env=False, verify=False)  # no TLS here
        timeout = httpx.Timeout(patience, connect=CONNECT)
        try:
            with httpx.Client(
                transport=transport, base_url="http://pinsync", timeout=timeout, trust_env=False
            ) as client:
                if patience is None or patience > ALIVE:
                    self._alive(client)
                yield client
        except httpx.TimeoutException as error:
            raise DaemonError(f"the daemon at {self.path} did not answer in {patience or CONNECT:g} s") from error
        except (httpx.HTTPError, ValueError) as error:
            raise DaemonError(f"the daemon at {self.path} ended in the middle of its answer: {error}") from error

    def _alive(self, http: httpx.Client) -> None:
        """See that it does not hang, before anything is asked that it would do whenever it goes on."""
        import httpx

        try:
            http.get("/healthz", timeout=ALIVE)
        except httpx.TimeoutException as error:
            raise DaemonError(
                f"the daemon at {self.path} has not answered for {ALIVE:g} s: it hangs, or is stopped. Nothing was "
                "asked of it, and the pins are as they were; restart it (systemctl restart pinsync)"
            ) from error


def _knock(path: Path) -> None:
    """Raise `OSError` when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT)
        probe.connect(str(path))


def _whose(path: Path, found: os.stat_result | None) -> str:
    """Who may ask at a socket that is closed to this user, and what to do; `found` None: its directory is closed."""
    if found is not None and found.st_mode & stat.S_IWGRP:
        group = _group(found)
        return (
            f"it is for its owner and the group {group}. Become a member of that (usermod -aG {group} USER, then log "
            "in again), or use sudo"
        )
    try:
        owner = pwd.getpwuid((found or path.parent.stat()).st_uid).pw_name
    except (OSError, KeyError):
        return "it is for its owner alone. Ask as that user, or use sudo"
    return f"it is for its owner alone. Ask as {owner}: sudo -u {owner} pinsync …"


def whose_group(settings: Settings, env: Mapping[str, str]) -> str | None:
    """The group whose members may ask the daemon, or else read the ledger; None where there is none but root's."""
    for path, wanted in ((socket_path(settings, env), stat.S_IWGRP), (settings.state.path.parent, stat.S_IXGRP)):
        with suppress(OSError):
            found = path.stat()
            if found.st_mode & wanted and found.st_gid != 0:
                return _group(found)
    return None


def _group(of: os.stat_result) -> str:
    try:
        return grp.getgrgid(of.st_gid).gr_name
    except KeyError:
        return str(of.st_gid)


def _digits(number: float | None) -> str | None:
    return None if number is None else repr(number)


def _set(remote: str | None, dry_run: bool) -> dict[str, Any]:
    return ({"remote": remote} if remote is not None else {}) | ({"dry_run": True} if dry_run else {})


def _read(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        _raise(answer)
    body: dict[str, Any] = answer.json()
    return body


def _raise(answer: httpx.Response) -> NoReturn:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"exit_code": 1, "message": f"the daemon answered {answer.status_code} and nothing that makes sense"}
    _raise_error(error)


def _raise_error(error: Mapping[str, Any]) -> NoReturn:
    code = int(error.get("exit_code", 1))
    raised = _KINDS.get(code, PinsyncError)(str(error.get("message", "the daemon did not say why")))
    raised.exit_code = code
    raise raised


def _check_owner(path: Path, owner: int, ledger: Path) -> None:
    if not path.parent.stat().st_mode & stat.S_IWOTH:
        return
    trusted = {os.getuid(), 0}
    with suppress(OSError):
        trusted.add(ledger.stat().st_uid)
    if owner not in trusted:
        raise DaemonError(
            f"{path} was not asked: everybody may write {path.parent}, and it belongs to user id {owner}, who is "
            f"neither you nor root nor the owner of {ledger}. With a shorter [state] path the socket lies beside it"
        )

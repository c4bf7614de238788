"""The control socket's HTTP: requests in, JSON out. What is done is the desk's.

    GET  /v1/                                   what there is, and the version
    GET  /v1/status[?remote=][&cid=]            the object of `status --json`
    GET  /v1/plan[?remote=]                     of `plan --json`; its exit code in `Pinsync-Exit-Code`
    GET  /v1/held[?remote=]                     what waits for a person
    GET  /v1/ls?remote=                         lines of JSON: {"reading"}, then {"pin"}…, each as in `ls --json`
    GET  /v1/doctor[?remote=]                   {"checks": […]} as in `doctor --json`, of remotes, state and mirror
    GET  /v1/events                             lines of JSON: what happens, as it happens, until the daemon ends
    GET  /metrics, /healthz, /readyz            see `public`
    POST /v1/sync     {remote?, dry_run?, verbose?}   lines of JSON: {"progress"}…, then {"result", "exit_code"} or
                      {"error"}; `verbose`: among them {"request"} in words for each request to a remote
    POST /v1/approve  {remote?, cids, now?, by?, shown?}   empty `cids`: everything held; `shown`: its digest
    POST /v1/adopt    {remote, cids}               empty `cids`: everything that is wanted
    POST /v1/notify   {}                        tells every receiver of [notify] that this is a trial
    POST /v1/retry    {remote?, cids, by?}         empty `cids`: everything that failed or was refused
    POST /v1/disown   {remote?, cids, by?}
    POST /v1/pause    {remote?, for?, until?, reason?, by?}   `for` in seconds, `until` in seconds since the epoch
    POST /v1/resume   {remote?, by?}               no remote: everything
    GET  /v1/history[?cid=][&remote=][&since=][&limit=]   of `history --json`; `since` in seconds since the epoch

Errors are `{"error": {"exit_code", "message"}}`. Whoever may open the socket may do all of this.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pinsync import __version__
from pinsync.errors import PinsyncError, UsageError

from .desk import Desk
from .events import Reader
from .listen import PEER
from .protocol import CUT
from .wishes import Listener

MOST_BODY = 16 << 20  # bytes
_LAST = 253_402_300_799.0  # the end of the year 9999
EXIT_CODE = "Pinsync-Exit-Code"

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(desk: Desk, log: logging.Logger, watching: Mapping[str, _Handler] | None = None) -> Starlette:
    """The routes above, over a desk; `watching`: those of `public`, by path."""

    async def status(request: Request) -> Response:
        asked = _query(request, "remote", "cid")
        return JSONResponse(desk.status(asked.get("remote"), asked.get("cid")))

    async def plan(request: Request) -> Response:
        report, code = await desk.plan(_query(request, "remote").get("remote"))
        return JSONResponse(report, headers={EXIT_CODE: str(code)})

    async def held(request: Request) -> Response:
        return JSONResponse(desk.held(_query(request, "remote").get("remote")))

    async def doctor(request: Request) -> Response:
        return JSONResponse(await desk.doctor(_query(request, "remote").get("remote")))

    async def ls(request: Request) -> Response:
        remote = _query(request, "remote").get("remote")
        if remote is None:
            raise UsageError('ls needs "remote"')
        return StreamingResponse(await desk.ls(remote), media_type="application/x-ndjson")

    async def sync(request: Request) -> Response:
        body = await _body(request, ("remote", "dry_run", "verbose"))
        listener = desk.sync(_text(body, "remote"), _flag(body, "dry_run"), _flag(body, "verbose"))
        return StreamingResponse(_lines(listener), media_type="application/x-ndjson")

    async def approve(request: Request) -> Response:
        body = await _body(request, ("remote", "cids", "now", "by", "shown"))
        who, shown = _who(request, body), _text(body, "shown")
        return JSONResponse(desk.approve(_text(body, "remote"), _cids(body), _flag(body, "now"), who, shown))

    async def adopt(request: Request) -> Response:
        body = await _body(request, ("remote", "cids", "by"))
        remote = _text(body, "remote")
        if remote is None:
            raise UsageError('adopt needs "remote"')
        return JSONResponse(await desk.adopt(remote, _cids(body), _who(request, body)))

    async def retry(request: Request) -> Response:
        body = await _body(request, ("remote", "cids", "by"))
        return JSONResponse(desk.retry(_text(body, "remote"), _cids(body), _who(request, body)))

    async def disown(request: Request) -> Response:
        body = await _body(request, ("remote", "cids", "by"))
        return JSONResponse(desk.disown(_text(body, "remote"), _cids(body), _who(request, body)))

    async def pause(request: Request) -> Response:
        body = await _body(request, ("remote", "for", "until", "reason", "by"))
        seconds, until = _number(body, "for"), _number(body, "until")
        reason = _text(body, "reason") or ""
        return JSONResponse(desk.pause(_text(body, "remote"), seconds, until, reason, _who(request, body)))

    async def resume(request: Request) -> Response:
        body = await _body(request, ("remote", "by"))
        return JSONResponse(desk.resume(_text(body, "remote"), _who(request, body)))

    async def history(request: Request) -> Response:
        asked = _query(request, "cid", "remote", "since", "limit")
        since, most = _number(asked, "since"), _number(asked, "limit")
        limit = None if most is None else max(int(most), 0)
        return JSONResponse(desk.history(asked.get("cid"), asked.get("remote"), since, limit))

    async def notify(request: Request) -> Response:
        await _body(request, ())
        return JSONResponse(await desk.notify())

    async def events(request: Request) -> Response:
        _query(request)
        return _Events(*await desk.listen(request.scope.get("state", {}).get(CUT, lambda: None)))

    gets = {f"/v1/{each.__name__}": each for each in (status, plan, held, doctor, ls, events, history)}
    told = (sync, approve, adopt, notify, retry, disown, pause, resume)
    posts = {f"/v1/{each.__name__}": each for each in told}
    return application({**gets, **(watching or {})}, posts, log)


def application(gets: Mapping[str, _Handler], posts: Mapping[str, _Handler], log: logging.Logger) -> Starlette:
    """Handlers by path, and at `/` and `/v1/` what there is of them. What goes wrong in one becomes its answer."""

    def answered(handler: _Handler) -> _Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except PinsyncError as error:
                return _error(error.exit_code, str(error))
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:  # a person waits for an answer, and the daemon goes on
                log.error("a request to the daemon ended by a bug", exc_info=error)
                return _error(1, f"this is a bug in pinsync, please report it: {error!r}")

        return answer

    async def overview(request: Request) -> Response:
        _query(request)
        paths = sorted([f"GET {path}" for path in gets] + [f"POST {path}" for path in posts])
        return JSONResponse({"format": 1, "name": "pinsync", "version": __version__, "requests": paths})

    app = Starlette(
        routes=[
            *(Route(path, answered(each), methods=["GET"]) for path, each in gets.items()),
            *(Route(path, answered(each), methods=["POST"]) for path, each in posts.items()),
            *(Route(path, answered(overview), methods=["GET"]) for path in ("/", "/v1", "/v1/")),
        ],
        exception_handlers={HTTPException: _not_ours},
    )
    app.router.redirect_slashes = False
    return app


class _Events(StreamingResponse):
    """What a reader is told, while it is connected."""

    def __init__(self, reader: Reader, hello: bytes) -> None:
        super().__init__(self._lines(hello), media_type="application/x-ndjson")
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._reader:
            await super().__call__(scope, receive, send)

    async def _lines(self, hello: bytes) -> AsyncIterator[bytes]:
        yield hello
        async for line in self._reader.lines():
            yield line


async def _lines(listener: Listener) -> AsyncIterator[bytes]:
    async for line in listener.lines():
        yield json.dumps(line).encode() + b"\n"


async def _not_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path if len(request.url.path) < 100 else f"{request.url.path[:100]}…"
    said = f"this pinsync does not know {request.method} {path}; daemon and command may differ in version"
    return _error(1, said, error.status_code)


def _error(exit_code: int, message: str, status: int | None = None) -> Response:
    body = {"error": {"exit_code": exit_code, "message": message}}
    return JSONResponse(body, status or {2: 400, 6: 409}.get(exit_code, 500))


def _peer(request: Request) -> str | None:
    found = request.scope.get("state", {}).get(PEER)
    return found if isinstance(found, str) else None


def _who(request: Request, body: dict[str, Any]) -> str:
    """Who says so: by the system where it tells, else by the request's own word."""
    return _peer(request) or _text(body, "by") or "somebody"


def _query(request: Request, *known: str) -> dict[str, str]:
    _refuse_unknown(request.query_params.keys(), known)
    return {name: value for name, value in request.query_params.items() if value}


async def _body(request: Request, known: Collection[str]) -> dict[str, Any]:
    too_much = UsageError(f"the request has more than {MOST_BODY >> 20} MiB; name fewer CIDs at once")
    if int(request.headers.get("content-length", "0")) > MOST_BODY:
        raise too_much
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY:
            raise too_much
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise UsageError("the request is not JSON") from None
    if not isinstance(body, dict):
        raise UsageError("the request must be a JSON object")
    _refuse_unknown(body.keys(), known)
    return body


def _refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """What is not understood might have been a restriction."""
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"unknown: {', '.join(unknown)[:200]}; known: {', '.join(known)}")


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    raise UsageError(f'"{name}" must be text')


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if isinstance(value, bool):
        return value
    raise UsageError(f'"{name}" must be true or false')


def _number(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= _LAST:
        raise UsageError(f'"{name}" must be a number, in seconds or of things')
    return number


def _cids(body: dict[str, Any]) -> list[str]:
    """Required: everything is meant only where that was said by an empty list."""
    value = body.get("cids")
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise UsageError('"cids" must be a list of CIDs; an empty one means all')

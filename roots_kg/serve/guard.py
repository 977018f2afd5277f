"""What stands before the application: limits of a body in bytes and seconds, headers, counts and logs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from roots_kg.serve.config import ServeConfig
from roots_kg.serve.monitoring import Monitoring

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AsciiJSON", "Guard", "failure", "log"]

log = logging.getLogger("roots_kg.serve")

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)

CLOSE = {"connection": "close"}


class Guard:
    """Reads a request's body, within the limits, before the application sees it.

    Of each request one line of JSON is logged, which holds nothing that a client wrote: neither texts nor
    names of entities, only the route that matched.

    Args:
        app: the application.
        config: the limits.
        monitoring: where requests are counted.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, monitoring: Monitoring) -> None:
        self.app, self.config, self.monitoring = app, config, monitoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 0, uuid.uuid4().hex[:16]

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*HEADERS, (b"x-request-id", request_id.encode())]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        try:
            body, refusal = await self._body(scope, receive)
            if refusal is not None:
                await failure(*refusal, headers=CLOSE)(scope, receive, observed)
            else:
                await self.app(scope, _replay(body, receive), observed)
        except Exception as error:
            _log_failure(error, request_id)
            if status:
                raise  # the answer has begun; closing the connection says that it is not whole
            told = f"internal error: {type(error).__name__}; the server's log has more under {request_id}"
            await failure(500, told, headers=CLOSE)(scope, receive, observed)
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            seconds = time.perf_counter() - started
            self.monitoring.request(route, status, seconds)
            line = {
                "id": request_id,
                "method": scope["method"] if scope["method"].isalpha() else "(other)",
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 1),
            }
            log.log(logging.ERROR if status >= 500 else logging.INFO, json.dumps(line))

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, str] | None]:
        """Return the whole body; or a status and a message, where it is too large or too slow."""
        too_large = 413, f"the body is larger than {self.config.max_body:,} bytes"
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        digits = len(str(self.config.max_body))  # of a number beyond measure, which int would refuse to read
        stated = stated.lstrip(b"0")
        if stated.isdigit() and (len(stated) > digits or int(stated) > self.config.max_body):
            return b"", too_large
        try:
            body = await asyncio.wait_for(_read(receive, self.config.max_body), self.config.timeout)
        except asyncio.TimeoutError:
            return b"", (408, "the body took too long to arrive")
        return (b"", too_large) if body is None else (body, None)


async def _read(receive: Receive, most: int) -> bytes | None:
    """Return a body, or what came of it before the client went; None if it has more bytes than `most`."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _log_failure(error: Exception, request_id: str) -> None:
    """Log where something went wrong; the message is left out, since it may hold what a client wrote."""
    places = traceback.extract_tb(error.__traceback__)[-6:]
    line = {
        "id": request_id,
        "error": type(error).__name__,
        "at": [f"{place.filename}:{place.lineno} {place.name}" for place in places],
    }
    log.error(json.dumps(line))


class AsciiJSON(JSONResponse):
    """JSON in ASCII: half a surrogate pair, which UTF-8 cannot hold, comes back as it came."""

    def render(self, content: Any) -> bytes:
        """Return the content as bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def failure(status: int, error: str, hint: str | None = None, headers: Any = None) -> Response:
    """Return the answer that says what went wrong."""
    return AsciiJSON({"error": error, "hint": hint}, status_code=status, headers=headers)

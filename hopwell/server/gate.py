"""The gate: who calls, under which name, how often, how much: all of it decided before a request reaches a route."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopwell.server.accounts import Seats
from hopwell.server.browsers import check_host, check_origin
from hopwell.server.errors import ApiError
from hopwell.server.ledger import Ledger
from hopwell.server.settings import ANONYMOUS, ServerSettings, Tenant

log = logging.getLogger("hopwell.server")

OPEN_PATHS = ("/", "/plan", "/limits", "/health", "/ready", "/metrics", "/openapi.json")
OPEN_FOLDER = "/page/"
"""Need no key: probes, scrapers, and pages that ask for the key themselves."""
METHODS = "GET, HEAD, POST"
"""What there are routes for, as `OPTIONS *` asks of a server as a whole (RFC 9110, 9.3.7)."""
LINGER_SECONDS = 2.0
"""For a body that is too large to come in, before it is refused."""
SMALL = 64 << 10
"""Bytes of a body that finds room in any case."""
SHELF = 8
"""Largest bodies that are in memory at once."""


class Gate:
    """ASGI middleware: request ids, keys, rate and size limits, and one line of log a request.

    It leaves `tenant` (a `Tenant`), `request_id` and `seats` (`Seats`) in `scope["state"]` for the routes.
    """

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, tenants: Sequence[Tenant], ledger: Ledger | None
    ) -> None:
        """
        Args:
            tenants: known callers; with none, everybody may call.
            ledger: what they use, if several APIs share it.
        """
        self.app, self.settings = app, settings
        self.tenants, self.ledger = tenants, ledger or Ledger(len(tenants))
        self._nobodys = Ledger(1)
        self._shelved = 0
        """Bytes of large bodies in memory, all callers'; small ones are bounded by the number of connections."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = _by_path(scope)
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        status, sent = 0, 0
        seats: Seats | None = None

        async def tell(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", request_id.encode()))
            sent += len(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body") and seats is not None:
                seats.leave()  # before the client can have its answer, and ask again
            await send(message)

        body = b""
        try:
            _check_framing(scope)
            check_host(scope, self.settings)
            if scope["method"] == "OPTIONS" and scope["raw_path"] == b"*":
                return await Response(status_code=204, headers={"allow": METHODS})(scope, receive, tell)
            check_origin(scope, self.settings)
            seats = self._seats(scope)
            seats.enter()
            scope.setdefault("state", {}).update(tenant=seats.tenant, request_id=request_id, seats=seats)
            body = await self._body(scope, receive)
            plain = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # uvicorn sends no body then
            await self.app(plain, _replay(body, receive), tell)
        except ApiError as error:
            scope.setdefault("state", {})["refusal"] = error.logged()
            if status == 0:
                await error.response(scope["path"])(scope, receive, tell)
        except Exception as error:
            if status:  # too late for a status: raised again, it closes the connection
                raise
            log.exception({"event": "fault", "request_id": request_id, "path": scope["path"], "error": repr(error)})
            await ApiError(500, "an error of the server itself; see its log").response(scope["path"])(
                scope, receive, tell
            )
        finally:
            if seats is not None:
                seats.leave()
            if len(body) > SMALL:
                self._shelved -= len(body)
            _log(scope, request_id, seats and seats.tenant.name, status, sent, time.perf_counter() - started)

    def _seats(self, scope: Scope) -> Seats:
        """The caller's, by its key.

        Raises:
            ApiError: 401.
        """
        if not self.tenants or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            return Seats(ANONYMOUS, self._nobodys)
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        places = enumerate(self.tenants)  # all are compared, in constant time
        found = [place for place, tenant in places if hmac.compare_digest(tenant.key.encode(), key)]
        if not found:
            say = "the API key is unknown" if key else "an API key is needed: Authorization: Bearer KEY, or x-api-key"
            raise ApiError(401, say, None, "invalid_api_key", {"www-authenticate": "Bearer"})
        return Seats(self.tenants[found[0]], self.ledger, found[0])

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, or a refusal as soon as it is known to be too large or too slow."""
        limit = self.settings.max_body_bytes
        length = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = ApiError(
            413, f"the body is larger than {limit:,} bytes", None, "body_too_large", {"connection": "close"}
        )
        if length.isdigit() and int(length) > limit:
            if dict(scope["headers"]).get(b"expect", b"").lower() != b"100-continue":  # else it waits to be asked
                await self._pass_over(receive)
            raise too_large
        parts, size, counted = [], 0, 0
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "the client left before its body was complete")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise too_large
                    if size > SMALL:
                        self._shelve(size - counted)
                        counted = size
                    if not message.get("more_body", False):
                        counted = 0  # whoever gets the body takes it from the shelf
                        return b"".join(parts)
        except TimeoutError:
            wait = f"the body was not complete after {self.settings.body_timeout:g} s"
            raise ApiError(408, wait, None, "body_timeout", {"connection": "close"}) from None
        finally:
            self._shelved -= counted

    def _shelve(self, size: int) -> None:
        if self._shelved + size > SHELF * self.settings.max_body_bytes:
            headers = {"retry-after": "1", "connection": "close"}
            raise ApiError(503, "too many large bodies at once; try again", None, "overloaded", headers)
        self._shelved += size

    async def _pass_over(self, receive: Receive) -> None:
        """Reads as much again as a body may have, and forgets it. Many clients read no answer before they have sent
        everything; to those, a connection that closes meanwhile is a reset without a reason."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while size <= self.settings.max_body_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return


def _by_path(scope: Scope) -> Scope:
    """The same request where its target is a whole URL, as some send it to proxies, and every server has to take it
    (RFC 9112, 3.2.2): that URL's host counts, not the header's. A slash at the end asks for nothing else."""
    try:
        url = urlsplit(scope["raw_path"].decode("ascii", "replace"))
    except ValueError:  # a broken address: no path that there is
        return scope
    if url.scheme in ("http", "https") and url.netloc:
        headers = [(b"host", url.netloc.encode()), *(entry for entry in scope["headers"] if entry[0] != b"host")]
        scope = {**scope, "path": unquote(url.path), "raw_path": (url.path or "/").encode(), "headers": headers}
    return {**scope, "path": scope["path"].rstrip("/") or "/"}


def _check_framing(scope: Scope) -> None:
    """Refuses what two servers in a row may take for requests of different lengths (RFC 9112, 6.1 and 6.3), and what
    HTTP/1 does not describe. The connection closes: what follows on it cannot be told from a body.

    Raises:
        ApiError: 400, 505.
    """
    close = {"connection": "close"}
    if not scope["http_version"].startswith("1."):
        raise ApiError(505, "this server speaks HTTP/1.1 and HTTP/1.0", None, "http_version", close)
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" not in names:
        return
    if b"content-length" in names:
        said = "a request has a content-length or a transfer-encoding, not both; send one of them"
        raise ApiError(400, said, "transfer-encoding", "invalid_value", close)
    if scope["http_version"] == "1.0":
        said = "HTTP/1.0 knows no transfer-encoding; send a content-length, or HTTP/1.1"
        raise ApiError(400, said, "transfer-encoding", "invalid_value", close)


def _log(scope: Scope, request_id: str, tenant: str | None, status: int, sent: int, seconds: float) -> None:
    """A request's line in the log, with the reason of a refusal."""
    record = {
        "event": "request",
        "request_id": request_id,
        "tenant": tenant or None,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "bytes": sent,
        "ms": round(seconds * 1e3, 1),
    }
    log.info(record | scope.get("state", {}).get("refusal", {}))


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, then what the connection gives: that the client left."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay

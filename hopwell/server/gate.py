"""The door: who calls, how often, how much. Everything is decided before a request reaches a route."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopwell.server.errors import ApiError
from hopwell.server.settings import ANONYMOUS, ServerSettings, Tenant

log = logging.getLogger("hopwell.server")

OPEN_PATHS = ("/", "/health", "/ready", "/metrics", "/openapi.json")
OPEN_FOLDER = "/page/"
"""Need no key: probes, scrapers, and a page that asks for the key itself."""


@dataclass(slots=True)
class Account:
    """What a tenant has used: a bucket of requests that fills up with time, and requests now running."""

    tenant: Tenant
    running: int = 0
    tokens: float = field(init=False)
    filled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = float(self.tenant.requests_per_minute or 0)

    def enter(self) -> None:
        """Counts a request in.

        Raises:
            ApiError: 429, with Retry-After.
        """
        limit = self.tenant.requests_per_minute
        now = time.monotonic()
        if limit is not None:
            self.tokens = min(limit, self.tokens + (now - self.filled_at) * limit / 60)
            self.filled_at = now
            if self.tokens < 1:
                wait = {"retry-after": str(int((1 - self.tokens) * 60 / limit) + 1)}
                raise ApiError(429, f"more than {limit} requests a minute; slow down", None, "rate_limited", wait)
        most = self.tenant.max_concurrent
        if most is not None and self.running >= most:
            wait = {"retry-after": "1"}
            raise ApiError(429, f"{most} requests are running already; wait for one", None, "too_many_running", wait)
        self.tokens -= 1
        self.running += 1

    def leave(self) -> None:
        self.running -= 1


class Gate:
    """ASGI middleware: request ids, keys, rate and size limits, and one line of log a request.

    It leaves `scope["state"]["tenant"]` (a `Tenant`) and `scope["state"]["request_id"]` for the routes.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, tenants: Sequence[Tenant] = ()) -> None:
        """
        Args:
            tenants: known callers; with none, everybody may call.
        """
        self.app, self.settings = app, settings
        self.accounts = [Account(tenant) for tenant in tenants]
        self.anonymous = Account(ANONYMOUS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        status, sent = 0, 0
        account: Account | None = None

        async def tell(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", request_id.encode()))
            sent += len(message.get("body", b""))
            await send(message)

        entered = False
        try:
            account = self._account(scope)
            account.enter()
            entered = True
            scope.setdefault("state", {}).update(tenant=account.tenant, request_id=request_id)
            body = await self._body(scope, receive)
            await self.app(scope, _replay(body, receive), tell)
        except ApiError as error:
            if status == 0:
                await error.response(scope["path"])(scope, receive, tell)
        except ConnectionAbortedError:
            pass  # the server closes a connection whose response is not complete
        except Exception as error:
            if status:  # too late for a status: raised again, it closes the connection
                raise
            log.exception({"event": "fault", "request_id": request_id, "path": scope["path"], "error": repr(error)})
            await ApiError(500, "an error of the server itself; see its log").response(scope["path"])(
                scope, receive, tell
            )
        finally:
            if entered and account is not None:
                account.leave()
            record = {
                "event": "request",
                "request_id": request_id,
                "tenant": (account.tenant.name or None) if account else None,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "bytes": sent,
                "ms": round((time.perf_counter() - started) * 1e3, 1),
            }
            log.info(record)

    def _account(self, scope: Scope) -> Account:
        if not self.accounts or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            return self.anonymous
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        found = [a for a in self.accounts if hmac.compare_digest(a.tenant.key.encode(), key)]  # all, in constant time
        if not found:
            say = "the API key is unknown" if key else "an API key is needed: Authorization: Bearer KEY, or x-api-key"
            raise ApiError(401, say, None, "invalid_api_key", {"www-authenticate": "Bearer"})
        return found[0]

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, or a refusal as soon as it is known to be too large or too slow."""
        limit = self.settings.max_body_bytes
        length = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = ApiError(
            413, f"the body is larger than {limit:,} bytes", None, "body_too_large", {"connection": "close"}
        )
        if length.isdigit() and int(length) > limit:
            raise too_large
        parts, size = [], 0
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
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            wait = f"the body was not complete after {self.settings.body_timeout:g} s"
            raise ApiError(408, wait, None, "body_timeout", {"connection": "close"}) from None


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

"""What all routers need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request as HttpRequest
from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from hopwell.server.bodies import parse
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.protocol.common import ErrorReply, MessagesErrorReply
from hopwell.server.service import Service
from hopwell.server.sse import unless_gone

LARGE = 1 << 20
"""Bytes above which bodies are parsed one at a time: the parser does not let the event loop run."""
BREATH = 0.02
"""Seconds that the event loop gets before each large body."""
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorReply, "description": "The request cannot be served; `param` names the field."},
    "5XX": {"model": ErrorReply, "description": "The server is full, stopping, or the request failed."},
}
MESSAGE_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {**entry, "model": MessagesErrorReply} for status, entry in ERRORS.items()
}


def streamed(reply: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The success of a route that answers whole, or as events with `stream`."""
    events = {"text/event-stream": {"schema": {"description": "Server-sent events, a JSON text in each one's data."}}}
    return {200: {"model": reply, "content": events}}


def service_of(http: HttpRequest) -> Service:
    """The service of the application that got this request."""
    return http.app.state.service


class JsonRequest(HttpRequest):
    """A request whose JSON was parsed within limits before FastAPI looks at it."""

    value: Any = None

    async def load(self) -> None:
        """Parses the body, if there is one.

        Raises:
            ApiError: 400, it is not said to be JSON, or as `parse` does.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.method == "POST" and kind != "application/json" and not kind.endswith("+json"):
            # what browsers post across origins without asking first has another type, or none
            raise bad_value("the content-type is not application/json; send that header", "content-type")
        body = await self.body()
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if body and coding != "identity":
            raise bad_value("the body has a content-encoding; send it as it is", "content-encoding")
        if len(body) > LARGE:
            async with self.app.state.parsing:
                await asyncio.sleep(BREATH)
                self.value = parse(body)
        elif body:
            self.value = parse(body)

    async def json(self) -> Any:
        """What was parsed."""
        return self.value


class JsonRoute(APIRoute):
    """Routes that take JSON, and work only as long as the client waits for it."""

    def get_route_handler(self) -> Callable[[HttpRequest], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, of a `JsonRequest`."""
        handle = super().get_route_handler()

        async def handle_json(http: HttpRequest) -> Response:
            loaded = JsonRequest(http.scope, http.receive)
            await loaded.load()
            if (response := await unless_gone(loaded.receive, handle(loaded))) is None:
                raise ApiError(499, "the client has left")  # for the log; nobody reads it
            return response

        return handle_json

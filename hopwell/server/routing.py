"""What all routers need."""

from __future__ import annotations

from typing import Any

from fastapi import Request as HttpRequest
from pydantic import BaseModel

from hopwell.server.protocol.common import ErrorReply, MessagesErrorReply
from hopwell.server.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorReply, "description": "The request cannot be served; `param` names the field."},
    "5XX": {"model": ErrorReply, "description": "The server is full, stopping, or the request failed."},
}
MESSAGE_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {**entry, "model": MessagesErrorReply} for status, entry in ERRORS.items()
}


def streamed(reply: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The success of a route that answers whole, or as events with `stream`."""
    events = {"text/event-stream": {"schema": {"type": "string", "description": "Server-sent events."}}}
    return {200: {"model": reply, "content": events}}


def service_of(http: HttpRequest) -> Service:
    """The service of the application that got this request."""
    return http.app.state.service

"""Server-sent events: `data: {json}` and an empty line each; a client that stops reading loses its request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Response
from starlette.types import Receive, Scope, Send

from hopwell.server.errors import ApiError

log = logging.getLogger("hopwell.server")
DONE = "data: [DONE]\n\n"


def event(data: str, name: str | None = None) -> str:
    """One event; OpenAI's chat and completions have no names."""
    return f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n"


async def primed(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The same events, once the first is there: an error before it still gets its own status.

    Raises:
        ApiError: as `events` does before its first.
    """
    first = await anext(events, None)

    async def all_events() -> AsyncGenerator[str, None]:
        async with aclosing(events):
            if first is not None:
                yield first
            async for text in events:
                yield text

    return all_events()


class EventStream(Response):
    """Sends events as they come, and closes their source when the client leaves or takes nothing for too long."""

    def __init__(self, events: AsyncGenerator[str, None], write_timeout: float, done: bool = True) -> None:
        """
        Args:
            write_timeout: seconds that a write may wait for the client.
            done: end with `data: [DONE]`.
        """
        super().__init__(
            media_type="text/event-stream", headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self.events, self.write_timeout, self.done = events, write_timeout, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(self._write(scope["path"], send))
        watch = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({writer, watch}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
        finally:
            writer.cancel()
            watch.cancel()
            await asyncio.gather(writer, watch, return_exceptions=True)

    async def _write(self, path: str, send: Send) -> None:
        async def put(text: str, more: bool = True) -> None:
            async with asyncio.timeout(self.write_timeout):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async with aclosing(self.events):
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                try:
                    async for text in self.events:
                        await put(text)
                except ApiError as error:  # the status is sent already: the error is the last event
                    data = json.dumps(error.body(path), ensure_ascii=False)
                    await put(event(data, None if self.done else "error"))
                await put(DONE if self.done else "", more=False)
            except (TimeoutError, OSError) as error:
                log.info({"event": "stream cut", "path": path, "reason": repr(error)})
                raise ConnectionAbortedError("the client does not read its stream") from None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

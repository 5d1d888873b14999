"""Server-sent events: `data: {json}` and an empty line each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Response
from starlette.types import Receive, Scope, Send

from hopwell.server.errors import ApiError

T = TypeVar("T")
DONE = "data: [DONE]\n\n"
PATIENCE = 10.0
"""Seconds without an event until a comment keeps the connection alive, for a proxy or a client that gives up."""
ALIVE = ": waiting\n\n"


def event(data: str, name: str | None = None) -> str:
    """One event; OpenAI's chat and completions have no names."""
    return f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n"


def typed(kind: str, **fields: object) -> str:
    """One event whose name its data says too, as responses and messages have them."""
    return event(json.dumps({"type": kind, **fields}, ensure_ascii=False), kind)


class Primed:
    """Events, of which the first may be waited for alone. Whoever has them closes them, begun or not."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        self._events, self.first = events, asyncio.ensure_future(anext(events, None))
        self._begun = False

    def __aiter__(self) -> Primed:
        return self

    async def __anext__(self) -> str:
        if self._begun:
            return await anext(self._events)
        text = await asyncio.shield(self.first)
        self._begun = True
        if text is None:
            raise StopAsyncIteration
        return text

    async def aclose(self) -> None:
        """Closes the source, also while it makes the first event."""
        self.first.cancel()
        await asyncio.gather(self.first, return_exceptions=True)
        await self._events.aclose()


async def primed(events: AsyncGenerator[str, None], patience: float = PATIENCE) -> Primed:
    """The same events, once the first is there, or has not come for long: an error before it still gets its own status.

    Raises:
        ApiError: as `events` does before its first.
    """
    result = Primed(events)
    try:
        await asyncio.wait({result.first}, timeout=patience)
        if result.first.done():
            result.first.result()
    except BaseException:
        await result.aclose()
        raise
    return result


class EventStream(Response):
    """Sends events as they come, and closes their source when the client leaves or is cut off."""

    def __init__(self, events: Primed, done: bool = True) -> None:
        """
        Args:
            done: end with `data: [DONE]`.
        """
        super().__init__(
            media_type="text/event-stream", headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self.events, self.done = events, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_gone(receive, self._write(scope["path"], send))

    async def _write(self, path: str, send: Send) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(max(last + PATIENCE - loop.time(), 0.01))
                if loop.time() >= last + PATIENCE:
                    await put(ALIVE)

        async def put(text: str, more: bool = True) -> None:
            nonlocal last
            last = loop.time()
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        async with aclosing(self.events):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            alive = asyncio.create_task(keep_alive())
            try:
                async for text in self.events:
                    await put(text)
            except ApiError as error:  # the status is sent already: the error is the last event
                data = json.dumps(error.body(path), ensure_ascii=False)
                await put(event(data, None if self.done else "error"))
            finally:
                alive.cancel()
            await put(DONE if self.done else "", more=False)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` comes to; None where the client leaves before, and it is cancelled."""

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.create_task(work), asyncio.create_task(until_gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)

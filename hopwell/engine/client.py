"""The engine as an API process sees it: every request is an asynchronous stream."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from hopwell.engine import wire
from hopwell.engine.metrics import Metrics
from hopwell.engine.reading import Reader
from hopwell.engine.request import EngineDownError, Request, RequestError, RequestOutput
from hopwell.engine.tokenizer import Tokenizer
from hopwell.limits.history import Report

T = TypeVar("T")
SILENCE = 30.0
"""Seconds without a word of the engine's process, at least, until it counts as hanging: a busy machine is no fault."""
LOOK_SECONDS = 1.0
"""Between two looks at how long it has been silent."""
CANCEL_SECONDS = 10.0
"""For what is left after a drain to be cancelled."""


class EngineClient:
    """Speaks to an `EngineHost`, for any number of coroutines of one event loop.

    Usage:
        client = EngineClient(tokenizer)
        await client.connect(end)                       # one end of a socket pair
        async for output in client.generate(request):   # leaving the loop early cancels the request
            ...
        await client.stop(drain=True)
    """

    count = 1
    """Of engines."""

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        """
        Args:
            tokenizer: for text and stop strings; None: answers are tokens.
        """
        self._tokenizer = tokenizer
        self._queues: dict[str, asyncio.Queue[RequestOutput | BaseException]] = {}
        self._connection: wire.Connection | None = None
        self._info: asyncio.Future[wire.Info] | None = None
        self._asked: dict[type, list[asyncio.Future[Any]]] = {wire.Flushed: [], wire.Measured: [], wire.Limits: []}
        """Who waits for a message of a kind; those of one kind come in the order in which they were asked for."""
        self._said, self._heard = "it has not started yet", 0.0
        self._draining = self._stopped = False
        self._look: asyncio.TimerHandle | None = None

    @property
    def info(self) -> wire.Info:
        """What the engine told of itself when it was last connected."""
        assert self._info is not None, "connect() was not awaited"
        return self._info.result()

    @property
    def trouble(self) -> str:
        """Why the engine does not run, in one line; empty if it does. A step that ends after all, or a new process,
        ends the trouble."""
        if self._said or self._connection is None or self._info is None or not self._info.done():
            return self._said
        age, limit = time.monotonic() - self._heard, max(SILENCE, self.info.settings["step_timeout"])
        return f"its process has not said anything for {age:.0f} s" if age > limit else ""

    async def connect(self, end: socket.socket, copy: int = 0) -> wire.Info:
        """Speaks to the engine at the other end from now on; returns what it tells of itself.

        Args:
            copy: as `EngineCopies` numbers engines; there is one.

        Raises:
            EngineDownError: it has ended before it did.
        """
        if self._connection is not None:
            self._connection.close()
        loop = asyncio.get_running_loop()
        self._info = info = loop.create_future()
        end.setblocking(False)
        connection = wire.Connection(
            wire.ToApi, lambda message: self._received(message), lambda: self._lost(connection)
        )
        self._connection = connection
        if self._look is None:
            self._look = loop.call_later(LOOK_SECONDS, self._listen)
        await loop.connect_accepted_socket(lambda: connection, end)
        return await info

    async def generate(self, request: Request, hand_over: bool = False) -> AsyncGenerator[RequestOutput, None]:
        """Streams a request's outputs; the last has `finished` set.

        Args:
            hand_over: the last comes once the prompt's pages are where other engines find them.

        Closing the iterator, or cancelling the task that reads it, cancels the request and returns its pages.

        Raises:
            RequestError: the request cannot be served, before the first output: a bad schema (`field` names it), too
                long (kind `too_long`), an id in use, or the queue is full or draining (kind `overloaded`).
            EngineDownError: the engine does not run, or ends; `trouble` says more.
        """
        if self._draining:
            raise RequestError("the engine is shutting down; try another", kind="overloaded")
        if trouble := self.trouble:
            raise EngineDownError(f"the engine is not running: {trouble}")
        if request.request_id in self._queues:
            raise RequestError(f"request_id {request.request_id!r} is in use; give another", "request_id")
        queue: asyncio.Queue[RequestOutput | BaseException] = asyncio.Queue()
        self._queues[request.request_id] = queue
        reader = Reader(request, self._tokenizer)
        finished = False
        try:
            self._send(wire.Submit.of(request, hand_over))
            while not finished:
                output = await queue.get()
                if isinstance(output, RequestError):
                    finished = True
                    raise output
                if isinstance(output, BaseException):
                    raise EngineDownError(f"the engine failed: {output}") from output
                for index in reader.read(output):
                    self._send(wire.End(request.request_id, index))
                finished = output.finished
                if output.outputs:
                    yield output
        finally:
            del self._queues[request.request_id]
            if not finished:
                self.abort(request.request_id)

    def abort(self, request_id: str) -> None:
        """Cancels a request; its stream ends with `FinishReason.ABORT`, or with a `RequestError` while its constraint
        is being compiled. Unknown ids do nothing."""
        self._send(wire.Abort(request_id))

    def abort_all(self) -> None:
        """Cancels every request of this API."""
        for request_id in list(self._queues):
            self.abort(request_id)

    async def flush_cache(self) -> int:
        """Gives up all cached pages that nobody uses; returns how many.

        Raises:
            EngineDownError: the engine does not run, or stops before it comes to it.
        """
        answer = await self._ask(wire.FlushCache(), wire.Flushed)
        if answer.error:
            raise EngineDownError(answer.error)
        return answer.pages

    async def metrics(self) -> Metrics:
        """What the engine has counted, as of now.

        Raises:
            EngineDownError: as above.
        """
        return (await self._ask(wire.GetMetrics(), wire.Measured)).metrics

    async def all_metrics(self) -> dict[int, Metrics]:
        """The same by the engine's number, where there may be several."""
        return {0: await self.metrics()}

    async def limits(self, copy: int | None = None) -> Report:
        """What the meter knows, as of now.

        Args:
            copy: as `connect` has it.

        Raises:
            EngineDownError: as above.
        """
        return (await self._ask(wire.GetLimits(), wire.Limits)).report

    async def stop(self, drain: bool = True, timeout: float | None = None) -> None:
        """Refuses new requests, waits for those that run, and closes the connection.

        Args:
            drain: first finish what was accepted; otherwise cancel it.
            timeout: seconds to drain before what is left is cancelled; None waits.
        """
        self._draining = True
        if drain:
            await self._idle(timeout)
        self.abort_all()
        await self._idle(CANCEL_SECONDS)
        self._stopped = True
        if self._look is not None:
            self._look.cancel()
        self._said = "it has been stopped"
        self._fail(self._said)
        if self._connection is not None:
            self._connection.close()

    async def _idle(self, timeout: float | None) -> None:
        """Waits until no request runs, while the engine does."""
        began = time.monotonic()
        while self._queues and not self.trouble and (timeout is None or time.monotonic() - began < timeout):
            await asyncio.sleep(0.005)

    async def _ask(self, message: wire.ToEngine, kind: type[T]) -> T:
        """The message of a kind that answers another."""
        if trouble := self.trouble:
            raise EngineDownError(f"the engine is not running: {trouble}")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked[kind].append(answer)
        self._send(message)
        return await answer

    def _send(self, message: wire.ToEngine) -> None:
        if self._connection is not None:
            self._connection.send(message)

    def _received(self, message: wire.ToApi) -> None:
        self._heard = time.monotonic()
        match message:
            case wire.Step(outputs):
                for output in outputs:
                    queue = self._queues.get(output.request_id)
                    if queue is not None:  # its reader may have left
                        queue.put_nowait(output)
            case wire.Refused():
                if (queue := self._queues.get(message.request_id)) is not None:
                    queue.put_nowait(message.error())
            case wire.Flushed() | wire.Measured() | wire.Limits():
                if (waiting := self._asked[type(message)]) and not (answer := waiting.pop(0)).done():
                    answer.set_result(message)
            case wire.Beat(trouble):
                self._said = trouble
                if trouble:
                    self._fail(trouble)
            case wire.Hello(info):
                self._said = ""
                if self._info is not None and not self._info.done():
                    self._info.set_result(info)

    def _listen(self, silent: bool = False) -> None:
        """Ends what waits for a process that has been silent for too long: one that is stopped, or stuck, cannot say so
        itself. It must be so at two looks: an API that was itself stopped has what came meanwhile still to read.

        Args:
            silent: whether it was at the last look.
        """
        trouble = "" if self._said else self.trouble
        if trouble and silent:
            self._fail(trouble)
        self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._listen, bool(trouble))

    def _lost(self, connection: wire.Connection) -> None:
        if connection is not self._connection or self._stopped:
            return
        self._said = "its process has ended"
        self._fail(self._said)
        if self._info is not None and not self._info.done():
            self._info.set_exception(EngineDownError(self._said))

    def _fail(self, why: str) -> None:
        """Ends everything that waits."""
        failure = EngineDownError(why)
        for queue in self._queues.values():
            queue.put_nowait(failure)
        for waiting in self._asked.values():
            for answer in waiting:
                if not answer.done():
                    answer.set_exception(EngineDownError(f"the engine is not running: {why}"))
            waiting.clear()

"""The engine behind asyncio: it steps in a thread of its own, and every request is an asynchronous stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from hopwell.engine.core import Request, RequestError, RequestOutput
from hopwell.engine.loop import Engine
from hopwell.engine.metrics import Metrics

T = TypeVar("T")


class AsyncEngine:
    """Bridges one `Engine`, which it steps in a thread, to any number of coroutines of one event loop.

    Usage:
        engine = AsyncEngine(Engine(model, tokenizer, config))
        engine.start()                                  # in a coroutine: binds to its event loop
        async for output in engine.generate(request):   # leaving the loop early cancels the request
            ...
        await engine.stop(drain=True)
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._queues: dict[str, asyncio.Queue[RequestOutput | BaseException]] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._draining = False
        self._failure: BaseException | None = None

    @property
    def metrics(self) -> Metrics:
        """Counters, gauges and histograms, safe to read from any thread."""
        return self.engine.metrics

    @property
    def healthy(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread is not None and self._thread.is_alive() and self._failure is None

    @property
    def draining(self) -> bool:
        """Whether new requests are refused because the engine is stopping."""
        return self._draining

    def start(self) -> None:
        """Starts the engine's thread. Call it in the event loop that will call `generate`."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="hopwell-engine", daemon=True)
        self._thread.start()

    async def stop(self, drain: bool = True, timeout: float | None = None) -> None:
        """Stops the thread and waits for it.

        Args:
            drain: first finish what was accepted; otherwise cancel it. New requests are refused at once either way.
            timeout: seconds to drain before what is left is cancelled; None waits.
        """
        self._draining = True
        if drain and self.healthy:
            waited = 0.0
            while self._queues and self.healthy and (timeout is None or waited < timeout):
                await asyncio.sleep(0.01)
                waited += 0.01
        self.abort_all()
        while self._queues and self.healthy:
            await asyncio.sleep(0.005)
        self._stopping = True
        self.engine.wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def generate(self, request: Request) -> AsyncIterator[RequestOutput]:
        """Streams a request's outputs; the last has `finished` set.

        Closing the iterator, or cancelling the task that reads it, cancels the request and returns its pages.

        Raises:
            RequestError: the request cannot be served, before the first output: a bad schema (`field` names it), too
                long (kind `too_long`), an id in use, or the queue is full or draining (kind `overloaded`).
            RuntimeError: the engine's thread has died; `healthy` is False.
        """
        if self._draining:
            raise RequestError("the engine is shutting down; try another", kind="overloaded")
        if not self.healthy:
            raise RuntimeError(f"the engine is not running: {self._failure or 'start() was not called'}")
        if request.request_id in self._queues:
            raise RequestError(f"request_id {request.request_id!r} is in use; give another", "request_id")
        queue: asyncio.Queue[RequestOutput | BaseException] = asyncio.Queue()
        self._queues[request.request_id] = queue
        finished = False
        try:
            if request.params.constrained:  # compiling a grammar can take a second, and drops the GIL
                await asyncio.to_thread(self.engine.submit, request)
            else:
                self.engine.submit(request)
            while not finished:
                output = await queue.get()
                if isinstance(output, BaseException):
                    finished = True
                    raise RuntimeError(f"the engine failed: {output}") from output
                finished = output.finished
                yield output
        except RequestError:
            finished = True
            raise
        finally:
            del self._queues[request.request_id]
            if not finished:
                self.engine.abort(request.request_id)

    def abort(self, request_id: str) -> None:
        """Cancels a request, from any thread; its stream ends with `FinishReason.ABORT`. Unknown ids do nothing."""
        self.engine.abort(request_id)

    def abort_all(self) -> None:
        """Cancels every request."""
        for request_id in list(self._queues):
            self.engine.abort(request_id)

    async def call(self, function: Callable[[Engine], T]) -> T:
        """Runs `function(engine)` between two steps in the engine's thread, such as `Engine.flush_cache`."""
        return await asyncio.wrap_future(self.engine.call(function))

    def _run(self) -> None:
        assert self._loop is not None
        try:
            while not self._stopping:
                outputs = self.engine.step() if self.engine.has_work() else []
                if outputs:
                    self._loop.call_soon_threadsafe(self._deliver, outputs)
                elif not self.engine.has_work():
                    self.engine.wait_for_work()
        except BaseException as failure:  # a fault of the engine itself: every stream must hear of it
            self._failure = failure
            self._loop.call_soon_threadsafe(self._fail, failure)

    def _deliver(self, outputs: list[RequestOutput]) -> None:
        for output in outputs:
            queue = self._queues.get(output.request_id)
            if queue is not None:  # its reader may have left
                queue.put_nowait(output)

    def _fail(self, failure: BaseException) -> None:
        for queue in self._queues.values():
            queue.put_nowait(failure)

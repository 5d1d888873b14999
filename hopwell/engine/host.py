"""The engine's side of the wire: it steps in a thread of its own and serves the requests of any number of APIs."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from llguidance import LLMatcher

from hopwell.engine import wire
from hopwell.engine.engine import Engine
from hopwell.engine.info import info_of
from hopwell.engine.request import EngineDownError, Request, RequestError, RequestOutput
from hopwell.errors import HopwellError

log = logging.getLogger(__name__)
JOIN_SECONDS = 10.0
"""For the engine to cancel what is left, and for its thread to end."""
BEAT_SECONDS = 1.0
HAND_OVER_SECONDS = 5.0
"""For pages to come to a store; then whoever waits for them goes on without."""


class EngineHost:
    """Steps one `Engine` in a thread, and speaks for it in one event loop.

    Usage:
        host = EngineHost(engine)
        host.start()                 # in a coroutine: binds to its event loop
        await host.connect(end)      # one end of a socket pair; an `EngineClient` has the other
        await host.stop()
    """

    def __init__(self, engine: Engine, info: wire.Info | None = None) -> None:
        """
        Args:
            info: for the APIs; None: what the engine knows of itself.
        """
        self.engine = engine
        self.info = info or info_of(engine)
        self.death: asyncio.Future[None]
        """Done once the engine's thread has died, and everybody was told."""
        self._links: set[_Link] = set()
        self._owners: dict[str, _Link] = {}
        """By request id: whose request it is."""
        self._handing: set[str] = set()
        """Requests whose pages others wait for."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """Why the engine does not run, in one line; empty if it does. A step that ends after all ends the trouble."""
        if self._thread is None:
            return "start() was not called"
        if self._failure is not None or not self._thread.is_alive():
            failure = self._failure
            return f"its thread has ended: {failure if isinstance(failure, HopwellError) else repr(failure)}"
        started, limit = self.engine.step_started, self.engine.config.step_timeout
        if started is not None and (age := time.monotonic() - started) > limit:
            return f"a step has been running for {age:.0f} s, longer than the step_timeout of {limit:g} s"
        return ""

    @property
    def ended(self) -> bool:
        """Whether the thread has ended. After `stop` it has, unless a step hangs: `Engine.close` would hang too."""
        return self._thread is None or not self._thread.is_alive()

    def start(self) -> None:
        """Starts the engine's thread. Call it in the event loop that will serve the connections."""
        self._loop = asyncio.get_running_loop()
        self.death = self._loop.create_future()
        self.engine.warm_grammars()
        self._thread = threading.Thread(target=self._run, name="hopwell-engine", daemon=True)
        self._thread.start()
        self._watch = asyncio.create_task(self._watch_steps())

    async def connect(self, end: socket.socket) -> None:
        """Serves the API at the other end until that closes; its requests are cancelled then."""
        link = _Link(self)
        end.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: link.connection, end)
        self._links.add(link)
        link.send(wire.Hello(self.info))

    async def stop(self) -> None:
        """Cancels what runs, stops the thread and waits for it, some seconds if a step hangs."""
        for request_id in list(self._owners):
            self.engine.abort(request_id)
        deadline = time.monotonic() + JOIN_SECONDS
        while self.engine.has_work() and not self.trouble and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        again, self._stopping = self._stopping, True
        self.engine.wake()
        if self._watch is not None:
            self._watch.cancel()
        if self._thread is not None and not again:
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)
            if not self.ended:
                log.error("the engine's thread hangs in a step and cannot be stopped")
        self.engine.fail_calls(EngineDownError("the engine has been stopped"))
        await asyncio.sleep(0)  # calls that failed now are answered
        for link in list(self._links):
            link.connection.close()

    # -- the engine's thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                outputs = self.engine.step() if self.engine.has_work() else []
                if outputs:
                    self._in_loop(self._deliver, outputs)
                elif not self.engine.has_work():
                    self.engine.wait_for_work()
        except BaseException as failure:  # a fault of the engine itself: everybody who waits must hear of it
            log.exception("the engine's thread has died")
            self._failure = failure
            self._in_loop(self._mourn)

    def _in_loop(self, function: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # closed: whoever stopped us has left while a step hung
            self._loop.call_soon_threadsafe(function, *args)

    # -- the event loop

    def _deliver(self, outputs: list[RequestOutput]) -> None:
        """One message to each API, however many of its requests have news."""
        owners, shares = self._owners, dict[_Link, list[RequestOutput]]()
        for output in outputs:
            link = owners.pop(output.request_id, None) if output.finished else owners.get(output.request_id)
            if output.finished and output.request_id in self._handing:
                self._handing.discard(output.request_id)
                if link is not None:
                    self._deliver_settled(link, output)
            elif link is not None:  # its API may have gone
                shares.setdefault(link, []).append(output)
        for link, share in shares.items():
            link.send(wire.Step(share))

    def _deliver_settled(self, link: _Link, output: RequestOutput) -> None:
        """Sends a last output once the pages are where others find them, or have not come there in time."""
        left = [wire.Step([output])]

        def send() -> None:
            if left:
                link.send(left.pop())

        asyncio.get_running_loop().call_later(HAND_OVER_SECONDS, send)
        self.engine.when_settled(partial(self._in_loop, send))

    def _mourn(self) -> None:
        self._tell(self.trouble)
        self.death.set_result(None)

    async def _watch_steps(self) -> None:
        """Beats; while a step hangs, nobody waits in vain: what waits ends with an error, once a hang."""
        told = False
        while True:
            await asyncio.sleep(min(BEAT_SECONDS, self.engine.config.step_timeout / 4))
            trouble = self.trouble
            if trouble and not told:
                log.error("the engine does not run: %s", trouble)
            told = bool(trouble)
            self._tell(trouble)
            if self.engine.meter is not None:
                await asyncio.to_thread(self.engine.meter.look)

    def _tell(self, trouble: str) -> None:
        if trouble:
            self.engine.fail_calls(EngineDownError(f"the engine is not running: {trouble}"))
        for link in self._links:
            link.send(wire.Beat(trouble))


class _Link:
    """One API, as the host sees it."""

    def __init__(self, host: EngineHost) -> None:
        self.host = host
        self.connection = wire.Connection(wire.ToEngine, self._received, self._lost)
        self._coming: dict[str, asyncio.Task[None]] = {}
        """Requests whose constraint compiles."""

    def send(self, message: wire.ToApi) -> None:
        self.connection.send(message)

    def _received(self, message: wire.ToEngine) -> None:
        match message:
            case wire.Submit():
                self._take(message)
            case wire.Abort(request_id):
                self._abort(request_id)
            case wire.End(request_id, index):
                if self.host._owners.get(request_id) is self:
                    self.host.engine.end(request_id, index)
            case wire.FlushCache():
                if trouble := self.host.trouble:
                    self.send(wire.Flushed(0, f"the engine is not running: {trouble}"))
                else:
                    flushed = self.host.engine.call(Engine.flush_cache)
                    flushed.add_done_callback(partial(self.host._in_loop, self._flushed))
            case wire.GetMetrics():
                self.send(wire.Measured(self.host.engine.counted()))
            case wire.GetLimits():
                self.send(wire.Limits(self.host.engine.limits()))

    def _take(self, message: wire.Submit) -> None:
        try:
            request = message.read()
        except RequestError as error:
            self.send(wire.Refused.of(message.request_id, error))
            return
        if request.params.constrained:
            self._coming[request.request_id] = task = asyncio.create_task(self._compile(request))
            task.add_done_callback(lambda _: self._coming.pop(request.request_id, None))
        elif self._submit(request, None) and message.hand_over:
            self.host._handing.add(request.request_id)

    def _submit(self, request: Request, matcher: LLMatcher | None) -> bool:
        """Whether the engine has taken a request in; else its API is told why not."""
        try:
            self.host.engine.submit(request, matcher)
        except RequestError as error:
            self.send(wire.Refused.of(request.request_id, error))
            return False
        self.host._owners[request.request_id] = self
        return True

    async def _compile(self, request: Request) -> None:
        try:
            matcher = await self.host.engine.compile(request)
        except RequestError as error:
            self.send(wire.Refused.of(request.request_id, error))
        else:
            self._submit(request, matcher)

    def _abort(self, request_id: str) -> None:
        if (task := self._coming.pop(request_id, None)) is not None:
            task.cancel()
            self.send(wire.Refused.of(request_id, RequestError("the request was cancelled", kind="overloaded")))
        elif self.host._owners.get(request_id) is self:
            self.host.engine.abort(request_id)

    def _flushed(self, done: Future[int]) -> None:
        error = done.exception()
        self.send(wire.Flushed(done.result()) if error is None else wire.Flushed(0, str(error)))

    def _lost(self) -> None:
        """The API has gone: nobody reads its answers."""
        self.host._links.discard(self)
        for request_id in [*self._coming, *(id for id, owner in self.host._owners.items() if owner is self)]:
            self._abort(request_id)
            self.host._owners.pop(request_id, None)

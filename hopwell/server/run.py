"""One API: a uvicorn server around a `Service`, from its socket to its drain; and a whole server in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import uvicorn

from hopwell.engine.client import EngineClient
from hopwell.errors import HopwellError
from hopwell.logs import log_json
from hopwell.server.app import create_app
from hopwell.server.connections import Door, calm, door, protocol
from hopwell.server.listening import LAST_SECONDS, banner, bind, claim, tell
from hopwell.server.service import Service
from hopwell.server.settings import ServerSettings, Tenant
from hopwell.system import on_signal, raise_descriptors

if TYPE_CHECKING:
    from hopwell.engine.loaded import LoadedModel

log = logging.getLogger("hopwell.server")

KEEP_ALIVE = 30
BACKLOG = 4096
ACCEPTS = 16
"""Connections accepted in one go, before any of them can be refused."""
LAST_WORDS = 1.0
"""Seconds after the drain in which what is left is told so."""


def serve(
    load: Callable[[], LoadedModel],
    *,
    port: int,
    names: Sequence[str],
    settings: ServerSettings,
    tenants: Sequence[Tenant],
    imports: float = 0.0,
    start_budget: float | None = None,
    layout: str = "",
    **engine_settings: Any,
) -> None:
    """Serves a model in this process, API and engine together, until SIGTERM, SIGINT or SIGHUP; then finishes what
    runs, and returns. A second signal cancels it. `supervisor.supervise` gives each a process of its own.

    Args:
        load: gives the model, once the address is known to be free.
        port: 0 takes a free one; the banner says which.
        names: the model's names in the API, the first its chief one; none: its own.
        imports: seconds that importing took, for the banner.
        start_budget, layout: as `banner` has them.
        engine_settings: of `EngineConfig`.

    Raises:
        HopwellError: the model cannot be loaded, a setting not honoured, or the address not used.
    """
    from hopwell.engine.host import EngineHost  # torch: an API of a process of its own does without
    from hopwell.engine.info import info_of

    log_json()
    listener = bind(settings.host, port)
    claimed = claim(listener.getsockname()[1])
    with listener, claimed:
        loaded = load()
        engine = loaded.engine(loaded.config(**engine_settings))
        info = info_of(engine, loaded, imports=imports)
        host_here = EngineHost(engine, info)
        client = EngineClient(loaded.tokenizer)
        service = Service(loaded, client, settings, tuple(names or [loaded.name]))

        async def run() -> None:
            host_here.start()
            ours, theirs = socket.socketpair()
            await host_here.connect(theirs)
            await client.connect(ours)
            stop, hurry = asyncio.Event(), asyncio.Event()
            _heed_signals(stop, hurry)

            def ready() -> None:
                claimed.close()
                tell(banner(info, service.names, settings, listener, len(tenants), start_budget, layout))

            await run_api(create_app(service, tenants), service, listener, stop, hurry, ready)
            await host_here.stop()

        asyncio.run(run())
        if not host_here.ended:  # whatever waits for its thread would wait for ever
            logging.shutdown()
            os._exit(1)
        engine.close()
        loaded.close()


def _heed_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """The first signal asks to stop, the second to hurry; whatever hangs then is cut short."""

    def heed() -> None:
        if stop.is_set():
            hurry.set()
            end = threading.Timer(LAST_SECONDS, os._exit, (1,))
            end.daemon = True
            end.start()
        stop.set()

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        on_signal(asyncio.get_running_loop(), name, heed)


def uvicorn_server(app: Any, door: Door) -> uvicorn.Server:
    """A uvicorn server without logs of its own: the gate writes one line a request."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol(door),
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
            backlog=ACCEPTS,
        )
    )


async def run_api(
    app: Any,
    service: Service,
    listener: socket.socket,
    stop: asyncio.Event,
    hurry: asyncio.Event,
    ready: Callable[[], None],
    share: int = 1,
) -> None:
    """Serves until `stop`; new requests get 503 from then on, while those that run have `drain_timeout` to end.

    Args:
        hurry: cancels what runs.
        ready: called once connections are accepted.
        share: APIs that share the limit of connections.
    """
    loop, settings = asyncio.get_running_loop(), service.settings
    calm(loop)
    # the tokenizer's own threads start now, with the priority of whoever encodes long texts
    await loop.run_in_executor(service.encoders, service.loaded.tokenizer.encode_all, ["a", "b"])
    server = uvicorn_server(app, door(settings, raise_descriptors(), share))
    server.capture_signals = nullcontext  # type: ignore[method-assign]  # uvicorn would cut streams off at once
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if serving.done():
        raise HopwellError(f"the server did not start: {serving.exception() or 'see the log'}")
    listener.listen(BACKLOG)
    ready()
    await stop.wait()
    service.draining = True
    began = loop.time()
    hurried = asyncio.create_task(hurry.wait())
    hurried.add_done_callback(lambda _: service.engine.abort_all())
    await service.engine.stop(drain=True, timeout=settings.drain_timeout)
    server.should_exit = True
    await asyncio.wait({serving}, timeout=LAST_WORDS)
    cut(server, lambda cycle: not cycle.response_started)
    left = settings.drain_timeout - (loop.time() - began)
    await asyncio.wait({serving, hurried}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    cut(server, lambda cycle: True)
    await serving
    service.encoders.shutdown(wait=False, cancel_futures=True)


def cut(server: uvicorn.Server, which: Callable[[Any], bool]) -> None:
    """Cuts the connections of whose request `which` is true, or which have none: its body is half sent, or its answer
    is not read."""
    for connection in list(server.server_state.connections):
        cycle = connection.cycle  # type: ignore[union-attr]
        if cycle is None or which(cycle):
            connection.transport.abort()  # type: ignore[union-attr]

"""A server on 127.0.0.1 in a thread: the embedded nano behind the real application and uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from hopwell.engine.client import EngineClient
from hopwell.engine.host import EngineHost
from hopwell.engine.info import info_of
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.server.app import create_app
from hopwell.server.run import run_api
from hopwell.server.service import Service
from hopwell.server.settings import ServerSettings, Tenant


@cache
def nano() -> LoadedModel:
    """Nano, greedy unless a request says otherwise: its generation_config.json has answers drawn at 0.6, and what is
    drawn without a seed is now and then wrong. Clients do not all pass a temperature on, nor does the chat page."""
    torch.set_num_threads(1)
    loaded = load_model(None, device="cpu")
    loaded.default_params = SamplingParams(temperature=0.0)
    return loaded


@dataclass
class Running:
    """A server that runs."""

    url: str
    service: Service
    port: int
    host: EngineHost
    """What steps its engine, in the same process."""


@contextmanager
def server(
    settings: ServerSettings | None = None,
    tenants: Sequence[Tenant] = (),
    model: LoadedModel | None = None,
    **engine_settings: Any,
) -> Iterator[Running]:
    """Serves nano, or what was made of it, API and engine in one process; on leaving, checks that the page pool sums
    up."""
    engine_settings.setdefault("max_seqs", 16)
    loaded = model or nano()
    engine = loaded.engine(loaded.config(**engine_settings))
    host = EngineHost(engine, info_of(engine, loaded))
    settings = settings or ServerSettings(drain_timeout=5.0)
    service = Service(loaded, EngineClient(loaded.tokenizer), replace(settings, max_connections=256), ("nano",))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)  # so that a slow reader is felt soon
    port, up, ends = listener.getsockname()[1], threading.Event(), list[Callable[[], Any]]()

    async def serve() -> None:
        host.start()
        ours, theirs = socket.socketpair()
        await host.connect(theirs)
        await service.engine.connect(ours)
        stop, hurry = asyncio.Event(), asyncio.Event()
        ends.append(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
        with listener:
            await run_api(create_app(service, tenants), service, listener, stop, hurry, up.set)
        await host.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(60)
        yield Running(f"http://127.0.0.1:{port}", service, port, host)
    finally:
        ends[0]()
        thread.join(30)
        engine.close()
        engine.check()
        assert sum(pool.free + pool.prefix.idle for pool in engine.pools) == engine.metrics.pages_total

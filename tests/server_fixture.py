"""A server on 127.0.0.1 in a thread: the embedded nano behind the real application and uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from hopwell.engine.async_engine import AsyncEngine
from hopwell.engine.loading import LoadedModel, load_model
from hopwell.server.app import create_app
from hopwell.server.run import uvicorn_server
from hopwell.server.service import Service
from hopwell.server.settings import ServerSettings, Tenant


@cache
def nano() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model(None, device="cpu")


@dataclass
class Running:
    """A server that runs."""

    url: str
    service: Service
    port: int


@contextmanager
def server(
    settings: ServerSettings | None = None, tenants: Sequence[Tenant] = (), **engine_settings: Any
) -> Iterator[Running]:
    """Serves nano; on leaving, checks that the page pool sums up."""
    engine_settings.setdefault("max_seqs", 16)
    engine = nano().engine(nano().config(**engine_settings))
    service = Service(nano(), AsyncEngine(engine), settings or ServerSettings(drain_timeout=5.0), "nano")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)  # so that a slow reader is felt soon
    port = listener.getsockname()[1]
    http = uvicorn_server(create_app(service, tenants))
    thread = threading.Thread(target=lambda: asyncio.run(http.serve(sockets=[listener])))
    thread.start()
    try:
        for _ in range(500):
            if http.started:
                break
            threading.Event().wait(0.01)
        yield Running(f"http://127.0.0.1:{port}", service, port)
    finally:
        http.should_exit = True
        thread.join(30)
        engine.close()
        engine.check()
        assert not engine.scheduler.used_pages()

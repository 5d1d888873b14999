"""Loads a model, serves it, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from hopwell.cache.prefix import PAGE
from hopwell.engine.async_engine import AsyncEngine
from hopwell.engine.describe import weight_bytes
from hopwell.engine.loading import LoadedModel
from hopwell.errors import HopwellError
from hopwell.server.app import create_app
from hopwell.server.logs import log_json
from hopwell.server.service import Service
from hopwell.server.settings import ServerSettings, Tenant

KEEP_ALIVE = 30


def serve(
    load: Callable[[], LoadedModel],
    *,
    host: str,
    port: int,
    name: str | None,
    settings: ServerSettings,
    tenants: Sequence[Tenant],
    imports: float = 0.0,
    **engine_settings: Any,
) -> None:
    """Serves a model until SIGTERM or SIGINT; then finishes what runs, and returns. A second signal cancels it.

    Args:
        load: gives the model, once the address is known to be free.
        port: 0 takes a free one; the banner says which.
        name: the model's name in the API; None: its own.
        imports: seconds that importing took, for the banner.
        engine_settings: of `EngineConfig`; None where not given.

    Raises:
        HopwellError: the model cannot be loaded, a setting not honoured, or the address not used.
    """
    log_json()
    listener = bind(host, port)
    with listener:
        loaded = load()
        loaded.phases = {"imports": imports, **loaded.phases}
        given = {key: value for key, value in engine_settings.items() if value is not None}
        service = Service(loaded, AsyncEngine(loaded.engine(loaded.config(**given))), settings, name or loaded.name)
        started = time.perf_counter()
        app = create_app(service, tenants)
        loaded.phases["app"] = time.perf_counter() - started
        asyncio.run(_run(uvicorn_server(app), service, listener, tenants))
        service.engine.engine.close()


def bind(host: str, port: int) -> socket.socket:
    """The socket to serve on, before the minutes that a big model takes to load. It does not listen yet: whoever comes
    too early is refused, as probes expect.

    Raises:
        HopwellError: the address is in use, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise HopwellError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host"
        ) from None
    return listener


def uvicorn_server(app: Any) -> uvicorn.Server:
    """A uvicorn server without logs of its own: the gate writes one line a request."""
    return uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, timeout_keep_alive=KEEP_ALIVE, backlog=4096
        )
    )


async def _run(server: uvicorn.Server, service: Service, listener: socket.socket, tenants: Sequence[Tenant]) -> None:
    """Runs until a signal; new requests get 503 from then on, while those that run have `drain_timeout` to end."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def drain() -> None:
        if stop.is_set():
            service.engine.abort_all()
        service.draining = True
        stop.set()

    server.capture_signals = _no_signals  # type: ignore[method-assign]  # uvicorn would cut streams off at once
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if serving.done():
        raise HopwellError(f"the server did not start: {serving.exception() or 'see the log'}")
    print(banner(service, listener, len(tenants)), flush=True)
    await stop.wait()
    await service.engine.stop(drain=True, timeout=service.settings.drain_timeout)
    server.should_exit = True
    await serving


class _no_signals:
    """In place of uvicorn's context manager, which takes the signals over."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def banner(service: Service, listener: socket.socket, tenants: int) -> str:
    """What is served, where, within which limits, and how long each part of the start took."""
    engine, loaded, settings = service.engine.engine, service.loaded, service.settings
    host, port = listener.getsockname()[:2]
    c, model = engine.config, loaded.model
    weights = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in weight_bytes(model).items())
    cache_dtype = "" if c.cache_dtype == "auto" else f" in {c.cache_dtype}"
    activations = "" if c.activations is None else f", {c.activations} activations"
    same = "the same whatever shares their batch" if service.deterministic else "may differ in rounding between batches"
    rows = {
        "model": f"{service.name} on {model.device} ({loaded.path})",
        "precision": f"{str(model.dtype).removeprefix('torch.')}, matrices {weights}{activations}",
        "cache": f"{engine.metrics.pages_total * PAGE:,} tokens{cache_dtype}, prefix reuse"
        f" {'on' if c.prefix_cache else 'off'}",
        "limits": f"{service.max_model_len:,} tokens a request, {c.max_seqs:,} at once, {c.max_waiting:,} waiting,"
        f" {c.max_batch_tokens:,} tokens a step, bodies to {settings.max_body_bytes >> 20:,} MiB",
        "drafts": f"{c.drafts} a step",
        "answers": same,
        "callers": f"{tenants} with keys" if tenants else "everybody (no --api-keys)",
        "start": ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in loaded.phases.items()),
        "url": f"http://{f'[{host}]' if ':' in host else host}:{port}",
    }
    return "\n".join(["hopwell serve", *(f"  {key:<10}{value}" for key, value in rows.items())])

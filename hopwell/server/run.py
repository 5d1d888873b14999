"""Loads a model, serves it, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvicorn

from hopwell.engine.async_engine import AsyncEngine
from hopwell.engine.loading import load_model
from hopwell.errors import HopwellError
from hopwell.server.app import create_app
from hopwell.server.service import Service
from hopwell.server.settings import ServerSettings, Tenant

KEEP_ALIVE = 30


def serve(
    model: str | None,
    *,
    host: str,
    port: int,
    name: str | None,
    device: str,
    dtype: str,
    settings: ServerSettings,
    tenants: Sequence[Tenant],
    **engine_settings: Any,
) -> None:
    """Serves a model until SIGTERM or SIGINT; then finishes what runs, and returns.

    Args:
        model: a checkpoint's folder, a hub name, or None for the embedded nano.
        name: the model's name in the API; None: its own.
        engine_settings: of `EngineConfig`; None where not given.

    Raises:
        HopwellError: the model cannot be loaded, a setting not honoured, or the address not used.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    loaded = load_model(model, device, dtype)
    given = {key: value for key, value in engine_settings.items() if value is not None}
    config = loaded.config(**given)
    service = Service(loaded, AsyncEngine(loaded.engine(config)), settings, name or loaded.name)
    started = time.perf_counter()
    app = create_app(service, tenants)
    loaded.phases["app"] = time.perf_counter() - started
    print(banner(service, host, port, len(tenants)), flush=True)
    asyncio.run(_run(uvicorn_server(app, host, port), service))
    service.engine.engine.close()


def uvicorn_server(app: Any, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server without logs of its own: the gate writes one line a request."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
            backlog=4096,
        )
    )


async def _run(server: uvicorn.Server, service: Service) -> None:
    """Runs until a signal; new requests get 503 from then on, while those that run have `drain_timeout` to end."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def drain() -> None:
        service.draining = True
        stop.set()

    server.capture_signals = _no_signals  # type: ignore[method-assign]  # uvicorn would cut streams off at once
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        waiting.cancel()
        raise HopwellError("the server did not start; is the port in use? choose another with --port")
    await service.engine.stop(drain=True, timeout=service.settings.drain_timeout)
    server.should_exit = True
    await serving


class _no_signals:
    """In place of uvicorn's context manager, which takes the signals over."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def banner(service: Service, host: str, port: int, tenants: int) -> str:
    """What is served, where, within which limits, and how long each part of the start took."""
    engine, loaded, settings = service.engine.engine, service.loaded, service.settings
    c, model = engine.config, loaded.model
    formats = sorted({weight.format for weight in model.weights()}) if hasattr(model, "weights") else []
    precision = str(model.dtype).removeprefix("torch.") + (f", weights {'/'.join(formats)}" if formats else "")
    cache = engine.metrics.pages_total * 64
    rows = {
        "model": f"{service.name} on {model.device} ({loaded.path})",
        "precision": precision,
        "cache": f"{cache:,} tokens, prefix reuse {'on' if c.prefix_cache else 'off'}",
        "limits": f"{service.max_model_len:,} tokens a request, {c.max_seqs:,} at once, {c.max_waiting:,} waiting,"
        f" {c.max_batch_tokens:,} tokens a step, bodies to {settings.max_body_bytes >> 20:,} MiB",
        "drafts": f"{c.drafts} a step",
        "callers": f"{tenants} with keys" if tenants else "everybody (no --api-keys)",
        "start": ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in loaded.phases.items()),
        "url": f"http://{host}:{port}",
    }
    return "\n".join(["hopwell serve", *(f"  {key:<10}{value}" for key, value in rows.items())])

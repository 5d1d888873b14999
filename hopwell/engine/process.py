"""The engine's process: loads a model and serves it to API processes. It knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hopwell.control import Control, Message, as_child
from hopwell.errors import HopwellError
from hopwell.logs import log_json
from hopwell.parallel.memory import RankLost

if TYPE_CHECKING:
    from hopwell.engine.host import EngineHost

MAIN = "hopwell.engine.process:main"
LAST_SECONDS = 0.1
TELL_SECONDS = 0.1
"""Between two words on how far loading has come."""


def main() -> None:
    """Entry of the process. Its parent sends `start`, then `connect` with one end of a socket for each API, and `stop`;
    it answers `bytes` and `kernels` while it loads, then `ready` with `Info`, or `failed` with a reason."""
    began = time.perf_counter()
    control, start = as_child()
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    ready = False

    def received(message: Message | None) -> None:
        if message is None:  # the parent has gone
            os._exit(1)
        if not ready:  # it is told to stop before it could serve
            os._exit(0)
        loop.call_soon_threadsafe(inbox.put_nowait, message)

    log_json()
    control.listen(received)
    try:
        host = _load(control, start.fields, began)
        ready = True
        code = loop.run_until_complete(_serve(host, control, inbox))
    except RankLost as error:  # nothing that the user has asked for: it may go well again
        logging.getLogger(__name__).error("%s", error)
        code = 1
    except HopwellError as error:
        control.send("failed", reason=str(error))
        code = 2
    except Exception as error:
        logging.getLogger(__name__).exception("the engine's process has failed")
        control.send("failed", reason=f"the engine's process has failed: {error!r}; see the log")
        code = 1
    logging.shutdown()
    os._exit(code)  # nothing that other threads still do is of use


def _load(control: Control, fields: dict[str, Any], began: float) -> EngineHost:
    """The engine that the parent's `start` asks for. What it needs is imported here, where a failure can be told."""
    from hopwell.engine.host import EngineHost
    from hopwell.engine.info import info_of
    from hopwell.engine.loading import load_model

    imports = time.perf_counter() - began
    model, template = (None if fields[name] is None else Path(fields[name]) for name in ("model", "chat_template"))
    told = _teller(control, "bytes"), _teller(control, "kernels")
    device, dtype, settings = (fields[name] for name in ("device", "dtype", "settings"))
    rest = {name: fields[name] for name in ("tp", "ep", "dp_attention", "copies", "start_budget")}
    loaded = load_model(model, device, dtype, *told, template, conversations=False, settings=settings, **rest)
    engine = loaded.engine(loaded.config(**settings))
    return EngineHost(engine, info_of(engine, loaded, imports=imports))


async def _serve(host: EngineHost, control: Control, inbox: asyncio.Queue[Message]) -> int:
    """Serves until the parent says `stop`, or the engine's thread dies; returns the process's exit code."""
    host.start()
    control.send("ready", info=msgspec.to_builtins(host.info))
    while True:
        coming = asyncio.ensure_future(inbox.get())
        await asyncio.wait({coming, host.death}, return_when=asyncio.FIRST_COMPLETED)
        if host.death.done():
            await asyncio.sleep(LAST_SECONDS)  # everybody was told, and may read it
            return 1
        message = coming.result()
        if message.kind == "connect":
            await host.connect(socket.socket(fileno=message.ends[0]))
            continue
        await host.stop()
        if not host.ended:
            return 1
        host.engine.close()
        return 0


def _teller(control: Control, kind: str) -> Callable[[int, int, str], None]:
    """What tells the parent how far something has come, now and then."""
    due = 0.0

    def tell(done: int, total: int, name: str) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due or done >= total:
            due = now + TELL_SECONDS
            control.send(kind, done=done, total=total, name=name)

    return tell

"""An API process: HTTP, templates, tokenising and streams, in front of an engine that has a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path

from hopwell.control import Control, Message, as_child
from hopwell.engine.request import EngineDownError
from hopwell.errors import HopwellError
from hopwell.logs import log_json

MAIN = "hopwell.server.worker:main"
SWITCH_SECONDS = 0.0005
"""That a thread which encodes or lists tokens keeps the interpreter while streams wait for it; Python's own 5 ms would
be felt with every token."""
log = logging.getLogger("hopwell.server")


def main() -> None:
    """Entry of the process. Its parent sends `start`, then `connect` with one end of a socket to an engine, again for
    each new one, and `stop`, and `hurry`; it answers `listening`, or `failed` with a reason."""
    control, start = as_child()
    sys.setswitchinterval(SWITCH_SECONDS)
    log_json()
    try:
        code = asyncio.run(_run(control, start))
    except (HopwellError, EngineDownError) as error:
        control.send("failed", reason=str(error))
        code = 2
    except Exception as error:
        log.exception("an API process has failed")
        control.send("failed", reason=f"an API process has failed: {error!r}; see the log")
        code = 1
    logging.shutdown()
    os._exit(code)  # nothing that other threads still do is of use


async def _run(control: Control, start: Message) -> int:
    import msgspec

    from hopwell.engine.apart import EnginesApart
    from hopwell.engine.client import EngineClient
    from hopwell.engine.copies import EngineCopies
    from hopwell.engine.frontend import Frontend
    from hopwell.server.app import create_app
    from hopwell.server.ledger import Ledger
    from hopwell.server.run import run_api
    from hopwell.server.service import Service
    from hopwell.server.settings import ServerSettings, Tenant

    loop, fields = asyncio.get_running_loop(), start.fields
    stop, hurry = asyncio.Event(), asyncio.Event()
    decoding, computing = fields["dp"], fields["prefill_engines"]
    connected = [asyncio.Event() for _ in range(decoding + computing)]
    template, names = fields["chat_template"], tuple(fields["names"])
    frontend = Frontend.open(Path(fields["path"]), None if template is None else Path(template), names[0])
    if computing:
        client = EnginesApart(frontend.tokenizer, decoding, computing)
    else:
        client = EngineClient(frontend.tokenizer) if decoding == 1 else EngineCopies(frontend.tokenizer, decoding)

    def received(message: Message | None) -> None:
        if message is None:  # the parent has gone
            os._exit(1)
        loop.call_soon_threadsafe(heed, message)

    def heed(message: Message) -> None:
        match message.kind:
            case "connect":
                end, copy = socket.socket(fileno=message.ends[0]), message.fields["copy"]
                connecting = asyncio.ensure_future(client.connect(end, copy))
                connecting.add_done_callback(lambda done: done.exception() is None and connected[copy].set())
            case "stop":
                if not all(each.is_set() for each in connected):
                    os._exit(0)
                stop.set()
            case "hurry":
                hurry.set()

    control.listen(received)
    frontend.warm()
    settings = msgspec.convert(fields["settings"], ServerSettings)
    tenants = msgspec.convert(fields["tenants"], list[Tenant])
    listener, *shared = start.ends
    workers, me = fields["workers"], fields["me"]
    ledger = Ledger(len(tenants), workers, me, shared[0]) if shared else None
    service = Service(frontend, client, settings, names, started_at=fields["started_at"])
    app = create_app(service, tenants, ledger)
    for each in connected:
        await each.wait()
    with socket.socket(fileno=listener) as door:
        await run_api(app, service, door, stop, hurry, lambda: control.send("listening"), workers)
    return 0

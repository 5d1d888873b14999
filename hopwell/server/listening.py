"""A server's address and its first words on the terminal: what needs neither HTTP nor the model."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence

from hopwell.engine.start import over_budget, phase_lines
from hopwell.engine.wire import Info
from hopwell.errors import HopwellError
from hopwell.server.settings import ServerSettings
from hopwell.system import forget_stdout, process_seconds

log = logging.getLogger("hopwell.server")
LAST_SECONDS = 10.0
"""From the second signal to the end, whatever hangs."""


def bind(host: str, port: int) -> socket.socket:
    """The socket to serve on, before the minutes that a big model takes to load. It does not listen yet: whoever comes
    too early is refused, as probes expect.

    Raises:
        HopwellError: the address is in use, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows it takes a port from whoever listens on it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise HopwellError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host"
        ) from None
    return listener


def claim(port: int) -> socket.socket:
    """Holds a port until it is listened on: on Linux two sockets that do not listen yet may be bound to one port, and
    the second server would find out after it has loaded its model. Closing the socket gives the claim up.

    Raises:
        HopwellError: another server is about to listen on it.
    """
    if sys.platform != "linux":
        return socket.socket()
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0hopwell-serve-{port}")  # a name without a file, gone with its process
    except OSError:
        held.close()
        raise HopwellError(f"another hopwell serve is about to listen on port {port}; choose another --port") from None
    return held


def tell(text: str) -> None:
    """Prints; a full disk or a reader who has left is no reason to stop serving."""
    try:
        print(text, flush=True)
    except OSError as error:
        log.warning({"event": "stdout cannot be written", "reason": str(error)})
        forget_stdout()  # so that the end does not fail on it again


def banner(
    info: Info,
    names: Sequence[str],
    settings: ServerSettings,
    listener: socket.socket,
    tenants: int,
    start_budget: float | None = None,
    layout: str = "",
) -> str:
    """What is served, where, within which limits, and how long each part of the start took.

    Args:
        start_budget: seconds that it should take; that it did not is logged too.
        layout: why the model lies as it does, where that was chosen.
    """
    in_all = process_seconds()
    host, port = listener.getsockname()[:2]
    about = info.about
    same = "the same whatever shares their batch" if info.batch_invariant else "may differ in rounding between batches"
    rows = {
        "model": f"{', '.join(names)} {about['model']}",
        **({"layout": layout} if layout else {}),
        **{key: value for key, value in about.items() if key != "model"},
        "limits": f"{about['limits']}, bodies to {settings.max_body_bytes >> 20:,} MiB",
        "answers": same,
        "callers": f"{tenants} with keys" if tenants else "everybody (no --api-keys)",
        "start": phase_lines({**info.phases, "in all": in_all}, info.limits),
        **({} if start_budget is None else {"budget": _budget(start_budget, in_all, info)}),
        "url": f"http://{f'[{host}]' if ':' in host else host}:{port}",
    }
    return "\n".join(["hopwell serve", *(f"  {key:<10}{value}" for key, value in rows.items())])


def _budget(budget: float, in_all: float, info: Info) -> str:
    passed = over_budget(budget, in_all, info.phases, info.limits, info.snapshot)
    if passed is None:
        return f"{budget:g} s, kept: {budget - in_all:.2f} s are left"
    log.warning({"event": "the start has passed its budget", "budget": passed})
    return passed

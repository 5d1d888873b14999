"""The child process of `hopwell.bounded`: makes a function, limits itself, answers calls until its parent goes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

try:
    import resource
except ImportError:  # Windows
    resource = None

START_SECONDS = 120.0
"""For an interpreter to start and the function to be made, on a machine that is busy with loading a model."""
HEADER = 8
"""Bytes before each message: its length. The message is JSON."""
NESTED = "it is nested too deeply"


def encode(value: Any) -> bytes:
    """A message.

    Raises:
        RecursionError: it is nested too deeply.
    """
    body = json.dumps(value).encode()
    return len(body).to_bytes(HEADER, "big") + body


def main() -> None:
    """Reads what to make, then calls, from stdin until it closes."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak in our place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _alarm(START_SECONDS)
    make, setup, memory, stack, seconds = json.loads(_read())
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    threading.stack_size(stack)
    thread = threading.Thread(target=_serve, args=(make, setup, memory, seconds, replies))
    thread.start()
    thread.join()


def _serve(make: str, setup: Any, memory: int, seconds: float, replies: IO[bytes]) -> None:
    """In the thread that has the stack."""
    functions: list[Callable[[Any], Any]] = []

    def build() -> None:
        module, _, name = make.partition(":")
        functions.append(getattr(importlib.import_module(module), name)(setup))

    reply = _reply(build)
    most = _address_space() + memory
    while True:
        replies.write(reply)
        replies.flush()
        _alarm(0)
        if not functions or not (body := _read()):
            return
        _alarm(seconds + 1)  # whatever becomes of the parent
        _limit_memory(_address_space() + memory)
        reply = _reply(lambda body=body: functions[0](json.loads(body)), most)
        _limit_memory(None)


def _reply(function: Callable[[], Any], most: int | None = None) -> bytes:
    """Whether the child has had its day (what its calls left behind adds up), the kind of fault, the type of an
    exception, and the result or the exception's message."""
    try:
        result = function()
        return encode([most is not None and _address_space() > most, "", "", result])
    except MemoryError:
        fault = True, "memory", "MemoryError", "it needs more memory than it may have"
    except RecursionError:
        fault = False, "stack", "RecursionError", NESTED
    except BaseException as error:  # Rust's panics are no Exceptions
        fault = False, "raised", type(error).__name__, str(error)
    return encode(fault)


def _read() -> bytes:
    """The body of the next message, empty where the parent is gone."""
    size = int.from_bytes(sys.stdin.buffer.read(HEADER), "big")
    return sys.stdin.buffer.read(size)


def _alarm(seconds: float) -> None:
    """Ends the process by then, even in the middle of native code; 0: not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _address_space() -> int:
    """Bytes that this process has mapped; 0 where it cannot be known."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _limit_memory(size: int | None) -> None:
    if resource is None or sys.platform == "darwin":
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard if size is None else size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

"""Functions that a child process runs for tests/test_bounded.py: what they do is what the caller names."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any


def obey(setup: str) -> Callable[[list[Any]], Any]:
    if setup == "broken":
        raise ValueError("cannot be made")
    left: list[Any] = []

    def run(value: list[Any]) -> Any:
        match value:
            case ["echo", said]:
                return said
            case ["pid"]:
                return os.getpid()
            case ["setup"]:
                return setup
            case ["sleep"]:
                time.sleep(1000)
            case ["loop"]:
                sum(range(1 << 62))  # holds the interpreter lock
            case ["memory", size]:
                return len(bytearray(size))
            case ["leak", size]:
                left.append(bytearray(size))
            case ["large", size]:
                return "x" * size
            case ["raise"]:
                raise KeyError("no such thing")
            case ["exit"]:
                os._exit(3)
            case ["segv"]:
                ctypes.string_at(0)
            case ["abort"]:
                os.abort()
            case ["print"]:
                os.system("echo what a library says")
        return None

    return run

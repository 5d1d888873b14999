"""A line between a process and the children it has started: JSON messages, with sockets attached where wanted.

Whoever is at the other end has gone when the line ends: a child that sees it ends itself, so that no kill, of whichever
process, leaves an orphan. Nothing has a name in the file system, so nothing is left there either. Not on Windows.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_ENDS = 8
"""Sockets attached to one message."""
GROUP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Sent to all processes of a group at once; Windows has no SIGHUP."""
ROOT = str(Path(__file__).parents[1])


@dataclass(slots=True)
class Message:
    """What was said."""

    kind: str
    fields: dict[str, Any]
    ends: list[int]
    """Descriptors that came with it; the receiver's to close."""


class Control:
    """One end of a line. `send` may be called from any thread; it waits for the other end's reader, not for answers."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._lock = end, threading.Lock()
        self._buffer, self._ends = b"", list[int]()

    def send(self, kind: str, ends: Sequence[int] = (), **fields: Any) -> None:
        """Says something; nothing if nobody listens any more.

        Args:
            ends: descriptors to hand over; the sender keeps its own.
            fields: anything that JSON can hold.
        """
        data = json.dumps([kind, len(ends), fields]).encode() + b"\n"
        try:
            with self._lock:
                sent = socket.send_fds(self._end, [data], list(ends))
                self._end.sendall(data[sent:])
        except OSError:
            pass

    def receive(self) -> Message | None:
        """Waits for the next message; None once the other end has gone."""
        while b"\n" not in self._buffer:
            try:
                data, ends, _, _ = socket.recv_fds(self._end, 1 << 16, MOST_ENDS)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
            self._ends += ends
        line, _, self._buffer = self._buffer.partition(b"\n")
        kind, count, fields = json.loads(line)
        ends, self._ends = self._ends[:count], self._ends[count:]
        return Message(kind, fields, ends)

    def listen(self, received: Callable[[Message | None], object]) -> None:
        """Calls a function with every message from now on, in a thread of its own; the last is None."""

        def run() -> None:
            while (message := self.receive()) is not None:
                received(message)
            received(None)

        threading.Thread(target=run, name="hopwell-control", daemon=True).start()

    def close(self) -> None:
        """Ends the line."""
        self._end.close()


@dataclass(slots=True)
class Child:
    """A process that was started, and the line to it."""

    process: subprocess.Popen[bytes]
    control: Control

    @classmethod
    def start(cls, main: str, outlives: bool = False, /, **variables: str) -> Child:
        """Starts a Python process.

        Args:
            main: `module:function`; it begins with `as_child`.
            outlives: it has something to put right when this process dies, and ends by itself.
            variables: of its environment, beside this process's.
        """
        module, _, function = main.partition(":")
        ours, theirs = socket.socketpair()
        # -P: a file of the working directory must not stand in for a module
        shield = f"import sys; sys.path.append({ROOT!r}); from hopwell.control import shield; shield({outlives})"
        code = f"{shield}; from {module} import {function}; {function}()"
        command = [sys.executable, "-P", "-c", code, str(theirs.fileno())]
        with theirs, _held_back():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env={**os.environ, **variables}
            )
        return cls(process, Control(ours))


def as_child() -> tuple[Control, Message]:
    """In a process made by `Child.start`: the line to its parent, and the first message."""
    control = Control(socket.socket(fileno=int(sys.argv[1])))
    message = control.receive()
    if message is None:
        os._exit(1)
    return control, message


def shield(outlives: bool) -> None:
    """Before a child imports anything that takes time: it ends with its parent, and not by signals that a terminal or
    an init system sends to all processes of a group, for the parent says when."""
    if not outlives:
        _die_with_parent()
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


@contextmanager
def _held_back() -> Iterator[None]:
    """Within, a child starts with these signals blocked until its `shield`: one that came to its interpreter's start
    would be told of with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    """Has Linux kill this process when its parent dies, even while it is in a call that holds the GIL."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)

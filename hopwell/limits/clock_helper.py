"""The small processes that may lock clocks: a helper that does what it is told within a whitelist, and its guard.

Whoever governs starts the helper and tells it again and again which clock it wants. The helper takes all locks away,
and ends, when that stops (`heartbeat`), when the line ends, on a signal or an error. The guard watches the helper in
the same way: if it is killed or stopped, the guard takes the locks away. If the guard is lost, the helper ends too. So
of the three processes any may be killed; if all are killed at one instant, the next helper begins by taking locks
away.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hopwell.control import Child, Control, Message
from hopwell.limits.clocks import LOW_MHZ, ClockError, Locks, import_nvml

HELPER, GUARD = "hopwell.limits.clock_helper:helper", "hopwell.limits.clock_helper:guard"
HEARTBEAT = 1.0
"""Seconds without a word after which locks are taken away."""
START_SECONDS = 60.0


class ClockHelper:
    """A helper that was started, for whoever governs. Not for use from several threads at once."""

    def __init__(self, nvml: str, cards: Sequence[int], low: int = LOW_MHZ, heartbeat: float = HEARTBEAT) -> None:
        """
        Args:
            nvml: the name of the module that is NVML.
            cards: a group whose ranks wait for each other, as NVML numbers them.
            low: MHz, the whitelist's lowest.
            heartbeat: seconds from one `want` to the next, at most.

        Raises:
            ClockError: the helper could not start, or refuses.
        """
        self._child = Child.start(HELPER, True)
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._child.control.listen(self._inbox.put)
        self._child.control.send("start", nvml=nvml, cards=list(cards), low=low, heartbeat=heartbeat)
        self.lost: str | None = None
        """Why it has ended."""
        self.mhz: int | None = None
        """The clock that it set last."""
        try:
            told = self._inbox.get(timeout=START_SECONDS)
        except queue.Empty:
            told = None
        if told is None or told.kind != "ready":
            self._child.process.kill()
            self._child.process.wait()
            raise ClockError("the clocks' helper did not start" if told is None else told.fields["why"])
        self.clocks: list[int] = told.fields["clocks"]
        self.pids: list[int] = told.fields["pids"]
        """The helper's and its guard's."""

    def want(self, mhz: int) -> None:
        """Tells which clock is wanted: again and again, though it be the same."""
        self._child.control.send("want", mhz=mhz)
        with suppress(queue.Empty):
            while True:
                told = self._inbox.get_nowait()
                if told is None:
                    self.lost = self.lost or "it has ended"
                elif told.kind == "set":
                    self.mhz = told.fields["mhz"]
                else:
                    self.lost = told.fields["why"]

    def close(self) -> None:
        """Takes the locks away and ends the helper."""
        self._child.control.send("done")
        self._child.process.wait()
        self._child.control.close()


def helper() -> None:
    """Entry of the helper's process."""
    control, start = _begin()
    # hazard: a Queue's lock may be held when a signal comes, a SimpleQueue's not
    inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), lambda *_: inbox.put(None))
    watching = Child.start(GUARD, True)
    watching.control.send("start", **start.fields, pid=os.getpid())
    ready = watching.control.receive()
    try:
        if ready is None or ready.kind != "ready":
            raise ClockError("the helper's guard did not start" if ready is None else ready.fields["why"])
        locks = Locks(import_nvml(start.fields["nvml"]), start.fields["cards"], start.fields["low"])
    except ClockError as error:
        control.send("failed", why=str(error))
        watching.control.send("done")
        sys.exit(2)
    control.listen(inbox.put)
    watching.control.listen(inbox.put)
    control.send("ready", clocks=locks.clocks, pids=[os.getpid(), watching.process.pid])
    try:
        why = _obey(inbox, locks, control, watching.control, start.fields["heartbeat"])
    except ClockError as error:
        why = str(error)
    finally:
        locks.reset()
    watching.control.send("done")
    control.send("lost", why=why)
    os._exit(0)


def _obey(
    inbox: queue.SimpleQueue[Message | None], locks: Locks, control: Control, guard_line: Control, heartbeat: float
) -> str:
    """Does what it is told; returns why it stopped."""
    now, patience = locks.clocks[-1], None
    while True:
        try:
            message = inbox.get(timeout=patience)
        except queue.Empty:
            return f"nobody has said anything for {heartbeat} s"
        if message is None:
            return "a line or a signal ended it"
        if message.kind == "done":
            return "it was told to"
        patience = heartbeat
        guard_line.send("beat")
        if message.fields["mhz"] != now:
            locks.lock(message.fields["mhz"])
            now = message.fields["mhz"]
        control.send("set", mhz=now)


def guard() -> None:
    """Entry of the guard's process: it unlocks when the helper can no longer."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    control, start = _begin()
    try:
        locks = Locks(import_nvml(start.fields["nvml"]), start.fields["cards"], start.fields["low"])
    except ClockError as error:
        control.send("failed", why=str(error))
        sys.exit(2)
    inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    control.listen(inbox.put)
    control.send("ready")
    message = inbox.get()  # until the first word nothing is locked
    try:
        while message is not None and message.kind != "done":
            message = inbox.get(timeout=2 * start.fields["heartbeat"])
    except queue.Empty:
        pass
    if message is None or message.kind != "done":
        if os.getppid() == start.fields["pid"]:  # it hangs, and must not lock again once it wakes
            os.kill(start.fields["pid"], signal.SIGKILL)
        locks.reset()
    os._exit(0)


def _begin() -> tuple[Control, Message]:
    control = Control(socket.socket(fileno=int(sys.argv[1])))
    message: Any = control.receive()
    if message is None:
        os._exit(1)
    return control, message

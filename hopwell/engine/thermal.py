"""Watches the degrees of an engine's GPUs in a thread of its own; the scheduler keeps work out while they are hot."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hopwell.engine.config import EngineConfigError
from hopwell.limits.board import Board
from hopwell.limits.thermal import Guard, ThermalState

INTERVAL = 1.0
"""Seconds from one look to the next."""
log = logging.getLogger(__name__)


class ThermalWatch:
    """A guard, its readings, and who hears of it."""

    def __init__(
        self, read: Callable[[], Sequence[Board | None]], max_degrees: int, interval: float | None = INTERVAL
    ) -> None:
        """
        Args:
            read: the sensors of all GPUs.
            interval: seconds from one look to the next; None: whoever made it calls `look`.

        Raises:
            EngineConfigError: a GPU does not tell its degrees.
        """
        if any(board is None or board.degrees is None for board in read()):
            raise EngineConfigError("max_degrees: NVML tells no temperature of this GPU; leave it out")
        self._read, self._interval, self._guard = read, interval, Guard(max_degrees)
        self.changed: Callable[[], None] = lambda: None
        """Called when it has become hot, or cool."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hopwell-thermal", daemon=True)
        self.look()
        if interval is not None:
            self._thread.start()

    @property
    def hot(self) -> bool:
        """Whether requests that were promised nothing are to wait."""
        return self._guard.state.hot

    def state(self, held: int) -> ThermalState:
        """What is told of it.

        Args:
            held: sequences that wait for it.
        """
        return replace(self._guard.state, held=held)

    def look(self) -> None:
        """Reads the sensors, which takes milliseconds: not between steps."""
        if self._guard.look(time.monotonic(), self._read()):
            state = self._guard.state
            if state.hot:
                log.warning("hot: %s; requests of class batch wait until it is cool", state.why)
            else:
                log.warning("cool: %s; requests of class batch are served again", state.why)
            self.changed()

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.look()

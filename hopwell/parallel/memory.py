"""Memory that several processes of one host see: a file without a name, so that nothing stays behind."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hopwell.errors import HopwellError
from hopwell.system import memory_file

LINE = 64
"""Bytes of a cache line: what one process counts, another must not write beside."""
PATIENCE = 10.0
"""Seconds that a rank may be behind the others; then it hangs."""
SPIN_SECONDS, NAP_SECONDS = 2e-3, 1e-4
LOOKS = 64
"""Between two looks at the clock."""


class RankLost(HopwellError):
    """A rank has died, hangs or has failed; what the others compute is of no use any more. The message names it."""


class SharedBlock:
    """Bytes that several processes share, and the word that tells all of them that one is lost.

    hazard: whoever has written must not be seen to have counted before; `fence` stands between.
    """

    def __init__(self, file: int, size: int) -> None:
        """
        Args:
            file: a descriptor, which the block closes.
        """
        self.file, self.size = file, size
        self._map = mmap.mmap(file, LINE + size)
        self.bytes = np.frombuffer(self._map, np.uint8)[LINE:]
        self._lost: NDArray[np.int64] = np.frombuffer(self._map, np.int64, 2)
        self._lock = threading.Lock()

    @classmethod
    def create(cls, size: int) -> SharedBlock:
        """A new block of zeros."""
        return cls(memory_file(LINE + size), size)

    def counters(self, offset: int, count: int) -> NDArray[np.int64]:
        """int64 [count], each in a line of its own, from byte `offset` on."""
        return self.bytes[offset : offset + count * LINE].view(np.int64)[:: LINE // 8]

    def fence(self) -> None:
        """What this process wrote before, others see before what it writes after."""
        for _ in range(2):  # a release, and an acquire after it: full order on ARM too
            with self._lock:
                pass

    def lose(self, rank: int) -> None:
        """Tells all that a rank is lost; whoever waits, stops waiting."""
        if not self._lost[0]:
            self._lost[1] = rank
            self.fence()
            self._lost[0] = 1

    @property
    def lost(self) -> int | None:
        """The rank that was lost first."""
        return int(self._lost[1]) if self._lost[0] else None

    def wait(self, behind: Callable[[], int | None], what: str, patience: float | None = PATIENCE) -> None:
        """Waits for other ranks: at first awake, then with naps.

        Args:
            behind: the rank that is waited for, None when there is none any more.
            what: it is to do, for the message.
            patience: seconds; None: for ever.

        Raises:
            RankLost: a rank is lost, or patience is at an end.
        """
        looks, began, nap = 0, 0.0, NAP_SECONDS
        while (rank := behind()) is not None:
            looks += 1
            if looks % LOOKS:
                _give_way()
                continue
            now = time.monotonic()
            began = began or now
            if self.lost is not None:
                raise RankLost(f"rank {self.lost} is lost; {what} waits for rank {rank}")
            if patience is not None and now - began > patience:
                raise RankLost(f"rank {rank} hangs: {what} has waited for it for {patience:g} s")
            if now - began > SPIN_SECONDS:
                looks = LOOKS - 1  # a look at the clock each time
                time.sleep(nap)
                nap = min(nap * 1.05, 20 * NAP_SECONDS)
        self.fence()

    def close(self) -> None:
        """Gives the descriptor back; the memory goes with the last view of it."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def _give_way() -> None:
    """To other processes, on a machine with fewer cores than ranks."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)

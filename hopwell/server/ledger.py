"""What each tenant uses, counted once for all API processes: memory that they share, under one lock."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from mmap import mmap

from hopwell.system import locked, memory_file

BUCKET = struct.Struct("dd")
"""Requests that a tenant may make now, and when that was so by `time.monotonic`, which processes share."""
COUNT = struct.Struct("q")
"""Sequences that run in one API process."""


class Ledger:
    """Buckets of requests and counts of running sequences, by tenant.

    The lock goes with whoever dies holding it; so do the counts of a process, once the one in its place begins.
    """

    def __init__(self, tenants: int, workers: int = 1, me: int = 0, file: int | None = None) -> None:
        """
        Args:
            workers: processes that share it.
            me: which of them this is; its counts are set to 0.
            file: the descriptor from `shared`; None: nobody shares it.
        """
        self.workers, self.me, self._file = workers, me, file
        self._row = BUCKET.size + workers * COUNT.size
        self._memory = bytearray(tenants * self._row) if file is None else mmap(file, tenants * self._row)
        for tenant in range(tenants):
            COUNT.pack_into(self._memory, self._place(tenant, me), 0)

    @staticmethod
    def shared(tenants: int, workers: int) -> int:
        """A file without a name, for the ledgers of several processes; it goes with the last of them."""
        return memory_file(tenants * (BUCKET.size + workers * COUNT.size))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else reads or writes within the block."""
        with nullcontext() if self._file is None else locked(self._file):
            yield

    def running(self, tenant: int) -> int:
        """Sequences of a tenant that run, in all processes."""
        places = (self._place(tenant, worker) for worker in range(self.workers))
        return sum(COUNT.unpack_from(self._memory, place)[0] for place in places)

    def add(self, tenant: int, count: int) -> None:
        """Counts sequences of this process that begin, or end."""
        place = self._place(tenant, self.me)
        COUNT.pack_into(self._memory, place, COUNT.unpack_from(self._memory, place)[0] + count)

    def fill(self, tenant: int, per_minute: int) -> float:
        """Requests that a tenant may make now; the bucket fills with time, from full at the start."""
        left, when = BUCKET.unpack_from(self._memory, tenant * self._row)
        now = time.monotonic()
        left = float(per_minute) if when == 0.0 else min(per_minute, left + (now - when) * per_minute / 60)
        BUCKET.pack_into(self._memory, tenant * self._row, left, now)
        return left

    def spend(self, tenant: int) -> None:
        """Takes a request from the bucket."""
        left, when = BUCKET.unpack_from(self._memory, tenant * self._row)
        BUCKET.pack_into(self._memory, tenant * self._row, left - 1, when)

    def _place(self, tenant: int, worker: int) -> int:
        return tenant * self._row + BUCKET.size + worker * COUNT.size

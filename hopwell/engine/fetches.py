"""Sequences that wait for pages from below the pool before they queue; what comes late is computed instead."""

from __future__ import annotations

import time
from collections.abc import Callable

from hopwell.cache.tiers import Fetch
from hopwell.engine.scheduler import Scheduler
from hopwell.engine.sequence import Sequence, State
from hopwell.engine.tiering import Tiering

MAX_FETCHES = 2
"""Of a sequence, before it is computed with what it has."""


class Fetches:
    """Of one engine."""

    def __init__(
        self, tiering: Tiering | None, scheduler: Scheduler, post: Callable[[Callable[[], None]], None]
    ) -> None:
        """
        Args:
            tiering: None: there is nothing below the pool.
            post: has something done in the engine's thread, where all of this runs.
        """
        self._tiering, self._scheduler, self._post = tiering, scheduler, post
        self._waiting: list[Sequence] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, seq: Sequence) -> bool:
        """Whether a sequence waits; it is queued once its pages are there, or late. Asked when it comes and when its
        turn has come, for others may have left pages meanwhile."""
        if self._tiering is None or seq.awaited is not None or seq.fetches == MAX_FETCHES:
            return False

        def arrived(fetch: Fetch) -> None:
            self._post(lambda: self._queue(seq, fetch))

        seq.awaited = self._tiering.begin(self._scheduler.lookup_keys(seq), arrived)
        if seq.awaited is None:
            return False
        seq.state, seq.fetches = State.FETCHING, seq.fetches + 1
        self._waiting.append(seq)
        return True

    def end_late(self) -> None:
        """Queues those whose pages have not come in time."""
        now = time.monotonic()
        for seq in [seq for seq in self._waiting if seq.awaited is not None and seq.awaited.deadline < now]:
            assert self._tiering is not None and seq.awaited is not None
            self._tiering.late(seq.awaited)
            seq.awaited = None
            self._waiting.remove(seq)
            self._scheduler.add(seq)

    def remove(self, seq: Sequence) -> None:
        """It has ended while it waited."""
        self._waiting.remove(seq)

    def _queue(self, seq: Sequence, fetch: Fetch) -> None:
        """Hazard: what is told of a fetch that was late may come while the sequence waits for its next one."""
        if seq.awaited is not None and seq.awaited.fetch is fetch and seq in self._waiting:
            self._waiting.remove(seq)
            self._scheduler.add(seq)

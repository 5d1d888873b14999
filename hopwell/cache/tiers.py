"""Tiers below the pool of pages: what the pool gives up, host memory and a disk hold, and bring back when it is wanted.

Nobody waits here but two threads: one checks pages of host memory, one reads and writes the disk. A page is found by
the key that it has in the pool, so tenants are apart as they are there. Whatever is wrong with a page (its checksum,
its file, a disk that is full or does not answer) costs a hit, never a token.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hopwell.cache.disk import DiskFault, DiskTier
from hopwell.cache.host import HostPage, HostTier
from hopwell.cache.pace import Pace, paying

log = logging.getLogger(__name__)
HOST, DISK = "host", "disk"
READ, WRITE = 0, 1
BACKLOG = 64
"""Pages that may wait for the disk; what comes beyond is not written."""
REST = 10.0
"""Seconds without a write after one has failed."""
CLOSE_SECONDS = 10.0
"""For what is to be written when all ends."""


@dataclass(slots=True)
class Counts:
    """What the tiers did, in pages."""

    saved: int = 0
    """Copied to host memory."""
    written: int = 0
    """To disk."""
    unwritten: int = 0
    """That the disk did not take: it was behind, or had failed."""
    declined: dict[str, int] = field(default_factory=Counter)
    """Known, but sooner computed than fetched; by tier."""
    faults: dict[str, int] = field(default_factory=Counter)
    """By tier and kind: `host corrupt`, `disk corrupt`, `disk full`, `disk failed`, `disk short`, `disk slow`."""


class Fetch:
    """Pages on their way into host memory, those of a prompt in order."""

    def __init__(
        self, keys: Sequence[bytes], pages: list[HostPage], tiers: list[str], done: Callable[[Fetch], None]
    ) -> None:
        self.keys = keys
        self.pages = pages
        """Leased. Once it is done, those that were found whole: a leading part."""
        self.tiers = tiers
        """Where each comes from."""
        self.done = False
        self.abandoned = False
        self._tell = done

    def finish(self) -> None:
        """All that can be had is there."""
        self.done = True
        self._tell(self)


class Tiers:
    """Host memory, and a disk behind it. Its methods do not block, but for `close`; any thread may call them."""

    def __init__(self, host: HostTier, disk: DiskTier | None = None) -> None:
        self.host, self.disk = host, disk
        self.counts = Counts()
        self.paces = {HOST: Pace(), DISK: Pace()}
        """To have a page in host memory, checked."""
        self.link = Pace()
        """To copy it to the pool from there."""
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._checks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._disk_jobs: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._behind = 0  # pages that wait to be written
        self._rest_until = 0.0
        self._threads = [threading.Thread(target=self._check, name="hopwell-host-tier", daemon=True)]
        if disk is not None:
            self._threads.append(threading.Thread(target=self._serve_disk, name="hopwell-disk-tier", daemon=True))
        for thread in self._threads:
            thread.start()

    # -- pages that the pool no longer uses

    def reserve(self, key: bytes) -> HostPage | None:
        """A slot to which a page should be copied, or None: it is there already, or there is no room."""
        return self.host.reserve(key)

    def filled(self, pages: Sequence[HostPage], wait: Callable[[], None] | None = None) -> None:
        """Slots that were reserved have been copied to.

        Args:
            pages: of each prompt the deepest first.
            wait: returns once the copies are done.
        """

        def check() -> None:
            try:
                if wait is not None:
                    wait()
            except Exception:
                self.abandon(pages)
                raise
            for page in reversed(pages):  # beginnings first: without them the rest is not found
                page.checksum = self.host.checksum(page)
                self.counts.saved += 1
                self._write(page)

        self._checks.put(check)

    def abandon(self, pages: Sequence[HostPage]) -> None:
        """Slots that were reserved will not be copied to, or pages fetched are not needed any more."""
        for page in pages:
            self.host.release(page)

    def loaded(self, pages: Sequence[HostPage], seconds: Callable[[], float]) -> None:
        """Pages that were fetched have been copied to the pool.

        Args:
            seconds: what that took; returns once it is done.
        """

        def take_in() -> None:
            try:
                self.link.observe(seconds(), len(pages))
            finally:
                self.abandon(pages)

        self._checks.put(take_in)

    # -- pages that a prompt wants

    def worth(self, keys: Sequence[bytes], page_seconds: float | None) -> list[str]:
        """Where the leading pages of a prompt can be had, as many as it pays to fetch.

        Args:
            page_seconds: what computing a page takes; None: not known yet, so whatever is there pays.

        Returns:
            A tier for each page.
        """
        tiers = []
        for key in keys:
            tier = HOST if key in self.host else DISK if self.disk is not None and key in self.disk else None
            if tier is None:
                break
            tiers.append(tier)
        if page_seconds is None:
            return tiers
        count = paying([self.paces[tier] for tier in tiers], self.link, page_seconds)
        for tier, pages in Counter(tiers[count:]).items():
            self.counts.declined[tier] += pages
            self.paces[tier].decline(pages)
        return tiers[:count]

    def fetch(self, keys: Sequence[bytes], tiers: Sequence[str], done: Callable[[Fetch], None]) -> Fetch | None:
        """Begins to bring pages into host memory and to check them.

        Args:
            tiers: for each key, from where, as `worth` says.
            done: called in a thread of the tiers' when all that can be had is there.

        Returns:
            None if none can be had.
        """
        pages: list[HostPage] = []
        for key, tier in zip(keys, tiers, strict=True):
            page = self.host.lease(key) if tier == HOST else self.host.reserve(key)
            if page is None:
                break
            pages.append(page)
        if not pages:
            return None
        fetch = Fetch(keys[: len(pages)], pages, [*tiers[: len(pages)]], done)
        if DISK in fetch.tiers:
            self._disk_jobs.put((READ, next(self._order), lambda: self._bring(fetch)))
        else:
            self._checks.put(lambda: self._bring(fetch))
        return fetch

    def give_up(self, fetch: Fetch) -> None:
        """Nobody waits for a fetch any more, or its pages are not needed."""
        with self._lock:
            fetch.abandoned = True
            pages, fetch.pages = (fetch.pages, []) if fetch.done else ([], fetch.pages)
        self.abandon(pages)

    def clear(self) -> None:
        """Forgets all pages but those in use."""
        self.host.clear()
        if self.disk is not None:
            self.disk.hide()
            self._disk_jobs.put((READ, next(self._order), self.disk.clear))

    def close(self) -> None:
        """Writes what is still to be written, if the disk takes it in time, and ends the threads."""
        self._checks.put(None)
        self._threads[0].join(CLOSE_SECONDS)
        if self.disk is not None:
            self._disk_jobs.put((WRITE, next(self._order), None))
            self._threads[1].join(CLOSE_SECONDS)
            if not self._threads[1].is_alive():  # else its descriptors end with the process
                self.disk.close()

    # -- the threads

    def _check(self) -> None:
        while (job := self._checks.get()) is not None:
            _run(job)

    def _serve_disk(self) -> None:
        while (job := self._disk_jobs.get()[2]) is not None:
            _run(job)

    def _bring(self, fetch: Fetch) -> None:
        good = 0
        for page, tier in zip(fetch.pages, fetch.tiers, strict=True):
            if fetch.abandoned:
                break
            started = time.perf_counter()
            if not (self._whole(page) if tier == HOST else self._read(page)):
                break
            self.paces[tier].observe(time.perf_counter() - started)
            good += 1
        with self._lock:
            kept = 0 if fetch.abandoned else good
            rest, fetch.pages = fetch.pages[kept:], fetch.pages[:kept]
            fetch.done = True
        self.abandon(rest)
        if not fetch.abandoned:
            fetch.finish()

    def _whole(self, page: HostPage) -> bool:
        if page.checksum == self.host.checksum(page):
            return True
        self.counts.faults["host corrupt"] += 1
        self.host.drop(page)
        return False

    def _read(self, page: HostPage) -> bool:
        """Fills a slot from the disk."""
        assert self.disk is not None
        try:
            checksum = self.disk.read(page.key, self.host.data(page))
        except DiskFault as fault:
            self.counts.faults[f"disk {fault.kind}"] += 1
            return False
        if checksum is None:
            return False
        if checksum == self.host.checksum(page):
            page.checksum = checksum  # hazard: from now on others find it
            return True
        self.counts.faults["disk corrupt"] += 1
        self.disk.forget(page.key)
        return False

    def _write(self, page: HostPage) -> None:
        """Has a leased page written, unless the disk has it or is behind; ends the lease."""
        if self.disk is None or page.key in self.disk or not self.host.holds(page):
            self.host.release(page)
            return
        if self._behind >= min(BACKLOG, max(1, len(self.host.memory) // 2)) or time.monotonic() < self._rest_until:
            self.counts.unwritten += 1
            self.host.release(page)
            return
        with self._lock:
            self._behind += 1
        self._disk_jobs.put((WRITE, next(self._order), lambda: self._write_now(page)))

    def _write_now(self, page: HostPage) -> None:
        assert self.disk is not None and page.checksum is not None
        try:
            if self.host.holds(page):  # else all was to be forgotten
                self.disk.write(page.key, page.checksum, self.host.data(page))
                self.counts.written += 1
        except DiskFault as fault:
            self.counts.faults[f"disk {fault.kind}"] += 1
            self.counts.unwritten += 1
            self._rest_until = time.monotonic() + REST
        finally:
            with self._lock:
                self._behind -= 1
            self.host.release(page)


def _run(job: Callable[[], None]) -> None:
    """A job of a thread that must outlive it."""
    try:
        job()
    except Exception:  # a fault of ours: whoever waits for it stops waiting
        log.exception("a page was not moved between tiers")

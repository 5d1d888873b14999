"""Tiers below the pool of pages: what the pool gives up, host memory and a disk hold, and bring back when it is wanted.

Nobody waits here but two threads: one has pages of host memory checked, several at a time, one reads and writes the
disk, or what stands in its place: a store that other engines use too, so that it is asked what it has for each prompt.
A page is found by the key that it has in the pool, so tenants are apart as they are there. What is wrong with a page
(its checksum, its file, a disk that is full or does not answer) costs a hit, never a token.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice

from hopwell.cache.disk import DiskFault, DiskTier
from hopwell.cache.host import HostPage, HostTier
from hopwell.cache.pace import Pace, paying
from hopwell.cache.store import PageStore
from hopwell.system import cores

log = logging.getLogger(__name__)
HOST, DISK, STORE = "host", "disk", "store"
READ, WRITE = 0, 1
BACKLOG = 64
"""Pages that may wait for the disk; what comes beyond is not written."""
REST = 10.0
"""Seconds without a write after one has failed."""
CHECKERS, CHECKED = 8, 32
"""Threads at most that check a prompt's pages, and pages between two looks whether it still wants them."""
CLOSE_SECONDS = 10.0
"""For what is to be written when all ends."""


@dataclass(slots=True)
class Counts:
    """What the tiers did, in pages."""

    saved: int = 0
    """Copied to host memory."""
    written: int = 0
    """To disk, or to the store."""
    unwritten: int = 0
    """That it did not take: it was behind, or had failed."""
    declined: dict[str, int] = field(default_factory=Counter)
    """Known, but sooner computed than fetched; by tier."""
    faults: dict[str, int] = field(default_factory=Counter)
    """By tier and kind: `host corrupt`, `disk corrupt`, `disk full`, `disk failed`, `disk short`, `disk slow`, `store
    corrupt`, `store failed`, `store slow`."""


@dataclass(slots=True, eq=False)
class Fetch:
    """Pages on their way into host memory, those of a prompt in order."""

    keys: Sequence[bytes]
    pages: list[HostPage]
    """Leased. Once it is done, those that were found whole: a leading part."""
    tiers: list[str]
    """Where each comes from."""
    tell: Callable[[Fetch], None]
    """Called with it once all that can be had is there."""
    sought: bool = False
    """Whether a store is, or was, asked what it has."""
    done: bool = False
    abandoned: bool = False


class Tiers:
    """Host memory, a disk or a store behind it. Its methods do not block, but for `close`; any thread may call them."""

    def __init__(self, host: HostTier, disk: DiskTier | None = None, store: PageStore | None = None) -> None:
        """
        Args:
            disk, store: one of them at the most.
        """
        self.host, self.disk, self.store = host, disk, store
        self.counts = Counts()
        self.paces = {HOST: Pace(), DISK: Pace(), STORE: Pace()}
        """To have a page in host memory, checked."""
        self.link = Pace()
        """To copy it to the pool from there."""
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._checks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._disk_jobs: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._behind = 0  # pages that wait to be written
        self._rest_until = 0.0
        self._checkers = ThreadPoolExecutor(min(CHECKERS, cores()), "hopwell-host-check")
        self._threads = [threading.Thread(target=self._check, name="hopwell-host-tier", daemon=True)]
        self._below = store if disk is None else disk  # hazard: an empty one is false
        """What is behind host memory."""
        self._most_behind = max(1, len(host.memory) // 2)
        if store is None:  # else whole prompts are handed on, however long
            self._most_behind = min(BACKLOG, self._most_behind)
        if self._below is not None:
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
        return self._worth(tiers, page_seconds)

    def _worth(self, tiers: list[str], page_seconds: float | None) -> list[str]:
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
        pages = self._slots(keys, tiers)
        if not pages:
            return None
        fetch = Fetch(keys[: len(pages)], pages, [*tiers[: len(pages)]], done)
        if DISK in fetch.tiers:
            self._disk_jobs.put((READ, next(self._order), lambda: self._bring(fetch)))
        else:
            self._checks.put(lambda: self._bring(fetch))
        return fetch

    def seek(self, keys: Sequence[bytes], page_seconds: float | None, done: Callable[[Fetch], None]) -> Fetch | None:
        """As `worth` and `fetch` together, of host memory and the store, which is asked first.

        Returns:
            None if there is nothing to ask for, or the store has failed of late.
        """
        if not keys or self.store is None or time.monotonic() < self._rest_until:
            return None
        fetch = Fetch(keys, [], [], done, sought=True)
        self._disk_jobs.put((READ, next(self._order), lambda: self._seek(fetch, page_seconds)))
        return fetch

    def rest(self) -> None:
        """What is behind host memory is left in peace for a while: it has failed."""
        self._rest_until = time.monotonic() + REST

    def when_settled(self, done: Callable[[], None]) -> None:
        """Calls `done`, in a thread of the tiers', once all pages that were filled before are where they go."""
        last = (lambda: self._disk_jobs.put((WRITE, next(self._order), done))) if self._below is not None else done
        self._checks.put(last)

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
        if self._below is not None:
            self._disk_jobs.put((WRITE, next(self._order), None))
            self._threads[1].join(CLOSE_SECONDS)
            if not self._threads[1].is_alive():  # else its descriptors end with the process
                self._below.close()
        self._checkers.shutdown(wait=False)

    # -- the threads

    def _check(self) -> None:
        while (job := self._checks.get()) is not None:
            _run(job)

    def _serve_disk(self) -> None:
        while (job := self._disk_jobs.get()[2]) is not None:
            _run(job)

    def _seek(self, fetch: Fetch, page_seconds: float | None) -> None:
        """Asks the store, and brings what pays."""
        assert self.store is not None
        if fetch.abandoned:
            return
        own = next((at for at, key in enumerate(fetch.keys) if key not in self.host), len(fetch.keys))
        more = 0
        try:
            if own < len(fetch.keys):
                more = self.store.find(fetch.keys[own:])
        except Exception as error:  # whatever somebody else's code raises
            self._store_failed("look for pages", error)
        tiers = self._worth([HOST if key in self.host else STORE for key in fetch.keys[: own + more]], page_seconds)
        fetch.pages = self._slots(fetch.keys[: len(tiers)], tiers)
        fetch.tiers = tiers[: len(fetch.pages)]
        self._bring(fetch)

    def _slots(self, keys: Sequence[bytes], tiers: Sequence[str]) -> list[HostPage]:
        """Pages that are in host memory, or slots for them there, as many of the leading ones as can be leased."""
        pages: list[HostPage] = []
        for key, tier in zip(keys, tiers, strict=True):
            page = self.host.lease(key) if tier == HOST else self.host.reserve(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def _store_failed(self, what: str, error: Exception) -> None:
        if time.monotonic() >= self._rest_until:  # once, of those that were on their way
            log.warning("the store of pages could not %s: %r", what, error)
        self.counts.faults["store failed"] += 1
        self.rest()

    def _bring(self, fetch: Fetch) -> None:
        good = 0
        for tier, pages in _runs(fetch):
            if fetch.abandoned:
                break
            started = time.perf_counter()
            whole = [*self._checkers.map(self._whole, pages)] if tier == HOST else [self._read(pages[0])]
            found = (*whole, False).index(False)
            good += found
            if found < len(pages):
                break
            self.paces[tier].observe(time.perf_counter() - started, found)
        with self._lock:
            kept = 0 if fetch.abandoned else good
            rest, fetch.pages = fetch.pages[kept:], fetch.pages[:kept]
            fetch.done = True
        self.abandon(rest)
        if not fetch.abandoned:
            fetch.tell(fetch)

    def _whole(self, page: HostPage) -> bool:
        if page.checksum == self.host.checksum(page):
            return True
        self.counts.faults["host corrupt"] += 1
        self.host.drop(page)
        return False

    def _read(self, page: HostPage) -> bool:
        """Fills a slot from what is behind host memory."""
        assert self._below is not None
        try:
            checksum = self._below.import_page(page.key, self.host.data(page).data)
        except DiskFault as fault:
            self.counts.faults[f"disk {fault.kind}"] += 1
            return False
        except Exception as error:
            self._store_failed("give a page", error)
            return False
        if checksum is None:
            return False
        if checksum == self.host.checksum(page):
            page.checksum = checksum  # hazard: from now on others find it
            return True
        self.counts.faults["disk corrupt" if self.store is None else "store corrupt"] += 1
        if self.disk is not None:
            self.disk.forget(page.key)
        return False

    def _write(self, page: HostPage) -> None:
        """Has a leased page written, unless the disk has it or is behind; ends the lease."""
        known = self._below is None or (self.disk is not None and page.key in self.disk)
        if known or not self.host.holds(page):
            self.host.release(page)
            return
        if self._behind >= self._most_behind or time.monotonic() < self._rest_until:
            self.counts.unwritten += 1
            self.host.release(page)
            return
        with self._lock:
            self._behind += 1
        self._disk_jobs.put((WRITE, next(self._order), lambda: self._write_now(page)))

    def _write_now(self, page: HostPage) -> None:
        assert page.checksum is not None and self._below is not None
        try:
            if not self.host.holds(page):  # all was to be forgotten
                return
            self._below.export_page(page.key, page.checksum, self.host.data(page).data)
            self.counts.written += 1
        except DiskFault as fault:
            self.counts.faults[f"disk {fault.kind}"] += 1
            self.counts.unwritten += 1
            self.rest()
        except Exception as error:
            self._store_failed("take a page", error)
            self.counts.unwritten += 1
        finally:
            with self._lock:
                self._behind -= 1
            self.host.release(page)


def _runs(fetch: Fetch) -> Iterator[tuple[str, list[HostPage]]]:
    """Pages that are brought together, in order: up to CHECKED of host memory, or one from elsewhere."""
    for tier, group in groupby(zip(fetch.tiers, fetch.pages, strict=True), key=lambda each: each[0]):
        while pages := [page for _, page in islice(group, CHECKED if tier == HOST else 1)]:
            yield tier, pages


def _run(job: Callable[[], None]) -> None:
    """A job of a thread that must outlive it."""
    try:
        job()
    except Exception:  # a fault of ours: whoever waits for it stops waiting
        log.exception("a page was not moved between tiers")

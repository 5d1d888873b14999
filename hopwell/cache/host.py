"""Pages in host memory: the tier below the pool, and what pages pass through on their way from and to a disk."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
LANES = 512


def page_checksum(key: bytes, page: Bytes) -> bytes:
    """16 bytes that change with any bit of a page, any sector of it that is old or zero, or with its key.

    The page's 64-bit words are added up in lanes, at the speed of memory, and the sums hashed; made against faults, not
    against forgers.

    Args:
        page: [bytes], a multiple of 8.
    """
    words = page.view(np.uint64)
    sums = words.reshape(-1, math.gcd(len(words), LANES)).sum(axis=0)
    return blake2b(sums.tobytes(), key=key, digest_size=16).digest()


@dataclass(slots=True, eq=False)
class HostPage:
    """A slot of host memory and what it holds."""

    key: bytes
    slot: int
    checksum: bytes | None = None
    """None: it is being filled."""
    leases: int = 0
    """Those who read or fill it: it stays where it is."""


class HostTier:
    """Slots for pages, least recently used first given up. May be called from any thread."""

    def __init__(self, memory: Bytes) -> None:
        """
        Args:
            memory: [slots, bytes of a page].
        """
        self.memory = memory
        self._lock = threading.Lock()
        self._free = list(range(len(memory) - 1, -1, -1))
        self._pages: OrderedDict[bytes, HostPage] = OrderedDict()

    def __len__(self) -> int:
        """Pages that are there, or on their way."""
        return len(self._pages)

    def __contains__(self, key: bytes) -> bool:
        """Whether a page can be had."""
        page = self._pages.get(key)
        return page is not None and page.checksum is not None

    def reserve(self, key: bytes) -> HostPage | None:
        """A leased slot to be filled, or None if the page is there, or on its way, or no slot can be had."""
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return None
            slot = self._free.pop() if self._free else self._give_up()
            if slot is None:
                return None
            page = self._pages[key] = HostPage(key, slot, leases=1)
            return page

    def _give_up(self) -> int | None:
        for key, page in self._pages.items():  # those at the front that are leased are few
            if not page.leases:
                del self._pages[key]
                return page.slot
        return None

    def lease(self, key: bytes) -> HostPage | None:
        """A page that is there, held until it is released."""
        with self._lock:
            page = self._pages.get(key)
            if page is None or page.checksum is None:
                return None
            self._pages.move_to_end(key)
            page.leases += 1
            return page

    def release(self, page: HostPage) -> None:
        """Ends a lease; a page that nobody has filled is gone."""
        with self._lock:
            page.leases -= 1
            if page.leases:
                return
            if self._pages.get(page.key) is not page:  # dropped while it was leased
                self._free.append(page.slot)
            elif page.checksum is None:
                del self._pages[page.key]
                self._free.append(page.slot)

    def drop(self, page: HostPage) -> None:
        """Nobody finds the page any more."""
        with self._lock:
            if self._pages.get(page.key) is page:
                del self._pages[page.key]
                if not page.leases:
                    self._free.append(page.slot)

    def clear(self) -> None:
        """Drops all pages."""
        for page in list(self._pages.values()):
            self.drop(page)

    def data(self, page: HostPage) -> Bytes:
        """[bytes of a page]."""
        return self.memory[page.slot]

    def checksum(self, page: HostPage) -> bytes:
        """Of what its slot holds now."""
        return page_checksum(page.key, self.data(page))

    def holds(self, page: HostPage) -> bool:
        """Whether a page was not dropped."""
        return self._pages.get(page.key) is page

    def check(self) -> None:
        """Audits the slots, when nobody leases any.

        Raises:
            AssertionError: a slot is lost, or has two owners, or a lease was not given back.
        """
        with self._lock:
            slots = self._free + [page.slot for page in self._pages.values()]
            assert sorted(slots) == list(range(len(self.memory))), "slots of host memory do not add up"
            assert not any(page.leases for page in self._pages.values()), "a page of host memory is still leased"

"""Adaptive replacement: what was used once against what was used again (Megiddo and Modha, FAST 2003)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from hopwell.cache.leaves import Leaves
from hopwell.cache.policy import Use

ONCE, AGAIN = 0, 1


class ARC:
    """The paper's T1 and T2 are the kept pages that one request has used, and more than one; B1 and B2 the keys of
    those given up from each. `_target` is its p, pages that T1 should have.

    Pages in use count in T1 and T2, and leaves alone can be given up: where the list whose turn it is has none, the
    other gives one.
    """

    def __init__(self, num_pages: int) -> None:
        self._pages = num_pages
        self._leaves = Leaves(num_pages)
        self._key: list[Hashable] = [None] * num_pages
        self._list = [ONCE] * num_pages
        self._kept = [0, 0]
        self._ghosts: tuple[OrderedDict[Hashable, None], OrderedDict[Hashable, None]] = OrderedDict(), OrderedDict()
        self._target = 0.0

    def insert(self, page: int, key: Hashable, parent: int | None) -> None:
        once, again = self._ghosts
        if key in once:
            self._target = min(self._target + max(1.0, len(again) / len(once)), self._pages)
            del once[key]
            self._list[page] = AGAIN
        elif key in again:
            self._target = max(self._target - max(1.0, len(once) / len(again)), 0.0)
            del again[key]
            self._list[page] = AGAIN
        else:
            self._list[page] = ONCE
        self._key[page] = key
        self._kept[self._list[page]] += 1
        self._leaves.insert(page, parent)
        self._trim()

    def share(self, page: int) -> None:
        if self._leaves.idle(page):
            self._leaves.take(page)
        if self._list[page] == ONCE:
            self._list[page] = AGAIN
            self._kept[ONCE] -= 1
            self._kept[AGAIN] += 1

    def add(self, pages: Sequence[int], use: Use | None = None) -> None:
        for page in pages:
            self._leaves.add(page, self._list[page])

    def victim(self) -> int:
        turn = ONCE if self._kept[ONCE] > self._target else AGAIN
        page = self._leaves.oldest(turn)
        if page < 0:
            turn = 1 - turn
            page = self._leaves.oldest(turn)
        self._leaves.give_up(page)
        self._kept[turn] -= 1
        self._ghosts[turn][self._key[page]] = None
        self._trim()
        return page

    def __len__(self) -> int:
        return len(self._leaves)

    def _trim(self) -> None:
        """The paper's limits: T1 and B1 together hold as many as there are pages, all four lists twice as many."""
        once, again = self._ghosts
        while once and self._kept[ONCE] + len(once) > self._pages:
            once.popitem(last=False)
        while again and sum(self._kept) + len(once) + len(again) > 2 * self._pages:
            again.popitem(last=False)

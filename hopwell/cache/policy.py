"""Which cached page to give up first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class EvictionPolicy(Protocol):
    """Orders the pages that nobody uses. Every call is O(1)."""

    def add(self, page: int) -> None:
        """`page` is no longer in use. A sequence's pages are added deepest first."""
        ...

    def remove(self, page: int) -> None:
        """`page` is in use again."""
        ...

    def victim(self) -> int:
        """Removes and returns the page to give up; never one with a cached page below it."""
        ...

    def __len__(self) -> int: ...


class LeafLRU:
    """Least recently used, leaves first.

    Whoever uses a page uses all pages above it, and gives them back deepest first. So in order of last use every page
    comes after the pages below it, and the oldest page is always a leaf: plain LRU is leaf-first.
    """

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def add(self, page: int) -> None:
        self._order[page] = None

    def remove(self, page: int) -> None:
        del self._order[page]

    def victim(self) -> int:
        return self._order.popitem(last=False)[0]

    def __len__(self) -> int:
        return len(self._order)

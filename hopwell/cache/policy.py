"""Which cached page to give up first: the interface of all policies, and plain LRU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

POLICY_NAMES = ("lru", "arc", "rai")
"""What `hopwell.cache.policies` makes."""


class Hint(IntEnum):
    """What a caller says of a prompt's future. It moves the order in which pages go, and holds nothing fast."""

    NONE = 0
    RETAIN = 1
    """It will be wanted again."""
    END = 2
    """Its session is over."""


@dataclass(frozen=True, slots=True)
class Use:
    """What is known of a request when it has ended and gives its pages back."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    stopped: bool = True
    """The answer is complete: neither cut short nor cancelled."""
    hint: Hint = Hint.NONE
    priority: int = 0
    """Lower is served first."""


class EvictionPolicy(Protocol):
    """Orders the pages that nobody uses. A request holds whole prefixes: who uses a page uses all pages above it."""

    def insert(self, page: int, key: Hashable, parent: int | None) -> None:
        """A page in use is kept from now on, below `parent`, which is kept; None: it begins a prompt."""
        ...

    def share(self, page: int) -> None:
        """One more request has begun to use a kept page, which was perhaps idle."""
        ...

    def add(self, pages: Sequence[int], use: Use | None = None) -> None:
        """A request gives its pages back, and these, deepest first, are now used by nobody.

        Args:
            use: what the request was; None: it has not ended, its pages were taken from it.
        """
        ...

    def victim(self) -> int:
        """Removes and returns the page to give up; never one with a cached page below it."""
        ...

    def __len__(self) -> int:
        """Pages that nobody uses."""
        ...


class LeafLRU:
    """Least recently used, leaves first. Every call is O(1) a page.

    Whoever uses a page uses all pages above it, and gives them back deepest first. So in order of last use every page
    comes after the pages below it, and the oldest page is always a leaf: plain LRU is leaf-first.
    """

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def insert(self, page: int, key: Hashable, parent: int | None) -> None:
        pass

    def share(self, page: int) -> None:
        self._order.pop(page, None)

    def add(self, pages: Sequence[int], use: Use | None = None) -> None:
        for page in pages:
            self._order[page] = None

    def victim(self) -> int:
        return self._order.popitem(last=False)[0]

    def __len__(self) -> int:
        return len(self._order)

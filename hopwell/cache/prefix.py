"""Prefix reuse: which page holds which 64 tokens after which prefix.

A page's key is a hash of its tokens and its parent's key, so equal keys mean equal whole prefixes, and the tree needs
no nodes: looking up a prompt is one dictionary read a page. The first parent is a hash of the tenant's salt: tenants
never share pages, and none can learn by timing what another has asked.
"""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b

from hopwell.cache.policy import EvictionPolicy, LeafLRU, Use
from hopwell.ops.sizes import PAGE


def root_key(salt: str) -> bytes:
    """The parent of a prompt's first page."""
    return blake2b(salt.encode(), digest_size=16).digest()


def page_keys(tokens: Sequence[int], parent: bytes) -> list[bytes]:
    """Chained keys of the full pages of `tokens`; a rest shorter than a page has none."""
    keys = []
    for start in range(0, len(tokens) - PAGE + 1, PAGE):
        parent = blake2b(array("i", tokens[start : start + PAGE]).tobytes(), key=parent, digest_size=16).digest()
        keys.append(parent)
    return keys


class PrefixCache:
    """Keys of the pages kept for reuse, and the order in which to give them up.

    Invariant: a page in use has all pages above it in use, so a page that nobody uses has none in use below it.
    """

    def __init__(
        self,
        policy: EvictionPolicy | None = None,
        on_evict: Callable[[float], None] | None = None,
        remember: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            on_evict: called with the seconds since a page was last in use, when it is given up.
            remember: keys of this many given-up pages are remembered, to count what is computed again.
        """
        self.policy = LeafLRU() if policy is None else policy  # hazard: an empty one is false
        self._on_evict, self._remember, self._clock = on_evict, remember, clock
        self._page_of: dict[Hashable, int] = {}
        self._key_of: dict[int, Hashable] = {}
        self._released: dict[int, float] = {}
        self._evicted: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._page_of)

    def __contains__(self, page: int) -> bool:
        """Whether `page` is kept under some key."""
        return page in self._key_of

    @property
    def idle(self) -> int:
        """Pages that nobody uses: what eviction can yield."""
        return len(self.policy)

    def match(self, keys: Sequence[Hashable]) -> list[int]:
        """Pages of the longest known prefix."""
        pages = []
        for key in keys:
            page = self._page_of.get(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def lost(self, keys: Sequence[Hashable]) -> int:
        """How many of these pages were once kept and then given up."""
        return sum(key in self._evicted for key in keys)

    def insert(self, key: Hashable, page: int, parent: int | None) -> int:
        """Keeps a page in use under its key; returns the page that the key stands for, another if it was known.

        Args:
            parent: the kept page before it in the prompt; None: there is none.
        """
        known = self._page_of.get(key)
        if known is not None:
            return known
        self._page_of[key], self._key_of[page] = page, key
        self._evicted.pop(key, None)
        self.policy.insert(page, key, parent)
        return page

    def take(self, page: int) -> None:
        """One more request uses a kept page."""
        self._released.pop(page, None)
        self.policy.share(page)

    def release(self, pages: Sequence[int], use: Use | None = None) -> None:
        """A request has given its pages back, and these, deepest first, are used by nobody any more."""
        now = self._clock()
        for page in pages:
            self._released[page] = now
        self.policy.add(pages, use)

    def evict(self) -> int:
        """Gives up one page that nobody uses and returns it."""
        page = self.policy.victim()
        key = self._key_of.pop(page)
        del self._page_of[key]
        age = self._clock() - self._released.pop(page)
        if self._on_evict is not None:
            self._on_evict(age)
        if self._remember:
            self._evicted[key] = None
            if len(self._evicted) > self._remember:
                self._evicted.popitem(last=False)
        return page

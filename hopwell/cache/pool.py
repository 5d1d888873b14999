"""The pool of latent pages: who uses each, what is free, and what is kept for reuse."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence

from hopwell.cache.policy import EvictionPolicy, Use
from hopwell.cache.prefix import PrefixCache


class PoolExhausted(Exception):
    """More pages are wanted than can be had, even by giving up all that are kept for reuse."""


class PagePool:
    """Every page is in exactly one state: free, in use (by one sequence or several), or idle (kept, used by none).

    It knows nothing of what pages hold. All methods are amortised O(1) a page.
    """

    def __init__(
        self,
        num_pages: int,
        policy: EvictionPolicy | None = None,
        on_evict: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_pages = num_pages
        self._free = list(range(num_pages - 1, -1, -1))
        self._users = [0] * num_pages
        self.prefix = PrefixCache(policy, on_evict, remember=4 * num_pages, clock=clock)

    @property
    def free(self) -> int:
        """Pages that hold nothing."""
        return len(self._free)

    @property
    def available(self) -> int:
        """Pages that `allocate` can yield."""
        return len(self._free) + self.prefix.idle

    def users(self, page: int) -> int:
        """Sequences that use a page."""
        return self._users[page]

    def allocate(self, count: int) -> list[int]:
        """Takes pages for one user, giving up kept ones if need be.

        Raises:
            PoolExhausted: fewer than `count` are available; nothing was taken.
        """
        if count > self.available:
            raise PoolExhausted(f"{count} pages wanted, {self.available} available of {self.num_pages}")
        pages = []
        for _ in range(count):
            page = self._free.pop() if self._free else self.prefix.evict()
            self._users[page] = 1
            pages.append(page)
        return pages

    def share(self, keys: Sequence[Hashable]) -> list[int]:
        """Adds a user to the pages of the longest kept prefix, and returns them."""
        pages = self.prefix.match(keys)
        for page in pages:
            self._use(page)
        return pages

    def keep(self, key: Hashable, page: int, parent: int | None) -> int:
        """Keeps a page that its user has filled, for reuse.

        Args:
            parent: the kept page before it in the prompt, which its user uses too; None: it begins one.

        Returns:
            The page to use from now on. It is another where the same prefix was filled twice at once: the user then
            shares the first, so that pages above and below always belong together, and the duplicate is free.
        """
        kept = self.prefix.insert(key, page, parent)
        if kept != page:
            self._use(kept)
            self.release([page])
        return kept

    def _use(self, page: int) -> None:
        self._users[page] += 1
        self.prefix.take(page)

    def release(self, pages: Sequence[int], use: Use | None = None) -> None:
        """Takes a user off a sequence's pages, given in order of position.

        Args:
            use: what is known of the user, if it has ended.
        """
        idle = []
        for page in reversed(pages):  # hazard: deepest first, the eviction policy rests on it
            self._users[page] -= 1
            if not self._users[page]:
                if page in self.prefix:
                    idle.append(page)
                else:
                    self._free.append(page)
        self.prefix.release(idle, use)

    def flush(self) -> None:
        """Gives up every page that is kept and that nobody uses."""
        while self.prefix.idle:
            self._free.append(self.prefix.evict())

    def check(self, used: Sequence[Sequence[int]] = ()) -> None:
        """Audits the accounting against the page lists of all sequences; with none, that nothing is in use.

        Raises:
            AssertionError: pages leaked, or are used by more or fewer than their count says.
        """
        users = [0] * self.num_pages
        for pages in used:
            for page in pages:
                users[page] += 1
        wrong = [page for page in range(self.num_pages) if users[page] != self._users[page]]
        assert not wrong, f"pages {wrong[:8]} have other users than counted"
        in_use = sum(count > 0 for count in users)
        assert len(set(self._free)) == len(self._free), "a page is free twice"
        assert not any(users[page] or page in self.prefix for page in self._free), "a free page is used or kept"
        idle = self.prefix.idle
        assert len(self._free) + in_use + idle == self.num_pages, (
            f"{len(self._free)} pages free, {in_use} in use, {idle} idle: not {self.num_pages}"
        )

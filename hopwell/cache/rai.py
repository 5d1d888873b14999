"""Reuse-age index: pages of a kind are judged by how pages of that kind have been used again before.

A page's kind is what is known of the request that used it last, and how many have used it. Of every kind two counts by
age are kept: pages that were used again at that age, and pages that have come so far without. Their quotient is the
hazard, the chance to be used again at an age; and a page is worth the largest sum of that chance, over any time to
come, by the time that it would be kept for it: Gittins' index, in caches as LHD has it (Beckmann et al., NSDI 2018).
The page of the least worth goes first. Ages are counted in requests, so nothing ages while nothing comes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from hopwell.cache.hazard import SLOT, Hazards
from hopwell.cache.leaves import Leaves
from hopwell.cache.policy import Use

TOUCHES = (2, 3, 5, 9, 33)
"""Requests that have used a page: bounds between kinds."""
PROMPTS = (1024, 4096, 16384, 49152)
ANSWERS = (64, 256, 1024)
REFIT = 50
"""Requests between two fits of the index."""
GHOSTS = 4
"""Pages given up that are remembered, for each page of the pool."""
VALUE = {-1: 2.0, 0: 1.0, 1: 0.5}
"""What a hit is worth to a request that is served before others, with them, or after."""


_Offer = tuple[float, int, int, int]
"""Index, when it was given back, kind, page."""


@dataclass(slots=True)
class _Ghost:
    """A page that was given up: its life goes on, for the counts."""

    kind: int
    since: int
    touches: int


class RAI:
    """A fit costs about a millisecond, each other call some microseconds a page."""

    def __init__(self, num_pages: int) -> None:
        self._leaves = Leaves(num_pages)
        self._hazards = Hazards()
        self._key: list[Hashable] = [None] * num_pages
        self._touches = [0] * num_pages
        self._since = [0] * num_pages  # request at which each idle page was given back
        self._ghosts: OrderedDict[Hashable, _Ghost] = OrderedDict()
        self._remember = GHOSTS * num_pages
        self._kinds: dict[tuple[int, ...], int] = {}
        self._values: list[float] = []  # of each kind
        # lives that have ended since the last request did, by kind and beginning: told of together, for speed
        self._reused: Counter[tuple[int, int]] = Counter()
        self._forgotten: Counter[tuple[int, int]] = Counter()
        self._now = 0
        self._fitted = 0
        self._least: list[_Offer] | None = None  # the oldest leaf of each kind; some are stale
        self._offered: dict[int, int] = {}  # of each kind, the page that was entered last

    def insert(self, page: int, key: Hashable, parent: int | None) -> None:
        ghost = self._ghosts.pop(key, None)
        if ghost is not None:
            self._reused[ghost.kind, ghost.since] += 1
        self._touches[page] = 1 if ghost is None else ghost.touches + 1
        self._key[page] = key
        self._leaves.insert(page, parent)

    def share(self, page: int) -> None:
        if self._leaves.idle(page):
            self._reused[self._leaves.group(page), self._since[page]] += 1
            self._leaves.take(page)
        self._touches[page] += 1

    def add(self, pages: Sequence[int], use: Use | None = None) -> None:
        if use is not None:
            self._settle()
            self._now += 1
            if self._now % SLOT == 0:
                self._hazards.tick(self._now)
                self._least = None
            if self._now >= self._fitted + REFIT:
                self._hazards.fit()
                self._fitted, self._least = self._now, None
        kinds: dict[int, int] = {}
        begun: list[int] = []
        for page in pages:
            touches = bisect_right(TOUCHES, self._touches[page])
            kind = kinds.get(touches)
            if kind is None:
                kind = kinds[touches] = self._kind(touches, use or Use())
            self._since[page] = self._now
            begun.append(kind)
            if self._leaves.add(page, kind):
                self._offer(kind)
        for kind, count in Counter(begun).items():
            self._hazards.begin(kind, self._now, count)

    def _settle(self) -> None:
        """Tells of the lives that have ended since the last request did."""
        for (kind, since), count in self._reused.items():
            self._hazards.reuse(kind, since, self._now, count)
        for (kind, since), count in self._forgotten.items():
            self._hazards.forget(kind, since, self._now, count)
        self._reused.clear()
        self._forgotten.clear()

    def victim(self) -> int:
        if self._least is None:
            self._least = []
            self._offered.clear()
            for kind in self._leaves.groups():
                self._offer(kind)
        leaves = self._leaves
        while True:
            _, _, kind, page = heappop(self._least)
            if self._offered.get(kind) != page:
                continue  # another was entered in its place
            del self._offered[kind]
            if leaves.oldest(kind) == page:
                break
            self._offer(kind)  # that page is in use again
        parent = leaves.give_up(page)
        self._offer(kind)
        if parent >= 0:
            self._offer(leaves.group(parent))
        self._ghosts[self._key[page]] = _Ghost(kind, self._since[page], self._touches[page])
        if len(self._ghosts) > self._remember:
            _, ghost = self._ghosts.popitem(last=False)
            self._forgotten[ghost.kind, ghost.since] += 1
        return page

    def __len__(self) -> int:
        return len(self._leaves)

    def _offer(self, kind: int) -> None:
        """Enters a kind's oldest leaf among those of which the least goes; of equals, the one used longest ago."""
        page = self._leaves.oldest(kind)
        if self._least is not None and page >= 0 and self._offered.get(kind) != page:
            self._offered[kind] = page
            since = self._since[page]
            index = self._hazards.index(kind, self._now - since) * self._values[kind]
            heappush(self._least, (index, since, kind, page))

    def _kind(self, touches: int, use: Use) -> int:
        rank = max(-1, min(1, use.priority))
        prompt, answer = bisect_right(PROMPTS, use.prompt_tokens), bisect_right(ANSWERS, use.answer_tokens)
        key = (touches, prompt, answer, use.stopped, use.hint, rank)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = self._hazards.new_kind(touches, use.hint)
            self._values.append(VALUE[rank])
        return kind

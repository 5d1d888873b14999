"""Idle pages in groups, of which only leaves can be given up: what policies stand on that compare groups."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class Leaves:
    """Knows of every kept page what hangs on it, and of every group its leaf that was used longest ago.

    A group's order is that of last use. All methods are amortised O(log n) a page.
    """

    def __init__(self, num_pages: int) -> None:
        self._parent = [-1] * num_pages
        self._below = [0] * num_pages  # kept pages that hang on each
        self._serial = [0] * num_pages  # of each idle page, when it was given back; 0 is in use
        self._group = [0] * num_pages
        self._queues: list[list[tuple[int, int]]] = []  # of each group, (serial, page); some are stale
        self._live: list[int] = []  # of each group, entries that are not
        self._next = 1
        self._idle = 0

    def __len__(self) -> int:
        """Idle pages."""
        return self._idle

    def insert(self, page: int, parent: int | None) -> None:
        """A page in use is kept from now on."""
        if parent is None:
            self._parent[page] = -1
        else:
            self._parent[page] = parent
            self._below[parent] += 1

    def idle(self, page: int) -> bool:
        return self._serial[page] > 0

    def take(self, page: int) -> None:
        """An idle page is in use."""
        self._serial[page] = 0
        self._idle -= 1
        if not self._below[page]:
            self._live[self._group[page]] -= 1

    def add(self, page: int, group: int) -> bool:
        """A page is idle; give back deepest first. Returns whether it is the only leaf of its group."""
        self._serial[page], self._group[page] = self._next, group
        self._next += 1
        self._idle += 1
        if self._below[page]:
            return False
        self._push(page)
        return self._live[group] == 1

    def groups(self) -> list[int]:
        """Those that have leaves."""
        return [group for group, live in enumerate(self._live) if live]

    def oldest(self, group: int) -> int:
        """The group's leaf that was used longest ago; -1 if it has none."""
        if group >= len(self._live) or not self._live[group]:
            return -1
        queue = self._queues[group]
        while self._serial[queue[0][1]] != queue[0][0]:
            heappop(queue)
        return queue[0][1]

    def give_up(self, page: int) -> int:
        """Forgets an oldest leaf; returns the page that it hung on if that is a leaf now, else -1."""
        group = self._group[page]
        heappop(self._queues[group])
        self._live[group] -= 1
        self._serial[page] = 0
        self._idle -= 1
        parent = self._parent[page]
        if parent < 0:
            return -1
        self._below[parent] -= 1
        if self._below[parent] or not self._serial[parent]:
            return -1
        self._push(parent)
        return parent

    def group(self, page: int) -> int:
        """Of an idle page."""
        return self._group[page]

    def _push(self, page: int) -> None:
        group = self._group[page]
        while group >= len(self._live):
            self._queues.append([])
            self._live.append(0)
        queue = self._queues[group]
        heappush(queue, (self._serial[page], page))
        self._live[group] += 1
        if len(queue) > 2 * self._live[group] + 64:  # hazard: what is used again and again leaves an entry each time
            queue[:] = [entry for entry in queue if self._serial[entry[1]] == entry[0]]
            heapify(queue)

"""How long a page takes, fetched or computed, and how many of a prompt's pages it pays to fetch."""

from __future__ import annotations

from collections.abc import Sequence

PROBE = 16
"""A way found too slow is tried again after so many pages did not go it."""


class Pace:
    """Seconds that a page takes; the last ones count most."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._declined = 0

    def observe(self, seconds: float, pages: float = 1) -> None:
        """Takes in that `pages` took `seconds`."""
        weight = 0.8**pages
        each = seconds / pages
        self.seconds = each if self.seconds is None else weight * self.seconds + (1 - weight) * each

    def decline(self, pages: int) -> None:
        """It was too slow for `pages`: after some of them nothing is known of it any more."""
        self._declined += pages
        if self._declined >= PROBE:
            self._declined, self.seconds = 0, None


def paying(paces: Sequence[Pace], link: Pace, page_seconds: float) -> int:
    """How many leading pages to fetch, so that most time is saved: a slow one may lead to fast ones behind it.

    Args:
        paces: by which each would come into host memory; one that is not known yet costs nothing.
        link: by which all go on from there.
        page_seconds: what computing a page takes.
    """
    gain = best = 0.0
    count = 0
    for at, pace in enumerate(paces, start=1):
        gain += page_seconds - (pace.seconds or 0.0) - (link.seconds or 0.0)
        if gain > best:
            best, count = gain, at
    return count

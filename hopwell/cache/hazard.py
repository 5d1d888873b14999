"""How likely pages of a kind are to be used again, by age, learned as requests come; and what that makes them worth.

The arithmetic of `RAI` (`hopwell.cache.rai`). A life begins when a page is given back, and ends when it is used again
or forgotten. Time is counted in slots of some requests each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopwell.cache.policy import Hint

SLOT = 4
"""Requests a slot: ages are told apart no finer."""
RING = 4096
"""Slots for which it is known how many lives began in each and go on: no page is followed longer."""
STARTS = np.array(sorted({round(2.0 ** (i / 3)) - 1 for i in range(35)}))  # np.unique would import numpy.ma
"""First slot of each age: a third of an octave each, from where that is a slot; the last begins at 2,579."""
WIDTHS = np.diff(np.append(STARTS, 2 * STARTS[-1])).astype(np.float64)
PRIOR = 0.007
"""Chance to be used again in each age, before anything is known. One for all is LRU: an age twice as old is twice as
long, so the chance in a slot falls with age."""
PRIOR_LIVES = 100.0
"""Lives that a guess weighs: of all kinds for those with as many touches, of these for each."""
FACTOR = {Hint.NONE: 1.0, Hint.RETAIN: 4.0, Hint.END: 0.25}
"""Of the guess, by what callers say; it gives way to what is then seen of pages with that hint."""

Array = NDArray[np.float64]


class Hazards:
    """Counts of lives by kind and age, and an index by kind and age that `fit` makes of them."""

    def __init__(self) -> None:
        room, ages = 64, len(STARTS)
        self._alive = np.zeros((RING, room), np.int32)  # by the slot in which they began, and kind
        self._reused = np.zeros((room, ages))
        self._reached = np.zeros((room, ages))  # lives that came to each age
        self._touches = np.zeros(0, np.int64)  # of each kind
        self._factor = np.zeros(0)
        self._index: list[list[float]] = []
        self._age_of = (np.searchsorted(STARTS, np.arange(RING), side="right") - 1).tolist()

    def new_kind(self, touches: int, hint: Hint) -> int:
        """Numbers a kind of pages, from 0.

        Args:
            touches: class of how many requests have used them; kinds of one class begin with the same guess.
        """
        kind = len(self._index)
        self._touches, self._factor = np.append(self._touches, touches), np.append(self._factor, FACTOR[hint])
        if kind == len(self._reused):
            self._alive = np.concatenate((self._alive, np.zeros_like(self._alive)), axis=1)
            self._reused = np.concatenate((self._reused, np.zeros_like(self._reused)))
            self._reached = np.concatenate((self._reached, np.zeros_like(self._reached)))
        self._index.append(gittins(self._hazard()[kind:])[0].tolist())
        return kind

    def begin(self, kind: int, now: int, count: int = 1) -> None:
        """Lives begin.

        Args:
            now: requests so far.
        """
        self._alive[now // SLOT % RING, kind] += count
        self._reached[kind, 0] += count

    def reuse(self, kind: int, since: int, now: int, count: int = 1) -> None:
        """Lives that began at `since` have ended: the pages are used again."""
        age = now // SLOT - since // SLOT
        if age < RING:
            self._alive[since // SLOT % RING, kind] -= count
            self._reused[kind, self._age_of[age]] += count

    def forget(self, kind: int, since: int, now: int, count: int = 1) -> None:
        """Lives go on unseen: they count for the ages that they came to."""
        if now // SLOT - since // SLOT < RING:
            self._alive[since // SLOT % RING, kind] -= count

    def tick(self, now: int) -> None:
        """A slot begins: the lives that go on come to an age, those of each start to another."""
        slot = now // SLOT
        self._alive[slot % RING] = 0
        starts = STARTS[1:][STARTS[1:] <= slot]
        self._reached[:, 1 : 1 + len(starts)] += self._alive[(slot - starts) % RING].T

    def fit(self) -> None:
        """Makes the index of what was counted."""
        if self._index:
            self._index = gittins(self._hazard()).tolist()

    def index(self, kind: int, age: int) -> float:
        """What a page is worth: chances to be used again a slot.

        Args:
            age: requests since it was given back.
        """
        slot = age // SLOT
        return self._index[kind][self._age_of[slot] if slot < RING else -1]

    def _hazard(self) -> Array:
        """[kinds, ages]: of pages that came to an age, the share that was used again in it. What a kind lacks in lives
        is guessed from those with as many touches, and what they lack from all."""
        kinds = len(self._touches)
        reused, reached = self._reused[:kinds], self._reached[:kinds]
        everywhere = (reused.sum(0) + PRIOR_LIVES * PRIOR) / (reached.sum(0) + PRIOR_LIVES)
        guess = np.empty_like(reused)
        for touches in np.unique(self._touches):
            alike = self._touches == touches
            seen = reused[alike].sum(0), reached[alike].sum(0)
            guess[alike] = (seen[0] + PRIOR_LIVES * everywhere) / (seen[1] + PRIOR_LIVES)
        guess *= self._factor[:, None]
        return (reused + PRIOR_LIVES * guess) / (reached + PRIOR_LIVES)


def gittins(hazard: Array) -> Array:
    """Gittins' index of a page at the beginning of each age: the most, over all ages at which it might be given up, of
    the chance that it is used again before by the slots that it is kept.

    Args:
        hazard: [kinds, ages].

    Returns:
        [kinds, ages], in 1/slot.
    """
    hazard = np.clip(hazard, 1e-9, 0.999)
    left = np.cumprod(1 - hazard, axis=1)  # share that comes to an age's end
    came = np.concatenate((np.ones((len(hazard), 1)), left[:, :-1]), axis=1)
    start = np.zeros((len(hazard), 1))
    chance = np.concatenate((start, np.cumsum(came * hazard, axis=1)), axis=1)
    kept = np.concatenate((start, np.cumsum(WIDTHS * (came + left) / 2, axis=1)), axis=1)
    # of those that came to age i, both are less by what came before and larger by 1 / came: the quotient needs neither
    i, k = np.triu_indices(len(STARTS))
    ratio = (chance[:, k + 1] - chance[:, i]) / (kept[:, k + 1] - kept[:, i])
    return np.maximum.reduceat(ratio, np.flatnonzero(i == k), axis=1)

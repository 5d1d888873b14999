"""Whether lower clocks save anything: joules a token with them and without, in turn under the same load."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

WINDOW = 5.0
"""Seconds of each turn: the counters move every 20 to 100 ms, so that less would measure those."""
PAIRS = 3
"""Turns with and without, each."""
ALIKE = 0.2
"""By how much the mean numbers of sequences of two turns may differ, so that their joules can be compared."""
LEAST = 0.03
"""Share of the joules a token that must be saved."""
AGAIN = 600.0
"""Seconds from one trial to the next."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What a trial has found."""

    share: float
    """Of the joules a token, the median of pairs of turns; negative: it costs."""
    pairs: int

    @property
    def pays(self) -> bool:
        return self.share >= LEAST


@dataclass(slots=True)
class Turn:
    """Some seconds with a lock, or without."""

    unlocked: bool
    began: float
    joules: float
    tokens: int
    """Counters at its beginning."""
    running: int = 0
    """Sequences, the sum of all looks."""
    looks: int = 0


class Trial:
    """Turns with the clock that was settled on, and turns without any lock."""

    def __init__(self) -> None:
        self.last: Saving | None = None
        self._next = float("-inf")
        self._turn: Turn | None = None
        self._before: tuple[float, float] | None = None
        """Of the locked turn before: joules a token, and mean sequences."""
        self._found: list[float] = []

    @property
    def running(self) -> bool:
        return self._turn is not None

    @property
    def unlocked(self) -> bool:
        """Whether this turn is one without a lock."""
        return self._turn is not None and self._turn.unlocked

    def cancel(self) -> None:
        """Forgets the turns of a trial that runs: something else has changed the clock."""
        self._turn, self._before, self._found = None, None, []

    def look(self, now: float, joules: float, tokens: int, running: int, may_begin: bool) -> Saving | None:
        """Takes in the counters; what was found when a trial ends.

        Args:
            joules: of all cards, a counter.
            tokens: generated, a counter.
            running: sequences.
            may_begin: the clock is settled and something is decoded.
        """
        turn = self._turn
        if turn is None:
            if may_begin and now >= self._next:
                self._turn = Turn(False, now, joules, tokens)
            return None
        turn.running += running
        turn.looks += 1
        if now - turn.began < WINDOW:
            return None
        self._turn = Turn(not turn.unlocked, now, joules, tokens)
        made, mean = tokens - turn.tokens, turn.running / turn.looks
        each = (joules - turn.joules) / made if made else None
        if not turn.unlocked:
            self._before = None if each is None else (each, mean)
            return None
        if each and self._before is not None:
            locked, then = self._before
            if abs(mean - then) <= ALIKE * max(mean, then):
                self._found.append(1 - locked / each)
        if len(self._found) < PAIRS:
            return None
        self.last, self._next = Saving(median(self._found), len(self._found)), now + AGAIN
        self.cancel()
        return self.last

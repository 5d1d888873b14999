"""The thermal guard: whether GPUs are so hot, or slow themselves so, that work which was promised nothing must wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hopwell.limits.board import Board
from hopwell.limits.governor import ALARMS

COOLER = 5
"""Degrees below the limit from which on a GPU is cool again."""
CALM = 10.0
"""Seconds that all must have been cool and unslowed before work comes back."""


@dataclass(slots=True)
class ThermalState:
    """What is told of it."""

    max_degrees: int
    hot: bool = False
    """Whether requests that were promised nothing are kept out."""
    why: str = ""
    degrees: int | None = None
    """Of the hottest GPU, as read last."""
    times: int = 0
    """That it has become hot."""
    held: int = 0
    """Sequences that are kept out now."""


class Guard:
    """Decides by readings, for all GPUs of an engine: who waits for the slowest gains nothing from the others."""

    def __init__(self, max_degrees: int) -> None:
        self.state = ThermalState(max_degrees)
        self._cool: float | None = None
        """Since when all is well."""

    def look(self, now: float, boards: Sequence[Board | None]) -> bool:
        """Takes in what sensors say; whether that has changed its mind.

        Args:
            now: seconds, by any clock that never goes back.
            boards: None: a GPU cannot be read, which changes nothing.
        """
        state = self.state
        known = [board.degrees for board in boards if board is not None and board.degrees is not None]
        state.degrees = max(known, default=state.degrees)
        if None in boards or not known:
            self._cool = None
            return False
        slowed = sorted({reason for board in boards if board for reason in board.slowed_by if reason in ALARMS})
        least = state.max_degrees - (COOLER if state.hot else 0)
        if max(known) >= least or slowed:
            self._cool = None
            if not state.hot:
                told = f"{max(known)} degrees of {state.max_degrees}"
                state.hot, state.why = True, f"{told}; a GPU slows itself: {', '.join(slowed)}" if slowed else told
                state.times += 1
                return True
            return False
        self._cool = now if self._cool is None else self._cool
        if not state.hot or now - self._cool < CALM:
            return False
        state.hot, state.why = False, f"{max(known)} degrees of {state.max_degrees}, for {now - self._cool:.0f} s"
        return True

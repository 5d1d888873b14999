"""How long a step will take: what the scheduler needs to keep a promise of seconds a token."""

from __future__ import annotations


class StepTime:
    """Seconds of a step as fixed + per_row * rows, fitted to the steps seen, older ones counting less."""

    def __init__(self, memory: float = 0.98) -> None:
        self._memory = memory
        self._weight = self._rows = self._seconds = self._rows2 = self._product = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Takes in one step."""
        keep = self._memory
        self._weight = keep * self._weight + 1.0
        self._rows = keep * self._rows + rows
        self._seconds = keep * self._seconds + seconds
        self._rows2 = keep * self._rows2 + rows * rows
        self._product = keep * self._product + rows * seconds

    def rows_within(self, seconds: float) -> float:
        """Rows that a step may have to last no longer than this; infinite while nothing is known of their cost."""
        spread = self._weight * self._rows2 - self._rows**2
        if spread <= 1e-9 * max(self._rows2, 1.0):  # every step had the same size: no slope to fit
            return float("inf")
        per_row = (self._weight * self._product - self._rows * self._seconds) / spread
        fixed = (self._seconds - per_row * self._rows) / self._weight
        return max((seconds - fixed) / per_row, 0.0) if per_row > 0 else float("inf")

"""How long a step will take: what the scheduler needs to keep a promise of seconds a token."""

from __future__ import annotations


class StepTime:
    """Seconds of a step as fixed + per_row * rows that decode + per_prompt_row * rows of prompts.

    The first two are a line through the steps without prompts, the third is what prompts added to it; older steps count
    less. Apart, since a row of a prompt costs a fraction of one that decodes, and no step of prompts alone tells what
    one row takes.
    """

    def __init__(self, memory: float = 0.98) -> None:
        self._memory = memory
        self._weight = self._rows = self._seconds = self._rows2 = self._product = 0.0
        self._per_row: float | None = None
        self._prompt_rows = self._prompt_seconds = 0.0

    def observe(self, rows: int, prompt_rows: int, seconds: float) -> None:
        """Takes in one step."""
        keep = self._memory
        if prompt_rows:
            self._prompt_rows = keep * self._prompt_rows + prompt_rows
            self._prompt_seconds = keep * self._prompt_seconds + max(seconds - self._decoding(rows), 0.0)
            return
        self._weight = keep * self._weight + 1.0
        self._rows = keep * self._rows + rows
        self._seconds = keep * self._seconds + seconds
        self._rows2 = keep * self._rows2 + rows * rows
        self._product = keep * self._product + rows * seconds
        spread = self._weight * self._rows2 - self._rows**2
        if spread > 1e-3 * self._weight * self._rows2:  # else of one size, and a row costs what it did
            self._per_row = (self._weight * self._product - self._rows * self._seconds) / spread

    def rows_within(self, seconds: float) -> float:
        """Rows that may decode in a step that lasts no longer than this; infinite while nothing is known of their
        cost."""
        per_row = self._row()
        return max((seconds - self._decoding(0)) / per_row, 0.0) if per_row > 0 else float("inf")

    def prompt_rows_within(self, seconds: float, rows: int) -> float:
        """Rows of prompts that fit beside so many that decode; likewise."""
        per_row = self._prompt_row()
        return max((seconds - self._decoding(rows)) / per_row, 0.0) if per_row > 0 else float("inf")

    def _row(self) -> float:
        """Seconds of a row that decodes; until steps of several sizes have told, of a prompt's, which takes no more."""
        return self._prompt_row() if self._per_row is None else self._per_row

    def _prompt_row(self) -> float:
        return self._prompt_seconds / self._prompt_rows if self._prompt_rows else 0.0

    def _decoding(self, rows: int) -> float:
        """Seconds of a step without prompts."""
        if not self._weight:
            return 0.0
        return max((self._seconds + self._row() * (self._weight * rows - self._rows)) / self._weight, 0.0)

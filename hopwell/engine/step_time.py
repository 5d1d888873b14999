"""How long a step will take: what the scheduler needs to keep a promise of seconds a token."""

from __future__ import annotations

from itertools import pairwise
from math import inf, log2

FADE = 8
"""Steps after which the mean of a size has come to what such steps take now."""
STALE = 30.0
"""Seconds of steps after which a size that was not among them is forgotten: what was slow once may not stay so."""


class StepTime:
    """Seconds of a step by the rows that decode in it, and by what rows of prompts add to that.

    A mean for each size class, four to a power of two, of steps less what their prompts take. No line through all of
    them: large steps say little of small ones, and who held a small number of rows for too slow would never see it
    again. Rows of prompts are apart, since one costs a fraction of one that decodes.
    """

    def __init__(self) -> None:
        self._means: dict[int, tuple[float, float, float]] = {}
        """By size class: rows, seconds, and when it was last seen, in seconds of such steps."""
        self._clock = 0.0
        self._prompt_rows = self._prompt_seconds = 0.0

    def observe(self, rows: int, prompt_rows: int, seconds: float) -> None:
        """Takes in one step."""
        if prompt_rows:
            if prompt_rows >= rows:  # few of them say little
                keep = 1 - 1 / FADE
                self._prompt_rows = keep * self._prompt_rows + prompt_rows
                self._prompt_seconds = keep * self._prompt_seconds + max(seconds - self._decoding(rows), 0.0)
            even = seconds * rows / (rows + prompt_rows)
            seconds = max(seconds - prompt_rows * self._prompt_row(), even)
        if rows:
            self._clock += seconds
            size = int(4 * log2(rows))
            mean = (rows, seconds) if (seen := self._means.get(size)) is None else seen[:2]
            rows_now, seconds_now = (old + (new - old) / FADE for old, new in zip(mean, (rows, seconds), strict=True))
            self._means[size] = rows_now, seconds_now, self._clock
            self._means = {size: seen for size, seen in self._means.items() if seen[2] > self._clock - STALE}

    def rows_within(self, seconds: float) -> float:
        """Rows that may decode in a step that lasts no longer than this; infinite while no step was seen. Beyond the
        sizes that were seen rows count as if they were all that it cost."""
        if not (known := sorted(self._means.values())):
            return inf
        for (rows, took, _), (more, longer, _) in pairwise(known):
            if took <= seconds < longer:
                return rows + (more - rows) * (seconds - took) / (longer - took)
        rows, took, _ = known[-1] if known[-1][1] <= seconds else known[0]
        return rows * seconds / took if took else inf

    def seconds(self, rows: int, prompt_rows: int = 0) -> float:
        """Of a step of so many rows that decode, and of prompts; 0 while nothing is known."""
        return self._decoding(rows) + prompt_rows * self._prompt_row()

    def prompt_rows_within(self, seconds: float, rows: int) -> float:
        """Rows of prompts that fit beside so many that decode; infinite while nothing is known of their cost."""
        per_row = self._prompt_row()
        return max((seconds - self._decoding(rows)) / per_row, 0.0) if per_row else inf

    def _prompt_row(self) -> float:
        return self._prompt_seconds / self._prompt_rows if self._prompt_rows else 0.0

    def _decoding(self, rows: int) -> float:
        """Seconds of a step without prompts: of the nearest size, in proportion where that was smaller."""
        if not self._means or not rows:
            return 0.0
        near, took, _ = min(self._means.values(), key=lambda seen: abs(log2(seen[0] / rows)))
        return took * max(rows / near, 1.0)

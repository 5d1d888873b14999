"""Marks between the ops of a step: whoever measures listens, everybody else hears nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple


class Lengths(NamedTuple):
    """Of the sequences that a forward pass serves."""

    query_lens: Sequence[int]
    """New tokens of each."""
    seq_lens: Sequence[int]
    """Tokens of each in the cache, once the new ones are written."""

    @property
    def rows(self) -> int:
        return sum(self.query_lens)


class Marks:
    """What a forward pass tells of its way through the ops. This class hears nothing."""

    def batch(self, lengths: Lengths) -> None:
        """What follows serves these sequences."""

    def layer(self, number: int | None) -> None:
        """What follows is this layer's, the MTP layer's number being the last; None: no layer's."""

    def routed(self, expert_ids: Any) -> None:
        """The layer's router chose these: a tensor of ints [tokens, top_k]."""

    def mark(self, op: str, rows: int | None = None) -> None:
        """All since the last mark was this op's.

        Args:
            rows: that it had, if not as many as the batch.
        """


UNMARKED = Marks()
GAPS = "gaps"
"""The op of what no mark has seen: a device that waits for its host."""


@dataclass(slots=True)
class Mark:
    """One op of one layer, on its way past."""

    layer: int | None
    op: str
    lengths: Lengths | None
    rows: int | None
    chosen: Any
    """What the layer's router chose, or None."""


class Recorder(Marks):
    """Remembers marks, and the moment of each: by a clock of the host, for devices that compute while they are called,
    or by whatever a device has for one."""

    def __init__(
        self, stamp: Callable[[], Any] = perf_counter, between: Callable[[Any, Any], float] = lambda a, b: b - a
    ) -> None:
        """
        Args:
            stamp: notes a moment.
            between: seconds from one to another.
        """
        self._stamp, self._between = stamp, between
        self.start()

    def start(self) -> None:
        """Forgets all; time runs from here."""
        self.marks: list[Mark] = []
        self.own = 0
        """Marks that were set one by one."""
        self.extra = 0.0
        """Seconds that tapes took beside what they are tapes of."""
        self._played: list[Recorder] = []
        self._lengths: Lengths | None = None
        self._layer: int | None = None
        self._chosen: Any = None
        self._stamps = [self._stamp()]
        self._added: list[float] = []
        """Seconds of each mark that it takes by being set."""

    def batch(self, lengths: Lengths) -> None:
        self._lengths = lengths

    def layer(self, number: int | None) -> None:
        self._layer, self._chosen = number, None

    def routed(self, expert_ids: Any) -> None:
        self._chosen = expert_ids

    def mark(self, op: str, rows: int | None = None) -> None:
        self._stamps.append(self._stamp())
        self.marks.append(Mark(self._layer, op, self._lengths, rows, self._chosen))
        self._added.append(0.0)
        self.own += 1

    def has_played(self, tape: Recorder) -> bool:
        """Whether a tape has been played since `start`: its moments are there but once."""
        return any(tape is one for one in self._played)

    def play(self, tape: Recorder, lengths: Lengths, extra: float = 0.0) -> None:
        """Takes over the marks of a step that was recorded once and is replayed now, for these sequences.

        Args:
            extra: seconds that its marks take: of a device that would begin one op while it ends another, a few
                microseconds each.
        """
        self._stamps += tape._stamps
        self.marks.append(Mark(None, GAPS, lengths, None, None))
        self.marks += [replace(mark, lengths=lengths) for mark in tape.marks]
        self._added += [0.0, *([extra / max(1, len(tape.marks))] * len(tape.marks))]
        self._played.append(tape)
        self.extra += extra

    def stop(self) -> None:
        """The step has been given to the device; what belongs to it is asked for here and read later."""

    def seconds(self) -> list[float]:
        """Of each mark, since the one before, less what it takes by being set; they sum to the time from `start` to the
        last, less `extra`."""
        times = (self._between(begin, end) for begin, end in pairwise(self._stamps))
        return [max(0.0, time - added) for time, added in zip(times, self._added, strict=True)]

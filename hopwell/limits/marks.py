"""Marks between the ops of a step: whoever measures listens, everybody else hears nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """Remembers marks, and the time of each by a clock of the host: for devices that compute while they are called."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self.start()

    def start(self) -> None:
        """Forgets all; time runs from here."""
        self.marks: list[Mark] = []
        self._lengths: Lengths | None = None
        self._layer: int | None = None
        self._chosen: Any = None
        self._times = [self._clock()]

    def batch(self, lengths: Lengths) -> None:
        self._lengths = lengths

    def layer(self, number: int | None) -> None:
        self._layer, self._chosen = number, None

    def routed(self, expert_ids: Any) -> None:
        self._chosen = expert_ids

    def mark(self, op: str, rows: int | None = None) -> None:
        self._times.append(self._clock())
        self.marks.append(Mark(self._layer, op, self._lengths, rows, self._chosen))

    def seconds(self) -> list[float]:
        """Of each mark, since the one before; they sum to the time from `start` to the last."""
        return [end - begin for begin, end in pairwise(self._times)]

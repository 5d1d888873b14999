"""Where an answer stands, token by token: before or in its thinking, or past it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Where(Enum):
    """What the tokens so far were. Only `ANSWER` is what the reader is meant to see."""

    BEFORE = auto()
    """Nothing but line feeds: the model may begin to think (R1-0528)."""
    INSIDE = auto()
    BEHIND = auto()
    """The thinking has just ended."""
    GAP = auto()
    """Line feeds after it, which belong to neither."""
    ANSWER = auto()


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model's thinking shows in its tokens."""

    start: int
    """`<think>`"""
    end: int
    """`</think>`"""
    begun: bool
    """The prompt ends inside it (R1). Otherwise the answer may begin with `start`."""
    early: int | None = None
    """A token that ends it where `end` is missing, and is part of the answer: Kimi-K2's first mark of calls."""
    blank: frozenset[int] = frozenset()
    """Line feeds, which may come before `start` and after `end`."""

    @property
    def first(self) -> Where:
        """Before the first token."""
        return Where.INSIDE if self.begun else Where.BEFORE

    def after(self, where: Where, token: int) -> Where:
        """Where the answer stands with one more token."""
        if where is Where.BEFORE and token == self.start:
            return Where.INSIDE
        if where is Where.INSIDE and token != self.early:
            return Where.BEHIND if token == self.end else Where.INSIDE
        if token in self.blank and where in (Where.BEFORE, Where.BEHIND, Where.GAP):
            return Where.BEFORE if where is Where.BEFORE else Where.GAP
        return Where.ANSWER

"""Text that arrives in pieces, read as if it were whole.

A grammar is a generator: it yields events, and `WAIT` where it needs more text to go on. What may be the start of a
mark waits for its rest, so the joined events are the same however the text is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")
WAIT = None
SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of the answer.

    Attributes:
        kind: `reasoning` and `content` carry text; `call` begins a tool call; `arguments` is a piece of its JSON.
        index: of the tool call.
        name, call_id: of a `call`.
    """

    kind: Literal["reasoning", "content", "call", "arguments"]
    text: str = ""
    index: int = 0
    name: str = ""
    call_id: str = ""


Steps = Generator[Event | None, None, T]


def reasoning(text: str) -> Event:
    """Thinking."""
    return Event("reasoning", text)


def content(text: str) -> Event:
    """What the reader is meant to see."""
    return Event("content", text)


class Source:
    """What has come and is not yet told. The marks of one call must not contain each other."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False

    def tell(self, say: Callable[[str], Event], *marks: str, loose: str = "") -> Steps[str | None]:
        """Tells text as it comes, up to the first of the marks; `loose` characters right before it are dropped.

        Returns:
            The mark, or None if the text ended before any.
        """
        while True:
            at, mark = self._first(marks)
            if mark is not None:
                text, self.text = self.text[:at].rstrip(loose), self.text[at + len(mark) :]
            elif self.ended:
                text, self.text = self.text, ""
            else:
                certain = len(self.text) - max((_overlap(self.text, mark) for mark in marks), default=0)
                certain = len(self.text[:certain].rstrip(loose))
                text, self.text = self.text[:certain], self.text[certain:]
            if text:
                yield say(text)
            if mark is not None or self.ended:
                return mark
            yield WAIT

    def gather(self, *marks: str) -> Steps[tuple[str, str | None]]:
        """Waits for the first of the marks; returns the text before it and the mark, or the rest and None."""
        seen, longest = 0, max(map(len, marks))
        while True:
            at, mark = self._first(marks, seen)
            if mark is not None:
                text, self.text = self.text[:at], self.text[at + len(mark) :]
                return text, mark
            if self.ended:
                text, self.text = self.text, ""
                return text, None
            seen = max(0, len(self.text) - longest + 1)
            yield WAIT

    def accept(self, mark: str, after: str = "") -> Steps[bool]:
        """Takes a mark if it comes next, with any `after` characters before it; returns whether it did."""
        while True:
            text = self.text.lstrip(after)
            if text.startswith(mark):
                self.text = text[len(mark) :]
                return True
            if self.ended or not mark.startswith(text):
                return False
            yield WAIT

    def skip(self, characters: str) -> Steps[None]:
        """Drops these characters until another comes."""
        while True:
            self.text = self.text.lstrip(characters)
            if self.text or self.ended:
                return
            yield WAIT

    def _first(self, marks: Sequence[str], start: int = 0) -> tuple[int, str | None]:
        found = [(at, mark) for mark in marks if (at := self.text.find(mark, start)) >= 0]
        return min(found) if found else (-1, None)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that starts `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)

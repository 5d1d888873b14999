"""From tokens to text that is final: whole characters, and nothing that may yet turn out to be a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from hopwell.engine.tokenizer import StreamDecoder


class StopStrings:
    """Finds the stop string that is complete first in a stream of text, and holds back what may be the start of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Takes more text.

        Returns:
            Text that is safe to show, and the stop string that ended it, if one did; the rest is dropped then.
        """
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, at, stop = min(found)  # the first to be complete, so that the cuts do not matter
            self._held = ""
            return text[:at], stop
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def flush(self) -> str:
        """What was held back: the text has ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that starts `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


class TextStream:
    """The text of one sequence."""

    def __init__(self, decoder: StreamDecoder, stops: Sequence[str]) -> None:
        self._decoder = decoder
        self._stops = StopStrings(stops) if stops else None

    @property
    def watches(self) -> bool:
        """Whether there are stop strings."""
        return self._stops is not None

    def push(self, tokens: Sequence[int], watch: bool = True) -> tuple[str, str | None]:
        """Takes tokens; returns final text, and the stop string that ended it, if one did and `watch` is set."""
        text = self._decoder.push(tokens)
        return self._stops.push(text) if self._stops is not None and watch else (text, None)

    def flush(self, watch: bool = True) -> tuple[str, str | None]:
        """The rest of the text, at the end; a broken character that is left may still complete a stop string."""
        text = self._decoder.flush()
        if self._stops is None or not watch:
            return text, None
        text, stop = self._stops.push(text)
        return (text, stop) if stop is not None else (text + self._stops.flush(), None)

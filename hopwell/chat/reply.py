"""An answer's text as it comes, split into thinking, content and tool calls.

    reply = [ <think> thinking </think> ] content { calls content }

The parser knows from the prompt whether the answer begins inside `<think>` (R1) or may begin with it (R1-0528), and
gives the same events however the text is cut. Nothing is lost: what is no well-formed call becomes content.
"""

from __future__ import annotations

from itertools import count

from hopwell.chat.formats import reply_format
from hopwell.chat.source import SPACE, WAIT, Event, Source, Steps, content, reasoning

__all__ = ["THINK", "THINK_END", "Event", "ReplyParser"]

THINK, THINK_END = "<think>", "</think>"


class ReplyParser:
    """Splits one answer. `push` text as it comes, then `finish`."""

    def __init__(self, thinking: bool, tools: bool, format: str = "deepseek_r1") -> None:
        """
        Args:
            thinking: the prompt ended inside `<think>`.
            tools: look for tool calls; otherwise their marks are content.
            format: a key of `FORMATS`.

        Raises:
            HopwellError: the format is unknown; the message lists those known.
        """
        self._thinking, self._tools, self._format = thinking, tools, reply_format(format)
        self._source = Source()
        self._steps = self._reply(self._source)

    def push(self, text: str) -> list[Event]:
        """Events that this text completes."""
        self._source.text += text
        return self._run()

    def finish(self) -> list[Event]:
        """The rest: the answer has ended, perhaps in the middle of something."""
        self._source.ended = True
        return self._run()

    def _run(self) -> list[Event]:
        events = []
        for event in self._steps:
            if event is WAIT:
                break
            events.append(event)
        return events

    def _reply(self, source: Source) -> Steps[None]:
        begin, mark = self._format.begin, None
        if self._thinking or (yield from source.accept(THINK, after=SPACE)):
            yield from source.skip("\n")
            early = (begin,) if self._tools and self._format.ends_thinking else ()
            mark = yield from source.tell(reasoning, THINK_END, *early, loose="\n")
            if mark == THINK_END:
                yield from source.skip("\n")
        numbers = count()
        while True:
            if mark == begin:
                yield from self._format.calls(source, numbers)
            marks = (begin,) if self._tools else ()
            mark = yield from source.tell(content, *marks, loose=" \n")
            if mark is None:
                return

"""An answer's text as it comes, split into thinking, content and tool calls: R1's and V3's format, and V3.1's.

R1 and V3 write a call as `function<sep>NAME`, a fenced JSON block and its end; V3.1 as `NAME<sep>JSON`. The parser
knows from the prompt whether the answer begins inside `<think>`, and gives the same events however the text is cut:
what may be the start of a mark waits for its rest. Nothing is dropped: what is no well-formed call becomes content.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

THINK, THINK_END = "<think>", "</think>"
CALLS, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, CALL_SEP, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
FENCE, FENCE_END = "\n```json\n", "\n```"


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


class _State(Enum):
    START = auto()
    """Before anything: a `<think>` may come."""
    REASONING = auto()
    CONTENT = auto()
    CALLS = auto()
    """Between calls."""
    HEAD = auto()
    """The name of a call."""
    ARGUMENTS = auto()


class ReplyParser:
    """Splits one answer. `push` text as it comes, then `finish`."""

    def __init__(self, thinking: bool, tools: bool) -> None:
        """
        Args:
            thinking: the prompt ended inside `<think>`.
            tools: look for tool calls; otherwise their marks are content.
        """
        self._state = _State.REASONING if thinking else _State.START
        self._tools = tools
        self._text = ""
        self._end = CALL_END
        self._calls = 0
        self._trim = thinking  # blank lines at the start of the thinking and of what follows it

    def push(self, text: str) -> list[Event]:
        """Events that this text completes."""
        self._text += text
        return self._run(final=False)

    def finish(self) -> list[Event]:
        """The rest: the answer has ended, perhaps in the middle of something."""
        return self._run(final=True)

    def _run(self, final: bool) -> list[Event]:
        events: list[Event] = []
        while self._step(events, final):
            pass
        if final and self._text:
            kind = {_State.REASONING: "reasoning", _State.ARGUMENTS: "arguments"}.get(self._state, "content")
            if kind == "arguments":
                self._say(events, kind, self._text)
            else:
                self._say(events, kind, (CALL if self._state is _State.HEAD else "") + self._text)
            self._text = ""
        return events

    def _say(self, events: list[Event], kind: str, text: str) -> None:
        if text:
            events.append(Event(kind, text, max(self._calls - 1, 0) if kind == "arguments" else 0))  # type: ignore[arg-type]

    def _until(self, mark: str, final: bool, loose: str = "") -> tuple[str, bool]:
        """Takes text up to a mark, or what surely comes before it; trailing `loose` characters wait with it."""
        before, found, after = self._text.partition(mark)
        if found:
            self._text = after
            return before, True
        keep = 0 if final else _overlap(self._text, mark)
        cut = len(self._text) - keep
        if not final:
            cut = len(self._text[:cut].rstrip(loose)) if loose else cut
        before, self._text = self._text[:cut], self._text[cut:]
        return before, False

    def _step(self, events: list[Event], final: bool) -> bool:
        """Takes what can be taken in this state; whether the state has changed."""
        match self._state:
            case _State.START:
                text = self._text.lstrip()
                if text.startswith(THINK):
                    self._text, self._state, self._trim = text[len(THINK) :], _State.REASONING, True
                    return True
                if not final and THINK.startswith(text):
                    return False
                self._state = _State.CONTENT
                return True
            case _State.REASONING:
                self._skip_newlines()
                text, found = self._until(THINK_END, final, "\n")
                self._say(events, "reasoning", text.rstrip("\n") if found else text)
                if found:
                    self._state, self._trim = _State.CONTENT, True
                return found
            case _State.CONTENT:
                self._skip_newlines()
                if not self._tools:
                    self._say(events, "content", self._text)
                    self._text = ""
                    return False
                text, found = self._until(CALLS, final, " \n")
                self._say(events, "content", text.rstrip(" \n") if found else text)
                self._state = _State.CALLS if found else self._state
                return found
            case _State.CALLS:
                text, found = self._until(CALL, final)
                if CALLS_END in text or (CALLS_END in self._text and not found):
                    rest = (text + self._text).partition(CALLS_END)[2]
                    self._text, self._state = rest, _State.CONTENT
                    return True
                if not found:
                    self._text = text + self._text
                    if final and not self._text.strip():
                        self._text = ""
                    return False
                self._say(events, "content", text.strip())
                self._state = _State.HEAD
                return True
            case _State.HEAD:
                return self._head(events)
            case _State.ARGUMENTS:
                text, found = self._until(self._end, final)
                self._say(events, "arguments", text)
                self._state = _State.CALLS if found else self._state
                return found

    def _skip_newlines(self) -> None:
        if self._trim:
            self._text = self._text.lstrip("\n")
            self._trim = not self._text

    def _head(self, events: list[Event]) -> bool:
        kind, found, rest = self._text.partition(CALL_SEP)
        if not found:
            return False
        name, self._end = kind.strip(), CALL_END
        if name == "function":
            name, fenced, after = rest.partition(FENCE)
            if CALL_END in name:  # no fence: not a call as R1 writes it
                text, _, self._text = rest.partition(CALL_END)
                self._say(events, "content", text)
                self._state = _State.CALLS
                return True
            if not fenced:
                return False
            name, rest, self._end = name.strip(), after, FENCE_END + CALL_END
        self._text = rest
        events.append(Event("call", "", self._calls, name, f"call_{secrets.token_hex(12)}"))
        self._calls += 1
        self._state = _State.ARGUMENTS
        return True


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that starts `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)

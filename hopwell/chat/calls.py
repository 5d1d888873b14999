"""Tool calls between special tokens: DeepSeek's R1, V3 and V3.1, and Kimi-K2.

    calls  = SECTION { call } SECTION_END
    call   = CALL head SEPARATOR arguments CALL_END

R1 and V3 write `function` as the head, and then the name, a line feed and JSON in a fence; V3.1 writes the name and
bare JSON; Kimi-K2 `functions.NAME:NUMBER`, which is the call's id as well. One grammar reads R1's and V3.1's heads,
since their marks are the same. Text between calls is content. A call without a name is content too, marks included; a
missing end is made up for by the next mark.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from hopwell.chat.source import SPACE, Event, Source, Steps, content


@dataclass(frozen=True, slots=True)
class Marks:
    """The special tokens around calls."""

    section: str
    section_end: str
    call: str
    separator: str
    call_end: str


DEEPSEEK = Marks(
    "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
)
KIMI = Marks(
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
)
KIMI_ID = re.compile(r"(?:functions\.)?(.+):\d+", re.DOTALL)


def new_id() -> str:
    """A call's id, where the model gives none."""
    return f"call_{secrets.token_hex(12)}"


def between(source: Source, *marks: str) -> Steps[str | None]:
    """Content between calls, without the space around it; returns the mark that ended it."""
    yield from source.skip(SPACE)
    return (yield from source.tell(content, *marks, loose=SPACE))


def section(source: Source, numbers: Iterator[int], marks: Marks) -> Steps[None]:
    """A section of calls, after its first mark."""
    mark = yield from between(source, marks.call, marks.section_end)
    while mark == marks.call:
        mark = yield from _call(source, numbers, marks)
        if mark == marks.call_end:
            mark = yield from between(source, marks.call, marks.section_end)


def _call(source: Source, numbers: Iterator[int], marks: Marks) -> Steps[str | None]:
    """Returns the mark that ended the call."""
    ends = (marks.call_end, marks.call, marks.section_end)
    head, mark = yield from source.gather(marks.separator, *ends)
    raw, call_id, name = marks.call + head, "", ""
    if mark == marks.separator:
        raw, name = raw + marks.separator, head.strip()
        if marks is KIMI:
            call_id, numbered = name, KIMI_ID.fullmatch(name)
            name = numbered[1] if numbered else name.removeprefix("functions.")
        elif name == "function":
            line, mark = yield from source.gather("\n", *ends)
            raw += line + ("\n" if mark == "\n" else "")
            name = line.strip() if mark == "\n" else ""
    if not name:
        if mark in ("\n", marks.separator):
            rest, mark = yield from source.gather(*ends)
            raw += rest
        yield content(raw + (marks.call_end if mark == marks.call_end else ""))
        return mark
    index = next(numbers)
    yield Event("call", "", index, name, call_id or new_id())
    if not (yield from source.accept("```json", after=SPACE)):
        yield from source.accept("```", after=SPACE)
    yield from source.skip(SPACE)
    told = False

    def say(text: str) -> Event:
        nonlocal told
        told = True
        return Event("arguments", text, index)

    mark = yield from source.tell(say, *ends, loose=SPACE + "`")
    if mark is not None and not told:
        yield Event("arguments", "{}", index)  # none at all is no JSON, which clients read
    return mark

"""Tool calls of V3.2: tags, with each parameter on its own.

    calls     = <｜DSML｜function_calls> { invoke } </｜DSML｜function_calls>
    invoke    = <｜DSML｜invoke name="NAME"> { parameter } </｜DSML｜invoke>
    parameter = <｜DSML｜parameter name="KEY" string="true|false"> value </｜DSML｜parameter>

(encoding_dsv32.py of the released model.) A value with string="true" is the text itself; any other is JSON. The events
carry the arguments as the JSON object that clients expect, a string's characters as they come. SGLang has seen the
model write a whole JSON object in place of the parameters; it is passed on. What is no parameter becomes content, once
the call has ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from hopwell.chat.calls import between, new_id
from hopwell.chat.source import Event, Source, Steps, content

TOKEN = "｜DSML｜"
CALLS, CALLS_END = f"<{TOKEN}function_calls>", f"</{TOKEN}function_calls>"
INVOKE, INVOKE_END = f"<{TOKEN}invoke", f"</{TOKEN}invoke>"
PARAMETER, PARAMETER_END = f"<{TOKEN}parameter", f"</{TOKEN}parameter>"
INSIDE = (PARAMETER, INVOKE_END, INVOKE, CALLS_END)
"""What may come next inside a call."""

NAME = re.compile(r'\s+name="([^"]+)"\s*', re.DOTALL)
KEY = re.compile(r'\s+name="([^"]+)"\s+string="(true|false)"\s*', re.DOTALL)


def dsml(source: Source, numbers: Iterator[int]) -> Steps[None]:
    """A block of calls, after its first mark."""
    mark = yield from between(source, INVOKE, CALLS_END)
    while mark == INVOKE:
        mark = yield from _invoke(source, numbers)
        if mark == INVOKE_END:
            mark = yield from between(source, INVOKE, CALLS_END)


def _invoke(source: Source, numbers: Iterator[int]) -> Steps[str | None]:
    """Returns the mark that ended the call."""
    head, mark = yield from source.gather(">", *INSIDE)
    found = NAME.fullmatch(head)
    if mark != ">" or found is None:
        raw = INVOKE + head
        if mark in (">", PARAMETER):
            rest, end = yield from source.gather(INVOKE_END, INVOKE, CALLS_END)
            raw, mark = raw + mark + rest, end
        yield content(raw + (INVOKE_END if mark == INVOKE_END else ""))
        return mark
    index = next(numbers)
    yield Event("call", "", index, found[1], new_id())
    text, mark = yield from source.gather(*INSIDE)
    stray = text.strip()
    if mark != PARAMETER and stray.startswith("{"):
        yield Event("arguments", stray, index)
        return mark
    before = "{"
    while mark == PARAMETER:
        head, mark = yield from source.gather(">", PARAMETER_END, *INSIDE)
        found = KEY.fullmatch(head)
        if mark == ">" and found is not None:
            yield Event("arguments", f"{before}{_json(found[1])}: ", index)
            before = ", "
            mark = yield from _value(source, index, found[2] == "true")
        else:
            stray += PARAMETER + head + (mark if mark in (">", PARAMETER_END) else "")
        if mark in (">", PARAMETER_END):
            text, mark = yield from source.gather(*INSIDE)
            stray += text.strip()
    if mark is not None:
        yield Event("arguments", "{}" if before == "{" else "}", index)
    if stray:
        yield content(stray)
    return mark


def _value(source: Source, index: int, string: bool) -> Steps[str | None]:
    """Tells a parameter's value as JSON; returns the mark that ended it."""
    if string:
        yield Event("arguments", '"', index)
        mark = yield from source.tell(lambda text: Event("arguments", _json(text)[1:-1], index), PARAMETER_END, *INSIDE)
        if mark is not None:
            yield Event("arguments", '"', index)
        return mark
    value, mark = yield from source.gather(PARAMETER_END, *INSIDE)
    value = value.strip()
    yield Event("arguments", value if mark is None or _is_json(value) else _json(value), index)
    return mark


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

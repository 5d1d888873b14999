"""Schemas, regexes and grammars as text: what an API does with them, without what compiles them."""

from __future__ import annotations

import json
import re
from typing import Any

from hopwell.engine.request import RequestError, SamplingParams

BETWEEN_TOKENS: Any = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""One space at most after a comma or colon, as models write it; with white space free, some write it without end."""
MAX_GRAMMAR = 1 << 20
"""Characters of a schema, regex or grammar."""
LARK = re.compile(r"//[^\n]*|#[^\n]*|\"(?:[^\"\\\n]|\\.)*\"?|/(?:[^/\\]|\\.)+/?|(%json)\s*")
"""What may stand around JSON in a Lark grammar, comments, strings and regexes, and what begins JSON."""
DECODER = json.JSONDecoder()


def constraint_text(params: SamplingParams) -> tuple[str, str]:
    """Which parameter constrains a request (`json_schema`, `regex` or `grammar`), and its text.

    Raises:
        RequestError: it is too long, or no JSON.
    """
    field = next(name for name in ("json_schema", "regex", "grammar") if getattr(params, name) is not None)
    value: Any = getattr(params, field)
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"{field} is malformed: {first_line(error)}", field) from None
    if len(text) > MAX_GRAMMAR:
        raise RequestError(f"{field} has {len(text):,} characters; at most {MAX_GRAMMAR:,} can be used", field)
    return field, text


def in_lark(schema: dict[str, Any]) -> str:
    """A JSON schema as a rule of a Lark grammar."""
    return f"%json {json.dumps(schema)}"


def with_usual_json(lark: str) -> str:
    """A Lark grammar whose JSON has as little white space as `json_schema` has, unless its schemas say otherwise."""
    parts: list[str] = []
    done = at = 0
    while found := LARK.search(lark, at):
        at = found.end()
        if found[1] is None:
            continue
        try:
            schema, end = DECODER.raw_decode(lark, at)
        except (ValueError, RecursionError):
            break  # llguidance says what is wrong with it
        own = schema.get("x-guidance", {}) if isinstance(schema, dict) else None
        if schema is True:
            text = json.dumps({"x-guidance": BETWEEN_TOKENS})
        elif isinstance(own, dict) and "x-guidance" in schema:
            text = json.dumps({**schema, "x-guidance": {**BETWEEN_TOKENS, **own}})
        elif isinstance(own, dict):  # the rest stays as it was written
            text = f'{{"x-guidance": {json.dumps(BETWEEN_TOKENS)}{"," * bool(schema)}{lark[at + 1 : end]}'
        else:
            text = lark[at:end]
        parts += lark[done:at], text
        done = at = end
    return "".join([*parts, lark[done:]])


def too_complex(field: str) -> str:
    """Why a constraint is refused that compiles, and whose tokens take too long to find."""
    return f"{field} is too complex: what it allows next takes too long to work out; simplify it"


def first_line(error: object) -> str:
    """The first line of a library's complaint, not without end; with the last one, where it only says that there is
    more: the reason comes after the place."""
    first, *more = str(error).strip().split("\n")
    return (f"{first} {more[-1].strip()}" if more and first.endswith(":") else first)[:300]

"""Schemas, regexes and grammars that overflow a native stack or never end where nothing bounds them."""

from __future__ import annotations

from typing import Any


def chain(length: int, link: Any) -> dict[str, Any]:
    """Definitions that refer to each other: `link(reference)` to the next one."""
    defs = {f"d{i}": link({"$ref": f"#/$defs/d{i + 1}"}) for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": {"type": "integer"}}}


def field(reference: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": reference}, "required": ["a"], "additionalProperties": False}


def either(reference: Any) -> dict[str, Any]:
    return {"anyOf": [reference, {"type": "null"}]}


def all_of(reference: Any) -> dict[str, Any]:
    return {"allOf": [reference, {"minimum": 0}]}


def nested(depth: int, before: str, after: str) -> str:
    """As text: a parser, or a writer, of JSON may itself give up."""
    return before * depth + '{"type": "integer"}' + after * depth


def rules(length: int, name: str) -> str:
    """Rules of Lark in a chain."""
    lines = [f"{name}{i}: {name}{i + 1}" for i in range(length)]
    return "\n".join([f"start: {name}0", *lines, f'{name}{length}: "x"'])


DEEP: dict[str, dict[str, Any]] = {
    "3,000 definitions": {"json_schema": chain(3_000, field)},
    "10,000 definitions": {"json_schema": chain(10_000, lambda reference: reference)},
    "3,000 choices": {"json_schema": chain(3_000, either)},
    "3,000 unions": {"json_schema": chain(3_000, all_of)},
    "8,000 rules": {"grammar": rules(8_000, "r")},
    "8,000 terminals": {"grammar": rules(8_000, "R")},
    "30,000 rules": {"grammar": rules(30_000, "r")},
}
"""They end llguidance, and the process, on a stack of 8 or 16 MiB."""

REFUSED: dict[str, dict[str, Any]] = {
    "allOf 2,000 deep": {"json_schema": nested(2_000, '{"allOf": [', "]}")},
    "properties 2,000 deep": {"json_schema": nested(2_000, '{"type": "object", "properties": {"a": ', "}}")},
    "items 2,000 deep": {"json_schema": nested(2_000, '{"type": "array", "items": ', "}")},
    "100,000 values": {"json_schema": {"enum": list(range(100_000))}},
    "too long": {"regex": "a" * 2_000_000},
    "parentheses": {"regex": "(" * 5_000 + "a" + ")" * 5_000},
    "Lark's parentheses": {"grammar": "start: " + "(" * 20_000 + '"a"' + ")" * 20_000},
    "products": {"json_schema": {"allOf": [{"oneOf": [{"minimum": j} for j in range(3)]} for _ in range(14)]}},
}
"""llguidance refuses them by itself, or their text is too long."""

ENDLESS: dict[str, dict[str, Any]] = {
    "multiples": {"json_schema": {"allOf": [{"type": "integer", "multipleOf": p} for p in (9973, 9967, 9949, 9941)]}},
    "a first token": {"regex": "(a{1000}){1000}"},
    "patterns": {
        "json_schema": {"allOf": [{"type": "string", "pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 40)]}
    },
    "optional fields": {
        "json_schema": {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(10_000)}}
    },
}
"""They take seconds to compile, most of them 20 and more, or to say what may come first."""

SLOW: dict[str, dict[str, Any]] = {
    "repetitions": {"regex": "[b-y]{3}(a{1000}){1000}"},
    "repetitions in a string": {"json_schema": {"type": "string", "pattern": "^[b-y]{2}(a{1000}){1000}$"}},
    "options": {"regex": "[b-y]{2}" + "a?" * 3000 + "a" * 3000},
}
"""They compile in milliseconds and begin well; after some tokens it takes seconds to say what may come next."""

"""Tool calls and response formats as grammars, so that what a client requires cannot fail to come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hopwell.chat.calls import DEEPSEEK, KIMI
from hopwell.engine.constraints import in_lark
from hopwell.engine.tokenizer import Tokenizer
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.protocol.chat import ChatRequest, Function, JsonFormat, NamedTool, SchemaFormat

OTHERS = {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "minProperties",
          "allOf", "anyOf", "oneOf", "not", "if", "$ref", "dependentSchemas", "dependentRequired"}  # fmt: skip
"""Keywords by which a schema of an object may ask for properties that `properties` does not name."""


def offered(body: ChatRequest) -> list[Function]:
    """The tools that the model is told of: none if it must not call any.

    Raises:
        ApiError: 400, tool_choice and tools do not fit.
    """
    tools = [tool.function for tool in body.tools or ()]
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise bad_value("two tools have one name; give each its own", "tools")
    choice = body.tool_choice
    if choice not in (None, "none", "auto") and not tools:
        raise bad_value("tool_choice needs tools", "tool_choice")
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise ApiError(400, f"tool_choice names {choice.function.name!r}, which is not in tools", "tool_choice")
    return [] if choice == "none" else tools


def constraint(
    body: ChatRequest, tools: Sequence[Function], tokenizer: Tokenizer, format: str | None
) -> dict[str, Any]:
    """The engine's constraint (`json_schema` or `grammar`) for the part of an answer after the thinking; empty if the
    model is free.

    Raises:
        ApiError: 400, the request asks for what excludes itself, or this model has no tool calls.
    """
    schema = _schema(body)
    choice = body.tool_choice
    must = choice == "required" or isinstance(choice, NamedTool)
    if must and schema is not None:
        raise ApiError(400, "response_format cannot hold where tool_choice requires a call", "response_format")
    if not tools:
        return {} if schema is None else {"json_schema": schema}
    bound = must or schema is not None or body.parallel_tool_calls is False or any(tool.strict for tool in tools)
    if not bound:
        return {}
    if isinstance(choice, NamedTool):
        tools = [tool for tool in tools if tool.name == choice.function.name]
    single = body.parallel_tool_calls is False or isinstance(choice, NamedTool)
    return {"grammar": _grammar(tools, tokenizer, format, must, single, schema)}


def _schema(body: ChatRequest) -> dict[str, Any] | None:
    match body.response_format:
        case JsonFormat():
            return {"type": "object"}
        case SchemaFormat(json_schema=wanted):
            return wanted.schema_
    return None


def _grammar(
    tools: Sequence[Function],
    tokenizer: Tokenizer,
    format: str | None,
    must: bool,
    single: bool,
    schema: dict[str, Any] | None,
) -> str:
    """The format's tool calls as Lark, as llguidance reads it: `<[7]>` is token 7, which text cannot spell."""
    marks = KIMI if format == "kimi_k2" else DEEPSEEK
    names = (marks.section, marks.section_end, marks.call, marks.separator, marks.call_end)
    ids = [tokenizer.inner.token_to_id(name) for name in names]
    if format in (None, "deepseek_v32") or None in ids:
        raise ApiError(400, f"calls of this model (format {format}) cannot be required or strict", "tool_choice")
    begin, end, call_begin, separator, call_end = (f"<[{token}]>" for token in ids)
    fenced = format not in ("kimi_k2", "deepseek_v31")
    more = "" if single else ' ("\\n" call)*' if fenced else " call*"
    calls = f"calls: {begin} call{more} {end}"
    if must:
        start = 'start: "\\n\\n"? calls'
    elif schema is not None:
        start = f'start: "\\n\\n"? calls | {in_lark(schema)}'
    else:
        start = "start: text calls?\ntext: /(.|\\n)*/"
    lines = [start, calls, "call: " + " | ".join(f"call_{i}" for i in range(len(tools)))]
    for i, tool in enumerate(tools):
        if fenced:
            fence = json.dumps(f"{tool.name}\n```json\n")
            inner = f'"function" {separator} {fence} args_{i} "\\n```"'
        elif format == "kimi_k2":
            inner = f"{json.dumps(f'functions.{tool.name}:')} /[0-9]+/ {separator} args_{i}"
        else:
            inner = f"{json.dumps(tool.name)} {separator} args_{i}"
        lines.append(f"call_{i}: {call_begin} {inner} {call_end}")
        lines.append(f"args_{i}: {in_lark(_arguments(tool))}")
    return "\n".join(lines)


def _arguments(tool: Function) -> dict[str, Any]:
    """What a call's arguments are bound by: those that the tool names and no others, unless its schema speaks of
    others. A model that is made to call may otherwise go on with names of its own up to its limit."""
    schema = {**(tool.parameters or {}), "type": "object"}
    named, required = schema.get("properties"), schema.get("required") or []
    if not isinstance(named, dict) or not isinstance(required, list) or OTHERS & schema.keys():
        return schema  # what is no schema is refused where it is compiled
    if all(isinstance(name, str) and name in named for name in required):
        schema["additionalProperties"] = False
    return schema

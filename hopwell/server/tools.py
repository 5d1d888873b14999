"""Tool calls and response formats as grammars, so that what a client requires cannot fail to come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hopwell.engine.tokenizer import Tokenizer
from hopwell.server.errors import ApiError
from hopwell.server.protocol.chat import ChatRequest, Function, JsonFormat, NamedTool, SchemaFormat

MARKERS = {
    name: f"<｜tool▁{text}｜>"
    for name, text in (("calls", "calls▁begin"), ("end", "calls▁end"), ("call", "call▁begin"), ("sep", "sep"),
                       ("call_end", "call▁end"))
}  # fmt: skip


def offered(body: ChatRequest) -> list[Function]:
    """The tools that the model is told of: none if it must not call any.

    Raises:
        ApiError: 400, tool_choice and tools do not fit.
    """
    tools = [tool.function for tool in body.tools or ()]
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise ApiError(400, "two tools have one name; give each its own", "tools", "invalid_value")
    choice = body.tool_choice
    if choice not in (None, "none", "auto") and not tools:
        raise ApiError(400, "tool_choice needs tools", "tool_choice", "invalid_value")
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise ApiError(400, f"tool_choice names {choice.function.name!r}, which is not in tools", "tool_choice")
    return [] if choice == "none" else tools


def constraint(body: ChatRequest, tools: Sequence[Function], tokenizer: Tokenizer) -> dict[str, Any]:
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
    return {"grammar": _grammar(tools, tokenizer, must, single, schema)}


def _schema(body: ChatRequest) -> dict[str, Any] | None:
    match body.response_format:
        case JsonFormat():
            return {"type": "object"}
        case SchemaFormat(json_schema=wanted):
            return wanted.schema_
    return None


def _grammar(
    tools: Sequence[Function], tokenizer: Tokenizer, must: bool, single: bool, schema: dict[str, Any] | None
) -> str:
    """R1's tool calls as Lark, as llguidance reads it: `<[7]>` is token 7, which text cannot spell."""
    ids = {name: tokenizer.inner.token_to_id(text) for name, text in MARKERS.items()}
    if None in ids.values():
        raise ApiError(400, "this model's tokenizer has no tool calls, so none can be required", "tool_choice")
    mark = {name: f"<[{token}]>" for name, token in ids.items()}
    more = "" if single else ' ("\\n" call)*'
    calls = f"calls: {mark['calls']} call{more} {mark['end']}"
    if must:
        start = 'start: "\\n\\n"? calls'
    elif schema is not None:
        start = f'start: "\\n\\n"? calls | %json {json.dumps(schema)}'
    else:
        start = "start: text calls?\ntext: /(.|\\n)*/"
    lines = [start, calls, "call: " + " | ".join(f"call_{i}" for i in range(len(tools)))]
    for i, tool in enumerate(tools):
        head = json.dumps(f"{tool.name}\n```json\n")
        arguments = json.dumps(tool.parameters or {"type": "object"})
        lines.append(f'call_{i}: {mark["call"]} "function" {mark["sep"]} {head} args_{i} "\\n```" {mark["call_end"]}')
        lines.append(f"args_{i}: %json {arguments}")
    return "\n".join(lines)

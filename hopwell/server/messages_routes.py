"""/v1/messages: Anthropic's API over the same chat."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from hopwell.server.blocks import Block, Blocks
from hopwell.server.chat import Chat, chat_request, render, switched, text_of
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.protocol.chat import ChatRequest
from hopwell.server.protocol.messages import (
    AssistantTurn,
    CountReply,
    CountRequest,
    MessagesReply,
    MessagesRequest,
    MessagesUsage,
    MessageTool,
    SystemTurn,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    UserTurn,
)
from hopwell.server.routing import MESSAGE_ERRORS, JsonRoute, service_of, streamed
from hopwell.server.service import Service
from hopwell.server.sse import EventStream, primed, typed

router = APIRouter(route_class=JsonRoute)
SIGNATURE = "unsigned"
"""Of thinking. Nobody checks it here; but what has none clients take for cut short, and send back as a user's text."""
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@router.post("/v1/messages", responses={**streamed(MessagesReply), **MESSAGE_ERRORS})
async def messages(http: HttpRequest, body: MessagesRequest) -> Response:
    """Anthropic's messages."""
    service = service_of(http)
    hidden = body.thinking is not None and body.thinking.display == "omitted"
    reader = Blocks(await Chat.prepare(service, http, _asked(service, body)), "reasoning" if hidden else None)
    ident = {"id": f"msg_{http.state.request_id}", "type": "message", "role": "assistant", "model": reader.chat.model}
    if body.stream:
        return EventStream(await primed(_events(reader, ident)), done=False)
    await (reader.finish() if body.max_tokens else reader.read_prompt())
    reply = MessagesReply(
        **ident,  # pyright: ignore[reportArgumentType]
        content=[_block(block) for block in reader.blocks],
        **_stop(reader),
        usage=_usage(reader),
    )
    return Response(reply.json_text(), media_type="application/json")


@router.post("/v1/messages/count_tokens", responses=MESSAGE_ERRORS)
async def count_tokens(http: HttpRequest, body: CountRequest) -> CountReply:
    """Tokens that a request's prompt would have."""
    service: Service = service_of(http)
    service.check_model(body.model)
    return CountReply(input_tokens=len(await render(service, _asked(service, body.as_request()))))


def _asked(service: Service, body: MessagesRequest) -> ChatRequest:
    """The request as chat completions have it, for a model that may have a choice whether to think.

    Raises:
        ApiError: 400, fields do not fit each other or the model.
    """
    request, thinking = _chat_request(body), body.thinking
    if thinking is not None and (thinking.type != "adaptive" or service.loaded.prompts.thinks):
        request.chat_template_kwargs = switched(service, thinking.type != "disabled", "thinking.type")
    return request


def _chat_request(body: MessagesRequest) -> ChatRequest:
    """The same request as chat completions have it.

    Raises:
        ApiError: 400, fields do not fit each other.
    """
    if body.max_tokens == 0 and body.stream:
        raise bad_value("max_tokens: 0 leaves nothing to stream", "stream")
    fields: dict[str, Any] = {
        "model": body.model,
        "messages": _turns(body),
        "continue_final_message": isinstance(body.messages[-1], AssistantTurn) or None,  # a prefill
        "max_tokens": max(body.max_tokens, 1),
        "stop": body.stop_sequences or None,
        "apply_to_thinking": body.apply_to_thinking,
        "stream": body.stream,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
    }
    if body.tools:
        fields["tools"] = [_tool(tool) for tool in body.tools]
    wanted = body.output_config and body.output_config.format
    if body.output_format:
        if wanted and wanted != body.output_format:
            raise bad_value("output_format: is output_config.format by its older name; give one", "output_format")
        wanted = body.output_format
    if wanted:
        schema = {"name": "output", "schema": wanted.schema_}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if body.tool_choice is not None:
        fields |= _choice(body.tool_choice)
    return chat_request(fields)


def _turns(body: MessagesRequest) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    if body.system:
        turns.append({"role": "system", "content": text_of(body.system)})
    for turn in body.messages:
        match turn:
            case UserTurn():
                turns += _user(turn)
            case AssistantTurn():
                turns.append(_assistant(turn))
            case SystemTurn():
                turns.append({"role": "system", "content": text_of(turn.content)})
    return turns


def _tool(tool: MessageTool) -> dict[str, Any]:
    named = {"name": tool.name, "description": tool.description}
    return {"type": "function", "function": {**named, "parameters": tool.input_schema, "strict": tool.strict}}


def _choice(choice: ToolChoice) -> dict[str, Any]:
    if (choice.type == "tool") != (choice.name is not None):
        raise ApiError(400, "tool_choice.name goes with type 'tool', and only with it", "tool_choice.name")
    named = {"type": "function", "function": {"name": choice.name}}
    fields: dict[str, Any] = {"tool_choice": {"any": "required", "tool": named}.get(choice.type, choice.type)}
    if choice.disable_parallel_tool_use:
        fields["parallel_tool_calls"] = False
    return fields


def _user(turn: UserTurn) -> list[dict[str, Any]]:
    """A user's turn: results of tools become messages of their own, before the text."""
    if isinstance(turn.content, str):
        return [{"role": "user", "content": turn.content}]
    results = [
        {"role": "tool", "tool_call_id": block.tool_use_id, "content": _result(block)}
        for block in turn.content
        if isinstance(block, ToolResultBlock)
    ]
    texts = [block for block in turn.content if isinstance(block, TextBlock)]
    return results + ([{"role": "user", "content": text_of(texts)}] if texts or not results else [])


def _result(block: ToolResultBlock) -> str:
    """A tool's result; the model is told of a failure in words, for its format has no other place."""
    text = text_of(block.content)
    return f"Error: {text}" if block.is_error else text


def _assistant(turn: AssistantTurn) -> dict[str, Any]:
    if isinstance(turn.content, str):
        return {"role": "assistant", "content": turn.content}
    result: dict[str, Any] = {"role": "assistant"}
    calls = []
    text = ""
    for block in turn.content:
        if isinstance(block, TextBlock):
            text += block.text
        elif isinstance(block, ThinkingBlock):
            result["reasoning_content"] = result.get("reasoning_content", "") + block.thinking
        elif isinstance(block, ToolUseBlock):
            function = {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)}
            calls.append({"id": block.id, "type": "function", "function": function})
    return result | {"content": text} | ({"tool_calls": calls} if calls else {})


def _block(block: Block) -> dict[str, Any]:
    """A whole block."""
    match block.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": block.text, "signature": SIGNATURE}
        case "content":
            return {"type": "text", "text": block.text}
        case "call":
            return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": _arguments(block.text)}


def _arguments(text: str) -> Any:
    """A call's input; one that was cut short is given as its text."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"_unparsed": text}


def _usage(reader: Blocks) -> MessagesUsage:
    count = reader.chat.count
    return MessagesUsage(
        input_tokens=count.prompt - count.cached,
        cache_read_input_tokens=count.cached,
        cache_creation_input_tokens=0,
        output_tokens=count.completion,
    )


def _stop(reader: Blocks) -> dict[str, Any]:
    assert reader.end is not None and reader.end.finish_reason is not None
    stop = reader.end.stop_reason
    if isinstance(stop, str) and reader.end.finish_reason == "stop":
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    return {"stop_reason": STOPS[reader.end.finish_reason], "stop_sequence": None}


async def _events(reader: Blocks, ident: dict[str, Any]) -> AsyncGenerator[str, None]:
    empty = {
        "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
        "content": {"type": "text", "text": ""},
    }
    fields = {"reasoning": ("thinking_delta", "thinking"), "content": ("text_delta", "text")}
    async with aclosing(reader.changes()) as changes:
        async for change in changes:
            block = change.block
            if change.what == "begin":
                start = {**ident, "content": [], "stop_reason": None, "stop_sequence": None}
                yield typed("message_start", message={**start, "usage": _usage(reader).model_dump()})
            elif change.what == "open":
                call = {"type": "tool_use", "id": block.call_id, "name": block.name, "input": {}}
                yield typed("content_block_start", index=block.index, content_block=empty.get(block.kind, call))
            elif change.what == "text":
                kind, field = fields.get(block.kind, ("input_json_delta", "partial_json"))
                yield typed("content_block_delta", index=block.index, delta={"type": kind, field: change.text})
            else:
                if block.kind == "reasoning":
                    signed = {"type": "signature_delta", "signature": SIGNATURE}
                    yield typed("content_block_delta", index=block.index, delta=signed)
                yield typed("content_block_stop", index=block.index)
    yield typed("message_delta", delta=_stop(reader), usage=_usage(reader).model_dump())
    yield typed("message_stop")

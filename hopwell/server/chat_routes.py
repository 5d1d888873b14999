"""/v1/chat/completions: whole, or as chunks."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from hopwell.chat.reply import Event
from hopwell.engine.request import TokenLogprobs
from hopwell.server.chat import Chat, Part
from hopwell.server.protocol.chat import (
    CalledFunction,
    CalledTool,
    ChatChunk,
    ChatReply,
    ChatRequest,
    Choice,
    ChunkChoice,
    Delta,
    Logprobs,
    TokenLogprob,
    TopLogprob,
)
from hopwell.server.routing import ERRORS, JsonRoute, service_of, streamed
from hopwell.server.service import Service
from hopwell.server.sse import EventStream, event, primed

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions", responses={**streamed(ChatReply), **ERRORS})
async def chat_completions(http: HttpRequest, body: ChatRequest) -> Response:
    """OpenAI's chat completions."""
    chat = await Chat.prepare(service_of(http), http, body)
    ident = {"id": f"chatcmpl-{http.state.request_id}", "created": int(time.time()), "model": chat.model}
    if body.stream:
        return EventStream(await primed(_chunks(chat, body, ident)))
    reply = await _whole(chat, body, ident)
    return Response(reply.json_text(), media_type="application/json")


async def _whole(chat: Chat, body: ChatRequest, ident: dict[str, Any]) -> ChatReply:
    ends: dict[int, Part] = {}
    events: dict[int, list[Event]] = {i: [] for i in range(chat.request.params.n)}
    logprobs: dict[int, list[TokenLogprobs]] = {i: [] for i in events}
    async with aclosing(chat.parts()) as parts:
        async for part in parts:
            events[part.index] += part.events
            logprobs[part.index] += part.logprobs
            if part.finish_reason is not None:
                ends[part.index] = part
    choices = [
        Choice(
            index=i,
            message=message(events[i]),
            logprobs=token_logprobs(chat.service, logprobs[i]) if body.logprobs else None,
            finish_reason=ends[i].finish_reason,  # pyright: ignore[reportArgumentType]
            stop_reason=ends[i].stop_reason,
        )
        for i in sorted(ends)
    ]
    return ChatReply(object="chat.completion", choices=choices, usage=chat.count.usage(), **ident)


async def _chunks(chat: Chat, body: ChatRequest, ident: dict[str, Any]) -> AsyncGenerator[str, None]:
    options = body.stream_options
    each = bool(options and options.continuous_usage_stats)
    begun: set[int] = set()

    def chunk(choices: list[ChunkChoice], usage: bool) -> str:
        extra: dict[str, Any] = {"usage": chat.count.usage()} if usage else {}
        return event(ChatChunk(object="chat.completion.chunk", choices=choices, **extra, **ident).json_text())

    async with aclosing(chat.parts()) as parts:
        async for part in parts:
            more: dict[str, Any] = {}
            if part.index not in begun:  # never alone: benches time the first chunk as a token
                begun.add(part.index)
                more["role"] = "assistant"
                if not part.events:  # the first token may have no text yet
                    more["content"] = ""
            ended = {} if part.finish_reason is None else {"stop_reason": part.stop_reason}
            logprobs = token_logprobs(chat.service, part.logprobs) if body.logprobs else None
            choice = ChunkChoice(
                index=part.index,
                delta=delta(part.events, more),
                logprobs=logprobs,
                finish_reason=part.finish_reason,  # pyright: ignore[reportArgumentType]
                **ended,
            )
            yield chunk([choice], each)
    if options and options.include_usage:
        yield chunk([], True)


def _text(events: list[Event], kind: str, call: int | None = None) -> str:
    """All text of one kind; of one call."""
    return "".join(e.text for e in events if e.kind == kind and call in (None, e.index))


def message(events: list[Event]) -> Delta:
    """A whole message; content is null where there is none beside tool calls."""
    calls = [
        CalledTool(
            id=e.call_id,
            type="function",
            function=CalledFunction(name=e.name, arguments=_text(events, "arguments", e.index)),
        )
        for e in events
        if e.kind == "call"
    ]
    return _delta(events, calls, {"role": "assistant", "content": None if calls else ""})


def delta(events: list[Event], fields: dict[str, Any]) -> Delta:
    """A part of a message."""
    calls: list[CalledTool] = []
    for e in events:
        if e.kind == "call":
            function = CalledFunction(name=e.name, arguments="")
            calls.append(CalledTool(index=e.index, id=e.call_id, type="function", function=function))
        elif e.kind == "arguments":
            calls.append(CalledTool(index=e.index, function=CalledFunction(arguments=e.text)))
    return _delta(events, calls, fields)


def _delta(events: list[Event], calls: list[CalledTool], fields: dict[str, Any]) -> Delta:
    if thought := _text(events, "reasoning"):
        fields |= {"reasoning_content": thought, "reasoning": thought}
    if text := _text(events, "content"):
        fields["content"] = text
    if calls:
        fields["tool_calls"] = calls
    return Delta(**fields)


def token_logprobs(service: Service, entries: list[TokenLogprobs]) -> Logprobs:
    """OpenAI's form of log-probabilities."""

    def top(token: int, logprob: float) -> dict[str, Any]:
        text = service.vocabulary.text(token)
        return {"token": text, "logprob": logprob, "bytes": list(service.vocabulary.bytes_of(token))}

    content = [
        TokenLogprob(**top(e.token, e.logprob), top_logprobs=[TopLogprob(**top(t, p)) for t, p in e.top])
        for e in entries
    ]
    return Logprobs(content=content, refusal=None)

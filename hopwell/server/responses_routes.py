"""/v1/responses: OpenAI's newer API over the same chat."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from hopwell.server.blocks import Block, Blocks, Change
from hopwell.server.chat import FUNCTION, Chat, chat_request, check_arguments, effort, text_of
from hopwell.server.errors import bad_value
from hopwell.server.protocol.chat import ChatRequest
from hopwell.server.protocol.responses import (
    InputCall,
    InputCallOutput,
    InputDetails,
    InputMessage,
    NamedChoice,
    Namespace,
    OutputDetails,
    ResponsesReply,
    ResponsesRequest,
    ResponsesUsage,
    ResponseTool,
    SchemaTextFormat,
)
from hopwell.server.routing import ERRORS, JsonRoute, service_of, streamed
from hopwell.server.service import Service
from hopwell.server.sse import EventStream, primed, typed

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/responses", responses={**streamed(ResponsesReply), **ERRORS})
async def responses(http: HttpRequest, body: ResponsesRequest) -> Response:
    """OpenAI's responses."""
    service = service_of(http)
    run = _Run(Blocks(await Chat.prepare(service, http, _chat_request(service, body))), body, http.state.request_id)
    if body.stream:
        return EventStream(await primed(run.events()), done=False)
    await run.reader.finish()
    return Response(run.reply().json_text(), media_type="application/json")


def _chat_request(service: Service, body: ResponsesRequest) -> ChatRequest:
    """The same request as chat completions have it.

    Raises:
        ApiError: 400, it cannot be one.
    """
    turns: list[dict[str, Any]] = []
    if body.instructions:
        turns.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        turns.append({"role": "user", "content": body.input})
    else:
        for place, item in enumerate(body.input):
            if isinstance(item, InputCall):
                check_arguments(item.arguments, f"input.{place}.arguments")
            _add_turn(turns, item)
    if not turns:
        raise bad_value("input holds nothing but reasoning; add a message", "input")
    if turns[-1]["role"] == "assistant":
        message = "input ends with the assistant's turn, and this API goes on with none; end with the user's"
        raise bad_value(message, "input")
    fields: dict[str, Any] = {
        "model": body.model,
        "messages": turns,
        "max_completion_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "stream": body.stream,
        "parallel_tool_calls": body.parallel_tool_calls,
        "tool_choice": body.tool_choice,
        "chat_template_kwargs": {
            **effort(service, body.reasoning.effort if body.reasoning else None, "reasoning.effort"),
            **(body.chat_template_kwargs or {}),
        },
    }
    if isinstance(body.tool_choice, NamedChoice):
        fields["tool_choice"] = {"type": "function", "function": {"name": body.tool_choice.name}}
    if body.tools:
        fields["tools"] = [
            {"type": "function", "function": tool.model_dump(include=FUNCTION, exclude_none=True)}
            for tool, _ in _flat(body)
        ]
    wanted = body.text.format if body.text else None
    if isinstance(wanted, SchemaTextFormat):
        schema = wanted.model_dump(exclude={"type"}, exclude_none=True, by_alias=True)
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted is not None:
        fields["response_format"] = {"type": wanted.type}
    return chat_request(fields)


def _add_turn(turns: list[dict[str, Any]], item: Any) -> None:
    """Adds an input item to the conversation; calls that follow each other are one turn."""
    match item:
        case InputMessage():
            turns.append({"role": item.role, "content": text_of(item.content)})
        case InputCall():
            if not turns or turns[-1]["role"] != "assistant":
                turns.append({"role": "assistant", "content": None})
            function = {"name": item.name, "arguments": item.arguments}
            turns[-1].setdefault("tool_calls", []).append(
                {"id": item.call_id, "type": "function", "function": function}
            )
        case InputCallOutput():
            turns.append({"role": "tool", "tool_call_id": item.call_id, "content": text_of(item.output)})


def _flat(body: ResponsesRequest) -> Iterator[tuple[ResponseTool, str | None]]:
    """The tools, each with the namespace it stands in."""
    for tool in body.tools or ():
        if isinstance(tool, Namespace):
            yield from ((inner, tool.name) for inner in tool.tools)
        else:
            yield tool, None


class _Run:
    """One response: its object, its items and its events."""

    def __init__(self, reader: Blocks, body: ResponsesRequest, request_id: str) -> None:
        self.reader, self.body, self.request_id = reader, body, request_id
        self.namespaces = {tool.name: name for tool, name in _flat(body) if name is not None}
        self.created = int(time.time())
        self._serial = 0

    def reply(self) -> ResponsesReply:
        """The response as it stands."""
        body, chat, end = self.body, self.reader.chat, self.reader.end
        cut = end is not None and end.finish_reason == "length"
        count = chat.count
        usage = ResponsesUsage(
            input_tokens=count.prompt,
            input_tokens_details=InputDetails(cached_tokens=count.cached),
            output_tokens=count.completion,
            output_tokens_details=OutputDetails(reasoning_tokens=count.reasoning),
            total_tokens=count.prompt + count.completion,
        )
        choice = body.tool_choice
        return ResponsesReply(
            id=f"resp_{self.request_id}",
            object="response",
            created_at=self.created,
            status="in_progress" if end is None else "incomplete" if cut else "completed",
            error=None,
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            model=chat.model,
            output=[self._item(block, self._status(block)) for block in self.reader.blocks] if end is not None else [],
            parallel_tool_calls=body.parallel_tool_calls is not False,
            previous_response_id=None,
            store=False,
            temperature=chat.request.params.temperature,
            tool_choice=choice.model_dump() if isinstance(choice, NamedChoice) else choice or "auto",
            tools=[tool.model_dump() for tool in body.tools or ()],
            top_p=chat.request.params.top_p,
            usage=usage if end is not None else None,
        )

    def _status(self, block: Block) -> str:
        """Of a block that has closed: the last one of an answer that was cut is not whole."""
        end = self.reader.end
        cut = end is not None and end.finish_reason == "length" and block is self.reader.blocks[-1]
        return "incomplete" if cut else "completed"

    def _item(self, block: Block, status: str) -> dict[str, Any]:
        key = f"{self.request_id}_{block.index}"
        done = status in ("completed", "incomplete")
        match block.kind:
            case "reasoning":
                content = [{"type": "reasoning_text", "text": block.text}] if done else []
                return {"id": f"rs_{key}", "type": "reasoning", "summary": [], "content": content, "status": status}
            case "content":
                content = [_text(block.text)] if done else []
                item = {"id": f"msg_{key}", "type": "message", "role": "assistant", "status": status}
                return {**item, "content": content}
            case "call":
                item = {"id": f"fc_{key}", "type": "function_call", "call_id": block.call_id, "name": block.name}
                if block.name in self.namespaces:
                    item["namespace"] = self.namespaces[block.name]
                return {**item, "arguments": block.text if done else "", "status": status}

    async def events(self) -> AsyncGenerator[str, None]:
        """The stream: each event named and numbered."""
        async with aclosing(self.reader.changes()) as changes:
            async for change in changes:
                for text in self._begin() if change.what == "begin" else self._change(change):
                    yield text
        reply = self.reply()
        yield self._event(f"response.{reply.status}", response=reply.model_dump(exclude_unset=True))

    def _begin(self) -> list[str]:
        response = self.reply().model_dump(exclude_unset=True)
        return [self._event(f"response.{name}", response=response) for name in ("created", "in_progress")]

    def _change(self, change: Change) -> list[str]:
        block = change.block
        where = {"item_id": self._item(block, "")["id"], "output_index": block.index}
        kind = {"reasoning": "reasoning_text", "content": "output_text", "call": "function_call_arguments"}[block.kind]
        part = dict(where) if block.kind == "call" else {**where, "content_index": 0}
        more = {"logprobs": []} if block.kind == "content" else {}
        if change.what == "text":
            return [self._event(f"response.{kind}.delta", **part, delta=change.text, **more)]
        empty = {"type": "reasoning_text", "text": ""} if block.kind == "reasoning" else _text("")
        if change.what == "open":
            item = self._item(block, "in_progress")
            events = [self._event("response.output_item.added", output_index=block.index, item=item)]
            if block.kind != "call":
                events.append(self._event("response.content_part.added", **part, part=empty))
            return events
        item = self._item(block, self._status(block))
        if block.kind == "call":
            events = [self._event(f"response.{kind}.done", **part, name=block.name, arguments=block.text)]
        else:
            events = [
                self._event(f"response.{kind}.done", **part, text=block.text, **more),
                self._event("response.content_part.done", **part, part={**empty, "text": block.text}),
            ]
        return [*events, self._event("response.output_item.done", output_index=block.index, item=item)]

    def _event(self, kind: str, **fields: Any) -> str:
        serial, self._serial = self._serial, self._serial + 1
        return typed(kind, sequence_number=serial, **fields)


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

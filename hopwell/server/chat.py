"""A conversation in, an answer in parts out: what chat completions, responses and messages have in common."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request as HttpRequest

from hopwell.codec.reply import Event, ReplyParser
from hopwell.codec.template import TemplateError
from hopwell.engine.core import FinishReason, Request, RequestError, TokenLogprobs
from hopwell.server.errors import ApiError
from hopwell.server.protocol.chat import AssistantMessage, ChatRequest, Content, Message, ToolMessage
from hopwell.server.service import Count, Service, structure
from hopwell.server.tools import constraint, offered

THINK_END = "</think>"


@dataclass(slots=True)
class Part:
    """What one answer gained."""

    index: int
    events: list[Event]
    logprobs: list[TokenLogprobs]
    tokens: int
    finish_reason: str | None = None
    """OpenAI's: stop, length or tool_calls."""
    stop_reason: str | int | None = None


@dataclass(slots=True)
class _Answer:
    """One answer on its way: its parser, and what waits for the next chunk."""

    parser: ReplyParser
    thinking: bool
    called: bool = False
    begun: bool = False
    waiting: Part = field(default_factory=lambda: Part(0, [], [], 0))


class Chat:
    """One request. Make it with `prepare`, then read `parts`, once."""

    def __init__(self, service: Service, request: Request, thinking: bool, tools: bool) -> None:
        """
        Args:
            thinking: the prompt ends inside `<think>`, so the answer begins with reasoning.
            tools: tool calls are looked for; otherwise their marks are text like any other.
        """
        self.service, self.request = service, request
        self.count = Count(prompt=len(request.prompt))
        self._think_end = service.loaded.tokenizer.inner.token_to_id(THINK_END)
        format = service.loaded.reply_format or "deepseek_r1"
        self._answers = [_Answer(ReplyParser(thinking, tools, format), thinking) for _ in range(request.params.n)]
        for index, answer in enumerate(self._answers):
            answer.waiting.index = index

    @classmethod
    async def prepare(cls, service: Service, http: HttpRequest, body: ChatRequest) -> Chat:
        """Renders the conversation and sets the request up.

        Raises:
            ApiError: 400, a field that cannot be honoured; 404, another model.
        """
        service.check_model(body.model)
        tools = offered(body)
        prompt = await render(service, body)
        tokenizer = service.loaded.tokenizer
        text_end = tokenizer.decode(prompt[-4:]).rstrip()
        thinking = text_end.endswith("<think>")
        limits = {**constraint(body, tools, tokenizer, service.loaded.reply_format)}
        if body.structured_outputs is not None:
            if limits:
                message = "structured_outputs excludes response_format and required tools"
                raise ApiError(400, message, "structured_outputs", "invalid_value")
            limits = structure(body.structured_outputs)
        if limits and thinking:
            limits["constrain_after"] = tokenizer.inner.token_to_id(THINK_END)
        if body.top_logprobs is not None and not body.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", "top_logprobs", "invalid_value")
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        if body.stream_options is not None and not body.stream:
            raise ApiError(400, "stream_options needs stream: true", "stream_options", "invalid_value")
        if None not in (body.max_tokens, body.max_completion_tokens) and body.max_tokens != body.max_completion_tokens:
            raise ApiError(400, "max_tokens and max_completion_tokens differ; give one", "max_tokens", "invalid_value")
        try:
            limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
            params = service.sampling(body, limit, logprobs=logprobs, **limits)
            # the template drops the thinking from the history, so no later prompt continues these pages
            request = service.request(http, body, prompt, params, cache_tokens=len(prompt) if thinking else None)
        except RequestError as error:
            raise ApiError.of(error) from None
        request.stream = bool(body.stream)
        return cls(service, request, thinking, bool(tools))

    async def parts(self) -> AsyncGenerator[Part, None]:
        """What the answers gain, `stream_interval` tokens at a time; the first token at once.

        Raises:
            ApiError: the request cannot be served, or has failed.
        """
        interval = self.service.settings.stream_interval
        async with aclosing(self.service.outputs([self.request])) as outputs:
            async for _, output in outputs:
                self.count.cached = output.cached_tokens
                for gained in output.outputs:
                    answer = self._answers[gained.index]
                    part = answer.waiting
                    self._count(answer, gained.tokens)
                    part.tokens += len(gained.tokens)
                    part.logprobs += gained.logprobs or []
                    part.events += answer.parser.push(gained.text)
                    if gained.finish_reason is not None:
                        part.events += answer.parser.finish()
                    answer.called |= any(event.kind == "call" for event in part.events)
                    if gained.finish_reason is not None:
                        part.stop_reason = gained.stop_reason
                        length = gained.finish_reason is FinishReason.LENGTH
                        part.finish_reason = "length" if length else "tool_calls" if answer.called else "stop"
                    elif not part.events or (answer.begun and part.tokens < interval):
                        continue
                    answer.begun, answer.waiting = True, Part(gained.index, [], [], 0)
                    yield part

    def _count(self, answer: _Answer, tokens: list[int]) -> None:
        self.count.completion += len(tokens)
        if answer.thinking:
            ended = self._think_end in tokens
            self.count.reasoning += tokens.index(self._think_end) + 1 if ended else len(tokens)  # type: ignore[arg-type]
            answer.thinking = not ended


async def render(service: Service, body: ChatRequest) -> list[int]:
    """Tokens of a conversation, up to where the assistant begins to speak.

    Raises:
        ApiError: 400, the template cannot render it.
    """
    tools = [{"type": "function", "function": tool.model_dump(exclude_none=True)} for tool in offered(body)]
    messages = [_plain(message, i) for i, message in enumerate(body.messages)]
    try:
        text = service.loaded.template.render(messages, tools=tools or None, variables=body.chat_template_kwargs)
    except TemplateError as error:
        raise ApiError(400, str(error), "messages", "invalid_value") from None
    return await service.encode(text, special=False)


def _plain(message: Message, place: int) -> dict[str, Any]:
    """A message as templates expect it."""
    plain: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
    plain["content"] = text_of(message.content)
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, AssistantMessage):
        thought = message.reasoning_content or message.reasoning
        if thought:
            plain["reasoning_content"] = thought
        if message.tool_calls:
            calls = [{"id": c.id, "type": "function", "function": c.function.model_dump()} for c in message.tool_calls]
            for i, call in enumerate(calls):
                _check_arguments(call["function"]["arguments"], f"messages.{place}.tool_calls.{i}.function.arguments")
            plain["tool_calls"] = calls
    return plain


def _check_arguments(text: str, field: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        raise ApiError(400, f"{field} is not JSON: {error}", field, "invalid_value") from None


def text_of(content: Content | None) -> str:
    """The text of content that may come in parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content)

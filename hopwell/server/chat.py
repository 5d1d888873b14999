"""A conversation in, an answer in parts out: what chat completions, responses and messages have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fastapi import Request as HttpRequest
from pydantic import ValidationError
from pydantic_core import from_json

from hopwell.chat.reply import Event, ReplyParser
from hopwell.chat.template import TemplateError
from hopwell.engine.request import FinishReason, Request, RequestError, SequenceOutput, TokenLogprobs
from hopwell.engine.thinking import Where
from hopwell.server.answers import Count, outputs_of
from hopwell.server.errors import ApiError, bad_value, invalid
from hopwell.server.protocol.chat import AssistantMessage, ChatRequest, Message, ToolMessage
from hopwell.server.service import Service, structure, structure_names
from hopwell.server.tools import constraint, offered

FUNCTION = {"name", "description", "parameters", "strict"}
"""What templates are told of a tool."""
NEVER = -1e9
"""A bias that no logit outweighs."""


@dataclass(slots=True)
class Part:
    """What one answer gained."""

    index: int
    events: list[Event] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    tokens: int = 0
    finish_reason: str | None = None
    """OpenAI's: stop, length or tool_calls."""
    stop_reason: str | int | None = None


@dataclass(slots=True)
class _Answer:
    """One answer on its way: its parser, and what waits for the next chunk."""

    parser: ReplyParser
    waiting: Part
    thinking: int = 0
    """Tokens of it so far."""
    arguments: dict[int, str] = field(default_factory=dict)
    """Of its tool calls, by their index."""
    begun: bool = False
    """A part of it has been told."""

    def read(self, gained: SequenceOutput) -> list[Event]:
        """What its new text means."""
        events = self.parser.push(gained.text)
        if gained.finish_reason is not None:
            events += self.parser.finish()
        for event in events:
            if event.kind in ("call", "arguments"):
                self.arguments[event.index] = self.arguments.get(event.index, "") + event.text
        return events

    def finish_reason(self, last: SequenceOutput) -> str:
        """OpenAI's; a call that a stop string or token has cut is none to be carried out."""
        if last.finish_reason is FinishReason.LENGTH:
            return "length"
        cut = last.stop_reason is not None and not all(map(_is_json, self.arguments.values()))
        return "tool_calls" if self.arguments and not cut else "stop"


class Chat:
    """One request. Make it with `prepare`, then read `parts`, once."""

    def __init__(
        self, service: Service, request: Request, model: str, tools: bool, names: dict[str, str], energy: bool
    ) -> None:
        """
        Args:
            model: its name in the answer.
            tools: tool calls are looked for; otherwise their marks are text like any other.
            names: fields that the request calls otherwise than the engine does.
            energy: the usage is to tell of joules.
        """
        self.service, self.request, self.model, self._names = service, request, model, names
        self.count = Count(prompt=len(request.prompt), factors=service.settings.factors if energy else None)
        begun, format = request.params.begins is Where.INSIDE, service.loaded.reply_format or "deepseek_r1"
        self._answers = [_Answer(ReplyParser(begun, tools, format), Part(i)) for i in range(request.params.n)]

    @classmethod
    async def prepare(cls, service: Service, http: HttpRequest, body: ChatRequest) -> Chat:
        """Renders the conversation and sets the request up.

        Raises:
            ApiError: 400, a field that cannot be honoured; 404, another model.
        """
        model, tools = service.check_model(body.model), offered(body)
        prompt = await render(service, body)
        thinking = None if body.continue_final_message else service.loaded.prompts.thinking(prompt)
        limits = constraint(body, tools, service.loaded.tokenizer, service.loaded.reply_format)
        if body.structured_outputs is not None:
            if limits:
                raise bad_value("structured_outputs excludes response_format and required tools", "structured_outputs")
            limits = structure(body.structured_outputs)
        if body.top_logprobs is not None and not body.logprobs:
            raise bad_value("top_logprobs needs logprobs: true", "top_logprobs")
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        if body.stream_options is not None and not body.stream:
            raise bad_value("stream_options needs stream: true", "stream_options")
        if None not in (body.max_tokens, body.max_completion_tokens) and body.max_tokens != body.max_completion_tokens:
            raise bad_value("max_tokens and max_completion_tokens differ; give one", "max_tokens")
        try:
            limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
            params = service.sampling(body, limit, logprobs=logprobs, thinking=thinking, **limits)
            if body.continue_final_message:
                # a mark of thinking in what goes on behind it would be read as text
                never = dict.fromkeys(service.loaded.prompts.thinking_marks, NEVER)
                params = replace(params, logit_bias={**never, **params.logit_bias})
            # the template drops the thinking from the history, so no later prompt continues these pages
            kept = len(prompt) if params.begins is Where.INSIDE else None
            request = service.request(http, body, prompt, params, cache_tokens=kept)
        except RequestError as error:
            raise ApiError.of(error) from None
        limited = "tools" if "grammar" in limits else "response_format"
        names = structure_names(body.structured_outputs, limited)
        if body.max_completion_tokens is not None:
            names["max_tokens"] = "max_completion_tokens"
        return cls(service, request, model, bool(tools), names, bool(body.include_energy))

    async def parts(self) -> AsyncGenerator[Part, None]:
        """What the answers gain, `stream_interval` tokens at a time; the first token at once, with or without text.

        Raises:
            ApiError: the request cannot be served, or has failed.
        """
        interval = self.service.settings.stream_interval
        async with aclosing(outputs_of(self.service, [self.request], self._names)) as outputs:
            async for _, output in outputs:
                self.count.cached = output.cached_tokens
                if output.finished:
                    self.count.end(output)
                for gained in output.outputs:
                    answer = self._answers[gained.index]
                    part = answer.waiting
                    self.count.completion += len(gained.tokens)
                    self.count.reasoning += gained.thinking_tokens - answer.thinking
                    answer.thinking = gained.thinking_tokens
                    part.tokens += len(gained.tokens)
                    part.logprobs += gained.logprobs or []
                    part.events += answer.read(gained)
                    if gained.finish_reason is not None:
                        part.stop_reason = gained.stop_reason
                        part.finish_reason = answer.finish_reason(gained)
                    elif answer.begun and (not part.events or part.tokens < interval):
                        continue
                    answer.begun, answer.waiting = True, Part(gained.index)
                    yield part


def chat_request(fields: dict[str, Any]) -> ChatRequest:
    """Another API's request as chat completions have it.

    Raises:
        ApiError: 400, its parts are valid, but together they are not.
    """
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False), fields) from None


async def render(service: Service, body: ChatRequest) -> list[int]:
    """Tokens of a conversation, up to where the assistant begins to speak.

    Raises:
        ApiError: 400, the template cannot render it.
    """
    functions = [tool.model_dump(include=FUNCTION, exclude_none=True) for tool in offered(body)]
    tools = [{"type": "function", "function": function} for function in functions]
    messages = [_plain(message, i) for i, message in enumerate(body.messages)]
    going_on = bool(body.continue_final_message)
    if going_on and body.add_generation_prompt:
        raise bad_value("add_generation_prompt and continue_final_message exclude each other", "add_generation_prompt")
    if messages[-1]["role"] == "assistant" and not going_on and body.add_generation_prompt is not False:
        message = "the last message is the assistant's; to go on with it, set continue_final_message: true"
        raise bad_value(message, "messages")
    generate = body.add_generation_prompt is not False
    variables = {**effort(service, body.reasoning_effort, "reasoning_effort"), **(body.chat_template_kwargs or {})}
    try:
        written = await asyncio.to_thread(  # a template is a program: it may take long
            service.loaded.prompts.write, messages, tools, variables, generate, going_on
        )
    except TemplateError as error:
        raise bad_value(str(error), error.field) from None
    return await service.encode_written(written)


def switched(service: Service, thinking: bool, field: str) -> dict[str, Any]:
    """Variables for a template that say whether to think.

    Raises:
        ApiError: 400, this model always does, or never.
    """
    prompts = service.loaded.prompts
    if (name := prompts.template.thinking_switch) is not None:
        return {name: thinking}
    if prompts.thinks != thinking:
        how = "always thinks" if prompts.thinks else "does not think"
        raise ApiError(400, f"{field}: this model {how}; leave it out", field, "unsupported_value")
    return {}


def effort(service: Service, wanted: str | None, field: str) -> dict[str, Any]:
    """Variables for a template: "none" is not to think, and more than that is to, where the model has a choice.

    Raises:
        ApiError: 400, it has none, and always thinks.
    """
    if wanted == "none":
        return switched(service, False, field)
    name = None if wanted is None else service.loaded.template.thinking_switch
    return {} if name is None else {name: True}


def _plain(message: Message, place: int) -> dict[str, Any]:
    """A message as templates expect it."""
    plain: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
    plain["content"] = text_of(message.content)  # beside tool calls the template may need null: chat/history.py
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, AssistantMessage):
        thought = message.reasoning_content or message.reasoning
        if thought:
            plain["reasoning_content"] = thought
        if message.tool_calls:
            plain["tool_calls"] = calls = []
            for i, call in enumerate(message.tool_calls):
                check_arguments(call.function.arguments, f"messages.{place}.tool_calls.{i}.function.arguments")
                arguments = call.function.arguments or "{}"
                function = {"name": call.function.name, "arguments": arguments}
                calls.append({"id": call.id, "type": "function", "function": function})
    return plain


def check_arguments(text: str, field: str) -> None:
    """Refuses what an earlier call cannot have been given; nothing is no arguments.

    Raises:
        ApiError: 400, it is not JSON.
    """
    try:
        from_json(text or "{}")
    except ValueError as error:
        raise bad_value(f"{field} is not JSON: {error}", field) from None


class Worded(Protocol):
    """A part of a content."""

    text: str


def text_of(content: str | Sequence[Worded] | None) -> str:
    """The text of content that may come in parts."""
    return content if isinstance(content, str) else "".join(part.text for part in content or ())


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True

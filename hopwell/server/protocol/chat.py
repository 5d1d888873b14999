"""/v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hopwell.server.protocol.advice import AnyCaller, Cached, ChatNoEffect, Echoed, EchoedCall, Named
from hopwell.server.protocol.common import (
    LOGPROBS,
    Arguments,
    Body,
    Items,
    Reply,
    Sampling,
    StreamOptions,
    Structured,
    Text,
    Usage,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TextPart(Cached):
    type: Literal["text"]
    text: Text


Content = Text | Items[TextPart]


class FunctionCall(EchoedCall):
    name: Name
    arguments: Text
    """JSON, or nothing where there are none."""


class ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = None
    """As streamed; the order of the list is what counts."""
    provider_specific_fields: dict[str, Any] | None = None
    """As a message's."""


class SystemMessage(Named):
    role: Literal["system", "developer"]
    content: Content


class UserMessage(Named):
    role: Literal["user"]
    content: Content


class AssistantMessage(Echoed):
    """An earlier answer, as this server gave it. Reasoning is accepted back; the model's template decides its use."""

    role: Literal["assistant"]
    content: Content | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None
    tool_calls: Items[ToolCall] | None = None


class ToolMessage(Named):
    role: Literal["tool"]
    content: Content
    tool_call_id: str


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(Cached):
    name: Name
    description: str | None = None
    parameters: Arguments | None = None
    strict: bool | None = None
    """Arguments follow the schema wherever a call is required; with tool_choice "auto", true is refused."""


class Tool(AnyCaller):
    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    name: Name


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class TextFormat(Body):
    type: Literal["text"]


class JsonFormat(Body):
    type: Literal["json_object"]


class JsonSchema(Body):
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None
    """The answer follows the schema either way."""


class SchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]


class ChatRequest(ChatNoEffect, Sampling):
    model: str | None = None
    messages: Annotated[Items[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: LOGPROBS | None = None
    tools: Items[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: Structured | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    """Variables that the template has."""
    add_generation_prompt: bool | None = None
    """False: the prompt ends with the last message."""
    continue_final_message: bool | None = None
    """The last message, the assistant's, is gone on with; it must not be last without."""


class TopLogprob(Reply):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class Logprobs(Reply):
    content: list[TokenLogprob]
    refusal: None


class CalledFunction(Reply):
    name: str | None = None
    arguments: str


class CalledTool(Reply):
    index: int | None = None
    """In streams."""
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction


class Delta(Reply):
    """Part of a message, or a whole one."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    """DeepSeek's name for the thinking."""
    reasoning: str | None = None
    """The same, by its newer name."""
    tool_calls: list[CalledTool] | None = None


FinishReason = Literal["stop", "length", "tool_calls"]


class Choice(Reply):
    index: int
    message: Delta
    logprobs: Logprobs | None
    finish_reason: FinishReason
    stop_reason: str | int | None
    """The stop string or token that ended the answer; None at the end of sequence."""


class ChunkChoice(Reply):
    index: int
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: FinishReason | None
    stop_reason: str | int | None = None


class ChatReply(Reply):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class ChatChunk(Reply):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None

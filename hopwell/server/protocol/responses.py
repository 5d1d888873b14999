"""/v1/responses: OpenAI's newer API. Nothing is stored, so an answer cannot be continued by its id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hopwell.server.protocol.advice import (
    AnyCaller,
    Cached,
    EchoedCall,
    EchoedItem,
    EchoedResponseCall,
    Level,
    Nothing,
    ResponsesNoEffect,
)
from hopwell.server.protocol.chat import JsonSchema, Name
from hopwell.server.protocol.common import Arguments, Body, Items, Probability, Reply, Text


class InputText(Cached):
    type: Literal["input_text", "output_text", "text"]
    text: Text
    annotations: Nothing | None = None
    logprobs: Nothing | None = None
    parsed: Any = None
    """The `openai` package's reading of `text`."""


class InputMessage(EchoedItem):
    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | Items[InputText]


class InputReasoning(EchoedItem):
    """An earlier answer's thinking, as this server gave it; the model's template drops it."""

    type: Literal["reasoning"]
    summary: Items[Any] | None = None
    content: Items[Any] | None = None
    encrypted_content: None = None


class InputCall(EchoedResponseCall, EchoedCall):
    type: Literal["function_call"]
    call_id: str
    name: Name
    arguments: Text
    """JSON, or nothing where there are none."""


class InputCallOutput(EchoedResponseCall):
    type: Literal["function_call_output"]
    call_id: str
    output: Text | Items[InputText]
    name: str | None = None
    """The call says which function it was."""


def _kind(item: Any) -> str:
    """A message need not say that it is one."""
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return "message" if kind is None else str(kind)


Item = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[InputReasoning, Tag("reasoning")]
    | Annotated[InputCall, Tag("function_call")]
    | Annotated[InputCallOutput, Tag("function_call_output")],
    Discriminator(_kind),
]


class ResponseTool(AnyCaller):
    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: Arguments | None = None
    strict: bool | None = None


class Namespace(Body):
    """Tools under one heading, which a call of theirs names beside the tool."""

    type: Literal["namespace"]
    name: str
    description: str | None = None
    tools: Items[ResponseTool]


class NamedChoice(Body):
    type: Literal["function"]
    name: Name


class PlainFormat(Body):
    type: Literal["text", "json_object"]


class SchemaTextFormat(JsonSchema):
    type: Literal["json_schema"]


class TextOptions(Body):
    verbosity: Level | None = None
    """Advice to a model that was trained on it."""
    format: Annotated[PlainFormat | SchemaTextFormat, Field(discriminator="type")] | None = None


class ResponsesRequest(ResponsesNoEffect):
    model: str | None = None
    input: Text | Annotated[Items[Item], Field(min_length=1)]
    instructions: Text | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    """As in chat completions."""
    max_output_tokens: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    stream: bool | None = None
    tools: Items[Annotated[ResponseTool | Namespace, Field(discriminator="type")]] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None


class InputDetails(Reply):
    cached_tokens: int


class OutputDetails(Reply):
    reasoning_tokens: int


class ResponsesUsage(Reply):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponsesReply(Reply):
    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    error: None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: None
    store: Literal[False]
    temperature: float
    tool_choice: Any
    tools: list[Any]
    top_p: float
    usage: ResponsesUsage | None

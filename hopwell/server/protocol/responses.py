"""/v1/responses: OpenAI's newer API. Nothing is stored, so an answer cannot be continued by its id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hopwell.server.protocol.chat import Name
from hopwell.server.protocol.common import Body, NoEffect, Reply, Text


class InputText(Body):
    type: Literal["input_text", "output_text", "text"]
    text: Text
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class InputMessage(Body):
    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | list[InputText]
    id: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class InputReasoning(Body):
    """An earlier answer's thinking, as this server gave it; the model's template drops it."""

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[Any] | None = None
    content: list[Any] | None = None
    encrypted_content: None = None
    status: str | None = None


class InputCall(Body):
    type: Literal["function_call"]
    call_id: str
    name: Name
    arguments: Text
    id: str | None = None
    status: str | None = None


class InputCallOutput(Body):
    type: Literal["function_call_output"]
    call_id: str
    output: Text
    id: str | None = None
    status: str | None = None


class ResponseTool(Body):
    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedChoice(Body):
    type: Literal["function"]
    name: Name


class PlainFormat(Body):
    type: Literal["text", "json_object"]


class SchemaTextFormat(Body):
    type: Literal["json_schema"]
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextOptions(Body):
    format: PlainFormat | SchemaTextFormat | None = None


class ResponsesRequest(NoEffect):
    model: str | None = None
    input: Text | Annotated[list[InputCall | InputCallOutput | InputReasoning | InputMessage], Field(min_length=1)]
    instructions: Text | None = None
    max_output_tokens: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stream: bool | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None


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

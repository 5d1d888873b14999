"""/v1/messages: Anthropic's API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hopwell.server.protocol.chat import Name
from hopwell.server.protocol.common import Body, Reply, Text

CacheControl = dict[str, str]
"""Marks a prefix to be cached: every prefix is."""


class TextBlock(Body):
    type: Literal["text"]
    text: Text
    cache_control: CacheControl | None = None
    citations: None = None


class ThinkingBlock(Body):
    """An earlier answer's thinking; the model's template decides its use."""

    type: Literal["thinking"]
    thinking: Text
    signature: str | None = None


class ToolUseBlock(Body):
    type: Literal["tool_use"]
    id: str
    name: Name
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: dict[str, Any] | None = None


class ToolResultBlock(Body):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Text | list[TextBlock] | None = None
    is_error: bool | None = None
    """The content says so to the model."""
    cache_control: CacheControl | None = None


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="type")]


class UserTurn(Body):
    role: Literal["user"]
    content: Text | list[UserBlock]


class AssistantTurn(Body):
    role: Literal["assistant"]
    content: Text | list[AssistantBlock]


class MessageTool(Body):
    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: dict[str, Any]
    cache_control: CacheControl | None = None


class ToolChoice(Body):
    type: Literal["auto", "any", "none", "tool"]
    name: Name | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Body):
    """R1 thinks before every answer: the other ways are refused, and so is a budget, which it cannot keep."""

    type: Literal["enabled", "adaptive"]


class RequestMetadata(Body):
    user_id: str | None = None
    """As OpenAI's `user`: the caller is known by its key."""


class MessagesRequest(Body):
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=1 << 31)]
    messages: Annotated[list[Annotated[UserTurn | AssistantTurn, Field(discriminator="role")]], Field(min_length=1)]
    system: Text | list[TextBlock] | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    tools: list[MessageTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    metadata: RequestMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    """There is one tier."""


class MessagesUsage(Reply):
    input_tokens: int
    """Prompt tokens that were computed; those read from the cache are counted beside them."""
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    output_tokens: int


class MessagesReply(Reply):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessagesUsage


class CountReply(Reply):
    input_tokens: int


class CountRequest(Body):
    """/v1/messages/count_tokens."""

    model: str | None = None
    messages: Annotated[list[Annotated[UserTurn | AssistantTurn, Field(discriminator="role")]], Field(min_length=1)]
    system: Text | list[TextBlock] | None = None
    tools: list[MessageTool] | None = None

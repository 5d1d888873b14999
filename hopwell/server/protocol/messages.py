"""/v1/messages: Anthropic's API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hopwell.server.protocol.advice import (
    AnyCaller,
    Cached,
    DirectCaller,
    Effort,
    MessagesNoEffect,
    Nothing,
    RedactedThinking,
    RequestMetadata,
)
from hopwell.server.protocol.chat import Name
from hopwell.server.protocol.common import Arguments, Body, Items, Probability, Reply, Stop, Text


class TextBlock(Cached):
    type: Literal["text"]
    text: Text
    citations: Nothing | None = None


class ThinkingBlock(Body):
    """An earlier answer's thinking; the model's template decides its use."""

    type: Literal["thinking"]
    thinking: Text
    signature: str | None = None


class ToolUseBlock(Cached):
    type: Literal["tool_use"]
    id: str
    name: Name
    input: dict[str, Any]
    caller: DirectCaller | None = None
    toolset_name: None = None


class ToolResultBlock(Cached):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Text | Items[TextBlock] | None = None
    is_error: bool | None = None
    """The content says so to the model."""
    toolset_name: None = None


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ThinkingBlock | RedactedThinking | ToolUseBlock, Field(discriminator="type")]


class UserTurn(Body):
    role: Literal["user"]
    content: Text | Items[UserBlock]


class AssistantTurn(Body):
    role: Literal["assistant"]
    content: Text | Items[AssistantBlock]


class SystemTurn(Body):
    role: Literal["system"]
    content: Text | Items[TextBlock]


Turn = Annotated[UserTurn | AssistantTurn | SystemTurn, Field(discriminator="role")]


class MessageTool(AnyCaller):
    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: Arguments
    strict: bool | None = None
    """Arguments follow the schema."""
    eager_input_streaming: Literal[True] | None = None
    """Arguments are streamed as they come, as they always are."""
    input_examples: Nothing | None = None


class ToolChoice(Body):
    type: Literal["auto", "any", "none", "tool"]
    name: Name | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Body):
    type: Literal["enabled", "adaptive", "disabled"]
    """V3.1's switch; with other models only what they do anyway."""
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None
    """An aim, and no limit, in Anthropic's API too; the family thinks as long as it needs."""
    display: Literal["summarized", "omitted"] | None = None
    """`omitted`: the blocks of thinking are empty. There is no summary: thinking that is shown is whole."""


class OutputFormat(Body):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    effort: Effort | None = None
    format: OutputFormat | None = None


class Prompted(MessagesNoEffect):
    """What makes the prompt, and what goes with it."""

    model: str | None = None
    messages: Annotated[Items[Turn], Field(min_length=1)]
    system: Text | Items[TextBlock] | None = None
    tools: Items[MessageTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """`output_config.format`, by its older name."""


class MessagesRequest(Prompted):
    max_tokens: Annotated[int, Field(ge=0, lt=1 << 31)]
    """0: the prompt is read into the cache, and nothing is answered."""
    apply_to_thinking: bool | None = None
    """As in chat completions: `stop_sequences` end the thinking too."""
    stop_sequences: Annotated[Items[Stop], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    metadata: RequestMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    """There is one tier."""


class CountRequest(Prompted):
    """/v1/messages/count_tokens."""

    def as_request(self) -> MessagesRequest:
        shared = {name: getattr(self, name) for name in Prompted.model_fields}
        return MessagesRequest.model_construct(max_tokens=1, **shared)


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

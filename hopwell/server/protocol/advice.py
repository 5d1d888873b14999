"""What clients send that asks for nothing this server does otherwise, or only advises: one table a place, with the
reason. A field passes with the values for which its reason holds; any other value is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hopwell.server.protocol.common import Body, Items, Text

Nothing = Annotated[Items[Any], Field(max_length=0)]
"""An empty list."""
Level = Literal["low", "medium", "high"]
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
"""Advice on how long to think. The family has no such levels: it thinks as long as it needs."""


class CacheControl(Body):
    """Marks a prefix to be cached, for some time, for some callers: every prefix is, as long as there is room, for its
    own tenant."""

    type: Literal["ephemeral"]
    ttl: str | None = None
    scope: str | None = None


class Breakpoint(Body):
    """OpenAI's `CacheControl`."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: str | None = None


class Cached(Body):
    """What may be marked as the end of a prefix."""

    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class NoEffect(Cached):
    """Of a request to any of OpenAI's routes."""

    user: str | None = None
    """A label for the vendor's abuse statistics; the caller is known by its key."""
    safety_identifier: str | None = None
    """As `user`."""
    metadata: dict[str, Any] | None = None
    """Labels kept with a stored answer; nothing is stored, and Responses returns them."""
    store: Literal[False] | None = None
    """Nothing is stored; true is refused."""
    service_tier: Literal["auto", "default"] | None = None
    """There is one tier: both names mean it."""
    prompt_cache_key: str | None = None
    """A routing hint; one server has one cache, and finds prefixes by their tokens."""
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    """Prefixes are kept as long as there is room; "24h" is a `cache_hint` to retain, for chats and completions."""
    prompt_cache_options: Breakpoint | None = None
    moderation: None = None


class ChatNoEffect(NoEffect):
    """Of /v1/chat/completions."""

    reasoning_effort: Effort | Literal["none"] | None = None
    """Whether to think, where the model has a choice (V3.1: all but "none" do); how much is only advice."""
    verbosity: Level | None = None
    """Advice to a model that was trained on it."""
    modalities: list[Literal["text"]] | None = None
    audio: None = None
    prediction: None = None
    functions: Nothing | None = None
    function_call: None = None
    web_search_options: None = None


class Named(Cached):
    """Of any message."""

    name: str | None = None
    """Who speaks, or which function; the family's templates have no place for it."""


class Echoed(Named):
    """Of an earlier answer: what clients add to it, or keep of it, and send back."""

    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Nothing | None = None
    images: Nothing | None = None
    provider_specific_fields: dict[str, Any] | None = None
    """LiteLLM's copy of the fields that it does not know, such as `reasoning`."""
    thinking_blocks: Items[dict[str, Any]] | None = None
    """LiteLLM's copy of `reasoning_content`."""
    parsed: Any = None
    """The `openai` package's reading of `content`."""


class EchoedCall(Body):
    """Of an earlier call's function."""

    parsed_arguments: Any = None
    """The `openai` package's reading of `arguments`."""
    provider_specific_fields: dict[str, Any] | None = None


class Reasoning(Body):
    """Of /v1/responses."""

    effort: Effort | Literal["none"] | None = None
    """As chat's `reasoning_effort`."""
    summary: Literal["auto", "concise", "detailed"] | None = None
    """There is no summary: an answer has the whole thinking."""
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn"] | None = None
    """Earlier thinking is the template's to drop."""


class ResponsesStreamOptions(Body):
    include_usage: bool | None = None
    """The last event has it anyway."""
    include_obfuscation: Literal[False] | None = None


class ResponsesNoEffect(NoEffect):
    """Of /v1/responses."""

    reasoning: Reasoning | None = None
    include: Items[Literal["reasoning.encrypted_content"]] | None = None
    """So that thinking can be sent back without a store; it can, for it is there in plain text."""
    stream_options: ResponsesStreamOptions | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    """Of the vendor's own tools; there are none."""
    top_logprobs: Literal[0] | None = None
    client_metadata: dict[str, Any] | None = None
    """Codex's labels."""
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    context_management: Nothing | None = None


class EchoedItem(Body):
    """Of an item of an earlier response."""

    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class DirectCaller(Body):
    """The model called the tool itself, which is the only way there is."""

    type: Literal["direct"]


class EchoedResponseCall(EchoedItem):
    """Of an earlier call, or its result."""

    caller: DirectCaller | None = None
    namespace: str | None = None
    """The heading that the tool stands under."""


class AnyCaller(Cached):
    """Of a tool."""

    allowed_callers: Items[Literal["direct"]] | None = None
    defer_loading: Literal[False] | None = None


class KeptThinking(Body):
    """How much of earlier thinking stays in the history: the template decides, and the family's drop it."""

    type: Literal["clear_thinking_20251015"]
    keep: Any = None


class ContextManagement(Body):
    edits: Items[KeptThinking] | None = None


class RequestMetadata(Body):
    user_id: str | None = None
    """As OpenAI's `user`: the caller is known by its key."""


class MessagesNoEffect(Body):
    """Of /v1/messages and its count_tokens."""

    cache_control: CacheControl | None = None
    context_management: ContextManagement | None = None
    speed: Literal["standard"] | None = None
    mcp_servers: Nothing | None = None
    container: None = None
    inference_geo: None = None
    diagnostics: None = None
    fallbacks: None = None


class RedactedThinking(Body):
    """Another server's thinking, which nobody here can read; the templates drop all thinking from the history."""

    type: Literal["redacted_thinking"]
    data: Text

"""What the APIs share: strict bodies, sampling fields, and the fields that have no effect, with the reason."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hopwell.engine.core import MAX_LOGPROBS

Text = Annotated[str, Field(max_length=8 << 20)]
Token = Annotated[int, Field(ge=0, lt=1 << 31)]
Stops = Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)]
Probability = Annotated[float, Field(gt=0, le=1)]


class Body(BaseModel):
    """A request body: unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reply(BaseModel):
    """A response body; only what was set is sent."""

    def json_text(self) -> str:
        return self.model_dump_json(exclude_unset=True)


class NoEffect(Body):
    """Fields of clients' ordinary traffic that ask for nothing this server does otherwise. Each is accepted for the
    reason given, and only with the values for which that reason holds; any other value is refused."""

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


class Sampling(Body):
    """Fields that choose tokens; None: as the model's authors recommend."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1, lt=1 << 31)] | None = None
    """0 and -1: no limit."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    logit_bias: (
        dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]] | None
    ) = None
    stop: Stops | None = None
    stop_token_ids: list[Token] | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    priority: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] | None = None
    """Lower is served first; never before the caller's own priority."""
    latency_class: Literal["interactive", "server", "batch"] | None = None


class StreamOptions(Body):
    """OpenAI's, and vLLM's `continuous_usage_stats`."""

    include_usage: bool | None = None
    """One more chunk at the end, with usage and without choices."""
    continuous_usage_stats: bool | None = None
    """Usage so far on every chunk."""


class Structured(Body):
    """vLLM's `structured_outputs`: exactly one of them."""

    json_schema: dict[str, Any] | str | None = Field(default=None, alias="json")
    regex: str | None = None
    grammar: str | None = None


class PromptDetails(Reply):
    cached_tokens: int


class CompletionDetails(Reply):
    reasoning_tokens: int


class Usage(Reply):
    """OpenAI's usage, with DeepSeek's names for cache hits and misses."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    prompt_cache_hit_tokens: int
    prompt_cache_miss_tokens: int


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """OpenAI's error."""

    error: ErrorDetail


class MessagesErrorDetail(BaseModel):
    type: str
    message: str


class MessagesErrorReply(BaseModel):
    """Anthropic's error."""

    type: Literal["error"]
    error: MessagesErrorDetail


LOGPROBS = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]

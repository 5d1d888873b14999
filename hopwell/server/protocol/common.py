"""What the APIs share: strict bodies, sampling fields, usage and errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from hopwell.engine.request import MAX_LOGPROBS

MAX_KEYS = 64
"""Fields of one object: each unknown one would become a complaint."""
MAX_BIASES = 4096
MAX_TOKENS = 1 << 20
"""Tokens of one list, in and out: several times any context of the family."""

T = TypeVar("T")
Items = Annotated[list[T], Field(max_length=8192, fail_fast=True)]
"""A list in a body: its first bad item ends the check, since every complaint is an object of its own."""
Text = Annotated[str, Field(max_length=8 << 20)]
MAX_TOKEN = (1 << 31) - 1
Token = Annotated[int, Field(ge=0, le=MAX_TOKEN)]


def _token_ids(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Says of what is no token id that it is none."""
    try:
        return check(value)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        if len(first["loc"]) != 1:  # of the list itself
            raise
        said = "{given} is no token id; give whole numbers from 0 to {most}"
        given = PydanticCustomError("token_id", said, {"given": repr(first["input"])[:80], "most": f"{MAX_TOKEN:,}"})
        fault = InitErrorDetails(type=given, loc=first["loc"], input=first["input"])
        raise ValidationError.from_exception_data("tokens", [fault]) from None


Tokens = Annotated[list[Token], Field(max_length=MAX_TOKENS, fail_fast=True), WrapValidator(_token_ids)]
Stop = Annotated[str, Field(min_length=1)]
Stops = Stop | Annotated[Items[Stop], Field(max_length=16)]
Probability = Annotated[float, Field(gt=0, le=1)]


def _at_most(value: Any, most: int) -> Any:
    """Refuses an object of too many keys before any of them is looked at."""
    if isinstance(value, dict) and len(value) > most:
        raise PydanticCustomError("too_long", "more than {most} fields", {"most": most})
    return value


Biases = Annotated[
    dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")], Annotated[float, Field(ge=-100, le=100)]],
    BeforeValidator(lambda value: _at_most(value, MAX_BIASES)),
]


def _admits_objects(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type", "object")
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        given = {"given": repr(kinds)[:80]}
        raise PydanticCustomError("arguments", "a tool's arguments are an object; 'type' is {given}", given)
    return schema


Arguments = Annotated[dict[str, Any], AfterValidator(_admits_objects)]
"""The schema of a tool's arguments, which are an object in every API."""


class Body(BaseModel):
    """A request body: unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def few_fields(cls, value: Any) -> Any:
        """At most `MAX_KEYS`."""
        return _at_most(value, MAX_KEYS)


class Reply(BaseModel):
    """A response body; only what was set is sent."""

    def json_text(self) -> str:
        return self.model_dump_json(exclude_unset=True)


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
    logit_bias: Biases | None = None
    stop: Stops | None = None
    stop_token_ids: Items[Token] | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    apply_to_thinking: bool | None = None
    """Stop strings, stop tokens, `min_tokens`, penalties and bias hold in the thinking too, not after it alone."""
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    priority: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] | None = None
    """Lower is served first; never before the caller's own priority."""
    latency_class: Literal["interactive", "server", "batch"] | None = None
    include_energy: bool | None = None
    """`usage` tells the joules that the request took; refused where there is no energy counter."""
    cache_hint: Literal["retain", "end"] | None = None
    """The prompt will be wanted again; or its session is over."""


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
    choice: Annotated[Items[Stop], Field(min_length=1)] | None = None
    """The answer is one of these."""
    grammar: str | None = None


class PromptDetails(Reply):
    cached_tokens: int


class CompletionDetails(Reply):
    reasoning_tokens: int


class Energy(Reply):
    """What a request took of the hardware's energy counter, idle time apart; all its answers together."""

    joules: float
    prompt_joules: float
    decode_joules: float
    grams_co2: float | None = None
    """By the operator's factor, if there is one."""
    price: float | None = None
    """Likewise."""


class Usage(Reply):
    """OpenAI's usage, with DeepSeek's names for cache hits and misses."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    prompt_cache_hit_tokens: int
    prompt_cache_miss_tokens: int
    energy: Energy | None = None
    """With `include_energy`, once the request has ended."""


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
    details: dict[str, Any] | None = None


class MessagesErrorReply(BaseModel):
    """Anthropic's error."""

    type: Literal["error"]
    error: MessagesErrorDetail


LOGPROBS = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]

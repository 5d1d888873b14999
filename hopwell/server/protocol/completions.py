"""/v1/completions, /tokenize, /detokenize and /v1/models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hopwell.server.protocol.advice import NoEffect
from hopwell.server.protocol.chat import ChatRequest, FinishReason, Message, Tool
from hopwell.server.protocol.common import (
    LOGPROBS,
    Body,
    Items,
    Reply,
    Sampling,
    StreamOptions,
    Structured,
    Text,
    Tokens,
    Usage,
)


def _prompt_kind(value: Any) -> str | None:
    """Which of its types a prompt is meant to be, so that complaints are about that one; None: none of them."""
    if not isinstance(value, list):
        return "text" if isinstance(value, str) else None
    first = value[0] if value else 0
    return "texts" if isinstance(first, str) else "prompts" if isinstance(first, list) else "tokens"


Prompt = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Items[Text], Field(min_length=1, max_length=2048), Tag("texts")]
    | Annotated[Tokens, Field(min_length=1), Tag("tokens")]
    | Annotated[Items[Annotated[Tokens, Field(min_length=1)]], Field(min_length=1, max_length=2048), Tag("prompts")],
    Discriminator(
        _prompt_kind,
        custom_error_type="prompt_type",
        custom_error_message="Input should be a string, a list of strings, token ids or a list of lists of them",
    ),
]


class CompletionRequest(NoEffect, Sampling):
    model: str | None = None
    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    """None: 16, as in OpenAI's API. 0, with `echo`: the prompt alone."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: LOGPROBS | None = None
    echo: bool | None = None
    """The prompt before the answer, with its log-probabilities if `logprobs` is set."""
    best_of: Literal[1] | None = None
    """Answers are not ranked; `n` gives several."""
    suffix: Literal[""] | None = None
    """The model cannot fill in the middle."""
    structured_outputs: Structured | None = None


class CompletionLogprobs(Reply):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(Reply):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    stop_reason: str | int | None


class CompletionReply(Reply):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class TokenizeRequest(Body):
    """Text, or a conversation as it would be rendered."""

    model: str | None = None
    prompt: Text | None = None
    messages: Annotated[Items[Message], Field(min_length=1)] | None = None
    tools: Items[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    add_special_tokens: bool | None = None
    """Begin with the beginning-of-sequence token, if the tokenizer wants one; default true."""
    return_token_strs: bool | None = None

    def as_chat(self) -> ChatRequest:
        assert self.messages is not None
        return ChatRequest(**{name: getattr(self, name) for name in TEMPLATED})


TEMPLATED = ("messages", "tools", "chat_template_kwargs", "add_generation_prompt", "continue_final_message")
"""What a conversation is rendered from."""


class TokenizeReply(Reply):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: Tokens


class DetokenizeReply(Reply):
    prompt: str


class ModelCard(Reply):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: None
    max_model_len: int


class ModelList(Reply):
    object: Literal["list"]
    data: list[ModelCard]


class FlushRequest(Body):
    """/flush_cache asks for nothing in particular."""


class FlushReply(Reply):
    flushed_pages: int


class ServerInfo(Reply):
    """What sglang's bench reads, and the settings in force."""

    version: str
    model: str
    batch_invariant: bool
    """Whether a request's tokens are the same whatever shares its batch: asked for, and promised by this device."""
    settings: dict[str, Any]
    internal_states: list[dict[str, float]]

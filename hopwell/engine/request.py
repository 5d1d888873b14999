"""The nouns of the engine: what is asked for, how it is sampled, what comes back, and why it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hopwell.cache.policy import Hint
from hopwell.engine.thinking import Thinking, Where
from hopwell.engine.typed import fields_of, misfit, shown
from hopwell.errors import HopwellError
from hopwell.limits.energy import Joules

MAX_LOGPROBS = 20
"""Alternatives that a request may ask for at each token."""


class FinishReason(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    """End of sequence, a stop token, a stop string, or a completed grammar."""
    LENGTH = "length"
    """`max_tokens`, or the end of the context."""
    ABORT = "abort"
    """Cancelled by the caller."""
    ERROR = "error"
    """A fault of this request alone; `SequenceOutput.error` says which."""


class RequestError(HopwellError):
    """A request that cannot be served. Raised before it enters the queue; nothing else is affected.

    Attributes:
        field: the parameter at fault, or None.
        kind: `invalid` (mend the request), `too_long` (prompt and answer do not fit) or `overloaded` (try later).
    """

    def __init__(self, message: str, field: str | None = None, kind: str = "invalid") -> None:
        super().__init__(message)
        self.field, self.kind = field, kind


class TooLongError(RequestError):
    """The context cannot hold the prompt, or not with the answer it asks for.

    Attributes:
        prompt: tokens.
        answer: tokens asked for; None where the prompt alone leaves no room for one.
        context: tokens that the model or the cache holds.
    """

    def __init__(self, prompt: int, answer: int | None, context: int) -> None:
        if answer is None:
            message = f"the prompt has {prompt:,} tokens, the context {context:,} with the answer; shorten it"
        else:
            message = (
                f"max_tokens is {answer:,}, but the prompt's {prompt:,} tokens leave {context - prompt:,} of the"
                f" context of {context:,}; lower it"
            )
        super().__init__(message, "prompt" if answer is None else "max_tokens", "too_long")
        self.prompt, self.answer, self.context = prompt, answer, context


class EngineDownError(RuntimeError):
    """The engine does not run: its process or thread has ended, or hangs in a step. The message says which."""


FAULTS = {
    "nan_logits": "the model gave NaN or infinite logits; the request was ended, others are not affected",
    "unsatisfiable": "no token satisfies the request's schema, regex, grammar or logit_bias from here on",
    "too_complex": "what the request's schema, regex or grammar allows next takes too long to work out; simplify it",
    "internal": "the step that ran this request failed",
}
"""What can go wrong with a sequence while it runs."""


@dataclass(frozen=True, slots=True)
class LatencyClass:
    """What a request is promised: seconds to its first token, and seconds a token after that. None: no promise."""

    name: str
    ttft: float | None
    tpot: float | None

    @property
    def promises(self) -> bool:
        return self.ttft is not None or self.tpot is not None


LATENCY_CLASSES = {
    "interactive": LatencyClass("interactive", ttft=1.5, tpot=0.015),
    "server": LatencyClass("server", ttft=2.0, tpot=0.080),
    "batch": LatencyClass("batch", ttft=None, tpot=None),
}
"""MLPerf Inference's limits for DeepSeek-R1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are chosen and when to stop. Every field is honoured; a value that cannot be is refused by name.

    Raises:
        RequestError: a field is out of range or of another type; `error.field` names it.
    """

    temperature: float = 1.0
    """0 is greedy; the limits below then do nothing. So is less than 1e-5: some logits over it are infinite."""
    top_p: float = 1.0
    """Keep the fewest tokens whose probabilities reach this sum."""
    top_k: int = 0
    """Keep this many tokens; 0 keeps all."""
    min_p: float = 0.0
    """Keep tokens at least this fraction as probable as the best."""
    seed: int | None = None
    """Same seed, same tokens, whatever else runs. None draws a fresh one."""

    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    """Divides (multiplies, if negative) the logits of tokens in the prompt or the answer (Keskar et al., 2019)."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    max_tokens: int | None = None
    """Of the answer; None: up to the end of the context."""
    min_tokens: int = 0
    stop: Sequence[str] = ()
    """Ends the answer before the string's first occurrence."""
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False

    n: int = 1
    """Independent answers to one prompt."""
    logprobs: int | None = None
    """Log-probability of each token and of this many alternatives, before penalties, bias, grammar and temperature."""
    prompt_logprobs: int | None = None

    json_schema: Mapping[str, Any] | str | None = None
    regex: str | None = None
    grammar: str | None = None
    """Lark, as llguidance reads it."""

    thinking: Thinking | None = None
    """How thinking shows (`LLM.thinking(prompt)`). A schema, regex or grammar then holds for what comes after it, and
    so do `stop`, `stop_token_ids`, `min_tokens`, penalties and `logit_bias`; `max_tokens` counts all. None: they hold
    from the first token."""
    apply_to_thinking: bool = False
    """All but the schema, regex or grammar hold in the thinking too."""

    def __post_init__(self) -> None:
        _refuse_types(SamplingParams, fields_of(self))
        _check("temperature", self.temperature, 0.0, 100.0)
        _check("top_p", self.top_p, 0.0, 1.0, above=True)
        _check("top_k", self.top_k, 0, 1 << 31)
        _check("min_p", self.min_p, 0.0, 1.0)
        _check("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _check("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _check("min_tokens", self.min_tokens, 0, 1 << 31)
        _check("n", self.n, 1, 128)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), 0, MAX_LOGPROBS)
        if self.max_tokens is not None:
            _check("max_tokens", self.max_tokens, 1, 1 << 31)
            if self.min_tokens > self.max_tokens:
                raise RequestError(f"min_tokens is {self.min_tokens}, above max_tokens {self.max_tokens}", "min_tokens")
        if not all(self.stop):
            raise RequestError("stop must be a list of strings that are not empty", "stop")
        for token, bias in self.logit_bias.items():
            _check("logit_bias", bias, -1e9, 1e9)
            _check("logit_bias", token, 0, 1 << 31)
        given = [name for name in ("json_schema", "regex", "grammar") if getattr(self, name) is not None]
        if len(given) > 1:
            raise RequestError(f"{' and '.join(given)} cannot be combined; give one", given[1])

    @property
    def greedy(self) -> bool:
        return self.temperature < 1e-5

    @property
    def constrained(self) -> bool:
        """Whether a schema, regex or grammar limits the answer."""
        return self.json_schema is not None or self.regex is not None or self.grammar is not None

    @property
    def begins(self) -> Where:
        """Where an answer stands before its first token."""
        return Where.ANSWER if self.thinking is None else self.thinking.first

    def after(self, where: Where, token: int) -> Where:
        """Where an answer stands with one more token."""
        return where if self.thinking is None else self.thinking.after(where, token)

    @property
    def penalised(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)


def _refuse_types(kind: type, given: Mapping[str, Any]) -> None:
    if wrong := misfit(kind, given):
        raise RequestError(wrong[1], wrong[0])


def _check(name: str, value: float, low: float, high: float, above: bool = False) -> None:
    """Refuses a number outside [low, high], or (low, high]; NaN too."""
    if not low <= value <= high or (above and value == low):
        least, most = (f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
        raise RequestError(f"{name} is {value}; give {'above ' if above else ''}{least} to {most}", name)


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One prompt to be answered `params.n` times."""

    request_id: str
    prompt: Sequence[int]
    """Token ids, at least one."""
    params: SamplingParams
    priority: int = 0
    """Lower is served first, whatever the class."""
    latency_class: str = "server"
    """A key of `LATENCY_CLASSES`."""
    cache_salt: str = ""
    """Prompts share cached pages only under the same salt: the tenant, from the caller's identity."""
    cache_tokens: int | None = None
    """Pages beyond this many tokens are not kept for reuse; None keeps all. `len(prompt)` where the chat template
    drops R1's thinking from the history, so that no later prompt can hold what was generated."""
    cache_hint: Hint = Hint.NONE
    """What the caller expects of the prompt's future. The policy `rai` heeds it, with `priority`, as far as earlier
    hints came true; the others do not need it."""
    stream: bool = True
    """False: one output, at the end."""
    arrival: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        given = fields_of(self)
        prompt = given.pop("prompt")  # whose tokens the engine checks, beside its vocabulary
        if not isinstance(prompt, Sequence) or isinstance(prompt, str | bytes):
            raise RequestError(f"prompt is {shown(prompt)}; give a list of token ids", "prompt")
        _refuse_types(Request, given)
        if not self.prompt:
            raise RequestError("prompt is empty; give at least one token", "prompt")
        if self.latency_class not in LATENCY_CLASSES:
            known = ", ".join(LATENCY_CLASSES)
            raise RequestError(f"latency_class {self.latency_class!r} is unknown; known: {known}", "latency_class")

    @property
    def told_each_step(self) -> bool:
        """Whether the engine must tell of every token as it comes: for a stream, or whoever looks for stop strings."""
        return self.stream or bool(self.params.stop)


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token's log-probability and the best alternatives', best first."""

    token: int
    logprob: float
    rank: int
    """1 for the most probable token."""
    top: list[tuple[int, float]]


@dataclass(slots=True)
class SequenceOutput:
    """What one of a request's answers gained since its last output."""

    index: int
    """0 to n - 1."""
    tokens: list[int]
    text: str = ""
    """Text that is final: no half of a character, no start of what may become a stop string. It may lag `tokens`. The
    engine leaves it to a `Reader`, and so `thinking_tokens` and stop strings."""
    logprobs: list[TokenLogprobs] | None = None
    """One a token, if asked for."""
    finish_reason: FinishReason | None = None
    """Set on the last output."""
    stop_reason: str | int | None = None
    """The stop string or stop token that ended it; None for end of sequence."""
    thinking_tokens: int = 0
    """Of the answer so far, its last mark included."""
    fault: str | None = None
    """With `FinishReason.ERROR`: a key of `FAULTS`."""

    @property
    def error(self) -> str | None:
        """What has gone wrong, in one line."""
        return None if self.fault is None else FAULTS[self.fault]


@dataclass(slots=True)
class RequestOutput:
    """News of a request, after a step."""

    request_id: str
    outputs: list[SequenceOutput]
    finished: bool = False
    """True on the last one: all n answers have ended."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens found in the prefix cache."""
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    """One a prompt token, the first None; on the first output, if asked for."""
    timing: RequestTiming | None = None
    """On the last output."""
    joules: Joules | None = None
    """Likewise, where there is an energy counter."""


@dataclass(slots=True)
class RequestTiming:
    """A finished request's times in seconds, and whether its latency class was honoured."""

    queued: float
    """Arrival to the first step that ran it."""
    ttft: float | None
    """Arrival to first token; None if there was none."""
    tpot: float | None
    """Mean seconds a token after the first; None below two tokens."""
    total: float
    met: bool
    """Both limits of its latency class held."""

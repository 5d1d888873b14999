"""One answer in the making, and the request it belongs to."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self, overload

from hopwell.cache.tiers import Fetch
from hopwell.engine.grammar import GrammarState
from hopwell.engine.request import LATENCY_CLASSES, LatencyClass, Request, SamplingParams, TokenLogprobs
from hopwell.engine.thinking import Where
from hopwell.limits.energy import Joules


class State(Enum):
    """Where a sequence is in its life."""

    WAITING = auto()
    """In the queue; it holds no page and no slot."""
    FETCHING = auto()
    """Not in the queue yet: pages of its prompt are on their way into host memory."""
    PREFILL = auto()
    DECODE = auto()
    FINISHED = auto()


class Transcript:
    """A prompt, which a request's sequences share, and one's own answer; reads as one list of tokens."""

    __slots__ = ("answer", "prompt")

    def __init__(self, prompt: list[int]) -> None:
        self.prompt, self.answer = prompt, list[int]()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...

    def __getitem__(self, at: int | slice) -> int | list[int]:
        prompt = len(self.prompt)
        if isinstance(at, int):
            at += len(self) if at < 0 else 0
            return self.prompt[at] if at < prompt else self.answer[at - prompt]
        start, stop, _ = at.indices(len(self))
        answered = self.answer[max(start - prompt, 0) : max(stop - prompt, 0)]
        return answered if start >= prompt else self.prompt[start:stop] + answered

    def __iadd__(self, tokens: list[int]) -> Self:
        self.answer += tokens
        return self


@dataclass(slots=True, eq=False)
class SequenceGroup:
    """A request's sequences, and what is counted once for all of them."""

    request: Request
    latency: LatencyClass = field(init=False)
    unfinished: int = field(init=False)
    cached_tokens: int | None = None
    scheduled_at: float | None = None
    first_token_at: float | None = None
    worst_tpot: float | None = None
    """Of its sequences that have ended, mean seconds a token after the first."""
    siblings: list[Sequence] = field(default_factory=list)
    """They wait until the first sequence has filled the prompt's pages, and share them."""
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    joules: Joules | None = None
    """That it has used; None where nothing counts them."""

    def __post_init__(self) -> None:
        self.latency = LATENCY_CLASSES[self.request.latency_class]
        self.unfinished = self.request.params.n

    @property
    def deadline(self) -> float:
        """When the first token is due, by the clock of `time.monotonic`."""
        return self.request.arrival + self.latency.ttft if self.latency.ttft is not None else float("inf")


@dataclass(slots=True, eq=False)
class Awaited:
    """Pages of a prompt that tiers below the pool bring, or have brought and that were not used yet."""

    fetch: Fetch
    first: int
    """Index of its first page in the prompt."""
    deadline: float
    """When it is too late, by the clock of `time.monotonic`."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One answer. The scheduler owns it; the runner only reads what is fixed at admission."""

    group: SequenceGroup
    index: int
    tokens: Transcript
    """Prompt and answer so far."""
    limit: int
    """Tokens that prompt and answer may reach."""
    seed: int
    root: bytes
    """Key above the prompt's first page."""
    ends: list[int]
    """Tokens that end it."""
    sleeping: frozenset[int] = frozenset()
    """Those of them that do not in the thinking."""
    grammar: GrammarState | None = None

    prompt_len: int = field(init=False)
    where: Where = field(init=False)
    """As far as outputs have come."""
    state: State = State.WAITING
    slot: int = -1
    pool: int = 0
    """Where its pages are, of the scheduler's pools; while it has any."""
    pages: list[int] = field(default_factory=list)
    """As that pool numbers them."""
    keys: list[bytes] = field(default_factory=list)
    """Of the leading pages that are kept for reuse."""
    lookup: list[bytes] = field(default_factory=list)
    """Of all full pages: what to look for in the prefix cache."""
    awaited: Awaited | None = None
    fetches: int = 0
    """Times that it has waited for such since it was queued."""
    admitted: bool = False
    """Whether it ever ran."""
    scheduled: int = 0
    """Tokens whose prefill has been launched."""
    first_token_at: float = 0.0
    last_token_at: float = 0.0
    reported: int = field(init=False)
    """Tokens that outputs have told of, the prompt's included."""
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    """Not yet told of."""

    def __post_init__(self) -> None:
        self.prompt_len = self.reported = len(self.tokens)
        self.where = self.params.begins

    @property
    def request(self) -> Request:
        return self.group.request

    @property
    def params(self) -> SamplingParams:
        return self.group.request.params

    @property
    def answer(self) -> Tokens[int]:
        return self.tokens.answer

    @property
    def order(self) -> tuple[int, float, float, int]:
        """Who is served first: priority, then the earliest deadline, then arrival."""
        return self.request.priority, self.group.deadline, self.request.arrival, self.index

    def follow(self, tokens: Tokens[int]) -> None:
        """Takes in where the answer stands with its next tokens."""
        for token in tokens:
            self.where = self.params.after(self.where, token)

    def ends_with(self, tokens: Tokens[int]) -> list[bool]:
        """For each of the next tokens, whether it ends the answer. Those that sleep in the thinking are awake for the
        token that ends it."""
        where, found = self.where, []
        for token in tokens:
            where = self.params.after(where, token)
            asleep = where in (Where.BEFORE, Where.INSIDE)
            found.append(token in self.ends and not (asleep and token in self.sleeping))
        return found

    @property
    def finished(self) -> bool:
        return self.state is State.FINISHED

    def tpot(self) -> float | None:
        """Mean seconds a token after the first; None below two tokens."""
        count = len(self.tokens) - self.prompt_len
        return (self.last_token_at - self.first_token_at) / (count - 1) if count > 1 else None

"""What the scheduler hands to the runner, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hopwell.engine.grammar import GrammarState
from hopwell.engine.page_mover import Move
from hopwell.engine.request import SamplingParams, TokenLogprobs

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Admission:
    """All that the runner must know of a sequence that has just got a slot."""

    slot: int
    params: SamplingParams
    seed: int
    limit: int
    prompt: list[int]
    answer: list[int]
    """What was generated before, if it was preempted."""
    ends: list[int]
    """Tokens that end it, and may not come before `min_tokens` are out."""
    grammar: GrammarState | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a sequence's prefill."""

    slot: int
    start: int
    tokens: list[int]
    following: int | None
    """The token after the chunk, or None if it is still to be drawn: the prefill ends here."""
    prompt_logprobs: int | None = None


@dataclass(slots=True)
class Batch:
    """One step. It names slots, not lengths: in the overlapped loop only the runner knows yet how far each has come."""

    decode: Ints
    """Slots that decode."""
    chunks: list[Chunk]
    pages: NDArray[np.int32]
    """[decode + chunks, max_pages], as of this step."""
    epochs: Ints
    """Tenancies of the decode slots, then of the chunks': if a slot has a new tenant later, its row is stale."""
    admissions: list[Admission] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    """Pages that have changed hands, to be zeroed first: the last owner may have left NaN in them (a fault, or a draft
    that was rejected), and masked attention multiplies what it masks by zero."""

    saves: list[Move] = field(default_factory=list)
    """Pages to be copied to host memory before any is zeroed."""
    loads: list[Move] = field(default_factory=list)
    """Pages to be copied from there afterwards."""
    drafts: int | None = None
    """To be made for the next step; None: as many as the runner may."""

    @property
    def slots(self) -> Ints:
        """Decode slots, then the chunks'."""
        return np.concatenate((self.decode, np.array([chunk.slot for chunk in self.chunks], np.int64)))


@dataclass(slots=True)
class StepResult:
    """What one step drew. A row for each decode slot, then one for each chunk."""

    tokens: Ints
    """[rows, 1 + drafts]."""
    counts: Ints
    """Valid tokens of each row: 0 where a prefill goes on, or the sequence had already reached its limit."""
    drafted: Ints
    """Drafts verified in each row."""
    faults: dict[int, str] = field(default_factory=dict)
    """By row: the kind of fault, a key of `FAULTS`."""
    logprobs: dict[int, list[TokenLogprobs]] = field(default_factory=dict)
    """By row, one a valid token, where asked for."""
    prompt_logprobs: dict[int, list[TokenLogprobs]] = field(default_factory=dict)
    """By row: of the tokens that follow each of the chunk's, `following` included and a drawn one not."""
    computed: int = 0
    """Rows that went through the model."""
    seconds: float = 0.0

    @classmethod
    def empty(cls, rows: int, width: int) -> StepResult:
        """A result without any token."""
        return cls(np.zeros((rows, width), np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.int64))


class Result(Protocol):
    """What a step will have drawn."""

    def result(self) -> StepResult:
        """Waits for it; raises what the step raised."""
        ...


@dataclass(slots=True)
class InFlightStep:
    """A step that has been launched."""

    batch: Batch
    result: Result

"""One host's GPUs and one checkpoint: the layouts that they might run, ranked as `hopwell plan` ranks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hopwell.limits.catalogue import Gpu
from hopwell.limits.prices import PriceError, read_prices
from hopwell.planner.asked import promises
from hopwell.planner.layout import Layout
from hopwell.planner.model import Model, PlanError
from hopwell.planner.question import Option, Question, Wanted
from hopwell.planner.search import rank_key, search
from hopwell.planner.serving import Load
from hopwell.planner.uncertainty import figures

BY = {"latency": "speed", "throughput": "gpus", "energy": "energy"}
"""What `hopwell plan --by` calls an engine's objectives."""
LOAD = Load(1000, 1000)
"""That of `hopwell plan`, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Served:
    """A checkpoint as it is to be served, and for what."""

    model: Model
    gpu: Gpu
    precision: str
    """Of the planner's precisions, that which the GPU computes in."""
    cache: str
    """"bf16" or "fp8"."""
    objective: str
    mtp: bool = True
    tpot_ms: float | None = None
    """Promised; None: as the class `server` has it."""


def question_of(served: Served, layouts: Sequence[Layout]) -> Question:
    """What `hopwell plan` would be asked for layouts alone: a replica at its best, on as many GPUs as it takes."""
    first, between = promises(None, None, None)
    length = served.model.max_position_embeddings
    load = LOAD if LOAD.input + LOAD.output <= length else Load(length / 2, length / 2)
    return Question(
        model=served.model, gpus=(Wanted(served.gpu, None),), load=load, ttft_ms=first,
        tpot_ms=served.tpot_ms or between, by=BY[served.objective], engines=("hopwell",),
        precisions=(served.precision,), mtp=served.mtp, disaggregated=False, layouts=tuple(layouts),
        cache=served.cache,
    )  # fmt: skip


def ranked(served: Served, layouts: Sequence[Layout]) -> list[Option]:
    """The best option of each layout, best first. One that keeps no promise, or that the planner thinks too large, is
    left out; where it has no price of the GPU, all are."""
    found = []
    for layout in layouts:
        question = question_of(served, (layout,))
        try:
            found.append(min(search(question, read_prices()).options, key=lambda o: rank_key(question, o)))
        except (PlanError, PriceError):
            continue
    return sorted(found, key=lambda option: rank_key(question_of(served, layouts), option))


def words(objective: str, option: Option, replicas: int = 1) -> str:
    """What an option was ranked by."""
    drafts = "" if not option.drafts else " with a draft" if option.drafts == 1 else f" with {option.drafts} drafts"
    if objective == "latency":
        return f"{figures(option.tpot_ms.p50)} ms a token for one user{drafts}"
    if objective == "energy":
        return f"{figures(option.joules_per_token.p50)} J a token{drafts}"
    return f"{figures(option.tokens_per_s.p50 * replicas)} tokens a second{drafts}"

"""What would change the answer: settings of the best option turned the other way, and the price at which it loses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from hopwell.planner.model import Precision
from hopwell.planner.question import Option, Question
from hopwell.planner.serving import Load, Serving
from hopwell.planner.step import Machine


class Flip(NamedTuple):
    """One setting turned the other way, all else equal."""

    what: str
    tpot: float
    """Factor on the time between tokens."""
    fits: bool
    """Whether as many users still run at once."""


def flips(option: Option, question: Question) -> Iterator[Flip]:
    """The cache's format, MTP, acceptance, prefix hits: each at the option's own number of users."""
    precision, load = option.precision, question.load
    users = option.point.users

    def turned(what: str, other: Precision, drafts: int, other_load: Load, accepted: float | None = None) -> Flip:
        machine = Machine(question.model, other, option.layout, option.gpu, option.engine)
        serving = Serving(machine, other_load, drafts, option.prompts is None)
        serving.accepted = accepted or serving.accepted
        if serving.limit < 1:
            return Flip(what, float("inf"), False)
        return Flip(what, serving.at(users).tpot_ms / option.tpot_ms.p50, serving.limit >= users)

    other = "bf16" if precision.cache == "fp8" else "fp8"
    yield turned(f"cache in {other}", replace(precision, cache=other), option.drafts, load)
    if option.drafts:
        low, _, high = option.engine.mtp[option.drafts]
        yield turned("no MTP", precision, 0, load)
        yield turned(f"{low:g} tokens accepted a step", precision, option.drafts, load, low)
        yield turned(f"{high:g} tokens accepted a step", precision, option.drafts, load, high)
    elif question.model.num_nextn_predict_layers and option.engine.mtp:
        yield turned("MTP with 1 draft", precision, 1, load)
    yield turned("half of each prompt cached", precision, option.drafts, replace(load, cached=0.5))


def price_to_lose(options: list[Option]) -> tuple[Option, float] | None:
    """The best option of another kind of GPU, and the price of the first one's GPU and hour at which that wins."""
    first = options[0]
    rival = next((option for option in options if option.gpu != first.gpu), None)
    if rival is None:
        return None
    return rival, rival.dollars_per_hour.p50 / first.gpus

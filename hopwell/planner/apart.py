"""Prompts on GPUs of their own: which layouts compute them, and when the first token comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hopwell.limits.catalogue import Gpu
from hopwell.planner.question import Question
from hopwell.planner.serving import Serving
from hopwell.planner.step import Machine
from hopwell.planner.uncertainty import FIRST_ERROR, quantile_factor

BUSY = 0.8
"""Share of the time that such GPUs are busy."""


class Side(NamedTuple):
    """A layout that computes prompts alone."""

    serving: Serving
    first_ms: float
    """To the first token, beside a step of decoding."""
    requests_per_s: float
    """Of one replica that is busy for as long as it may be."""

    @property
    def gpus(self) -> int:
        return self.serving.machine.layout.gpus


def sides_of(question: Question, gpu: Gpu, machines: Sequence[Machine]) -> list[Side]:
    """Layouts within the promise: the one of the least GPU time, then smaller ones, which may be enough."""
    found: list[tuple[float, Side]] = []
    for machine in machines:
        serving = Serving(machine, question.load)
        side = Side(serving, _first_ms(question, gpu, serving), BUSY / serving.prompt_share_us * 1e6)
        if serving.limit >= 1 and promised(question, side.first_ms):
            found.append((serving.prompt_share_us * side.gpus, side))
    found.sort(key=lambda each: each[0])
    return [side for i, (_, side) in enumerate(found) if i == 0 or side.gpus < found[0][1].gpus]


def promised(question: Question, first_ms: float) -> bool:
    """Whether the first token comes in time, as surely as asked."""
    return first_ms * quantile_factor(question.sure, FIRST_ERROR) <= question.ttft_ms


def _first_ms(question: Question, gpu: Gpu, prompts: Serving) -> float:
    model, load = question.model, question.load
    latents = load.input * model.num_hidden_layers * model.latent_dim * 2
    moved = latents / (gpu.network or 12.5e9) * 1e6 / model.num_hidden_layers  # layer by layer, beside prompts
    queue = BUSY / (2 * (1 - BUSY)) * prompts.prompt_us
    return (prompts.first_us(0.0) + queue + moved) / 1e3

"""Decode steps as serving runs them: through the engine's runner, a step given ahead of the last one's tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.engine.batch import Admission, Batch, Chunk
from hopwell.engine.meter import StepMeter
from hopwell.engine.request import SamplingParams
from hopwell.engine.runnable import Filling, Model
from hopwell.engine.runner import Runner
from hopwell.limits.history import History
from hopwell.limits.meter import Pace, Reading
from hopwell.limits.power import all_joules
from hopwell.model.batch import ForwardBatch
from hopwell.model.forward_choice import unsuited
from hopwell.model.fused import FusedTransformer
from hopwell.model.routed import remembering
from hopwell.model.transformer import Transformer
from hopwell.ops.compile.guard import unwatched
from hopwell.ops.sizes import PAGE

STEPS = 32
"""Of a round; by the tokens of so many, half of them before the context that is asked for, do the sequences grow."""
GREEDY = SamplingParams(temperature=0.0)


NEVER = 1 << 40
AT_ONCE = 128
"""Pages that are sent to other ranks together."""


class Readings(History):
    """Keeps each measured step by itself."""

    def __init__(self, found: list[Reading]) -> None:
        super().__init__()
        self._found = found

    def measure(self, reading: Reading) -> None:
        self._found.append(reading)


class Measured(NamedTuple):
    """A decode step."""

    seconds: float
    """The median of the rounds."""
    tokens: float
    """That a sequence gained, the mean."""
    joules: float | None
    """With the idle power; None without a counter."""


@dataclass(frozen=True, slots=True)
class RandomPrompts:
    """Prompts of random tokens."""

    vocabulary: int

    def batch(self, pages: NDArray[np.int32], begin: int, end: int) -> ForwardBatch:
        """Tokens `begin` to `end` of a prompt for each row of `pages`."""
        count, length = len(pages), end - begin
        tokens, positions = torch.randint(self.vocabulary, (count * length,)), torch.arange(begin, end).repeat(count)
        return ForwardBatch(tokens, positions, [length] * count, [end] * count, torch.from_numpy(pages))


def page_table(count: int, columns: int, pools: int, each: int, order: Callable[[int], Tensor]) -> NDArray[np.int32]:
    """int32 [count, columns]: the pages of so many sequences, which take turns where ranks have a cache each.

    Args:
        pools, each: caches, and the pages of each; pages are numbered through all of them.
        order: the numbers below another, as a cache's pages follow each other.
    """
    rows = -(-count // pools)
    own = [order(rows * columns).view(rows, columns) + pool * each for pool in range(pools)]
    return torch.stack(own, dim=1).flatten(0, 1)[:count].int().numpy()


class DecodeSteps:
    """Sequences of about one length over a cache of random latents, on pages in random order.

    They enter as those do whose prefixes are in the cache: with one token to prefill.
    """

    def __init__(
        self,
        model: Model,
        slots: int,
        context: int,
        drafts: int = 0,
        acceptance: float = 1.0,
        gpus: int = 1,
        pages: int = 0,
        meter: StepMeter | None = None,
        pools: int = 1,
    ) -> None:
        """
        Args:
            model: what the engine would run.
            slots: sequences at most.
            context: tokens of each in the middle of a round.
            drafts: of the MTP layer, a step.
            acceptance: tokens a step of each sequence with drafts, on average: so many are accepted unseen.
            gpus: whose energy is read.
            pages: of the cache, at least.
            meter: for `ops`; it measures no step before.
            pools: ranks that have a cache each.
        """
        self.drafts, self.acceptance, self.gpus = drafts, acceptance, gpus
        self.device, self._pools = model.device, pools
        pages, forced = max(pages, self.pages_of(slots, context, drafts, pools)), acceptance if drafts else None
        self._pages_each = pages // pools
        self.place(slots, context)
        self._meter = meter
        if meter is not None:
            meter.pace = Pace(least=NEVER)
        self.runner = Runner(model, pages, slots, drafts, forced, overlap=True, meter=meter)
        self._fill()

    @staticmethod
    def pages_of(slots: int, context: int, drafts: int, pools: int = 1) -> int:
        """That so many sequences around a context need, at most, in as many caches."""
        return pools * -(-slots // pools) * -(-(context + 2 * (STEPS + 3) * (1 + drafts)) // PAGE)

    def _fill(self) -> None:
        """Random latents on every rank: rank 0's, so that a page's number has the same rows in all caches."""
        latent, model = self.runner.latent, self.runner.model
        for layer in latent:
            layer.copy_(torch.randn(layer.shape, device=self.device, dtype=torch.bfloat16))
        if not isinstance(model, Filling):
            return
        for first in range(0, latent.shape[1], AT_ONCE):
            some = latent[:, first : first + AT_ONCE].view(torch.uint8).transpose(0, 1)
            model.fill([*range(first, first + len(some))], some)

    def place(self, slots: int, context: int) -> None:
        """Other sequences, around a context: on pages of the cache as it is."""
        self.context, self.start = context, max(0, context - int(STEPS * self.acceptance) // 2 - 2)
        self.limit = self.start + (STEPS + 3) * (1 + self.drafts) + 1
        self.pages = page_table(slots, -(-self.limit // PAGE), self._pools, self._pages_each, torch.randperm)

    def measure(self, batch: int, rounds: int = 1, seconds: float = 0.0) -> Measured:
        """Steps of `batch` sequences, for so many rounds and so long at least."""
        self._round(batch)
        before, began, times, tokens = all_joules(self.gpus), time.perf_counter(), [], []
        while len(times) < rounds or time.perf_counter() - began < seconds:
            took, gained = self._round(batch)
            times.append(took)
            tokens.append(gained)
        after = all_joules(self.gpus)
        joules = None if before is None or after is None else (after - before) / (len(times) * (STEPS + 1))
        return Measured(median(times), sum(tokens) / len(tokens), joules)

    def ops(self, batch: int, rounds: int = 8) -> list[Reading]:
        """What each op of a step of `batch` sequences took, step by step; needs the meter."""
        assert self._meter is not None, "steps are measured by a meter"
        meter, found = self._meter, list[Reading]()
        meter.history, before = Readings(found), meter.history
        meter.pace = Pace(share=1.0)  # steps ahead of each other are measured one at a time: see `meter.LEAST`
        try:
            for _ in range(rounds):
                self._round(batch)
        finally:
            meter.history, meter.pace = before, Pace(least=NEVER)
        return [reading for reading in found if reading]

    def distinct(self, rows: int, model: Transformer) -> float:
        """Experts that a step of so many rows touches, each of a short sequence, the mean over MoE layers."""
        tokens = torch.randint(model.config.vocab_size, (rows,), device=self.device)
        pages = self.pages % self._pages_each  # the model is a rank's share by itself
        table = torch.from_numpy(pages[np.arange(rows) % len(pages)])
        positions = torch.full((rows,), PAGE - 1)
        model, routers = remembering(model)
        if self.device.type == "cuda" and unsuited(model) is None:
            where, table = positions.to(self.device), table.to(self.device)
            with unwatched():
                FusedTransformer(model).step(tokens, where, table, self.runner.latent)
        else:
            model.forward(ForwardBatch(tokens, positions, [1] * rows, [PAGE] * rows, table), self.runner.latent)
        chosen = [router.chosen[0] for router in routers]
        routed = [each[each < model.config.n_routed_experts].unique().numel() for each in chosen]
        return sum(routed) / max(len(routed), 1)

    def _round(self, batch: int) -> tuple[float, float]:
        """Seconds and a sequence's tokens a step: from the first one's tokens to the last one's."""
        slots = np.arange(batch)
        chunks = [Chunk(slot, self.start, [slot], None) for slot in range(batch)]
        admissions = [Admission(slot, GREEDY, slot, self.limit, [], [], [], None) for slot in range(batch)]
        epochs, pages = np.zeros(batch, np.int64), self.pages[:batch]
        flight = self.runner.launch(Batch(slots[:0], chunks, pages, epochs, admissions))
        began, gained = 0.0, 0
        for step in range(STEPS + 1):
            following = self.runner.launch(Batch(slots, [], pages, epochs))
            gained += int(flight.result.result().counts.sum())
            if step == 1:
                began, gained = time.perf_counter(), 0
            flight = following
        gained += int(flight.result.result().counts.sum())
        return (time.perf_counter() - began) / STEPS, gained / (STEPS * batch)

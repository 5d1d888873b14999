"""Decode steps as serving runs them: through the engine's runner, a step given ahead of the last one's tokens."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import torch

from hopwell.engine.batch import Admission, Batch, Chunk
from hopwell.engine.request import SamplingParams
from hopwell.engine.runnable import Model
from hopwell.engine.runner import Runner
from hopwell.limits.power import energy_joules
from hopwell.model.batch import ForwardBatch
from hopwell.model.routed import remembering
from hopwell.model.transformer import Transformer
from hopwell.ops.sizes import PAGE

STEPS = 32
"""Of a round; so many tokens, half of them before the context that is asked for, do the sequences grow."""
GREEDY = SamplingParams(temperature=0.0)


class DecodeSteps:
    """Sequences of about one length over a cache of random latents, on pages in random order.

    They enter as those do whose prefixes are in the cache: with one token to prefill.
    """

    def __init__(self, model: Model, slots: int, context: int) -> None:
        """
        Args:
            model: what the engine would run.
            slots: sequences at most.
            context: tokens of each in the middle of a round.
        """
        self.context, self.start = context, max(0, context - STEPS // 2 - 2)
        columns = -(-(self.start + STEPS + 3) // PAGE)
        self.runner = Runner(model, slots * columns, slots, overlap=True)
        self.device = model.device
        for layer in self.runner.latent:
            layer.copy_(torch.randn(layer.shape, device=self.device, dtype=torch.bfloat16))
        self.pages = torch.randperm(slots * columns).int().view(slots, columns).numpy()

    def measure(self, batch: int, rounds: int = 1, seconds: float = 0.0) -> tuple[float, float | None]:
        """Steps of `batch` sequences, for so many rounds and so long at least.

        Returns:
            Seconds a step, the median of the rounds; joules a step with the idle power, None without a counter.
        """
        self._round(batch)
        before, began, times = energy_joules(), time.perf_counter(), []
        while len(times) < rounds or time.perf_counter() - began < seconds:
            times.append(self._round(batch))
        after = energy_joules()
        joules = None if before is None or after is None else (after - before) / (len(times) * (STEPS + 1))
        return median(times), joules

    def distinct(self, batch: int, model: Transformer) -> float:
        """Experts that a step of `batch` short sequences touches, the mean over MoE layers."""
        model, routers = remembering(model)
        tokens = torch.randint(model.config.vocab_size, (batch,), device=self.device)
        positions, table = torch.full((batch,), PAGE - 1), torch.from_numpy(self.pages[:batch])
        model.forward(ForwardBatch(tokens, positions, [1] * batch, [PAGE] * batch, table), self.runner.latent)
        return sum(router.chosen[0].unique().numel() for router in routers) / max(len(routers), 1)

    def _round(self, batch: int) -> float:
        """Seconds a step: from the first one's tokens to the last one's."""
        slots, limit = np.arange(batch), self.start + STEPS + 3
        chunks = [Chunk(slot, self.start, [slot], None) for slot in range(batch)]
        admissions = [Admission(slot, GREEDY, 0, limit, [], [], [], None) for slot in range(batch)]
        epochs, pages = np.zeros(batch, np.int64), self.pages[:batch]
        flight = self.runner.launch(Batch(slots[:0], chunks, pages, epochs, admissions))
        began = 0.0
        for step in range(STEPS + 1):
            following = self.runner.launch(Batch(slots, [], pages, epochs))
            flight.result.result()
            if step == 1:
                began = time.perf_counter()
            flight = following
        flight.result.result()
        return (time.perf_counter() - began) / STEPS

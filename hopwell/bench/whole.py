"""A whole model as it is served, over all the GPUs that hold it: decode steps, drafts, prompts, what fits beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.bench.engine import StepRow, decode_costs, step_costs, step_row
from hopwell.bench.steps import DecodeSteps, RandomPrompts, page_table
from hopwell.engine.config import EngineConfig
from hopwell.engine.defaults import cache_pages, model_settings
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.runnable import Model, close_model
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.history import Row
from hopwell.limits.meter import Reading, Sums
from hopwell.limits.power import all_joules
from hopwell.model.transformer import Dense, Transformer, alone
from hopwell.ops.sizes import PAGE

ROUNDS = 5
ENERGY_SECONDS = 2.0
"""Counters move every 20 to 100 ms."""


@dataclass(frozen=True)
class Case:
    """Decode steps to be measured over one cache."""

    context: int
    batches: tuple[int, ...]
    drafts: int = 0
    acceptance: float = 1.0


@dataclass(frozen=True)
class PromptRow:
    """Prompts in one step, measured."""

    prompts: int
    tokens: int
    gpus: int
    ms: float
    tokens_per_s: float
    limit_ms: float
    percent_of_limit: float
    millijoules_per_token: float | None


@dataclass(frozen=True)
class OpRow:
    """An op of a decode step, in all layers of a kind: rank 0's, the mean of the middle half of measured steps."""

    context: int
    batch: int
    drafts: int
    layer: str
    """Its kind: dense or MoE; MTP; none, of what is in no layer."""
    op: str
    count: int
    """Layers that have it."""
    us: float
    """In one of them, the mean."""
    share: float
    """Of the step, all layers together."""
    gb_per_s: float | None
    limit_us: float | None
    percent_of_limit: float | None


class Whole:
    """A loaded model, all ranks of it, for measurements one after the other."""

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        ceilings: Ceilings,
        settings: dict[str, Any],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        """
        Args:
            ceilings: of one GPU.
            settings: of the engine, as `LoadedModel.config` takes them.
            say: told what was done last, and how long it took: a large model leaves long silences.
        """
        self.name, self.loaded, self.ceilings, self.settings, self._say = name, loaded, ceilings, settings, say
        self.gpus, self.pools = loaded.layout.world, loaded.layout.pools
        self.share = replace(loaded.model.config, vocab_size=-(-loaded.model.config.vocab_size // self.gpus))
        """What one GPU computes: of the head, its rows. (The model's config is of a share already.)"""

    def steps(self, cases: Sequence[Case], on_ops: Callable[[list[OpRow]], object] | None = None) -> Iterator[StepRow]:
        """Milliseconds, percent of the limit and joules of each case's steps. The limit is one GPU's: of its share.

        Args:
            on_ops: shown each case's ops, before its row.
        """
        for (drafts, acceptance), group in groupby(cases, lambda case: (case.drafts, case.acceptance)):
            alike = list(group)
            most = max(max(case.batches) for case in alike)
            config = self._config(max_batch_tokens=most * (1 + drafts), drafts=drafts, meter=on_ops is not None)
            pages = max(DecodeSteps.pages_of(max(case.batches), case.context, drafts, self.pools) for case in alike)
            with self._timed(f"engine with {drafts} drafts"):
                model = self.loaded.runnable_over_ranks(config)
                meter = self.loaded.meter(self.loaded.set_up(config), config)
                steps = DecodeSteps(
                    model, most, alike[0].context, drafts, acceptance, self.gpus, pages, meter, self.pools
                )
            own = alone(self.loaded.set_up(config))
            try:
                for case in alike:
                    steps.place(max(case.batches), case.context)
                    yield from self._measured(steps, own, case, on_ops)
            finally:
                steps.runner.close()

    def _measured(
        self, steps: DecodeSteps, model: Transformer, case: Case, on_ops: Callable[[list[OpRow]], object] | None
    ) -> Iterator[StepRow]:
        cached = steps.runner.latent.dtype.itemsize
        for batch in case.batches:
            verified, one = (steps.distinct(rows, model) for rows in (batch * (1 + case.drafts), batch))
            measured = steps.measure(batch, ROUNDS, ENERGY_SECONDS)
            if on_ops is not None:
                on_ops(self._ops(case, batch, steps.ops(batch)))
            costs = decode_costs(self.share, batch, case.context, case.drafts, (verified, one), cached, self.pools)
            yield step_row(
                self.name, self.share, batch, case.context, verified, measured, costs, self.ceilings,
                cache_dtype=self.settings.get("cache_dtype", "auto"), activations=self.settings.get("activations"),
                drafts=case.drafts, gpus=self.gpus,
            )  # fmt: skip

    def _ops(self, case: Case, batch: int, readings: Sequence[Reading]) -> list[OpRow]:
        ordered = sorted(readings, key=lambda reading: reading.seconds)
        middle = ordered[len(ordered) // 4 : len(ordered) - len(ordered) // 4]
        found: dict[tuple[str, str], Sums] = {}
        places: dict[tuple[str, str], set[int | None]] = {}
        for reading in middle:
            for key, layer, sums in by_kind(reading, self.loaded.model):
                found.setdefault(key, Sums()).add(sums)
                places.setdefault(key, set()).add(layer)
        whole, rows = sum(reading.seconds for reading in middle), list[OpRow]()
        for (kind, op), sums in found.items():
            count = len(places[kind, op])
            row = Row.of((None, op), sums, len(middle) * count)
            measured = row.us, sums.seconds / whole, row.gb_per_s, row.limit_us, row.percent
            rows.append(OpRow(case.context, batch, case.drafts, kind, op, count, *measured))
        return sorted(rows, key=lambda row: -row.share)

    def prompts(self, shapes: Sequence[tuple[int, int]]) -> Iterator[PromptRow]:
        """Prompts of so many tokens, so many at once, each shape in one step: the first token's logits included."""
        rows = max(count * tokens for count, tokens in shapes)
        with self._timed(f"engine for steps of {rows} rows"):
            model = self.loaded.runnable_over_ranks(self._config(max_batch_tokens=rows, drafts=0))
            pages = max(-(-count // self.pools) * -(-tokens // PAGE) for count, tokens in shapes)
            latent = model.new_latent(self.pools * pages)
        try:
            for count, tokens in shapes:
                table = page_table(count, -(-tokens // PAGE), self.pools, pages, torch.arange)
                yield self._prompts(model, latent, table, tokens)
        finally:
            close_model(model)

    def _prompts(self, model: Model, latent: Tensor, pages: NDArray[np.int32], tokens: int) -> PromptRow:
        count = len(pages)
        batch = RandomPrompts(self.loaded.model.config.vocab_size).batch(pages, 0, tokens)
        last = torch.arange(1, count + 1, device=model.device) * tokens - 1
        times: list[float] = []
        before = all_joules(self.gpus)
        while len(times) <= ROUNDS or sum(times) < ENERGY_SECONDS:
            began = time.perf_counter()
            model.step(batch, latent, last)
            synchronize(model.device)
            times.append(time.perf_counter() - began)
        after = all_joules(self.gpus)
        joules = None if before is None or after is None else (after - before) / len(times)
        return self._prompt_row(count, tokens, median(times[1:]), joules)

    def _prompt_row(self, count: int, tokens: int, seconds: float, joules: float | None) -> PromptRow:
        c, total = self.share, count * tokens
        touched = min(c.n_routed_experts, total * c.router.top_k)
        limit = self.ceilings.floor_of(
            step_costs(c, [tokens] * count, [tokens] * count, touched, count, pools=self.pools)
        )
        per_token = None if joules is None else 1e3 * joules / total
        rate = total / seconds
        return PromptRow(count, tokens, self.gpus, 1e3 * seconds, rate, 1e3 * limit, 100 * limit / seconds, per_token)

    def room(self) -> dict[str, float]:
        """Gigabytes of weights on one GPU, those that PyTorch holds with them, and the tokens whose latents fit beside
        them."""
        config = self._config(max_seqs=4096, max_batch_tokens=8192)
        on_gpu = self.loaded.model.device.type == "cuda"
        pages = cache_pages(model_settings(config).of(self.loaded.model), config)
        held, reserved = (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) if on_gpu else (0, 0)
        return {"gb_per_gpu": held / 1e9, "gb_reserved": reserved / 1e9, "cache_tokens": pages * PAGE}

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began, before = time.perf_counter(), dict(self.loaded.phases)
        yield
        parts = {name: took for name, took in self.loaded.phases.items() if before.get(name) != took}
        told = "".join(f", {name} {took:.1f}" for name, took in parts.items())
        self._say(f"{what}: {time.perf_counter() - began:.1f} s{told}")

    def _config(self, **settings: Any) -> EngineConfig:
        chosen = {"max_seqs": 1, **self.settings, **settings}
        return self.loaded.config(**chosen, batch_invariant=False)


def by_kind(reading: Reading, model: Transformer) -> Iterator[tuple[tuple[str, str], int | None, Sums]]:
    """What was measured, by the kind of layer ("dense", "MoE", "MTP"; "" is none) and op, with the layer."""
    kinds = ["dense" if isinstance(layer.network, Dense) else "MoE" for layer in model.layers] + ["MTP"]
    for (layer, op), sums in reading.items():
        yield ("" if layer is None else kinds[layer], op), layer, sums


def synchronize(device: torch.device) -> None:
    """Until a GPU has done what it was given; on a CPU that is so."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

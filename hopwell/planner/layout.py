"""How a model is laid over the GPUs of one replica."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hopwell.limits.catalogue import Gpu
from hopwell.planner.model import Model

WORLDS = (1, 2, 4, 8, 16, 32, 64)
"""GPUs of a replica that are tried."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Attention over `tp` x `dp` GPUs, routed experts over `expert_cut` x `expert_whole`; both products are `gpus`."""

    tp: int
    """GPUs that share the heads of one token."""
    dp: int
    """Groups that hold other sequences, attention's weights whole."""
    expert_cut: int
    """GPUs that cut each expert's width."""
    expert_whole: int
    """Groups among which whole experts are shared out."""

    @property
    def gpus(self) -> int:
        return self.tp * self.dp

    @property
    def name(self) -> str:
        """As engines call it: TP8, TP8 EP8, DP8 EP8."""
        attention = " x ".join(f"{word}{n}" for word, n in (("TP", self.tp), ("DP", self.dp)) if n > 1)
        experts = f" EP{self.expert_whole}" if self.expert_whole > 1 else ""
        return (attention or "one GPU") + experts


def layouts(model: Model, gpu: Gpu, precision: str, worlds: tuple[int, ...] = WORLDS) -> Iterator[Layout]:
    """Every layout worth a try: TP and TP with whole experts where NVLink reaches, attention by sequence everywhere.

    What would split a head, an expert or a block of scales is left out.
    """
    block = 128 if precision == "fp8" else 16
    for n in worlds:
        whole = model.n_routed_experts % n == 0
        joined = n <= gpu.domain
        if joined and model.num_attention_heads % n == 0:
            if model.moe_intermediate_size % (n * block) == 0 or n == 1:
                yield Layout(n, 1, n, 1)
            if whole and n > 1:
                yield Layout(n, 1, 1, n)
        if whole and n > 1:
            yield Layout(1, n, 1, n)
            within = min(gpu.domain, 8)
            if n > within > 1 and model.num_attention_heads % within == 0:
                yield Layout(within, n // within, 1, n)

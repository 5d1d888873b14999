"""Random tokens through the first layers of a checkpoint, an expert at a time: do its routers spread them?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import WeightReader
from hopwell.model import schema
from hopwell.model.batch import ForwardBatch, Pass
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.ops.cpu import cpu_multiplies_bf16
from hopwell.ops.norm import rms_norm
from hopwell.ops.router import route
from hopwell.ops.sizes import PAGE
from hopwell.ops.swiglu import feed_forward

SEQUENCES = 8
LENGTH = 128
"""Tokens of each sequence: a decode batch of 128 is what `distinct` speaks of."""
TRIALS = 50
"""Of an even random choice, with which loads are compared."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What one router did with `SEQUENCES` sequences of `LENGTH` random tokens."""

    layer: int
    distinct: float
    """Experts that a sequence's tokens touch together, the mean over sequences."""
    expected_distinct: float
    """Of tokens that choose evenly: E (1 - (1 - k / E)^128)."""
    max_load: float
    """The busiest expert's tokens over the mean expert's, all sequences together."""
    expected_max_load: float
    """The same of an even random choice."""
    rms: float
    """Root mean square of the hidden states before the layer."""


def probe(checkpoint: WeightReader, layers: int, seed: int = 0, device: str = "cpu") -> list[Routing]:
    """Measures the first `layers` routers with the model's own forward pass.

    Memory holds one layer's attention, one expert or the embedding at a time. Every MoE layer but the last costs a
    read of all its experts that are touched.

    Raises:
        ConfigError: config.json cannot be honoured.
        CheckpointError: a tensor is missing, misshapen or corrupt.
    """
    config = ModelConfig.from_dict(checkpoint.config)
    first = config.first_k_dense_replace
    last = min(first + layers, config.num_hidden_layers) - 1
    if last < first:
        return []
    return list(_Probe(checkpoint, config, torch.device(device), seed).run(last))


class _Probe:
    def __init__(self, checkpoint: WeightReader, config: ModelConfig, device: torch.device, seed: int) -> None:
        bf16 = device.type == "cuda" or cpu_multiplies_bf16()
        dtype = torch.bfloat16 if bf16 else torch.float32
        self.config, self.device = config, device
        self.loader = Loader(WeightSource(checkpoint), config, device, dtype)
        self.generator = torch.Generator().manual_seed(seed)
        lengths = [min(LENGTH, config.max_position_embeddings)] * SEQUENCES
        positions = torch.arange(lengths[0], device=device).repeat(SEQUENCES)
        table = torch.arange(SEQUENCES * -(-lengths[0] // PAGE), dtype=torch.int32, device=device).view(SEQUENCES, -1)
        self.tokens = torch.randint(config.vocab_size, positions.shape, generator=self.generator)
        batch = ForwardBatch(self.tokens, positions, lengths, lengths, table)
        self.given = Pass.of(batch, config.rope.table(lengths[0], device))
        self.latent = torch.zeros(table.numel(), PAGE, config.latent_dim, dtype=dtype, device=device)

    @torch.inference_mode()
    def run(self, last: int) -> Iterator[Routing]:
        c, loader = self.config, self.loader
        table = loader.source.take(schema.EMBEDDING.name(), schema.EMBEDDING.shape(c))
        x = table[self.tokens].to(self.device, loader.dtype)
        del table
        for index in range(last + 1):
            rms = x.float().square().mean().sqrt().item()
            normed = rms_norm(x, loader.tensor(schema.INPUT_NORM, index), c.rms_norm_eps)
            x = x + loader.attention(index)(normed, self.latent, self.given)
            normed = rms_norm(x, loader.tensor(schema.POST_NORM, index), c.rms_norm_eps)
            if not c.is_moe(index):
                x = x + loader.dense(schema.DENSE, index)(normed)
                continue
            expert_ids, weights = route(normed, *loader.router(index), c.router)
            yield self._measure(index, expert_ids, rms)
            if index < last:
                x = x + self._experts(index, normed, expert_ids, weights)

    def _experts(self, layer: int, x: Tensor, expert_ids: Tensor, weights: Tensor) -> Tensor:
        total = torch.zeros_like(x, dtype=torch.float32)
        for expert in expert_ids.unique().tolist():
            rows, slots = (expert_ids == expert).nonzero(as_tuple=True)
            gate_up, down = self.loader.expert(layer, expert)
            total.index_add_(0, rows, feed_forward(x[rows], gate_up, down).float() * weights[rows, slots].unsqueeze(1))
        total = total.to(x.dtype)
        if self.config.n_shared_experts:
            total += self.loader.dense(schema.SHARED, layer)(x)
        return total

    def _measure(self, layer: int, expert_ids: Tensor, rms: float) -> Routing:
        experts, top_k = self.config.n_routed_experts, self.config.router.top_k
        sequences = expert_ids.cpu().view(SEQUENCES, -1)
        tokens = sequences.numel() // top_k
        distinct = sum(row.unique().numel() for row in sequences) / SEQUENCES
        even = torch.ones(TRIALS * tokens, experts).multinomial(top_k, generator=self.generator).view(TRIALS, -1)
        return Routing(
            layer=layer,
            distinct=distinct,
            expected_distinct=experts * (1 - (1 - top_k / experts) ** (tokens // SEQUENCES)),
            max_load=_max_load(sequences.flatten(), experts),
            expected_max_load=sum(_max_load(trial, experts) for trial in even) / TRIALS,
            rms=rms,
        )


def _max_load(expert_ids: Tensor, experts: int) -> float:
    return expert_ids.bincount(minlength=experts).max().item() * experts / expert_ids.numel()

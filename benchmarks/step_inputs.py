"""A decode step's inputs at any batch and context, over a cache that is full from the start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.model.transformer import Transformer
from hopwell.ops.sizes import PAGE


@dataclass(frozen=True)
class StepInputs:
    """A decode step's inputs: `batch` sequences of `context` tokens, the last one new, on pages in random order."""

    tokens: Tensor
    positions: Tensor
    page_table: Tensor
    latent: Tensor


def random_inputs(model: Transformer, batch: int, context: int) -> StepInputs:
    """Random tokens and a cache full of random latents."""
    pages, device = -(-context // PAGE), model.device
    latent = model.new_latent(batch * pages)
    for layer in latent:
        layer.copy_(torch.randn(layer.shape, device=device, dtype=torch.bfloat16))
    return StepInputs(
        torch.randint(model.config.vocab_size, (batch,), device=device),
        torch.full((batch,), context - 1, device=device),
        torch.randperm(batch * pages, device=device).int().view(batch, pages),
        latent,
    )

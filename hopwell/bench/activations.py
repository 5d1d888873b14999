"""Rows before FP8 weights, rounded to e4m3 or left in bf16: what the rounding costs in accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hopwell.bench.precision_nano import model_text
from hopwell.model.activations import use_activations
from hopwell.model.batch import ForwardBatch
from hopwell.model.transformer import Transformer
from hopwell.precision.divergence import Divergence, batches, kl_rows


@dataclass(frozen=True)
class AccuracyRow:
    """How far predictions are from a reference's on the same text, the mean over all positions."""

    reference: str
    activations: str
    tokens: int
    kl: float
    """Nats a token."""
    standard_error: float
    p99: float
    top1: float
    """How often both would say the same token."""


@torch.inference_mode()
def accuracy_rows(model: Transformer, exact: Transformer, folder: Path, tokens: int, seed: int) -> list[AccuracyRow]:
    """The model with rows in bf16 and rounded, each beside float32, and one beside the other.

    Args:
        model, exact: the same checkpoint in bf16 and in float32, where nothing but the weights is rounded.
        folder: of the checkpoint: the text is of its own kind, held-out problems for nano.
    """
    pairs = (("float32", "bf16"), ("float32", "fp8"), ("bf16", "fp8"))
    found: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {pair: [] for pair in pairs}
    try:
        for batch in batches(model_text(folder, tokens, seed, held_out=True)):
            said = {"float32": _predict(exact, batch)}
            for name in ("bf16", "fp8"):
                use_activations(model, name)
                said[name] = _predict(model, batch)
            for reference, name in pairs:
                found[reference, name].append(kl_rows(said[reference], said[name]))
    finally:
        use_activations(model, None)
    rows = []
    for (reference, name), parts in found.items():
        kl, same = (torch.cat(each) for each in zip(*parts, strict=True))
        d = Divergence.of(kl, same)
        rows.append(AccuracyRow(reference, name, d.tokens, d.mean, d.standard_error, d.p99, d.top1))
    return rows


def _predict(model: Transformer, batch: ForwardBatch) -> Tensor:
    """Log-probabilities, float32 [tokens, vocabulary]."""
    return model.logits(model.forward(batch, model.new_latent(batch.page_table.numel()))).log_softmax(-1)

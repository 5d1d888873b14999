"""Decode steps with rows rounded to e4m3, left in bf16, and as "auto" has them: which is faster?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.forms import error
from benchmarks.step_inputs import StepInputs, random_inputs
from hopwell.bench.models import bench_config
from hopwell.bench.timing import capture, graph_seconds
from hopwell.limits.catalogue import Gpu
from hopwell.model.activations import ACTIVATIONS, products, with_activations
from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.transformer import Transformer
from hopwell.ops.device import plain_ops


@dataclass(frozen=True)
class ActivationsRow:
    """One decode step, timed and held to plain PyTorch."""

    model: str
    batch: int
    context: int
    activations: str
    in_bf16: str
    """Products whose rows stay in bf16, of those with FP8 weights."""
    ms: float
    error: float
    """Of the logits, beside plain PyTorch with the same roundings. Weights are random and scores of experts near ties,
    so a last bit sends tokens to other experts: with 8 layers this says how far that goes, not whether kernels are
    right. `tests/ops` says that of each, and a start's check of each layer."""
    from_bf16: float
    """The same beside plain PyTorch without roundings: what e4m3 rows cost on random weights."""


def step_rows(
    name: str = "r1-tp8",
    layers: int = 8,
    sizes: Sequence[int] = (1, 8, 32, 128),
    context: int = 1024,
    device: str = "cuda",
    gpu: Gpu | None = None,
) -> Iterator[ActivationsRow]:
    """A decode step (1 dense layer, the rest MoE) in every format of activations, by batch.

    Args:
        gpu: whose limits "auto" goes by; None: the device's.
    """
    model = random_transformer(bench_config(name, layers), device)
    models = {one: with_activations(model, one, gpu=gpu) for one in ACTIVATIONS}
    for batch in sizes:
        inputs = random_inputs(model, batch, context)
        unrounded = _plain_step(models["bf16"], inputs)
        for activations, one in models.items():
            step = partial(_step, FusedTransformer(one), inputs)
            want, got = _plain_step(one, inputs), step()
            formats = [not weight.takes_fp8(batch) for weight, _ in products(one) if weight.is_fp8]
            yield ActivationsRow(
                name, batch, context, activations, f"{sum(formats)} of {len(formats)}",
                1e3 * graph_seconds(capture(step)), error(got, want), error(got, unrounded),
            )  # fmt: skip
        del inputs, step  # the next cache may need their memory


def _step(fused: FusedTransformer, inputs: StepInputs) -> Tensor:
    """The step's logits by kernels, as a graph holds it."""
    return fused.forward_and_score(inputs.tokens, inputs.positions, inputs.page_table, inputs.latent)[1]


@torch.inference_mode()
def _plain_step(model: Transformer, inputs: StepInputs) -> Tensor:
    """The step's logits without kernels, the cache left as it was."""
    count, context = len(inputs.tokens), int(inputs.positions[0]) + 1
    batch = ForwardBatch(inputs.tokens, inputs.positions, [1] * count, [context] * count, inputs.page_table)
    with plain_ops():
        return model.logits(model.forward(batch, inputs.latent.clone()))

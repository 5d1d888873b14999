"""The experts: SwiGLU networks (Shazeer, 2020), one shared by all tokens or many chosen by the router."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.fp8 import round_to_e4m3
from hopwell.limits.cost import OpCost
from hopwell.ops.linear import BYTES_PER_WEIGHT, NEVER, Weight, linear, on_gpu, on_matrix_unit

FUSE_BELOW_BYTES = 16 << 20
"""Experts whose weights together are smaller than this run as one network on a CPU: see `Experts.fuse`."""


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, the halves of the last axis: [..., 2 n] -> [..., n]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


def feed_forward(x: Tensor, gate_up: Weight, down: Weight) -> Tensor:
    """A dense SwiGLU network: x [tokens, hidden], gate_up [2 width, hidden], down [hidden, width]."""
    return linear(silu_mul(linear(x, gate_up)), down)


@dataclass(slots=True)
class Experts:
    """The routed experts of a layer.

    `gate_up` is [experts, 2 width, hidden], gate rows first; `down` is [experts, hidden, width].
    """

    gate_up: Weight
    down: Weight
    fused: tuple[Weight, Weight, Weight] | None = None

    @property
    def count(self) -> int:
        return self.gate_up.shape[0]

    @property
    def width(self) -> int:
        return self.down.shape[2]

    def fuse(self) -> Experts:
        """Lays small experts out as one wide network, for CPUs; returns itself.

        Every expert then runs for every token and the router's weights, zero for most, scale the inner activations:
        the same sum, in three matrix products instead of two an expert. It pays while all experts fit in cache,
        and since the choice depends on the layer alone, a token's result does not depend on its batch.
        """
        if self.gate_up.format != "plain" or self.gate_up.data.device.type != "cpu":
            return self
        data, down = self.gate_up.data, self.down.data
        if (data.numel() + down.numel()) * data.element_size() <= FUSE_BELOW_BYTES:
            hidden = data.shape[2]
            gate, up = (half.reshape(-1, hidden).contiguous() for half in data.chunk(2, dim=1))
            flat_down = down.permute(1, 0, 2).reshape(hidden, -1).contiguous()
            self.fused = (Weight(gate).prepare(), Weight(up).prepare(), Weight(flat_down).prepare())
        return self


def moe(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """The weighted sum of the chosen experts.

    Args:
        x: [tokens, hidden].
        expert_ids, expert_weights: int64 and float32 [tokens, top_k].

    Returns:
        [tokens, hidden] in x's dtype.
    """
    if experts.fused is not None:
        gate, up, down = experts.fused
        scale = x.new_zeros(x.shape[0], experts.count).scatter_(1, expert_ids, expert_weights.to(x.dtype))
        rows = round_to_e4m3(x) if experts.gate_up.rounds(x.shape[0]) else x
        inner = torch.nn.functional.silu(linear(rows, gate)).mul_(linear(rows, up))
        if experts.down.rounds(x.shape[0]):
            inner = round_to_e4m3(inner.view(-1, experts.width)).view_as(inner)
        inner.view(x.shape[0], experts.count, -1).mul_(scale.unsqueeze(-1))
        return linear(inner, down)
    if suits_kernels(x, experts.gate_up) and suits_kernels(x, experts.down):
        from hopwell.ops import experts_triton  # Triton is a GPU's dependency

        return experts_triton.moe(x, expert_ids, expert_weights, experts)
    return reference(x, expert_ids, expert_weights, experts)


def suits_kernels(x: Tensor, weight: Weight) -> bool:
    """Whether the grouped kernels serve: bf16 rows on a GPU, and experts in FP8 or bf16 in whole steps."""
    if weight.data.dtype == torch.bfloat16:
        return on_gpu(x) and x.dtype == torch.bfloat16 and weight.shape[-1] % 64 == 0
    return on_matrix_unit(x, weight)


def reference(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """The meaning of `moe`, expert by expert; the sum over a token's experts is in float32, in order of expert."""
    total = torch.zeros_like(x, dtype=torch.float32)
    for expert in expert_ids.unique().tolist():
        rows, slots = (expert_ids == expert).nonzero(as_tuple=True)
        out = feed_forward(x[rows], *(_one(w, expert, len(x)) for w in (experts.gate_up, experts.down)))
        total.index_add_(0, rows, out.float() * expert_weights[rows, slots].unsqueeze(-1))
    return total.to(x.dtype)


def _one(weight: Weight, expert: int, tokens: int) -> Weight:
    """Expert `expert`'s matrix of a stacked weight; the step's `tokens`, not its own, decide how its rows enter."""
    scale = None if weight.scale is None else weight.scale[expert]
    rounds_from = None if weight.rounds_from is None else 0 if weight.rounds(tokens) else NEVER
    return Weight(weight.data[expert], scale, weight.format, rounds_from=rounds_from)


def cost(
    tokens: int,
    hidden: int,
    width: int,
    top_k: int,
    distinct: int,
    weight_format: str = "fp8_block",
    activations: str = "fp8",
) -> OpCost:
    """Each of the `distinct` experts that got a token is read once; a token's activations in and out in bf16.
    `activations` as `linear.cost` has them."""
    weights = int(BYTES_PER_WEIGHT[weight_format] * 3 * hidden * width) * distinct
    math = activations if weight_format == "fp8_block" else "bf16"
    return OpCost(weights + 4 * tokens * hidden, 6 * tokens * top_k * hidden * width, math)

"""The routed experts: SwiGLU networks, of which the router chooses a few for each token (DeepSeekMoE; V3 report,
2.1.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.fp8 import round_to_e4m3
from hopwell.formats.matrices import Format
from hopwell.limits.cost import OpCost
from hopwell.ops.device import Device, serving
from hopwell.ops.linear import linear
from hopwell.ops.moe_choice import choose_op
from hopwell.ops.moe_experts import Experts
from hopwell.ops.swiglu import feed_forward, silu_mul
from hopwell.ops.variant import Formats, Variant
from hopwell.ops.weight import NEVER, Weight


def moe(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """The weighted sum of the chosen experts.

    Args:
        x: [tokens, hidden].
        expert_ids, expert_weights: int64 and float32 [tokens, top_k].

    Returns:
        [tokens, hidden] in x's dtype; of several ranks with experts of their own, this one's share. The shared expert's
        output is in it where that is one network with the others (`Experts.with_shared`).
    """
    expert_ids, expert_weights = experts.own(expert_ids, expert_weights)
    if experts.fused is not None:
        gate_up, down = experts.fused
        # of an expert that is not here nothing, added to whichever
        scale = x.new_zeros(x.shape[0], experts.count)
        if experts.first is not None:
            expert_ids = expert_ids.clamp(min=0)
        scale.scatter_add_(1, expert_ids, expert_weights.to(x.dtype))
        rows = round_to_e4m3(x) if experts.gate_up.rounds(x.shape[0]) else x
        inner = silu_mul(linear(rows, gate_up))
        if experts.down.rounds(x.shape[0]):
            inner = round_to_e4m3(inner.view(-1, experts.width)).view_as(inner)
        inner.view(x.shape[0], -1, experts.width)[:, : experts.count].mul_(scale.unsqueeze(-1))
        return linear(inner, down)
    device = serving(x)
    if device.has_kernels and experts.first is None and _variant(x, experts, device).name == "grouped":
        from hopwell.ops import moe_triton  # Triton is a GPU's dependency

        return moe_triton.moe(x, expert_ids, expert_weights, experts)
    return reference(x, expert_ids, expert_weights, experts)


def _variant(x: Tensor, experts: Experts, device: Device) -> Variant:
    both = experts.gate_up, experts.down
    formats = Formats(both[0].format, x.dtype), Formats(both[1].format, x.dtype)
    return choose_op((both[0].shape[-1], both[1].shape[-1]), formats, device)


def reference(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """The meaning of `moe`, expert by expert; the sum over a token's experts is in float32, in order of expert."""
    total = torch.zeros_like(x, dtype=torch.float32)
    for expert in expert_ids[expert_ids >= 0].unique().tolist():
        rows, slots = (expert_ids == expert).nonzero(as_tuple=True)
        out = feed_forward(x[rows], *(_one(w, expert, len(x)) for w in (experts.gate_up, experts.down)))
        total.index_add_(0, rows, out.float() * expert_weights[rows, slots].unsqueeze(-1))
    return total.to(x.dtype)


def _one(weight: Weight, expert: int, tokens: int) -> Weight:
    """Expert `expert`'s matrix of a stacked weight; the step's `tokens`, not its own, decide how its rows enter."""
    rounds_from = None if weight.rounds_from is None else 0 if weight.rounds(tokens) else NEVER
    packed = weight.packed[expert] if isinstance(weight.packed, list) else None
    return Weight(weight.stored.at(expert), rounds_from, packed)


def cost(
    tokens: int,
    hidden: int,
    width: int,
    top_k: int,
    distinct: int,
    weight_format: Format = FP8_BLOCK,
    activations: str = "fp8",
    itemsize: int = 2,
) -> OpCost:
    """Each of the `distinct` experts that got a token is read once; a token's activations in and out in `itemsize`
    bytes. `activations` as `linear.cost` has them."""
    weights = int(weight_format.bytes_per_value * 3 * hidden * width) * distinct
    math = activations if weight_format is FP8_BLOCK else "bf16"
    return OpCost(weights + 2 * itemsize * tokens * hidden, 6 * tokens * top_k * hidden * width, math)

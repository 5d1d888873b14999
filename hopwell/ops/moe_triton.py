"""`moe.moe` by kernels: pairs grouped by expert, two products, SwiGLU between them, the weighted sum behind."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.ops.linear_triton import rows_for
from hopwell.ops.moe_combine_triton import add_weighted
from hopwell.ops.moe_down_triton import experts_down
from hopwell.ops.moe_experts import Experts
from hopwell.ops.moe_grouping_triton import group_by_expert
from hopwell.ops.moe_up_triton import experts_up
from hopwell.ops.swiglu_triton import silu_mul


def moe(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """`moe.moe` for FP8 or bf16 experts: rows that enter an FP8 product are rounded to e4m3 where the experts want it,
    sums are in float32."""
    groups = group_by_expert(expert_ids.int(), experts.count, packed=experts.gate_up.is_packed)
    rows = rows_for(x, experts.gate_up)
    # many rows: the sum is complete and in memory, where bf16 is half the bytes
    dtype = torch.bfloat16 if groups.tile >= 64 else torch.float32
    up = experts_up(rows, experts.gate_up, groups, dtype=dtype)
    inner = silu_mul(up, fp8=experts.down.takes_fp8(x.shape[0]))
    return add_weighted(experts_down(inner, experts.down, groups), expert_weights)

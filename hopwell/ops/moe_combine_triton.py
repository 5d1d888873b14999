"""The last step of the routed experts where nothing follows that could do it: each token's weighted sum."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.norm_choice import CHUNK
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch, let_next_start, to_bf16, wait_for_inputs


@triton.jit
def _add_weighted(parts, shares, out, WIDTH: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """A token's experts' outputs by the router's weights (V3 report, equation 12, without the shared expert).

    Grid (tokens, blocks of WIDTH). parts bf16 [tokens, PARTS, WIDTH], shares float32 [tokens, PARTS]; out bf16 [tokens,
    WIDTH], added in float32 in order of slot.
    """
    token = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = col < WIDTH
    wait_for_inputs()
    let_next_start()
    total = tl.zeros((BLOCK,), tl.float32)
    for part in tl.static_range(PARTS):
        y = tl.load(parts + (token * PARTS + part) * WIDTH + col, mask=inside, other=0.0).to(tl.float32)
        total += y * tl.load(shares + token * PARTS + part)
    tl.store(out + token * WIDTH + col, to_bf16(total), mask=inside)


def add_weighted(parts: Tensor, shares: Tensor) -> Tensor:
    """A token's experts' outputs by their shares: bf16 [tokens, slots, width] and float32 [tokens, slots] -> bf16
    [tokens, width], added in float32 in order of slot."""
    tokens, slots, width = parts.shape
    out = torch.empty(tokens, width, dtype=torch.bfloat16, device=parts.device)
    launch(
        _add_weighted, (tokens, cdiv(width, CHUNK)), parts, shares.contiguous(), out,
        WIDTH=width, PARTS=slots, BLOCK=CHUNK,
    )  # fmt: skip
    return out


def rank_sum(parts: Tensor, shares: Tensor | None) -> Tensor:
    """What a rank adds to a row, rounded once: bf16 [tokens, width], of `parts` and `part_weights` as
    `norm_triton.add_norm` has them."""
    return parts.sum(0, dtype=torch.float32).bfloat16() if shares is None else add_weighted(parts, shares)

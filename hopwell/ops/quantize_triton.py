"""Activation quantisation: bf16 rows to e4m3 with a scale for each 128 values (DeepSeek-V3's `act_quant`)."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.norm_choice import Shape, choose
from hopwell.ops.rows import Normed, empty_rows
from hopwell.ops.triton_common import launch, let_next_start, quantize_groups, wait_for_inputs


@triton.jit
def _quantize(x, codes, scales, WIDTH: tl.constexpr, GROUPS: tl.constexpr):
    """Activation quantisation (V3 report, 3.3.2; `act_quant`): x bf16 [tokens, WIDTH] to e4m3 and float32 scales
    [tokens, WIDTH / 128].

    Grid (tokens, runs of GROUPS groups of 128).
    """
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    col = group[:, None] * 128 + tl.arange(0, 128)[None, :]
    inside = col < WIDTH
    wait_for_inputs()
    code, scale = quantize_groups(tl.load(x + row * WIDTH + col, mask=inside, other=0.0).to(tl.float32))
    let_next_start()
    tl.store(codes + row * WIDTH + col, code, mask=inside)
    tl.store(scales + row * (WIDTH // 128) + group, scale, mask=group < WIDTH // 128)


def quantize(x: Tensor) -> Normed:
    """x [tokens, width], width a multiple of 128, in e4m3 with a scale for each 128 values of a row."""
    tokens, width = x.shape
    x = x.contiguous()
    cut = choose("quantize", Shape(tokens, width))
    out = empty_rows(tokens, width, True, x.device)
    launch(_quantize, (tokens, cut.programs), x, out.fp8, out.scales, WIDTH=width, GROUPS=cut.values // 128)
    return out

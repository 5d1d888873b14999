"""Block scales that lose least on the inputs that occur: each candidate's error is weighted by E[x^2]."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat, over_elements, plain_scales, round_scales
from hopwell.formats.elements import round_elements
from hopwell.quantization.stages import stage

FOUR_OVER_SIX = (1.0, 1.5)
"""NVFP4's two ways to fit a block: its peak at 6 or at 4 (Cook et al., 2025: Four Over Six)."""


def candidates(fmt: BlockFormat, wide: bool = True) -> tuple[float, ...]:
    """Multiples of the plain scale to try, the plain one first.

    FP4's gaps are uneven, so its best scale may lie far above the plain one (an expanded range); evenly spaced formats
    gain only by clipping.
    """
    if fmt.elements == "e2m1" and not wide:
        return FOUR_OVER_SIX
    if fmt.scales == "e8m0":
        return (1.0, 2.0, 0.5)
    if fmt.elements == "e2m1":
        return (1.0, *(0.70 + 0.04 * i for i in range(24)))
    if fmt.elements == "int4":
        return (1.0, *(0.60 + 0.03 * i for i in range(18)))
    # e4m3's relative gaps do not change within an octave: a scale matters through its fraction of one
    return (1.0, *(2.0 ** (i / 8) for i in range(1, 8)))


@stage("scales")
def search_scales(
    w: Tensor, fmt: BlockFormat, tensor_scale: Tensor, weights: Tensor | None, wide: bool = True
) -> Tensor:
    """The candidate of each block whose rounding error, squared and weighted, is least.

    Args:
        w: float32 [out, in].
        weights: E[x^2] of each input [in]; None weighs all alike.
        wide: the expanded range; False tries the plain scale and four-over-six alone.

    Returns:
        Block scales as `quantize` takes them, exactly representable.
    """
    plain = plain_scales(fmt, w, tensor_scale)
    best, least = plain.clone(), torch.full_like(plain, torch.inf)
    for multiple in candidates(fmt, wide):
        scale = plain if multiple == 1.0 else round_scales(fmt, plain * multiple)
        full = over_elements(fmt, scale * tensor_scale, w.shape)
        error = (round_elements(fmt.elements, w / full).mul_(full).sub_(w)).square_()
        if weights is not None:
            error.mul_(weights)
        total = block_sums(fmt, error)
        better = total < least
        best, least = torch.where(better, scale, best), torch.where(better, total, least)
    return best


def neighbours(fmt: BlockFormat, scale: Tensor) -> Tensor:
    """Representable scales around present ones [...], those first: [candidates, ...]."""
    if fmt.scales == "e8m0":
        return torch.stack([scale, scale * 2, scale / 2])
    if fmt.scales == "e4m3":
        code = scale.to(torch.float8_e4m3fn).view(torch.uint8).int()
        steps = [(code + step).clamp(1, 126).to(torch.uint8) for step in (0, -1, 1, -2, 2, -3, 3, 4)]
        return torch.stack(steps).view(torch.float8_e4m3fn).float()
    return torch.stack([round_scales(fmt, scale * m) for m in (1.0, 0.97, 1.03, 0.93, 1.07, 0.88, 1.12)])


def block_sums(fmt: BlockFormat, x: Tensor) -> Tensor:
    """Sums of blocks: [row blocks, column blocks]."""
    rows, columns = fmt.rows, fmt.columns or x.shape[1]
    padded = torch.nn.functional.pad(x, (0, -x.shape[1] % columns, 0, -x.shape[0] % rows))
    return padded.unflatten(1, (-1, columns)).sum(2).unflatten(0, (-1, rows)).sum(1)

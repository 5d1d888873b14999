"""DeepSeek's FP8: e4m3 codes with one float32 scale for each block of 128 x 128 (V3 report, section 3.3).

On disk a matrix is `<module>.weight` in e4m3 and `<module>.weight_scale_inv` in float32; a value is code * scale. The
last block of a row or column may be ragged: 576 rows make 4.5 blocks and 5 scales.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 128
"""Rows and columns that share a scale."""
SCALES = "weight_scale_inv"
"""The last component of the name of a matrix's scales."""
E4M3_MAX = 448.0
"""The largest e4m3 value (OCP FP8 specification: S.1111.110)."""


def scale_shape(shape: tuple[int, ...] | torch.Size) -> tuple[int, ...]:
    """The shape of the scales of a matrix [..., out, in]: [..., ceil(out / 128), ceil(in / 128)]."""
    return (*shape[:-2], math.ceil(shape[-2] / BLOCK), math.ceil(shape[-1] / BLOCK))


def dequantize_fp8_block(data: Tensor, scale_inv: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The values of a quantised matrix: the float32 product code * scale, rounded once to `dtype`.

    Args:
        data: float8_e4m3fn [..., out, in].
        scale_inv: float32 [..., ceil(out / 128), ceil(in / 128)].

    Returns:
        [..., out, in] of `dtype`, contiguous.

    Raises:
        ValueError: the scales' shape does not fit the matrix's.
    """
    if scale_inv.shape != scale_shape(data.shape):
        expected = list(scale_shape(data.shape))
        raise ValueError(f"scales of {list(data.shape)} codes must be {expected}, found {list(scale_inv.shape)}")
    blocks = _to_blocks(data.float()).mul_(_over_blocks(scale_inv))
    return _from_blocks(blocks, data.shape).to(dtype).contiguous()


def quantize_fp8_block(w: Tensor, power_of_two: bool = False) -> tuple[Tensor, Tensor]:
    """Rounds a matrix to e4m3 with each block's largest magnitude at 448. A block of zeros gets scale 1.

    Args:
        w: [..., out, in], any floating dtype.
        power_of_two: rounds scales up to powers of two, as V3.1's checkpoints have them (`scale_fmt: ue8m0`).

    Returns:
        Codes, float8_e4m3fn [..., out, in], and scales, float32 [..., ceil(out / 128), ceil(in / 128)].

    Raises:
        ValueError: `w` holds a NaN or an infinity.
    """
    blocks = _to_blocks(w.float())
    scale = blocks.abs().amax(dim=(-3, -1)) / E4M3_MAX
    if not scale.isfinite().all():
        raise ValueError("cannot quantise a matrix that holds NaN or infinity")
    if power_of_two:
        mantissa, exponent = torch.frexp(scale)  # mantissa in [1/2, 1): exactly 1/2 is a power of two already
        scale = torch.exp2((exponent - (mantissa == 0.5).int()).float()) * (scale > 0)
    scale = torch.where(scale > 0, scale, 1.0)  # also where the magnitude is so small that its scale rounds to zero
    # hazard: division may land a rounding step above 448, which the cast would turn into NaN on some devices
    codes = (blocks / _over_blocks(scale)).clamp_(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
    return _from_blocks(codes, w.shape).contiguous(), scale


def round_to_e4m3(x: Tensor) -> Tensor:
    """The values [rows, width] that are left of x when each 128 of a row share a scale in e4m3: what an FP8 product
    multiplies. The scale puts the largest magnitude, at least 1e-4, at 448 (DeepSeek-V3's inference code, `act_quant`);
    a row's last group may be short. In x's dtype.
    """
    rows, width = x.shape
    groups = torch.nn.functional.pad(x, (0, -width % BLOCK)).float().view(rows, -1, BLOCK)
    scale = groups.abs().amax(-1, keepdim=True).clamp_min(1e-4) * (1 / E4M3_MAX)
    codes = (groups / scale).clamp_(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
    return (codes.float() * scale).flatten(1)[:, :width].to(x.dtype).contiguous()


def _to_blocks(x: Tensor) -> Tensor:
    """[..., out, in] -> [..., row blocks, 128, column blocks, 128], padded with zeros; a view if none is ragged."""
    rows, columns = x.shape[-2:]
    if rows % BLOCK or columns % BLOCK:
        x = torch.nn.functional.pad(x, (0, -columns % BLOCK, 0, -rows % BLOCK))
    return x.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))


def _over_blocks(scale: Tensor) -> Tensor:
    """Scales [..., row blocks, column blocks], shaped to broadcast over `_to_blocks`."""
    return scale[..., :, None, :, None]


def _from_blocks(blocks: Tensor, shape: torch.Size) -> Tensor:
    """Undoes `_to_blocks`."""
    return blocks.flatten(-2).flatten(-3, -2)[..., : shape[-2], : shape[-1]]

"""Block-scaled formats: small elements, a scale a block, maybe one a tensor; value = element * scale * tensor scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.elements import PEAK, round_elements
from hopwell.formats.labels import Label

E4M3_SMALLEST = 2.0**-9
SCALE_BYTES = {"e4m3": 1, "e8m0": 1, "bf16": 2, "f32": 4}
NVFP4_SCALE_PEAK = 448.0
NVFP4_ROOM_PEAK = 256.0
"""Largest block scale when scales are searched: leaves room above, so that a block's peak may be 4 instead of 6."""


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """What distinguishes one block-scaled format from another."""

    name: str
    elements: str
    """e2m1, int4 or e4m3: see `elements.py`."""
    scales: str
    """e4m3 (under a tensor scale), e8m0 (powers of two), bf16 or f32."""
    rows: int
    """Rows that share a scale."""
    columns: int
    """Columns that share a scale; 0: all."""

    @property
    def peak(self) -> float:
        """Largest element."""
        return PEAK[self.elements]

    @property
    def bits(self) -> int:
        """Bits of an element."""
        return 8 if self.elements == "e4m3" else 4

    @property
    def bytes_per_value(self) -> float:
        """Of a large matrix, its share of the block scales included."""
        return self.bits / 8 + (SCALE_BYTES[self.scales] / (self.rows * self.columns) if self.columns else 0.0)

    def scale_shape(self, shape: tuple[int, ...] | torch.Size) -> tuple[int, int]:
        """Scales of a matrix [out, in]: [ceil(out / rows), ceil(in / columns)]."""
        return math.ceil(shape[0] / self.rows), math.ceil(shape[1] / (self.columns or shape[1]))

    def nbytes(self, shape: tuple[int, ...] | torch.Size) -> int:
        """Bytes of a matrix [out, in] on disk: elements, block scales and the tensor scale."""
        elements = math.ceil(shape[1] * self.bits / 8) * shape[0]
        return elements + SCALE_BYTES[self.scales] * math.prod(self.scale_shape(shape)) + 4 * (self.scales == "e4m3")

    def check(self, shape: tuple[int, ...] | torch.Size) -> None:
        """Refuses shapes that the format's layouts cannot hold.

        Raises:
            ValueError: rows do not end with a block. FP8 blocks may be ragged.
        """
        if self.bits == 4 and shape[1] % self.columns:
            raise ValueError(f"{self.name} needs rows of a multiple of {self.columns} values, found {shape[1]}")


NVFP4 = BlockFormat(Label.NVFP4, "e2m1", "e4m3", 1, 16)
MXFP4 = BlockFormat(Label.MXFP4, "e2m1", "e8m0", 1, 32)
INT4_G32 = BlockFormat(Label.INT4_G32, "int4", "bf16", 1, 32)
INT4_G128 = BlockFormat(Label.INT4_G128, "int4", "bf16", 1, 128)
FP8_BLOCK = BlockFormat(Label.FP8_BLOCK, "e4m3", "f32", 128, 128)
FP8_CHANNEL = BlockFormat(Label.FP8_CHANNEL, "e4m3", "f32", 1, 0)
FORMATS = {f.name: f for f in (NVFP4, MXFP4, INT4_G32, INT4_G128, FP8_BLOCK, FP8_CHANNEL)}
"""Every format that weights can be converted to."""


@dataclass(slots=True)
class Quantized:
    """A matrix [out, in] in a block-scaled format, unpacked."""

    format: BlockFormat
    elements: Tensor
    """float32 [out, in], values of the format's elements."""
    scale: Tensor
    """float32 [row blocks, column blocks], exact values of the format's scales."""
    tensor_scale: Tensor
    """float32 scalar; 1 except in NVFP4."""

    @property
    def shape(self) -> torch.Size:
        return self.elements.shape

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.format.nbytes(self.shape)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """element * (scale * tensor scale) in float32, rounded once to `dtype`."""
        return (self.elements * over_elements(self.format, self.scale * self.tensor_scale, self.shape)).to(dtype)


def over_elements(fmt: BlockFormat, scale: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Block scales repeated so that each element of a matrix [out, in] has its own."""
    if fmt.rows > 1:
        scale = scale.repeat_interleave(fmt.rows, dim=0)[: shape[0]]
    return scale.repeat_interleave(fmt.columns or shape[1], dim=1)[:, : shape[1]]


def block_peaks(fmt: BlockFormat, w: Tensor) -> Tensor:
    """The largest magnitude of each block: [row blocks, column blocks]."""
    rows, columns = fmt.rows, fmt.columns or w.shape[1]
    padded = torch.nn.functional.pad(w.abs(), (0, -w.shape[1] % columns, 0, -w.shape[0] % rows))
    return padded.unflatten(1, (-1, columns)).amax(2).unflatten(0, (-1, rows)).amax(1)


def round_scales(fmt: BlockFormat, scale: Tensor) -> Tensor:
    """The nearest scales that the format can store; never zero. `scale` is relative to the tensor scale."""
    if fmt.scales == "e4m3":
        return scale.clamp(E4M3_SMALLEST, NVFP4_SCALE_PEAK).to(torch.float8_e4m3fn).float()
    if fmt.scales == "e8m0":
        return torch.exp2(torch.log2(scale.clamp_min(2.0**-126)).round().clamp(-126, 127))
    if fmt.scales == "bf16":
        scale = scale.to(torch.bfloat16).float()
    return torch.where(scale > 0, scale, 1.0)


def tensor_scale_for(fmt: BlockFormat, peak: Tensor, room: bool = False) -> Tensor:
    """NVFP4's scale of a tensor whose largest magnitude is `peak`; 1 for other formats.

    Matrices that one product reads (gate and up) must be given their common peak.
    """
    if fmt.scales != "e4m3":
        return torch.ones((), device=peak.device)
    scale = peak.float() / (fmt.peak * (NVFP4_ROOM_PEAK if room else NVFP4_SCALE_PEAK))
    return torch.where(scale > 0, scale, 1.0)


def plain_scales(fmt: BlockFormat, w: Tensor, tensor_scale: Tensor) -> Tensor:
    """The usual scales, from each block's largest magnitude; a block of zeros gets 1."""
    peaks = block_peaks(fmt, w)
    if fmt.scales == "e8m0":  # OCP: the power of two below the peak, over that below the largest element
        exponent = torch.frexp(peaks)[1] - 1 - 2
        scale = torch.exp2(exponent.clamp(-126, 127).float())
    elif fmt.elements == "int4":  # the range is -8 to 7: half its width
        scale = round_scales(fmt, peaks / 7.5)
    else:
        scale = round_scales(fmt, peaks / fmt.peak / tensor_scale)
    return torch.where(peaks > 0, scale, 1.0)


def quantize(w: Tensor, fmt: BlockFormat, scale: Tensor | None = None, tensor_scale: Tensor | None = None) -> Quantized:
    """Plain rounding: each value to the nearest element under its block's scale.

    Args:
        w: [out, in].
        scale: block scales to use; default: from each block's largest magnitude.
        tensor_scale: NVFP4's scale of the tensor; default: from its largest magnitude.

    Raises:
        ValueError: the shape does not fit the format, or `w` holds NaN or infinity.
    """
    fmt.check(w.shape)
    w = w.float()
    if not w.isfinite().all():
        raise ValueError("cannot quantise a matrix that holds NaN or infinity")
    if tensor_scale is None:
        tensor_scale = tensor_scale_for(fmt, w.abs().amax())
    scales: Tensor = plain_scales(fmt, w, tensor_scale) if scale is None else scale
    elements = round_elements(fmt.elements, w / over_elements(fmt, scales * tensor_scale, w.shape))
    return Quantized(fmt, elements, scales, tensor_scale)

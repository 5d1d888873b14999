"""Matrices as they lie in memory, a type a format: packed, with the scales that go with them.

Whatever is packed how, `shape` is that of the values, `nbytes` counts what lies in memory, and `dequantize` gives the
values. `data` and `scale` are what a kernel for the format reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK, FP8_CHANNEL, INT4_G32, INT4_G128, MXFP4, NVFP4, BlockFormat, Quantized
from hopwell.formats.elements import E8M0_BIAS, decode_e2m1, unpack_int4_words, unpack_nibbles
from hopwell.formats.fp8 import dequantize_fp8_block
from hopwell.formats.plain import PlainFormat

Format = PlainFormat | BlockFormat
"""What distinguishes one format from another: its elements, its scales, its bytes."""


@dataclass(slots=True)
class Matrix:
    """A matrix [out, in] of values, or a stack of them [n, out, in], in some format."""

    data: Tensor

    @property
    def format(self) -> Format:
        raise NotImplementedError

    @property
    def scale(self) -> Tensor | None:
        """The block scales; None where there are none."""
        return None

    @property
    def shape(self) -> torch.Size:
        """Of the values, however they are packed."""
        return self.data.shape

    @property
    def nbytes(self) -> int:
        """Bytes in memory, scales included."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The values, rounded once to `dtype`."""
        raise NotImplementedError

    def at(self, index: int) -> Self:
        """One matrix of a stack."""
        return self.map(lambda stack: stack[index])

    def tensors(self) -> Iterator[Tensor]:
        """All that lies in memory."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Matrix):
                yield from value.tensors()
            elif isinstance(value, Tensor):
                yield value

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same change to the data and all that goes with them: a move to a device, a slice of a stack."""
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Matrix):
                value = value.map(change)
            changed[field.name] = change(value) if isinstance(value, Tensor) else value
        return type(self)(**changed)


@dataclass(slots=True)
class Plain(Matrix):
    """bf16, float16 or float32 values [..., out, in]."""

    @property
    def format(self) -> PlainFormat:
        return PlainFormat(self.data.dtype)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.data.to(dtype)


@dataclass(slots=True)
class Scaled(Matrix):
    """Data whose blocks share scales."""

    scales: Tensor
    kept_in: ClassVar[BlockFormat]

    @property
    def format(self) -> BlockFormat:
        return self.kept_in

    @property
    def scale(self) -> Tensor:
        return self.scales

    def unpacked(self) -> Quantized:
        """Elements and scales by value."""
        raise NotImplementedError

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.unpacked().dequantize(dtype)


@dataclass(slots=True)
class Fp8Block(Scaled):
    """DeepSeek's: e4m3 [..., out, in], float32 scales [..., ceil(out / 128), ceil(in / 128)] (`weight_scale_inv`)."""

    kept_in = FP8_BLOCK

    def unpacked(self) -> Quantized:
        return Quantized(FP8_BLOCK, self.data.float(), self.scales, torch.ones(()))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return dequantize_fp8_block(self.data, self.scales, dtype)


@dataclass(slots=True)
class Fp8Channel(Scaled):
    """e4m3 [out, in], a float32 scale a row [out, 1]."""

    kept_in = FP8_CHANNEL

    def unpacked(self) -> Quantized:
        return Quantized(FP8_CHANNEL, self.data.float(), self.scales, torch.ones(()))


@dataclass(slots=True)
class Mxfp4(Scaled):
    """OCP's: e2m1, two a byte, uint8 [out, in / 2]; exponents, uint8 [out, in / 32], biased by 127."""

    kept_in = MXFP4

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.data.shape[:-1], 2 * self.data.shape[-1]))

    def unpacked(self) -> Quantized:
        scales = torch.exp2(self.scales.float() - E8M0_BIAS)
        return Quantized(MXFP4, decode_e2m1(unpack_nibbles(self.data)), scales, torch.ones(()))


@dataclass(slots=True)
class Nvfp4(Scaled):
    """NVIDIA's: e2m1, two a byte, uint8 [out, in / 2]; e4m3 scales [out, in / 16] under a float32 one of the whole."""

    tensor_scale: Tensor
    kept_in = NVFP4

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.data.shape[:-1], 2 * self.data.shape[-1]))

    def unpacked(self) -> Quantized:
        return Quantized(NVFP4, decode_e2m1(unpack_nibbles(self.data)), self.scales.float(), self.tensor_scale)


@dataclass(slots=True)
class Int4(Scaled):
    """Integers from -8 to 7, eight in an int32 word, [out, ceil(in / 8)]; scales [out, in / 32] or [out, in / 128]."""

    columns: int
    """Values of a row: the last word may be ragged."""

    @property
    def format(self) -> BlockFormat:
        return INT4_G32 if self.columns == 32 * self.scales.shape[-1] else INT4_G128

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.data.shape[:-1], self.columns))

    def unpacked(self) -> Quantized:
        elements = unpack_int4_words(self.data, self.columns)
        return Quantized(self.format, elements, self.scales.float(), torch.ones(()))


@dataclass(slots=True)
class Int4Zeros(Matrix):
    """INT4 with zero points: a value is (element - its group's zero point) * scale. `data` as `Int4`'s."""

    scales: Tensor
    zero_points: Tensor
    """int8 from -8 to 7, [out, groups], as the scales."""
    columns: int

    @property
    def format(self) -> BlockFormat:
        return INT4_G32 if self.columns == 32 * self.scales.shape[-1] else INT4_G128

    @property
    def scale(self) -> Tensor:
        return self.scales

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.data.shape[:-1], self.columns))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        size = self.format.columns
        moved = unpack_int4_words(self.data, self.columns) - self.zero_points.float().repeat_interleave(size, dim=-1)
        return (moved * self.scales.float().repeat_interleave(size, dim=-1)).to(dtype)


@dataclass(slots=True)
class Residual(Matrix):
    """A matrix and what it leaves of some of its columns: y = Q x + R x[columns] (`formats/residual.py`)."""

    high: Scaled
    """Q, [out, in]."""
    low: Scaled
    """R, [out, columns]."""

    # `data`: int32 [columns], ascending, the columns that R adds to

    @property
    def format(self) -> Format:
        return self.high.format

    @property
    def shape(self) -> torch.Size:
        return self.high.shape

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        values = self.high.dequantize()
        values[:, self.data.long()] += self.low.dequantize()
        return values.to(dtype)


M = TypeVar("M", bound=Matrix)


def combine(matrices: Sequence[M], join: Callable[[list[Tensor]], Tensor]) -> M:
    """One matrix of several in one format: data joined with data, scales with scales, as `join` says (a stack, rows one
    after the other where no block is shared)."""
    first = matrices[0]
    joined: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(each, field.name) for each in matrices]
        joined[field.name] = join(values) if isinstance(values[0], Tensor) else values[0]
    return type(first)(**joined)

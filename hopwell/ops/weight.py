"""A matrix, or a stack of them, and how an op multiplies it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.matrices import Format, Matrix, Plain
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import Packed
from hopwell.ops.cpu import PackedFloat16, cpu_multiplies_bf16, cpu_packs_float16, pack_float16
from hopwell.ops.linear_choice import packing

NEVER = sys.maxsize
"""More rows than any step has."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One matrix [out, in], or one a expert [experts, out, in], in any storage format."""

    stored: Matrix
    rounds_from: int | None = None
    """Rows of a step from which they enter this product rounded to e4m3; fewer stay in bf16. None: as the device's
    product does it, always for FP8 kernels and never in plain PyTorch. `model/activations.py` says which."""
    packed: PackedFloat16 | list[PackedFloat16] | None = None
    """The same matrix, or a list of them, in the order of the CPU library that multiplies it, made by `prepare`."""

    @property
    def format(self) -> Format:
        return self.stored.format

    @property
    def is_fp8(self) -> bool:
        """Whether it is what FP8 kernels multiply: e4m3 with a scale for each block of 128 x 128."""
        return self.stored.format is FP8_BLOCK

    @property
    def has_op(self) -> bool:
        """Whether ops multiply it as it is stored. Other formats are packed, and become values before."""
        return self.is_fp8 or self.is_packed or isinstance(self.stored, Plain)

    @property
    def is_packed(self) -> bool:
        """Whether it is what kernels for four bits multiply, or a stack of experts some of which are."""
        return isinstance(self.stored, Packed | Mixed)

    @property
    def data(self) -> Tensor:
        """As stored."""
        return self.stored.data

    @property
    def scale(self) -> Tensor | None:
        """The block scales, as stored."""
        return self.stored.scale

    @property
    def shape(self) -> torch.Size:
        """Of the values, however they are packed."""
        return self.stored.shape

    def to(self, device: torch.device | str) -> Weight:
        """A copy on `device`, format kept."""
        return Weight(self.stored.map(lambda tensor: tensor.to(device)), self.rounds_from)

    def rounds(self, rows: int) -> bool:
        """Whether so many rows are to be rounded for a product in plain PyTorch."""
        return self.rounds_from is not None and rows >= self.rounds_from

    def takes_fp8(self, rows: int) -> bool:
        """Whether kernels multiply so many rows as FP8 data; else as bf16 values."""
        return self.is_fp8 and (self.rounds_from is None or rows >= self.rounds_from)

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The values as a plain matrix of `dtype`."""
        return self.stored.dequantize(dtype)

    def prepare(self) -> Weight:
        """With a bf16 matrix, or float16 ones, packed for the CPU's products, where there are such; else itself."""
        if self.data.device.type != "cpu":
            return self
        matrix = self.data.dim() == 2
        library = packing(self.data.dtype, matrix, cpu_multiplies_bf16(), cpu_packs_float16()).name
        if library == "onednn_bf16":
            return replace(self, packed=torch.ops.mkldnn._reorder_linear_weight(self.data, 1))
        if library == "fbgemm_float16":
            return replace(self, packed=pack_float16(self.data) if matrix else _pack_each(self.data))
        return self


def _pack_each(matrices: Tensor) -> list[PackedFloat16]:
    """float16 matrices of a stack, packed: the library orders one by one thread, and lets others run meanwhile."""
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(pack_float16, matrices))

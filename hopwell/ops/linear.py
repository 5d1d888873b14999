"""Matrix products with weights in any of the project's formats."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from hopwell.formats.fp8 import dequantize_fp8_block, round_to_e4m3
from hopwell.limits.cost import OpCost

SUMMED_AT_ONCE = 1024
"""Inputs that the CPU's bf16 product adds up in one order for any number of rows; above, a lone row differs."""
NEVER = sys.maxsize
"""More rows than any step has."""
BYTES_PER_WEIGHT = {"plain": 2.0, "fp8_block": 1.0 + 4 / 128**2}


ONEDNN_ISA = "AVX512_CORE_BF16"
# hazard: with AMX the CPU library cuts a long sum by the number of rows (seen with PyTorch 2.11 on a Xeon, 640 inputs
# and more), and a token must not depend on its batch. The library looks at this once, before its first product
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", ONEDNN_ISA)


def rows_are_summed_alike() -> bool:
    """Whether a row's bf16 product on this CPU is the same in any batch: unless someone let the library use AMX."""
    return os.environ["ONEDNN_MAX_CPU_ISA"] == ONEDNN_ISA or not torch.cpu._is_amx_tile_supported()


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has a bf16 matrix unit that PyTorch uses."""
    # hazard: internal ops of PyTorch, here and wherever `mkldnn` is named
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@dataclass(slots=True)
class Weight:
    """One matrix [out, in], or one a expert [experts, out, in], in a storage format.

    `plain` holds bf16 or float32 values; `fp8_block` holds e4m3 codes with a float32 `scale` for each block of
    128 x 128 (DeepSeek's `weight_scale_inv`: value = code * scale).
    """

    data: Tensor
    scale: Tensor | None = None
    format: str = "plain"
    packed: Tensor | None = None
    """The same matrix in the CPU library's own order, made by `prepare`."""
    rounds_from: int | None = None
    """Rows of a step from which they enter this product rounded to e4m3; fewer stay in bf16. None: as the device's
    product does it, always for FP8 kernels and never in plain PyTorch. `model/activations.py` sets it."""

    @property
    def shape(self) -> torch.Size:
        return self.data.shape

    def to(self, device: torch.device | str) -> Weight:
        """A copy on `device`, format kept."""
        scale = None if self.scale is None else self.scale.to(device)
        return Weight(self.data.to(device), scale, self.format, rounds_from=self.rounds_from)

    def rounds(self, rows: int) -> bool:
        """Whether so many rows are to be rounded for a product in plain PyTorch."""
        return self.rounds_from is not None and rows >= self.rounds_from

    def takes_codes(self, rows: int) -> bool:
        """Whether kernels multiply so many rows as e4m3 codes; else as bf16 values."""
        return self.format == "fp8_block" and (self.rounds_from is None or rows >= self.rounds_from)

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The values as a plain matrix of `dtype`."""
        if self.format == "plain":
            return self.data.to(dtype)
        if self.format == "fp8_block" and self.scale is not None:
            return dequantize_fp8_block(self.data, self.scale, dtype)
        raise ValueError(f"weight format {self.format!r} is unknown; known: plain, fp8_block")

    def prepare(self) -> Weight:
        """Packs a bf16 matrix for the CPU's matrix unit, once, where the CPU has one; returns itself."""
        matrix = self.data.dtype == torch.bfloat16 and self.data.device.type == "cpu" and self.data.dim() == 2
        if matrix and cpu_multiplies_bf16():  # without, the plain product serves
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.data, 1)
        return self


def linear(x: Tensor, weight: Weight) -> Tensor:
    """x @ weight.T: x [tokens, in] and weight [out, in] -> [tokens, out] in x's dtype."""
    if on_matrix_unit(x, weight):
        from hopwell.ops import linear_triton  # Triton is a GPU's dependency

        return linear_triton.linear(x, weight)
    if weight.rounds(x.shape[0]):
        x = round_to_e4m3(x)
    if weight.packed is not None:
        # hazard: the CPU library sums a long row in another order when it is alone, and a token must not depend on that
        alone = x.shape[0] == 1 and x.shape[1] > SUMMED_AT_ONCE
        out = torch.ops.mkldnn._linear_pointwise(x.repeat(2, 1) if alone else x, weight.packed, None, "none", [], "")
        return out[:1] if alone else out
    return torch.nn.functional.linear(x, weight.dequantize(x.dtype))


_plain_only: ContextVar[bool] = ContextVar("plain_only", default=False)


@contextmanager
def plain_ops() -> Iterator[None]:
    """Within, every op of this thread computes in plain PyTorch, as on a CPU: what kernels are held to."""
    token = _plain_only.set(True)
    try:
        yield
    finally:
        _plain_only.reset(token)


def on_gpu(x: Tensor) -> bool:
    """Whether an op may take kernels for x: it is on a GPU that they are for, or on the meta device, where launches
    are recorded."""
    return (x.is_meta or (x.is_cuda and has_kernels(x.device))) and not _plain_only.get()


@cache
def has_kernels(device: torch.device) -> bool:
    """Whether the kernels are for this GPU, a Hopper or a data-centre Blackwell, and Triton is installed."""
    return torch.cuda.get_device_capability(device)[0] in (9, 10) and importlib.util.find_spec("triton") is not None


def on_matrix_unit(x: Tensor, weight: Weight) -> bool:
    """Whether FP8 kernels serve: bf16 rows on a GPU, an FP8 weight, and whole blocks along the reduction."""
    return on_gpu(x) and x.dtype == torch.bfloat16 and weight.format == "fp8_block" and weight.shape[-1] % 128 == 0


def cost(
    tokens: int, width_in: int, width_out: int, weight_format: str = "fp8_block", activations: str = "fp8"
) -> OpCost:
    """Weights once, activations in bf16 in and out. FP8 weights meet rows rounded to e4m3 (`activations` "fp8"), or are
    widened to meet them in bf16 ("bf16")."""
    weights = int(BYTES_PER_WEIGHT[weight_format] * width_in * width_out)
    math = activations if weight_format == "fp8_block" else "bf16"
    return OpCost(weights + 2 * tokens * (width_in + width_out), 2 * tokens * width_in * width_out, math)

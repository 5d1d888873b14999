"""Matrix products with weights in any of the project's formats."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.fp8 import round_to_e4m3
from hopwell.formats.matrices import Format
from hopwell.limits.cost import OpCost
from hopwell.ops.cpu import by_bf16, by_float16
from hopwell.ops.device import PLAIN, Device, serving
from hopwell.ops.linear_choice import LinearVariant, Shape, choose
from hopwell.ops.variant import Formats
from hopwell.ops.weight import Weight


def linear(x: Tensor, weight: Weight) -> Tensor:
    """x @ weight.T: x [tokens, in] and weight [out, in] -> [tokens, out] in x's dtype."""
    packed = weight.packed
    device = PLAIN if packed is not None else serving(x)
    if device.has_kernels and _variant(x, weight, device).name in ("triton", "packed_triton"):
        from hopwell.ops import linear_triton  # Triton is a GPU's dependency

        return linear_triton.linear(x, weight)
    if weight.rounds(x.shape[0]):
        x = round_to_e4m3(x)
    if isinstance(packed, Tensor) and weight.data.dtype == torch.bfloat16:
        return by_bf16(x, packed)
    if packed is not None and not isinstance(packed, list):
        return by_float16(x, packed)
    return torch.nn.functional.linear(x, weight.dequantize(x.dtype))


def _variant(x: Tensor, weight: Weight, device: Device) -> LinearVariant:
    return choose("linear", Shape(x.shape[0], *weight.shape), Formats(weight.format, x.dtype), device)


def cost(
    tokens: int,
    width_in: int,
    width_out: int,
    weight_format: Format = FP8_BLOCK,
    activations: str = "fp8",
    itemsize: int = 2,
) -> OpCost:
    """Weights once, activations of `itemsize` bytes (bf16's) in and out. FP8 weights meet rows rounded to e4m3
    (`activations` "fp8"), or are widened to meet them in bf16 ("bf16")."""
    weights = int(weight_format.bytes_per_value * width_in * width_out)
    math = activations if weight_format is FP8_BLOCK else "bf16"
    return OpCost(weights + itemsize * tokens * (width_in + width_out), 2 * tokens * width_in * width_out, math)

"""How quantised matrices lie in checkpoints: the tensors of one module, by suffix, in the layouts that engines load.

ModelOpt keeps `weight`, `weight_scale` and, for NVFP4, `weight_scale_2`; compressed-tensors keeps `weight_packed`,
`weight_scale` and the reciprocal `weight_global_scale`; DeepSeek keeps `weight` and `weight_scale_inv`. Hopwell's own
layout is that of compressed-tensors, and beside it what residual columns take: the same tensors once more for the
residual, as `residual_weight_packed`, and `residual_columns`, int32, which columns of the matrix they add to.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK, FP8_CHANNEL, INT4_G32, INT4_G128, MXFP4, NVFP4, Quantized
from hopwell.formats.elements import (
    decode_e2m1,
    encode_e2m1,
    pack_int4_words,
    pack_nibbles,
    unpack_int4_words,
    unpack_nibbles,
)
from hopwell.formats.residual import HighLow, residual_format

E8M0_BIAS = 127
RESIDUAL = "residual_"
"""Before the suffixes of a residual's tensors."""
COLUMNS = "residual_columns"
TENSOR_SCALE = "weight_global_scale"
"""Of which a residual has no copy."""


def to_modelopt(q: Quantized) -> dict[str, Tensor]:
    """A module's tensors as ModelOpt writes them. FP8 128 x 128 keeps DeepSeek's own layout.

    Raises:
        ValueError: ModelOpt has no layout for the format.
    """
    if q.format is NVFP4:
        return {
            "weight": _nibbles(q),
            "weight_scale": q.scale.to(torch.float8_e4m3fn),
            "weight_scale_2": q.tensor_scale,
        }
    if q.format is MXFP4:
        return {"weight": _nibbles(q), "weight_scale": _exponents(q.scale)}
    if q.format is FP8_BLOCK:
        return {"weight": q.elements.to(torch.float8_e4m3fn), "weight_scale_inv": q.scale}
    if q.format is FP8_CHANNEL:
        return {"weight": q.elements.to(torch.float8_e4m3fn), "weight_scale": q.scale.flatten()}
    raise ValueError(f"ModelOpt has no layout for {q.format.name}; write compressed-tensors")


def to_compressed_tensors(q: Quantized | HighLow) -> dict[str, Tensor]:
    """A module's tensors as compressed-tensors writes them; residual columns, which it does not know, as above."""
    if isinstance(q, HighLow):
        low = {RESIDUAL + k: t for k, t in to_compressed_tensors(q.low).items() if k != TENSOR_SCALE}
        return to_compressed_tensors(q.high) | low | {COLUMNS: q.columns}
    if q.format is NVFP4:
        return {
            "weight_packed": _nibbles(q),
            "weight_scale": q.scale.to(torch.float8_e4m3fn),
            "weight_global_scale": (1.0 / q.tensor_scale).reshape(1),
        }
    if q.format is MXFP4:
        return {"weight_packed": _nibbles(q), "weight_scale": _exponents(q.scale)}
    if q.format.elements == "int4":
        return {
            "weight_packed": pack_int4_words(q.elements),
            "weight_scale": q.scale.to(torch.bfloat16),
            "weight_shape": torch.tensor(q.shape, dtype=torch.int64),
        }
    return {"weight": q.elements.to(torch.float8_e4m3fn), "weight_scale": q.scale}


def from_module(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Quantized | HighLow | Tensor:
    """The matrix [out, in] that a module's tensors hold, in whichever known layout they are.

    Args:
        tensors: by suffix, as `stored_suffixes` lists them.

    Returns:
        The quantised matrix; where its layout has no format here (zero points, per-tensor FP8), its float32 values.

    Raises:
        ValueError: a tensor is missing, or its shape or dtype does not fit; the message names it.
    """
    if any(suffix.startswith(RESIDUAL) for suffix in tensors):
        return _high_low(tensors, shape)
    if "weight_packed" in tensors:
        if tensors["weight_packed"].dtype == torch.int32:
            return _int4(tensors, shape)
        inverse = tensors.get("weight_global_scale")
        return _fp4(tensors, shape, "weight_packed", None if inverse is None else 1.0 / inverse.float().reshape(()))
    weight = _need(tensors, "weight")
    if weight.dtype == torch.uint8:
        second = tensors.get("weight_scale_2")
        return _fp4(tensors, shape, "weight", None if second is None else second.float().reshape(()))
    if weight.dtype == torch.float8_e4m3fn:
        return _fp8(tensors, shape)
    _expect(weight, "weight", shape)
    return weight


def stored_suffixes() -> tuple[str, ...]:
    """Every suffix that a linear module may have in a known layout; activation scales are not part of the matrix."""
    return (
        *("weight", "weight_scale_inv", "weight_scale", "weight_scale_2", "weight_packed", "weight_global_scale"),
        *("weight_shape", "weight_zero_point", "weight_g_idx"),
        *(COLUMNS, *(RESIDUAL + suffix for suffix in ("weight", "weight_packed", "weight_scale", "weight_shape"))),
    )


ACTIVATION_SUFFIXES = ("input_scale", "input_global_scale")
"""Calibrated scales of what a module reads. Engines that round activations need them; products here do not."""


def decode_gpt_oss(blocks: Tensor, scales: Tensor) -> Tensor:
    """Stacked MXFP4 experts as gpt-oss stores them.

    Args:
        blocks: `<name>_blocks`, uint8 [..., rows, groups, 16], low nibble first.
        scales: `<name>_scales`, uint8 [..., rows, groups], biased exponents.

    Returns:
        float32 [..., rows, 32 groups].

    Raises:
        ValueError: the shapes or dtypes do not fit each other.
    """
    if blocks.dtype != torch.uint8 or scales.dtype != torch.uint8:
        raise ValueError(f"MXFP4 blocks and scales must be uint8, found {blocks.dtype} and {scales.dtype}")
    if blocks.shape[:-1] != scales.shape or blocks.shape[-1] != 16:
        raise ValueError(f"MXFP4 blocks {list(blocks.shape)} do not fit scales {list(scales.shape)}")
    scale = torch.exp2(scales.float() - E8M0_BIAS)
    return (decode_e2m1(unpack_nibbles(blocks)) * scale.unsqueeze(-1)).flatten(-2)


def mxfp4_as_nvfp4(q: Quantized) -> Quantized:
    """The same values in NVFP4: a power of two is an e4m3 scale, as long as a tensor's span of scales is below 2**18.

    Raises:
        ValueError: scales span more than e4m3 can.
    """
    low, high = (torch.log2(x).item() for x in q.scale.aminmax())
    if high - low > 17:
        raise ValueError(f"MXFP4 scales span 2**{high - low:.0f}; NVFP4 holds 2**17")
    tensor_scale = torch.exp2(torch.tensor(high - 8.0))
    scale = (q.scale / tensor_scale).repeat_interleave(2, dim=1)
    return Quantized(NVFP4, q.elements, scale, tensor_scale)


def _high_low(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> HighLow:
    columns = _need(tensors, COLUMNS)
    if columns.dtype != torch.int32 or columns.dim() != 1 or not _ascending(columns, shape[1]):
        raise ValueError(f"{COLUMNS} must be int32, ascending and below {shape[1]}")
    high = from_module({k: t for k, t in tensors.items() if not k.startswith(RESIDUAL)}, shape)
    shared = {TENSOR_SCALE: tensors[TENSOR_SCALE]} if TENSOR_SCALE in tensors else {}
    own = {k.removeprefix(RESIDUAL): t for k, t in tensors.items() if k.startswith(RESIDUAL) and k != COLUMNS}
    try:
        low = from_module(own | shared, (shape[0], len(columns)))
    except ValueError as error:
        raise ValueError(f"{RESIDUAL}{error}") from None
    if not isinstance(high, Quantized) or not isinstance(low, Quantized):
        raise ValueError(f"{COLUMNS} do not go with zero points or one scale a tensor")
    if low.format is not residual_format(high.format):
        raise ValueError(f"the residual is {low.format.name}, which does not go with {high.format.name}")
    return HighLow(high, low, columns)


def _ascending(columns: Tensor, width: int) -> bool:
    """Whether they are places in a row of `width`, each after the one before."""
    return bool((columns.diff(prepend=columns.new_tensor([-1])) > 0).all() and (columns < width).all())


def _nibbles(q: Quantized) -> Tensor:
    return pack_nibbles(encode_e2m1(q.elements))


def _exponents(scale: Tensor) -> Tensor:
    return (torch.log2(scale) + E8M0_BIAS).to(torch.uint8)


def _fp4(tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str, tensor_scale: Tensor | None) -> Quantized:
    packed, scale = _need(tensors, name), _need(tensors, "weight_scale")
    _expect(packed, name, (shape[0], shape[1] // 2))
    fmt = MXFP4 if scale.dtype == torch.uint8 else NVFP4
    _expect(scale, "weight_scale", fmt.scale_shape(shape))
    if fmt is NVFP4 and tensor_scale is None:
        _need(tensors, "weight_scale_2" if name == "weight" else "weight_global_scale")
    if tensor_scale is None:
        tensor_scale = torch.ones(())
    values = torch.exp2(scale.float() - E8M0_BIAS) if fmt is MXFP4 else scale.float()
    return Quantized(fmt, decode_e2m1(unpack_nibbles(packed)), values, tensor_scale)


def _int4(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Quantized | Tensor:
    packed, scale = _need(tensors, "weight_packed"), _need(tensors, "weight_scale")
    if "weight_shape" in tensors and tuple(tensors["weight_shape"].tolist()) != shape:
        raise ValueError(f"weight_shape is {tensors['weight_shape'].tolist()}, expected {list(shape)}")
    _expect(packed, "weight_packed", (shape[0], -(-shape[1] // 8)))
    group = shape[1] // max(scale.shape[-1], 1)
    _expect(scale, "weight_scale", (shape[0], shape[1] // max(group, 1)))
    elements, values = unpack_int4_words(packed, shape[1]), scale.float()
    known = {f.columns: f for f in (INT4_G32, INT4_G128)}
    if group in known and "weight_zero_point" not in tensors and "weight_g_idx" not in tensors:
        return Quantized(known[group], elements, values, torch.ones(()))
    groups = tensors["weight_g_idx"].long() if "weight_g_idx" in tensors else torch.arange(shape[1]) // group
    if "weight_zero_point" in tensors:  # packed along rows, offset by 8 as the weights are
        zero = unpack_int4_words(tensors["weight_zero_point"].t().contiguous(), shape[0]).t()
        elements = elements - zero[:, groups]
    return elements * values[:, groups]


def _fp8(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Quantized | Tensor:
    weight = tensors["weight"]
    _expect(weight, "weight", shape)
    name = "weight_scale_inv" if "weight_scale_inv" in tensors else "weight_scale"
    scale = _need(tensors, name).float()
    if scale.dim() == 4:  # ModelOpt's FP8_PB_WO: [out / 128, 1, in / 128, 1]
        scale = scale[:, 0, :, 0]
    if scale.numel() == 1 and scale.shape != FP8_BLOCK.scale_shape(shape):
        return weight.float() * scale.reshape(())
    if scale.numel() == shape[0] and scale.shape != FP8_BLOCK.scale_shape(shape):
        return Quantized(FP8_CHANNEL, weight.float(), scale.reshape(-1, 1), torch.ones(()))
    _expect(scale, name, FP8_BLOCK.scale_shape(shape))
    return Quantized(FP8_BLOCK, weight.float(), scale, torch.ones(()))


def _need(tensors: Mapping[str, Tensor], suffix: str) -> Tensor:
    if suffix not in tensors:
        raise ValueError(f"{suffix} is missing")
    return tensors[suffix]


def _expect(tensor: Tensor, name: str, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")

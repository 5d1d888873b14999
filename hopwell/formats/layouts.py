"""How quantised matrices lie in checkpoints: the tensors of one module, by suffix, in the layouts that engines load.

ModelOpt keeps `weight`, `weight_scale` and, for NVFP4, `weight_scale_2`; compressed-tensors keeps `weight_packed`,
`weight_scale` and the reciprocal `weight_global_scale`; DeepSeek keeps `weight` and `weight_scale_inv`; AWQ and GPTQ
keep `qweight`, `qzeros`, `scales` and `g_idx`, which `int4.py` reads. Hopwell's own layout is that of
compressed-tensors, and beside it what residual columns take: the same tensors once more for the residual, as
`residual_weight_packed`, and `residual_columns`, int32, which columns of the matrix they add to.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK, FP8_CHANNEL, MXFP4, NVFP4, Quantized
from hopwell.formats.elements import E8M0_BIAS, encode_e2m1, pack_int4_words, pack_nibbles, unpack_int4_words
from hopwell.formats.fp8 import SCALES
from hopwell.formats.int4 import Described, check_index, from_qweight, from_signed, int4_matrix
from hopwell.formats.matrices import (
    Fp8Block,
    Fp8Channel,
    Int4,
    Int4Zeros,
    Matrix,
    Mxfp4,
    Nvfp4,
    Plain,
    Residual,
    Scaled,
)
from hopwell.formats.residual import HighLow, residual_format
from hopwell.formats.stored import COLUMNS, RESIDUAL, TENSOR_SCALE, misfits


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
        return {"weight": q.elements.to(torch.float8_e4m3fn), SCALES: q.scale}
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


def packed(tensors: Mapping[str, Tensor], shape: tuple[int, int], described: Described | None = None) -> Matrix:
    """The matrix [out, in] that a module's tensors hold, in whichever known layout they are, packed as it is stored.

    Args:
        tensors: by suffix, as `stored_suffixes` lists them.
        described: what config.json tells of AWQ's and GPTQ's.

    Returns:
        Where its layout has no format here (groups of columns out of order, per-tensor FP8), its values in float32.

    Raises:
        ValueError: a tensor is missing, surplus, or its shape, dtype or values do not fit; the message names it.
    """
    described = described or Described()
    for fault in misfits({suffix: (tuple(t.shape), t.dtype) for suffix, t in tensors.items()}, shape, described.group):
        raise ValueError(f"{fault.suffix} {fault.text}")
    if "qweight" in tensors:
        return from_qweight(tensors, shape, described)
    if COLUMNS in tensors:
        return _residual(tensors, shape)
    if "weight_packed" in tensors:
        if tensors["weight_packed"].dtype == torch.int32:
            return _int4(tensors, shape)
        inverse = tensors.get(TENSOR_SCALE)
        return _fp4(tensors, "weight_packed", None if inverse is None else 1.0 / inverse.float().reshape(()))
    weight = tensors["weight"]
    if weight.dtype == torch.uint8:
        second = tensors.get("weight_scale_2")
        return _fp4(tensors, "weight", None if second is None else second.float().reshape(()))
    if weight.dtype == torch.int8:
        return from_signed(weight, tensors[SCALES], shape[1])
    return _fp8(tensors, shape) if weight.dtype == torch.float8_e4m3fn else Plain(weight)


def from_module(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Quantized | HighLow | Tensor:
    """The matrix of `packed`, unpacked: a quantised one, or values as stored or in float32.

    Raises:
        ValueError: as `packed`.
    """
    found = packed(tensors, shape)
    if isinstance(found, Residual):
        return HighLow(found.high.unpacked(), found.low.unpacked(), found.data)
    if isinstance(found, Scaled):
        return found.unpacked()
    return found.data if isinstance(found, Plain) else found.dequantize()


def _residual(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Residual:
    columns = tensors[COLUMNS]
    if not _ascending(columns, shape[1]):
        raise ValueError(f"{COLUMNS} must be ascending and below {shape[1]}")
    high = packed({k: t for k, t in tensors.items() if not k.startswith(RESIDUAL)}, shape)
    own = {k.removeprefix(RESIDUAL): t for k, t in tensors.items() if k.startswith(RESIDUAL) and k != COLUMNS}
    if TENSOR_SCALE in tensors and own["weight_packed"].dtype == torch.uint8:
        own[TENSOR_SCALE] = tensors[TENSOR_SCALE]
    try:
        low = packed(own, (shape[0], len(columns)))
    except ValueError as error:
        raise ValueError(f"{RESIDUAL}{error}") from None
    if not isinstance(high, Scaled) or not isinstance(low, Scaled):
        raise ValueError(f"{COLUMNS} do not go with zero points or one scale a tensor")
    if low.format is not residual_format(high.format):
        raise ValueError(f"the residual is {low.format.name}, which does not go with {high.format.name}")
    return Residual(columns, high, low)


def _ascending(columns: Tensor, width: int) -> bool:
    """Whether they are places in a row of `width`, each after the one before."""
    return bool((columns.diff(prepend=columns.new_tensor([-1])) > 0).all() and (columns < width).all())


def _nibbles(q: Quantized) -> Tensor:
    return pack_nibbles(encode_e2m1(q.elements))


def _exponents(scale: Tensor) -> Tensor:
    return (torch.log2(scale) + E8M0_BIAS).to(torch.uint8)


def _fp4(tensors: Mapping[str, Tensor], name: str, tensor_scale: Tensor | None) -> Mxfp4 | Nvfp4:
    data, scale = tensors[name], tensors["weight_scale"]
    if scale.dtype == torch.uint8:
        return Mxfp4(data, scale)
    return Nvfp4(data, scale, torch.ones(()) if tensor_scale is None else tensor_scale)


def _int4(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Int4 | Int4Zeros | Plain:
    if "weight_shape" in tensors and tuple(tensors["weight_shape"].tolist()) != shape:
        raise ValueError(f"weight_shape is {tensors['weight_shape'].tolist()}, expected {list(shape)}")
    scale, index, zeros = tensors["weight_scale"], tensors.get("weight_g_idx"), None
    check_index("weight_g_idx", index, scale.shape[1])
    if "weight_zero_point" in tensors:  # packed along rows, offset by 8 as the weights are
        by_group = unpack_int4_words(tensors["weight_zero_point"].t().contiguous(), shape[0])
        zeros = by_group.t().to(torch.int8).contiguous()
    return int4_matrix(tensors["weight_packed"], scale, zeros, shape[1], index)


def _fp8(tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Fp8Block | Fp8Channel | Plain:
    weight, blocks = tensors["weight"], FP8_BLOCK.scale_shape(shape)
    scale = tensors[SCALES if SCALES in tensors else "weight_scale"].float()
    if scale.dim() == 4:  # ModelOpt's FP8_PB_WO: [out / 128, 1, in / 128, 1]
        scale = scale[:, 0, :, 0]
    if scale.shape == blocks:
        return Fp8Block(weight, scale)
    if scale.numel() == 1:
        return Plain(weight.float() * scale.reshape(()))
    return Fp8Channel(weight, scale.reshape(-1, 1))

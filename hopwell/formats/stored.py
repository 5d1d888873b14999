"""Which tensors may hold a matrix: every layout's suffixes, shapes and dtypes. What is not in the table is refused.

A module's tensors are judged by their headers alone, so that `inspect` and a load say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hopwell.formats.blocks import FORMATS, FP8_BLOCK, MXFP4, NVFP4
from hopwell.formats.fp8 import SCALES
from hopwell.formats.labels import Label

PLAIN = (torch.bfloat16, torch.float32, torch.float16)
Shape = tuple[int, ...]
Header = tuple[Shape, torch.dtype]
RESIDUAL = "residual_"
"""Before the suffixes of a residual's tensors."""
COLUMNS = "residual_columns"
TENSOR_SCALE = "weight_global_scale"
"""Of which a residual has no copy."""
ACTIVATION_SUFFIXES = ("input_scale", "input_global_scale")
"""Calibrated scales of what a quantised module reads. Engines that round activations need them; nothing here does."""
ONE = ((), (1,))


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of a layout: dtypes and shapes that it may have, the usual first."""

    dtypes: tuple[torch.dtype, ...]
    shapes: tuple[Shape, ...]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to store a matrix."""

    name: str
    kind: Label
    """PLAIN, FP8_BLOCK (kept so when loaded on a GPU), a format of four bits (kept packed there if that is wanted), or
    OTHER (expanded when loaded)."""
    parts: dict[str, Part]
    """By suffix."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A tensor of a module that is not as its layout has it."""

    kind: str
    """`missing`, `surplus`, `shape` or `dtype`."""
    suffix: str
    text: str
    """What is wrong, as the end of a sentence that begins with the tensor's name."""


def stored_suffixes() -> tuple[str, ...]:
    """Every suffix that a linear module may have in a known layout; activation scales are not part of the matrix."""
    return (
        *("weight", SCALES, "weight_scale", "weight_scale_2", "weight_packed", TENSOR_SCALE),
        *("weight_shape", "weight_zero_point", "weight_g_idx", "qweight", "qzeros", "scales", "g_idx"),
        *(COLUMNS, *(RESIDUAL + suffix for suffix in ("weight", "weight_packed", "weight_scale", "weight_shape"))),
    )


def layout_of(found: Mapping[str, Header], shape: tuple[int, int], group: int | None = None) -> Layout:
    """The layout that a module's tensors are meant to be in, by its codes' and scales' suffixes and dtypes.

    Args:
        found: the module's tensors by suffix.
        shape: of the matrix [out, in].
        group: columns of a group in AWQ's and GPTQ's layouts, as config.json tells; None: as many as the scales do.
    """
    dtype = {suffix: header[1] for suffix, header in found.items()}
    if "qweight" in dtype:
        return _qweight(found, shape, group)
    if "weight_packed" in dtype:
        if dtype["weight_packed"] == torch.int32:
            return _int4(found, shape)
        return _fp4("compressed-tensors", "weight_packed", TENSOR_SCALE, shape, dtype.get("weight_scale"))
    if dtype.get("weight") == torch.int8 and found["weight"][0] == (shape[0], shape[1] / 2):
        return _signed_int4(found, shape)
    if dtype.get("weight") == torch.uint8:
        return _fp4("ModelOpt's", "weight", "weight_scale_2", shape, dtype.get("weight_scale"))
    if dtype.get("weight") != torch.float8_e4m3fn:
        return Layout("plain", Label.PLAIN, {"weight": Part((*PLAIN, torch.float8_e4m3fn), (shape,))})
    codes = Part((torch.float8_e4m3fn,), (shape,))
    blocks = FP8_BLOCK.scale_shape(shape)
    if "weight_scale" not in dtype:
        scale = Part((torch.float32,), (blocks,))
        return Layout("FP8 blocks", Label.FP8_BLOCK, {"weight": codes, SCALES: scale})
    rows = shape[0]
    shapes = (blocks, (blocks[0], 1, blocks[1], 1), (rows, 1), (rows,), *ONE, (1, 1))
    kind = Label.FP8_BLOCK if found["weight_scale"][0] in shapes[:2] else Label.OTHER
    return Layout("FP8", kind, {"weight": codes, "weight_scale": Part((torch.float32, *PLAIN), shapes)})


def misfits(found: Mapping[str, Header], shape: tuple[int, int], group: int | None = None) -> list[Misfit]:
    """All that keeps a module's tensors from being a matrix [out, in] in a known layout; empty if nothing does.

    Args:
        found: the module's tensors by suffix, of `stored_suffixes` and `ACTIVATION_SUFFIXES`.
        group: as `layout_of` has it.
    """
    high = {suffix: header for suffix, header in found.items() if not suffix.startswith(RESIDUAL)}
    layout = layout_of(high, shape, group)
    faults = [_misfit(suffix, part, high.get(suffix)) for suffix, part in layout.parts.items()]
    told = [fault for fault in faults if fault is not None]
    if "qweight" in high and "g_idx" not in high and group is not None and shape[1] % group:
        told.append(Misfit("shape", "scales", f"is of groups of {group} columns, which do not divide {shape[1]}"))
    if any(fault.suffix == "weight" and fault.kind in ("dtype", "missing") for fault in told):
        return told  # of scales beside codes that are not known nothing can be said
    known = {*layout.parts, *(ACTIVATION_SUFFIXES if layout.kind != Label.PLAIN else ())}
    what = f"a weight in {dtype_name(high['weight'][1])}" if layout.kind == Label.PLAIN else layout.name
    told += [Misfit("surplus", suffix, f"does not go with {what}") for suffix in sorted(high.keys() - known)]
    return told + (_residual_misfits(found, shape) if len(high) < len(found) else [])


def usual_tensors(label: str, shape: tuple[int, int]) -> dict[str, Header]:
    """The tensors that a matrix [out, in] takes in a format, by suffix.

    Args:
        label: a name of `FORMATS`, or "fp8_tensor" for one scale.
    """
    if label in (Label.NVFP4, Label.MXFP4):
        scale = torch.uint8 if label == Label.MXFP4 else None
        parts = _fp4("ModelOpt's", "weight", "weight_scale_2", shape, scale).parts
    elif label in FORMATS and FORMATS[label].elements == "int4":
        scales = FORMATS[label].scale_shape(shape)
        parts = _int4({"weight_scale": (scales, torch.bfloat16)}, shape).parts
    else:
        scales = FORMATS[label].scale_shape(shape) if label in FORMATS else ()
        return {"weight": (shape, torch.float8_e4m3fn), "weight_scale": (scales, torch.float32)}
    return {suffix: (part.shapes[0], part.dtypes[0]) for suffix, part in parts.items() if part.needed}


def qweight_tensors(method: str, shape: tuple[int, int], group: int | None) -> dict[str, Header]:
    """The tensors that a matrix [out, in] takes in AWQ's layout (`method` "awq") or GPTQ's, by suffix.

    Args:
        group: columns of a group; None: all of them.
    """
    codes = by_inputs(shape) if method == "awq" else by_outputs(shape)
    parts = _qweight({"qweight": (codes, torch.int32)}, shape, group or shape[1]).parts
    return {suffix: (part.shapes[0], part.dtypes[0]) for suffix, part in parts.items()}


def signed_int4_tensors(shape: tuple[int, int], group: int) -> dict[str, Header]:
    """The tensors of a matrix [out, in] whose INT4 lies among FP8 (W4AFP8), by suffix."""
    scales = (shape[0], max(shape[1] // group, 1)), torch.bfloat16
    parts = _signed_int4({SCALES: scales}, shape).parts
    return {suffix: (part.shapes[0], part.dtypes[0]) for suffix, part in parts.items()}


def blocks_of(group: int) -> Label:
    """The INT4 whose blocks groups of so many columns consist of; OTHER: none's."""
    if group <= 0 or group % 32:
        return Label.OTHER
    return Label.INT4_G32 if group % 128 else Label.INT4_G128


def dtype_name(dtype: torch.dtype) -> str:
    """As messages have it."""
    return str(dtype).removeprefix("torch.")


def _misfit(suffix: str, part: Part, found: Header | None) -> Misfit | None:
    if found is None:
        return Misfit("missing", suffix, "is missing") if part.needed else None
    shape, dtype = found
    if dtype not in part.dtypes:
        expected = " or ".join(dict.fromkeys(map(dtype_name, part.dtypes)))
        return Misfit("dtype", suffix, f"is {dtype_name(dtype)}, expected {expected}")
    if shape not in part.shapes:
        return Misfit("shape", suffix, f"has shape {list(shape)}, expected {list(part.shapes[0])}")
    return None


def _residual_misfits(found: Mapping[str, Header], shape: tuple[int, int]) -> list[Misfit]:
    """Of Hopwell's own residual columns: the tensors of a narrower matrix, and which columns it adds to."""
    columns = found.get(COLUMNS)
    if columns is None:
        return [Misfit("missing", COLUMNS, "is missing")]
    width = columns[0][0] if len(columns[0]) == 1 else 0
    fault = _misfit(COLUMNS, Part((torch.int32,), ((min(width, shape[1]),),)), columns)
    if fault is not None:
        return [fault]
    own = {s.removeprefix(RESIDUAL): h for s, h in found.items() if s.startswith(RESIDUAL) and s != COLUMNS}
    if TENSOR_SCALE in layout_of(own, shape).parts and TENSOR_SCALE in found:
        own[TENSOR_SCALE] = found[TENSOR_SCALE]
    low = misfits(own, (shape[0], width))
    return [Misfit(fault.kind, RESIDUAL + fault.suffix, fault.text) for fault in low]


def _fp4(whose: str, codes: str, second: str, shape: tuple[int, int], scale: torch.dtype | None) -> Layout:
    packed = Part((torch.uint8,), ((shape[0], shape[1] // 2),))
    if scale == torch.uint8:
        scales = Part((torch.uint8,), (MXFP4.scale_shape(shape),))
        return Layout(f"{whose} MXFP4", Label.MXFP4, {codes: packed, "weight_scale": scales})
    scales = Part((torch.float8_e4m3fn,), (NVFP4.scale_shape(shape),))
    tensor_scale = Part((torch.float32,), ONE)
    return Layout(f"{whose} NVFP4", Label.NVFP4, {codes: packed, "weight_scale": scales, second: tensor_scale})


def _int4(found: Mapping[str, Header], shape: tuple[int, int]) -> Layout:
    rows, columns = shape
    groups = _groups(found.get("weight_scale"), columns)
    whole = (torch.int32, torch.int64)
    kind = Label.OTHER if "weight_g_idx" in found else blocks_of(columns // groups)
    return Layout("INT4", kind, {
        "weight_packed": Part((torch.int32,), ((rows, -(-columns // 8)),)),
        "weight_scale": Part(PLAIN, ((rows, groups),)),
        "weight_shape": Part((torch.int64, torch.int32), ((2,),), needed=False),
        "weight_zero_point": Part((torch.int32,), ((-(-rows // 8), groups),), needed=False),
        "weight_g_idx": Part(whole, ((columns,),), needed=False),
    })  # fmt: skip


def _signed_int4(found: Mapping[str, Header], shape: tuple[int, int]) -> Layout:
    """Two elements a byte, of two's complement, with a scale for a group of columns: W4AFP8's experts."""
    rows, columns = shape
    groups = _groups(found.get(SCALES), columns)
    return Layout("INT4 in bytes", blocks_of(columns // groups), {
        "weight": Part((torch.int8,), ((rows, columns // 2),)),
        SCALES: Part((torch.bfloat16, torch.float32, torch.float16), ((rows, groups),)),
    })  # fmt: skip


def _groups(scales: Header | None, columns: int) -> int:
    """Of columns, by the shape of their scales; of 128 where that is none."""
    shape = () if scales is None else scales[0]
    return shape[1] if len(shape) == 2 and shape[1] and columns % shape[1] == 0 else max(columns // 128, 1)


def _qweight(found: Mapping[str, Header], shape: tuple[int, int], group: int | None) -> Layout:
    """AWQ's or GPTQ's, which the shape of the codes tells apart: both have the matrix turned over, [in, out]."""
    out, columns = shape
    stored = found["scales"][0] if "scales" in found else ()
    if group is not None:
        groups = -(-columns // group)
    elif len(stored) == 2 and stored[0] and (columns % stored[0] == 0 or "g_idx" in found):
        groups = stored[0]
    else:
        groups = max(columns // 128, 1)
    kind = Label.OTHER if columns % groups else blocks_of(columns // groups)
    awq = found["qweight"][0] == by_inputs(shape)
    parts = {
        "qweight": Part((torch.int32,), (by_inputs(shape) if awq else by_outputs(shape),)),
        "qzeros": Part((torch.int32,), ((groups, -(-out // 8)),)),
        "scales": Part((torch.float16, torch.bfloat16, torch.float32), ((groups, out),)),
    }
    if awq:
        return Layout("AWQ's INT4", kind, parts)
    parts["g_idx"] = Part((torch.int32, torch.int64), ((columns,),), needed=False)
    return Layout("GPTQ's INT4", kind, parts)


def by_inputs(shape: tuple[int, int]) -> Shape:
    """Of AWQ's codes: eight outputs of one input in a word."""
    return shape[1], -(-shape[0] // 8)


def by_outputs(shape: tuple[int, int]) -> Shape:
    """Of GPTQ's codes: eight inputs of one output in a word."""
    return -(-shape[1] // 8), shape[0]

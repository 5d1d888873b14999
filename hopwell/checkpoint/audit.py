"""All that a load would find wrong with a checkpoint's shard headers, at once and without reading weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import PLAIN, Progress, with_columns
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import DTYPE_NAMES, TensorInfo
from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.layouts import ACTIVATION_SUFFIXES, COLUMNS, stored_suffixes

KINDS = ("missing", "surplus", "shape", "dtype", "value")
Module = Mapping[str, TensorInfo]
"""A module's tensors, by the last component of their names."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One tensor that is not as config.json has it."""

    kind: str
    """One of `KINDS`."""
    name: str
    text: str
    """What is wrong, as the end of a sentence that begins with the tensor's name."""


def audit(checkpoint: Checkpoint, specs: Sequence[TensorSpec], ignored: Iterable[str] = ()) -> list[Fault]:
    """Every fault of a checkpoint, in the order of the model, what is surplus last.

    Matrices may be plain, FP8 blocks or in any other layout of formats/layouts.py; of the latter the codes' shape is
    checked here and all else when they are loaded.

    Args:
        specs: what config.json asks for. An MTP layer that is missing whole, and MTP's copies, are no fault.
        ignored: ends of the names of tensors that are not needed and no fault.
    """
    left = dict(checkpoint.tensors)
    modules = by_module(left.values())
    mtp = {spec.module for spec in specs if spec.part.startswith("mtp")}
    without_mtp = not any(module in modules for module in mtp)
    faults: list[Fault] = []
    promised = with_columns(checkpoint)
    for spec in specs:
        if spec.is_scale or (without_mtp and spec.module in mtp):
            continue
        if spec.part == "mtp_copies":  # never read
            left.pop(spec.name, None)
            continue
        module = modules.get(spec.module, {})
        wanted = _wanted(spec, module)
        if spec.module in promised:
            wanted[COLUMNS] = (module[COLUMNS].shape if COLUMNS in module else (), (torch.int32,))
        for suffix, (shape, dtypes) in wanted.items():
            name = f"{spec.module}.{suffix}"
            fault = _fault(checkpoint, name, left.pop(name, None), shape, dtypes)
            if fault is not None:
                faults.append(fault)
        if len(spec.shape) == 2 and (layout_of(module) == "other" or "weight_scale" in module):
            for suffix in (*stored_suffixes(), *ACTIVATION_SUFFIXES):
                left.pop(f"{spec.module}.{suffix}", None)
    endings = tuple(ignored)
    for name in sorted(left):
        if not (endings and name.endswith(endings)):
            faults.append(Fault("surplus", name, f"is not part of the model; it is in {left[name].shard.name}"))
    return faults


def audit_values(checkpoint: Checkpoint, progress: Progress | None = None) -> list[Fault]:
    """Reads every tensor: NaN and infinity, scales that are not above zero, bytes that a fingerprint does not know.

    Args:
        progress: called with bytes read, bytes in all and the tensor's name.
    """
    faults, done, total = [], 0, checkpoint.total_bytes
    for name, info in checkpoint.tensors.items():
        try:
            text = bad_value(name, checkpoint.read(name))
        except CheckpointError as error:
            text = f"cannot be read: {error}"
        if text is not None:
            faults.append(Fault("value", name, f"{text}, in {info.shard.name}"))
        done += info.nbytes
        if progress is not None:
            progress(done, total, name)
    return faults


def bad_value(name: str, tensor: Tensor) -> str | None:
    """What is wrong with the first value that no weight or scale can have, or None."""
    scale = "scale" in name.rpartition(".")[2]
    if tensor.dtype == torch.float8_e4m3fn and not scale:
        bad = tensor.view(torch.uint8).bitwise_and(0x7F) == 0x7F  # its only NaN, with either sign
    elif not tensor.dtype.is_floating_point:
        return None
    else:
        values = tensor.float()
        bad = ~(values.isfinite() & (values > 0)) if scale else ~values.isfinite()
    if not bad.any():
        return None
    place = bad.nonzero()[0].tolist()
    value = tensor[tuple(place)].float().item()
    return f"is {value} at {place}, expected finite{' and above 0' if scale else ''}"


def by_module(tensors: Iterable[TensorInfo]) -> dict[str, dict[str, TensorInfo]]:
    """Tensors by module, then by the last component of their names."""
    modules: dict[str, dict[str, TensorInfo]] = {}
    for tensor in tensors:
        module, _, suffix = tensor.name.rpartition(".")
        modules.setdefault(module, {})[suffix] = tensor
    return modules


def layout_of(module: Module) -> str:
    """How a matrix is stored: `plain`, `fp8_block` (kept so when loaded), or `other` (expanded when loaded)."""
    if COLUMNS in module:
        return "other"
    weight = module.get("weight")
    if weight is None or weight.dtype == torch.uint8:
        return "other" if "weight_packed" in module or weight is not None else "plain"
    if weight.dtype != torch.float8_e4m3fn:
        return "plain"
    blocks = scale_shape(weight.shape)
    scale = module.get("weight_scale")
    if scale is not None and tuple(n for n in scale.shape if n > 1) == tuple(n for n in blocks if n > 1):
        return "fp8_block" if len(scale.shape) in (2, 4) else "other"
    return "other" if scale is not None else "fp8_block"


def _wanted(spec: TensorSpec, module: Module) -> dict[str, tuple[tuple[int, ...], Sequence[torch.dtype]]]:
    """The tensors that hold `spec`, by suffix, with the shapes and dtypes that they may have."""
    suffix = spec.name.rpartition(".")[2]
    if len(spec.shape) != 2 or not quantisable(spec):
        return {suffix: (spec.shape, PLAIN)}
    rows, columns = spec.shape
    if layout_of(module) == "plain":
        return {"weight": (spec.shape, (*PLAIN, torch.float8_e4m3fn))}
    if "weight_packed" in module:
        words = module["weight_packed"].dtype == torch.int32
        return {"weight_packed": ((rows, -(-columns // 8) if words else columns // 2), (torch.int32, torch.uint8))}
    if module["weight"].dtype == torch.uint8:
        return {"weight": ((rows, columns // 2), (torch.uint8,))}
    wanted: dict[str, tuple[tuple[int, ...], Sequence[torch.dtype]]] = {"weight": (spec.shape, (torch.float8_e4m3fn,))}
    if "weight_scale" not in module:
        wanted["weight_scale_inv"] = (scale_shape(spec.shape), (torch.float32,))
    return wanted


def quantisable(spec: TensorSpec) -> bool:
    """Whether a matrix may be stored in a quantised layout: all but embedding and router."""
    return not spec.name.endswith(("embed_tokens.weight", "mlp.gate.weight"))


def _fault(
    checkpoint: Checkpoint, name: str, found: TensorInfo | None, shape: tuple[int, ...], dtypes: Sequence[torch.dtype]
) -> Fault | None:
    if found is None:
        return Fault("missing", name, f"is missing{checkpoint.hint(name)}")
    if found.shape != shape:
        return Fault("shape", name, f"has shape {list(found.shape)}, expected {list(shape)}, in {found.shard.name}")
    if found.dtype not in dtypes:
        expected = " or ".join(DTYPE_NAMES[dtype] for dtype in dtypes)
        return Fault("dtype", name, f"is {DTYPE_NAMES[found.dtype]}, expected {expected}, in {found.shard.name}")
    return None

"""All that a load would find wrong with a checkpoint's shard headers, at once and without reading weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import Foreign, Progress, with_columns
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.reader import Checkpoint, WeightReader
from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.int4 import Described, zero_fault
from hopwell.formats.labels import Label
from hopwell.formats.stored import ACTIVATION_SUFFIXES, COLUMNS, PLAIN, dtype_name, layout_of, misfits, stored_suffixes

Module = Mapping[str, TensorInfo]
"""A module's tensors, by the last component of their names."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One tensor that is not as config.json has it."""

    kind: str
    """`missing`, `surplus`, `shape`, `dtype` or `value`."""
    name: str
    text: str
    """What is wrong, as the end of a sentence that begins with the tensor's name."""


def audit(checkpoint: WeightReader, specs: Sequence[TensorSpec], unread: Collection[str] = ()) -> list[Fault]:
    """Every fault of a checkpoint, in the order of the model, what is surplus last.

    Matrices may be plain, FP8 blocks or in any other layout of formats/stored.py.

    Args:
        specs: what config.json asks for. An MTP layer that is missing whole, and MTP's copies, are no fault.
        unread: names of tensors that nobody reads: no fault, there or not.
    """
    left = dict(checkpoint.tensors)
    modules = by_module(left.values())
    mtp = {spec.module for spec in specs if spec.part.startswith("mtp")}
    without_mtp = not any(module in modules for module in mtp)
    faults: list[Fault] = []
    promised, foreign = with_columns(checkpoint), Foreign(checkpoint.tensors)
    group = Described.of(checkpoint.config).group
    for spec in specs:
        if spec.is_scale or (without_mtp and spec.module in mtp):
            continue
        if spec.copy_of is not None:  # never read
            left.pop(spec.name, None)
            continue
        if not spec.quantisable:
            missing = checkpoint.hint(spec.name) or foreign.hint(spec.name)
            fault = _fault(spec, left.pop(spec.name, None), missing)
            faults += [] if fault is None else [fault]
            continue
        suffixes = [s for s in (*stored_suffixes(), *ACTIVATION_SUFFIXES) if f"{spec.module}.{s}" in left]
        module = {suffix: left.pop(f"{spec.module}.{suffix}") for suffix in suffixes}
        if spec.module in promised and COLUMNS not in module:
            faults.append(Fault("missing", f"{spec.module}.{COLUMNS}", "is missing, which config.json tells of"))
        found = {suffix: (info.shape, info.dtype) for suffix, info in module.items()}
        for misfit in misfits(found, (spec.shape[0], spec.shape[1]), group):
            name = f"{spec.module}.{misfit.suffix}"
            missing = checkpoint.hint(name) or foreign.hint(name)
            where = missing if misfit.kind == "missing" else f", in {module[misfit.suffix].shard.name}"
            faults.append(Fault(misfit.kind, name, misfit.text + where))
    for name in sorted(left.keys() - set(unread)):
        faults.append(Fault("surplus", name, f"is not part of the model; it is in {left[name].shard.name}"))
    return faults


def audit_values(checkpoint: Checkpoint, progress: Progress | None = None) -> list[Fault]:
    """Reads every tensor: NaN and infinity, scales that are not above zero, bytes that a fingerprint does not know.

    Args:
        progress: called with bytes read, bytes in all and the tensor's name.
    """
    faults, done, total = [], 0, checkpoint.total_bytes
    described = Described.of(checkpoint.config)
    for name, info in checkpoint.tensors.items():
        try:
            tensor = checkpoint.read(name)  # held to its fingerprint, if it has one
            module, _, suffix = name.rpartition(".")
            signed = described.symmetric if suffix == "scales" else f"{module}.weight_shape" in checkpoint.tensors
            text = None if name.endswith(ACTIVATION_SUFFIXES) else bad_value(name, tensor, signed)
            if suffix == "qzeros" and tensor.dtype == torch.int32 and tensor.dim() == 2:
                text = zero_fault(tensor, described.zero_offset or 0)
        except CheckpointError as error:
            text = f"cannot be read: {error}"
        if text is not None:
            faults.append(Fault("value", name, f"{text}, in {info.shard.name}"))
        done += info.nbytes
        if progress is not None:
            progress(done, total, name)
    return faults


def bad_value(name: str, tensor: Tensor, signed: bool = False) -> str | None:
    """What is wrong with the first value that no weight or scale can have, if any; `signed` as in `check_scale`."""
    scale = "scale" in name.rpartition(".")[2]
    if tensor.dtype == torch.float8_e4m3fn and not scale:
        bad = tensor.view(torch.uint8).bitwise_and(0x7F) == 0x7F  # its only NaN, with either sign
    elif not tensor.dtype.is_floating_point:
        return None
    else:
        values = tensor.float()
        bad = ~values.isfinite() | (scale & ((values == 0) if signed else (values <= 0)))
    if not bad.any():
        return None
    place = bad.nonzero()[0].tolist()
    value = tensor[tuple(place)].float().item()
    bound = (" and not 0" if signed else " and above 0") if scale else ""
    return f"is {value} at {place}, expected finite{bound}"


def by_module(tensors: Iterable[TensorInfo]) -> dict[str, dict[str, TensorInfo]]:
    """Tensors by module, then by the last component of their names."""
    modules: dict[str, dict[str, TensorInfo]] = {}
    for tensor in tensors:
        module, _, suffix = tensor.name.rpartition(".")
        modules.setdefault(module, {})[suffix] = tensor
    return modules


def kind_of(module: Module) -> Label:
    """How a matrix is stored, as `formats.stored.Layout.kind` has it."""
    if COLUMNS in module:
        return Label.OTHER
    codes = module.get("weight") or module.get("weight_packed") or module.get("qweight")
    if codes is None or len(codes.shape) != 2:
        return Label.PLAIN
    shape = codes.shape[0], codes.shape[1] * {torch.uint8: 2, torch.int8: 2, torch.int32: 8}.get(codes.dtype, 1)
    if "qweight" in module:  # turned over: eight outputs in a word, or eight inputs
        scales = module.get("scales")
        out = codes.shape[1] if scales is None or len(scales.shape) != 2 else scales.shape[1]
        shape = out, codes.shape[0] * (8 if codes.shape[1] == out else 1)
    return layout_of({suffix: (info.shape, info.dtype) for suffix, info in module.items()}, shape).kind


def _fault(spec: TensorSpec, found: TensorInfo | None, missing: str) -> Fault | None:
    """What is wrong with a tensor that is never quantised; `missing`: what there may be in its place."""
    if found is None:
        return Fault("missing", spec.name, f"is missing{missing}")
    where = f", in {found.shard.name}"
    if found.shape != spec.shape:
        return Fault("shape", spec.name, f"has shape {list(found.shape)}, expected {list(spec.shape)}{where}")
    if found.dtype not in PLAIN:
        expected = " or ".join(map(dtype_name, PLAIN))
        return Fault("dtype", spec.name, f"is {dtype_name(found.dtype)}, expected {expected}{where}")
    return None

"""Strict accounting: every tensor of a checkpoint is used exactly once, as expected, or the load fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from threading import Lock

import torch
from torch import Tensor

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.fp8 import SCALES
from hopwell.formats.int4 import Described
from hopwell.formats.labels import Label
from hopwell.formats.layouts import packed
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.residual import parse_label
from hopwell.formats.stored import ACTIVATION_SUFFIXES, COLUMNS, PLAIN, dtype_name, layout_of, misfits, stored_suffixes
from hopwell.ops.weight import Weight

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and the name of the tensor just read."""
REMEDY = {
    "shape": "config.json does not describe these weights",
    "dtype": "no layout that is read here has it: convert the checkpoint",
    "surplus": "no layout that is read here has it: convert the checkpoint",
}
"""By the kind of a fault."""
ORIGINAL = "fetch the original, with a tensor for each expert's matrix, in FP8 or bf16"
FINITE_CHECK_BELOW = 1 << 20
"""Values up to which a tensor is always checked for NaN and infinity; `verify` checks them all."""


class WeightSource:
    """Hands out a checkpoint's tensors, each once, to any thread, and remembers what is left.

    Raises:
        CheckpointError: config.json tells of formats that are not known here.
    """

    def __init__(self, checkpoint: WeightReader, progress: Progress | None = None) -> None:
        self.checkpoint = checkpoint
        self.left = dict(checkpoint.tensors)
        self._with_columns = with_columns(checkpoint)
        self._described = Described.of(checkpoint.config)
        self._progress = progress
        self._total, self._done = checkpoint.total_bytes, 0
        self._lock = Lock()

    def take(self, name: str, shape: Sequence[int], dtypes: Sequence[torch.dtype] = PLAIN) -> Tensor:
        """Reads a tensor and strikes it off.

        Raises:
            CheckpointError: it is missing, was taken before, has another shape or dtype, or holds NaN or infinity.
        """
        self._expect(name, shape, dtypes)
        tensor = self.checkpoint.read(name)
        if tensor.dtype in PLAIN and tensor.numel() <= FINITE_CHECK_BELOW and not tensor.isfinite().all():
            raise self._fault(name, "holds NaN or infinity", "the weights are corrupt: fetch the file again")
        self._strike(name)
        return tensor

    def take_linear(self, name: str, shape: tuple[int, int]) -> Weight:
        """Reads the matrix of a module [out, in], in any layout that `formats/layouts.py` knows.

        It is packed as it is stored; a layout that has no format here becomes float32 values.

        Raises:
            CheckpointError: as `take`; or scales are missing, misshapen, not finite or not positive.
        """
        known = (*stored_suffixes(), *ACTIVATION_SUFFIXES)
        infos = {s: info for s in known if (info := self.left.get(f"{name}.{s}")) is not None}
        if name in self._with_columns and COLUMNS not in infos:
            lost = f"tensor {name}.{COLUMNS} is missing, which config.json tells of"
            raise CheckpointError(f"{self.checkpoint.path}: {lost}; fetch the file again")
        found = {suffix: (info.shape, info.dtype) for suffix, info in infos.items()}
        for fault in misfits(found, shape, self._described.group):
            full = f"{name}.{fault.suffix}"
            raise self._missing(full) if fault.kind == "missing" else self._fault(full, fault.text, REMEDY[fault.kind])
        for suffix in ACTIVATION_SUFFIXES:
            self.skip(f"{name}.{suffix}")
        if layout_of(found, shape).kind not in (Label.PLAIN, Label.FP8_BLOCK) or "weight_scale" in found:
            return self._from_layout(name, shape, [suffix for suffix in infos if suffix not in ACTIVATION_SUFFIXES])
        data = self.take(f"{name}.weight", shape, (*PLAIN, torch.float8_e4m3fn))
        if SCALES not in infos:
            return Weight(Plain(data))
        scale = self.take(f"{name}.{SCALES}", infos[SCALES].shape, (torch.float32,))
        check_scale(self.checkpoint, f"{name}.{SCALES}", scale)
        return Weight(Fp8Block(data, scale))

    def _from_layout(self, name: str, shape: tuple[int, int], suffixes: Sequence[str]) -> Weight:
        tensors = {suffix: self.checkpoint.read(f"{name}.{suffix}") for suffix in suffixes}
        for suffix, tensor in tensors.items():
            full = f"{name}.{suffix}"
            if "scale" in suffix and tensor.dtype != torch.uint8:
                # packed INT4 is what comes with a shape
                signed = self._described.symmetric if "qweight" in suffixes else "weight_shape" in suffixes
                check_scale(self.checkpoint, full, tensor.float(), signed)
            self._strike(full)
        try:
            return Weight(packed(tensors, shape, self._described))
        except ValueError as error:
            where = self.checkpoint.tensors[f"{name}.{suffixes[0]}"].shard
            raise CheckpointError(f"{where}: module {name}: {error}; convert the checkpoint again") from None

    def skip(self, name: str) -> None:
        """Strikes off a tensor that is not needed, unread, if the checkpoint has it."""
        if name in self.left:
            self._strike(name)

    def skip_linear(self, name: str) -> None:
        """Strikes off a module's matrix, unread, as another rank's."""
        for suffix in (*stored_suffixes(), *ACTIVATION_SUFFIXES):
            self.skip(f"{name}.{suffix}")

    def finish(self) -> None:
        """Ends the accounting.

        Raises:
            CheckpointError: tensors are left that nothing asked for.
        """
        if self.left:
            more = f"and {len(self.left) - 1:,} more are" if len(self.left) > 1 else "is"
            fault = f"{more} not part of the model that config.json describes"
            raise self._fault(min(self.left), fault, "remove the surplus or mend config.json")

    def _expect(self, name: str, shape: Sequence[int], dtypes: Sequence[torch.dtype]) -> None:
        info = self.left.get(name)
        if info is None:
            raise self._missing(name)
        if info.shape != tuple(shape):
            found = f"has shape {list(info.shape)}, expected {list(shape)}"
            raise self._fault(name, found, REMEDY["shape"])
        if info.dtype not in dtypes:
            expected = " or ".join(map(dtype_name, dtypes))
            raise self._fault(name, f"is {dtype_name(info.dtype)}, expected {expected}", REMEDY["dtype"])

    def _missing(self, name: str) -> CheckpointError:
        if name in self.checkpoint.tensors:
            return self._fault(name, "is needed twice", "this is a fault of the model's code")
        hint = (
            self.checkpoint.hint(name)
            or Foreign(self.checkpoint.tensors).hint(name)
            or ("; fetch the missing shard, or check config.json")
        )
        return CheckpointError(f"{self.checkpoint.path}: tensor {name} is missing{hint}")

    def _strike(self, name: str) -> None:
        with self._lock:
            self._done += self.left.pop(name).nbytes
            if self._progress is not None:
                self._progress(self._done, self._total, name)

    def _fault(self, name: str, fault: str, remedy: str) -> CheckpointError:
        return tensor_fault(self.checkpoint, name, fault, remedy)


class Foreign:
    """What a checkpoint holds in place of tensors, by other tools' layouts."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self.tensors = tensors

    def hint(self, name: str) -> str:
        """What is there instead of a tensor: the end of a message, maybe empty."""
        module = name.rpartition(".")[0]
        if f"{module}.qweight" in self.tensors:
            return f": {module}.qweight is there, and this matrix is read plain alone; {ORIGINAL}"
        numbered = re.match(r"(.*)\.\d+\.", module)
        if numbered and numbered[1] in self._unnumbered:
            return f": {numbered[1]} are fused, which is not read here; {ORIGINAL}"
        return ""

    @cached_property
    def _unnumbered(self) -> set[str]:
        """Modules that hold something under a name that is no number: maybe all in one of what else is numbered."""
        found: set[str] = set()
        for name in self.tensors:
            components = name.split(".")
            found.update(".".join(components[:i]) for i, c in enumerate(components) if i and not c.isdigit())
        return found


def with_columns(checkpoint: WeightReader) -> set[str]:
    """Modules that have residual columns, by config.json of Hopwell's own layout; without them they are half read.

    Raises:
        CheckpointError: a format is unknown.
    """
    found = checkpoint.config.get("quantization_config") or {}
    if found.get("quant_method") != "hopwell":
        return set()
    try:
        return {module for module, label in found["formats"].items() if parse_label(label)[1]}
    except (ValueError, KeyError, AttributeError) as error:
        where = f"{checkpoint.path}/config.json: quantization_config.formats"
        raise CheckpointError(f"{where}: {error}; a newer Hopwell may read it") from None


def check_scale(checkpoint: WeightReader, name: str, scale: Tensor, signed: bool = False) -> None:
    """Refuses scales with which no weight can be right.

    Args:
        signed: scales may be negative, as AutoRound's are where a group's peak is: INT4 ranges from -8 to 7.

    Raises:
        CheckpointError: a scale is NaN, infinite, zero or negative; the message says which.
    """
    bad = ~(scale.isfinite() & ((scale != 0) if signed else (scale > 0)))
    if bad.any():
        place = bad.nonzero()[0].tolist()
        expected = "finite and not 0" if signed else "finite and above 0"
        fault = f"is {scale[tuple(place)].item()} at {place}, expected {expected}"
        raise tensor_fault(checkpoint, name, fault, "the scales are corrupt: fetch the file again")


def tensor_fault(checkpoint: WeightReader, name: str, fault: str, remedy: str) -> CheckpointError:
    """The one line that says what is wrong with a tensor."""
    return CheckpointError(f"{checkpoint.tensors[name].shard}: tensor {name} {fault}; {remedy}")

"""Strict accounting: every tensor of a checkpoint is used exactly once, as expected, or the load fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.blocks import FP8_BLOCK, Quantized
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.layouts import ACTIVATION_SUFFIXES, COLUMNS, from_module, stored_suffixes
from hopwell.formats.residual import parse_label
from hopwell.ops.linear import Weight

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and the name of the tensor just read."""
PLAIN = (torch.bfloat16, torch.float32, torch.float16)
FINITE_CHECK_BELOW = 1 << 20
"""Values up to which a tensor is always checked for NaN and infinity; `verify` checks them all."""


class WeightSource:
    """Hands out a checkpoint's tensors, each once, and remembers what is left.

    Raises:
        CheckpointError: config.json tells of formats that are not known here.
    """

    def __init__(self, checkpoint: WeightReader, progress: Progress | None = None) -> None:
        self.checkpoint = checkpoint
        self.left = dict(checkpoint.tensors)
        self._with_columns = with_columns(checkpoint)
        self._progress = progress
        self._total, self._done = checkpoint.total_bytes, 0

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

        Plain values and FP8 blocks are kept as stored; other formats become float32 values.

        Raises:
            CheckpointError: as `take`; or scales are missing, misshapen, not finite or not positive.
        """
        suffixes = [suffix for suffix in stored_suffixes() if f"{name}.{suffix}" in self.left]
        if name in self._with_columns and COLUMNS not in suffixes:
            lost = f"tensor {name}.{COLUMNS} is missing, which config.json tells of"
            raise CheckpointError(f"{self.checkpoint.path}: {lost}; fetch the file again")
        if not set(suffixes) <= {"weight", "weight_scale_inv"}:
            return self._from_layout(name, shape, suffixes)
        weight = name + ".weight"
        data = self.take(weight, shape, (*PLAIN, torch.float8_e4m3fn))
        if data.dtype != torch.float8_e4m3fn:
            return Weight(data)
        scale_name = weight + "_scale_inv"
        scale = self.take(scale_name, scale_shape(shape), (torch.float32,))
        check_scale(self.checkpoint, scale_name, scale)
        return Weight(data, scale, "fp8_block")

    def _from_layout(self, name: str, shape: tuple[int, int], suffixes: Sequence[str]) -> Weight:
        tensors = {suffix: self.checkpoint.read(f"{name}.{suffix}") for suffix in suffixes}
        for suffix in (*suffixes, *ACTIVATION_SUFFIXES):
            full = f"{name}.{suffix}"
            if full not in self.left:
                continue
            if "scale" in suffix and self.left[full].dtype != torch.uint8:
                # packed INT4 is what comes with a shape
                check_scale(self.checkpoint, full, self.checkpoint.read(full).float(), "weight_shape" in suffixes)
            self._strike(full)
        try:
            stored = from_module(tensors, shape)
        except ValueError as error:
            where = self.checkpoint.tensors[f"{name}.{suffixes[0]}"].shard
            raise CheckpointError(f"{where}: module {name}: {error}; convert the checkpoint again") from None
        if isinstance(stored, Tensor):
            return Weight(stored)
        if isinstance(stored, Quantized) and stored.format is FP8_BLOCK:
            return Weight(stored.elements.to(torch.float8_e4m3fn), stored.scale, "fp8_block")
        return Weight(stored.dequantize())

    def skip(self, name: str) -> None:
        """Strikes off a tensor that is not needed, unread, if the checkpoint has it."""
        if name in self.left:
            self._strike(name)

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
            if name in self.checkpoint.tensors:
                raise self._fault(name, "is needed twice", "this is a fault of the model's code")
            hint = self.checkpoint.hint(name) or "; fetch the missing shard, or check config.json"
            raise CheckpointError(f"{self.checkpoint.path}: tensor {name} is missing{hint}")
        if info.shape != tuple(shape):
            found = f"has shape {list(info.shape)}, expected {list(shape)}"
            raise self._fault(name, found, "config.json does not describe these weights")
        if info.dtype not in dtypes:
            expected = " or ".join(_label(dtype) for dtype in dtypes)
            raise self._fault(name, f"is {_label(info.dtype)}, expected {expected}", "convert the checkpoint")

    def _strike(self, name: str) -> None:
        self._done += self.left.pop(name).nbytes
        if self._progress is not None:
            self._progress(self._done, self._total, name)

    def _fault(self, name: str, fault: str, remedy: str) -> CheckpointError:
        return tensor_fault(self.checkpoint, name, fault, remedy)


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


def _label(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

"""The header of a safetensors file, read and checked before any of its data is believed.

Layout (safetensors, format description): a little-endian u64 holds the header's length, then comes the header, JSON
that maps a tensor's name to its dtype, shape and place in the rest of the file, then the data, without holes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import check_regular

MAX_DIMENSIONS = 8
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
DTYPES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as its shard's header describes it."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    shard: Path
    start: int
    """Byte of the file at which the data starts."""
    end: int
    """Byte of the file before which the data ends."""

    @property
    def nbytes(self) -> int:
        return self.end - self.start


def read_header(shard: Path) -> list[TensorInfo]:
    """The tensors of one safetensors file, in the order of their data.

    Raises:
        CheckpointError: the file is truncated, or its header is corrupt or does not match the file.
    """
    check_regular(shard)
    try:
        size = shard.stat().st_size
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(
                    f"{shard}: header of {length:,} bytes does not fit a file of {size:,}: truncated or not "
                    "safetensors; fetch it again"
                )
            entries = json.loads(file.read(length), object_pairs_hook=_unique)
    except OSError as error:
        raise CheckpointError(f"{shard}: cannot read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{shard}: corrupt header: {error}; fetch the file again") from error
    if not isinstance(entries, dict):
        raise CheckpointError(f"{shard}: corrupt header: expected a JSON object; fetch the file again")
    entries.pop("__metadata__", None)
    tensors = [_tensor(shard, name, entry, 8 + length) for name, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    position = 8 + length
    for tensor in tensors:
        if tensor.start != position:
            fault = "overlaps the tensor before it" if tensor.start < position else "leaves a hole before it"
            raise CheckpointError(f"{shard}: tensor {tensor.name} {fault}: corrupt header; fetch the file again")
        position = tensor.end
    if position != size:
        state = "truncated" if position > size else "longer than its header says"
        raise CheckpointError(f"{shard}: {state}: {position:,} bytes expected, {size:,} found; fetch the file again")
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return entries


def _tensor(shard: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    def fail(fault: str) -> CheckpointError:
        return CheckpointError(f"{shard}: tensor {name}: {fault}: corrupt header; fetch the file again")

    if not isinstance(entry, dict):
        raise fail(f"expected an object, found {_short(entry)}")
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in DTYPES:
        raise CheckpointError(f"{shard}: tensor {name}: unknown dtype {_short(kind)}; known: {', '.join(DTYPES)}")
    if not _whole_numbers(shape):
        raise fail(f"shape is {_short(shape)}")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise fail(f"data_offsets is {_short(offsets)}")
    start, end = offsets
    if len(shape) > MAX_DIMENSIONS or max(*shape, start, end, 0, 0) >= 1 << 63:
        raise fail(f"a shape of {len(shape):,} dimensions, or numbers beyond 63 bits")
    expected = math.prod(shape) * DTYPES[kind].itemsize
    if end - start != expected:
        raise fail(f"{kind} {shape} takes {expected:,} bytes, its offsets give {end - start:,}")
    return TensorInfo(name, DTYPES[kind], tuple(shape), shard, data_start + start, data_start + end)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _whole_numbers(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)

"""Files of a conversion: written whole or not at all, fingerprinted, and overlaid on the source's."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from hopwell.checkpoint import files
from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.fp8 import SCALES
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.stages import stage


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all."""
    with told(path):
        files.write_json(path, value)


def write_text(path: Path, text: str) -> None:
    """Writes text, whole or not at all."""
    with told(path):
        files.write_text(path, text)


@stage("write")
def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file, whole or not at all; the same tensors make the same bytes."""
    with told(path), files.replacing(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        save_file({k: tensors[k].contiguous() for k in sorted(tensors)}, partial, metadata={"format": "pt"})
        if partial.stat().st_mode != mode:  # the library's files are their owner's alone; others may serve the model
            partial.chmod(mode)


def copy_file(source: Path, path: Path) -> None:
    """Copies a file, whole or not at all."""
    with told(path), files.replacing(path) as partial:
        shutil.copyfile(source, partial)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns a disk's faults into the one line that a conversion ends with."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        remedy = "the disk is full; make room and run again, finished layers are kept" if full else str(error)
        raise PrecisionError(f"{path}: cannot write: {remedy}") from None


class Overlay:
    """A checkpoint of which some linears are replaced by other values: what a conversion would load as."""

    def __init__(self, base: WeightReader, matrices: Mapping[str, Callable[[], Tensor]]) -> None:
        self.base, self.matrices = base, matrices
        self.path, self.config = base.path, base.config
        replaced = {f"{name}.weight" for name in matrices}
        hidden = {f"{name}.{SCALES}" for name in matrices}
        self.tensors: dict[str, TensorInfo] = {}
        for name, info in base.tensors.items():
            if name in replaced:
                self.tensors[name] = replace(info, dtype=torch.float32, start=0, end=4 * prod(info.shape))
            elif name not in hidden:
                self.tensors[name] = info

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def read(self, name: str) -> Tensor:
        """One tensor, replaced or not."""
        make = self.matrices.get(name.removesuffix(".weight"))
        return self.base.read(name) if make is None else make().float()

    def hint(self, name: str) -> str:
        """As the base's."""
        return self.base.hint(name)

"""Opening a checkpoint: `config.json` and the shards of one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch
from torch import Tensor

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import REPORT_BYTES, SNAPSHOT_FILE, read_config, read_json, unread_weights
from hopwell.checkpoint.fingerprint import fingerprint, read_fingerprints
from hopwell.checkpoint.header import TensorInfo, read_header
from hopwell.system import open_to_read, read_at

__all__ = ["Checkpoint", "CheckpointError", "TensorInfo", "WeightReader"]

INDEX = "model.safetensors.index.json"
SYNTHETIC = "hopwell_synth.json"
"""Beside synthetic weights: their seed, and what was measured of them."""


class WeightReader(Protocol):
    """What a model loads from: a checkpoint on disk, or weights made as they are asked for."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]

    @property
    def total_bytes(self) -> int: ...

    def read(self, name: str) -> Tensor: ...

    def hint(self, name: str) -> str: ...


class Checkpoint:
    """A folder of safetensors shards. Their headers are the truth; the index is only a hint.

    Attributes:
        path: the folder.
        config: config.json as read.
        tensors: every tensor of every shard, by name.
        fingerprints: SHA-256 by tensor, if a conversion left them; every read is held to them.
        warnings: one line for each way in which the index disagrees with the shards.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], tensors: dict[str, TensorInfo], index: dict[str, str]
    ) -> None:
        self.path, self.config, self.tensors = path, config, tensors
        self._index = index
        self._files: dict[Path, int] = {}
        self._opening = Lock()
        self.fingerprints = read_fingerprints(path)
        self.warnings = list(_disagreements(path, tensors, index))

    @classmethod
    def open(cls, path: str | Path) -> Checkpoint:
        """Reads `path`'s config.json and the header of every `*.safetensors` file in it; no weights yet.

        Raises:
            CheckpointError: the folder or a file in it is missing or corrupt, or two shards hold the same tensor.
        """
        path = Path(path)
        if not path.is_dir():
            raise CheckpointError(f"{path}: no such folder; give the folder that holds config.json and the shards")
        return cls.of_shards(path, read_config(path / "config.json"))

    @classmethod
    def of_shards(cls, path: Path, config: dict[str, Any]) -> Checkpoint:
        """As `open`, with a config that need not be in the folder yet."""
        if (path / SNAPSHOT_FILE).exists():
            remedy = "give the checkpoint that it was packed of"
            raise CheckpointError(f"{path}: is a packed snapshot, which is only for loading and inspect; {remedy}")
        shards = sorted(path.glob("*.safetensors"))
        if not shards:
            if (path / SYNTHETIC).exists():
                drawn = "its weights are drawn where it is served; for shards leave --at-load out of hopwell synth"
                raise CheckpointError(f"{path}: holds no *.safetensors file: {drawn}")
            found = unread_weights(path) or "holds no *.safetensors file; fetch the weights into it"
            raise CheckpointError(f"{path}: {found}")
        tensors: dict[str, TensorInfo] = {}
        for shard in shards:
            for tensor in read_header(shard):
                if (first := tensors.setdefault(tensor.name, tensor)) is not tensor:
                    twice = f"tensor {tensor.name} is also in {first.shard.name}"
                    raise CheckpointError(f"{shard}: {twice}; remove the shard that does not belong")
        return cls(path, config, tensors, _read_index(path / INDEX))

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def read(self, name: str) -> Tensor:
        """One tensor, in memory of its own; any thread may ask.

        Raises:
            CheckpointError: there is no such tensor, its file cannot be read, or it is not what was written.
        """
        info = self.tensors.get(name)
        if info is None:
            raise CheckpointError(f"{self.path}: tensor {name} is missing{self.hint(name)}")
        data = torch.empty(info.nbytes, dtype=torch.uint8)
        if info.nbytes:
            self._fill(info, data.numpy().data)
        if self.fingerprints and fingerprint(data) != self.fingerprints.get(name):
            fault = "is not what the conversion wrote" if name in self.fingerprints else "is not of the conversion"
            raise CheckpointError(f"{info.shard}: tensor {name} {fault}; fetch the file again")
        return data.view(info.dtype).view(info.shape)

    def hint(self, name: str) -> str:
        """Where the index would have a tensor that no shard holds: the end of an error message, maybe empty."""
        shard = self._index.get(name)
        if shard is None or name in self.tensors:
            return ""
        return f": the index has it in {shard}, which {'lacks it' if (self.path / shard).exists() else 'is not here'}"

    def close(self) -> None:
        """Closes the shards; they open again when read."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def __del__(self) -> None:
        self.close()

    def _fill(self, info: TensorInfo, buffer: memoryview) -> None:
        done = 0
        try:
            with self._opening:
                if info.shard not in self._files:
                    self._files[info.shard] = open_to_read(info.shard)
            while done < info.nbytes:
                count = read_at(self._files[info.shard], buffer[done:], info.start + done)
                if not count:
                    raise CheckpointError(f"{info.shard}: tensor {info.name}: the file shrank while it was read")
                done += count
        except OSError as error:
            raise CheckpointError(f"{info.shard}: tensor {info.name}: cannot read: {error.strerror}") from error


def _read_index(path: Path) -> dict[str, str]:
    """The index's map from tensor to shard; empty where there is none."""
    shards = read_json(path, REPORT_BYTES).get("weight_map") if path.exists() else {}
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise CheckpointError(f"{path}: weight_map must map tensors to shards; remove the file, the shards suffice")
    return shards


def _disagreements(path: Path, tensors: dict[str, TensorInfo], index: dict[str, str]) -> Iterable[str]:
    """One line for each way in which index and shards differ, with an example."""
    if not index:
        return
    gone = [name for name in index if name not in tensors]
    moved = [name for name, shard in index.items() if name in tensors and tensors[name].shard.name != shard]
    unlisted = [name for name in tensors if name not in index]
    for names, fault in (
        (gone, "lists {} tensors that no shard holds"),
        (moved, "lists {} tensors in another shard than they are in"),
        (unlisted, "does not list {} tensors of the shards"),
    ):
        if names:
            yield f"{path / INDEX}: {fault.format(len(names))}, {names[0]} for one; the shards decide"

"""Packed snapshots: a model's weights as one kind of device wants them, fused, in its kernels' order and cut by rank.

A snapshot is a model's folder with a file of weights a rank, `rank-0.weights`, each the buffer of `model/tree.py`, and
`hopwell_snapshot.json`, which says what they are for and how they go together, with digests of all of it. A GPU's are
streamed into its memory, a CPU's mapped: processes share them, and nothing is copied.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.content import CHUNK, ContentWriter, Receiver, Unkept, read_content, told
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import REPORT_BYTES, SNAPSHOT_FILE, read_config, read_json, write_json
from hopwell.checkpoint.staging import Staging
from hopwell.model.config import ModelConfig
from hopwell.model.sharding import Shard, share
from hopwell.model.transformer import Transformer
from hopwell.model.tree import ALIGNMENT, Apart, tensors, together
from hopwell.ops.cpu import cpu_multiplies_bf16, cpu_packs_float16
from hopwell.ops.device import Device
from hopwell.ops.linear_choice import packing
from hopwell.parallel.layout import Layout
from hopwell.system import cores
from hopwell.version import __version__

VERSION = 2
"""Of the files. What is in them follows from the code: another version of Hopwell may fuse or order it otherwise."""
THREADS = min(16, max(8, cores()))
"""That read; with 16 MiB each they keep several disks busy, and cores while they wait. Of what is in memory already a
thread checks one or two GB a second."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """What a snapshot is for: all that its bytes follow from besides the checkpoint."""

    device: str
    """A GPU's architecture, or the library that multiplies on a CPU."""
    dtype: str
    four_bits: str
    tp: int
    ep: int
    dp_attention: bool = False

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype, packed: bool, layout: Layout) -> Target:
        """What a load with these settings would make.

        Args:
            packed: as `load_transformer` has it.
        """
        if device.type == "cpu":
            kind = f"cpu ({packing(dtype, True, cpu_multiplies_bf16(), cpu_packs_float16()).name})"
        else:
            gpu = Device.of(device)
            kind = f"sm_{gpu.capability}" + ("" if gpu.has_kernels else " (without kernels)")
        four_bits = "packed" if packed else "expanded"
        ranks = (layout.tp, layout.tp if layout.ep else 1, layout.dp_attention)
        return cls(kind, str(dtype).removeprefix("torch."), four_bits, *ranks)

    @property
    def layout(self) -> Layout:
        """Of the ranks, as rank 0."""
        return Layout.of(self.tp, self.ep, self.dp_attention)

    @property
    def kind(self) -> torch.dtype:
        """`dtype`, as PyTorch has it."""
        return getattr(torch, self.dtype)

    def difference(self, other: Target) -> str | None:
        """What `other`, for which a snapshot is wanted, has otherwise, and what to do; None: nothing."""
        mine, wanted = self.layout, other.layout
        if mine != wanted:
            return f"for {mine.name}, not for {wanted.name}; give {mine.options}, or pack it again"
        if self.dtype != other.dtype:
            return f"in {self.dtype}, not in {other.dtype}; give --dtype {self.dtype}, or pack it again"
        if self.device != other.device:
            return f"for {self.device}, not for {other.device}; choose another --device, or pack it again for this one"
        if self.four_bits != other.four_bits:
            return f"with four bits {self.four_bits}; give --four-bits {self.four_bits}, or pack it again"
        return None


@dataclass(frozen=True, slots=True)
class Part:
    """One rank's weights."""

    file: str
    nbytes: int
    sha256: list[str]
    """Of every `CHUNK` bytes."""
    tree: dict[str, Any]

    def where(self, start: int, end: int) -> str:
        """What lies between two bytes, for a message."""
        names = sorted((at, name) for name, at in tensors(self.tree) if at < end)
        first = [name for at, name in names if at <= start][-1:]
        last = [name for _, name in names][-1:]
        return f" ({' to '.join(dict.fromkeys(first + last))})"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder that `hopwell pack` wrote."""

    path: Path
    config: dict[str, Any]
    """config.json as read."""
    target: Target
    parts: list[Part]
    """By rank."""
    mtp: bool
    """Whether the checkpoint had its MTP layer."""
    source: dict[str, Any]
    """Of the checkpoint: `name`, `bytes`, and `fingerprint`, which tells it from others."""

    @staticmethod
    def is_at(path: Path) -> bool:
        """Whether a folder is one."""
        return (path / SNAPSHOT_FILE).exists()

    @classmethod
    def open(cls, path: Path) -> Snapshot:
        """Reads what a snapshot says of itself; no weights yet.

        Raises:
            CheckpointError: it is of another version, incomplete, or not as it was packed.
        """
        file = path / SNAPSHOT_FILE
        values, config = read_json(file, REPORT_BYTES), read_config(path / "config.json")
        made = (values.get("version"), values.get("hopwell"))
        if made != (VERSION, __version__):
            ours = f"this one is {__version__} and reads version {VERSION}"
            raise CheckpointError(f"{file}: is version {made[0]} by hopwell {made[1]}, {ours}; pack it again")
        if values.pop("sha256", None) != digest(values):
            raise CheckpointError(f"{file}: is not as it was written; fetch the file or pack it again")
        if values.get("config") != digest(config):
            raise CheckpointError(f"{path}/config.json: is not that of the weights; fetch it or pack them again")
        try:
            target, parts = Target(**values["target"]), [Part(**part) for part in values["parts"]]
            found = cls(path, config, target, parts, values["mtp"], values["source"])
            if wrong := [part.file for part in parts if Path(part.file).name != part.file or part.nbytes < 1]:
                raise ValueError(f"{wrong[0]} is empty, or another folder's")
            _ = target.kind
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file}: is no snapshot's: {error}; pack it again") from None
        for part in parts:
            found._check_size(part)
        return found

    @property
    def total_bytes(self) -> int:
        """Of the checkpoint that it was packed of."""
        return self.source["bytes"]

    @property
    def nbytes(self) -> int:
        """Of all ranks' weights."""
        return sum(part.nbytes for part in self.parts)

    @property
    def model_config(self) -> ModelConfig:
        """The whole model's, without an MTP layer if the checkpoint had none."""
        config = ModelConfig.from_dict(self.config)
        return config if self.mtp else replace(config, num_nextn_predict_layers=0)

    def describe(self) -> str:
        """One line: of what, for what."""
        target = self.target
        layout = target.layout.name
        four_bits = ", four bits packed" if target.four_bits == "packed" else ""
        return f"{self.source['name']} packed in {target.dtype}{four_bits} for {layout} on {target.device}"

    def as_json(self) -> dict[str, Any]:
        """Plain values: what it is for, and what was packed; not how it goes together."""
        parts = [{"file": part.file, "bytes": part.nbytes} for part in self.parts]
        return {"hopwell": __version__, **asdict(self.target), "source": self.source, "parts": parts}

    def check(self, wanted: Target) -> None:
        """
        Raises:
            CheckpointError: it was packed for something else.
        """
        if (difference := self.target.difference(wanted)) is not None:
            raise CheckpointError(f"{self.path}: was packed {difference}")

    def load(
        self, device: torch.device, dtype: torch.dtype, progress: Progress | None, shard: Shard | None, packed: bool
    ) -> Transformer:
        """The model, or a rank's share of it, as `load_transformer` would make it: every byte is held to its digest.

        Raises:
            CheckpointError: it was packed for something else, or is not what was packed.
        """
        layout = Layout() if shard is None else shard.layout
        self.check(Target.of(device, dtype, packed, layout))
        part = self.parts[layout.rank]
        buffer = self._mapped(part, progress) if device.type == "cpu" else self._streamed(part, device, progress)
        try:
            config = share(self.model_config, layout)
            return together(part.tree, buffer, config, shard)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            fault = str(error).split("\n", 1)[0]
            raise CheckpointError(f"{self.path}/{part.file}: cannot be put together: {fault}; pack it again") from None

    def verify(self, progress: Progress | None = None) -> None:
        """Holds every byte of every rank to its digest.

        Raises:
            CheckpointError: one is not what was packed.
        """
        before = 0

        def tell(done: int, _: int, name: str) -> None:
            if progress is not None:
                progress(before + done, self.nbytes, name)

        for part in self.parts:
            self._read(part, [Unkept() for _ in range(THREADS)], True, tell)
            before += part.nbytes

    def _mapped(self, part: Part, progress: Progress | None) -> Tensor:
        """A rank's buffer as pages of its file, which is checked first.

        hazard: whoever writes to the file later changes the model, and whoever cuts it short ends the process.
        """
        self._read(part, [Unkept() for _ in range(THREADS)], False, progress)
        path = self.path / part.file
        with told(path), path.open("rb") as file:  # private: what is written to a tensor does not reach the file
            return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=torch.uint8)

    def _streamed(self, part: Part, device: torch.device, progress: Progress | None) -> Tensor:
        """A rank's buffer in its GPU's memory."""
        buffer = torch.empty(part.nbytes, dtype=torch.uint8, device=device)
        self._read(part, [Staging(buffer) for _ in range(THREADS)], True, progress)
        return buffer

    def _read(self, part: Part, receivers: Sequence[Receiver], direct: bool, progress: Progress | None) -> None:
        self._check_size(part)

        def tell(done: int) -> None:
            if progress is not None:
                progress(done, part.nbytes, part.file)

        path = self.path / part.file
        read_content(path, part.nbytes, part.sha256, receivers, direct, tell, part.where)

    def _check_size(self, part: Part) -> None:
        path = self.path / part.file
        with told(path):
            size = path.stat().st_size
        if size != part.nbytes:
            fault = f"has {size:,} bytes, {part.nbytes:,} were packed"
            raise CheckpointError(f"{path}: {fault}; fetch the file or pack it again")


def write_part(path: Path, apart: Apart, progress: Callable[[int], None]) -> Part:
    """Writes a rank's buffer.

    Args:
        progress: called with bytes written.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    with path.open("wb") as file:
        writer = ContentWriter(file)
        for run in apart.runs:
            writer.fill(ALIGNMENT)
            for piece in run.split(CHUNK):
                writer.write(piece.cpu().numpy().data)
                progress(writer.nbytes)
        digests = writer.finish()
    return Part(path.name, writer.nbytes, digests, apart.tree)


def write_manifest(
    folder: Path, config: dict[str, Any], target: Target, parts: Sequence[Part], mtp: bool, source: dict[str, Any]
) -> None:
    """Writes what makes a folder a snapshot; its arguments are what `Snapshot` has."""
    values = {
        "version": VERSION,
        "hopwell": __version__,
        "config": digest(config),
        "target": asdict(target),
        "parts": [asdict(part) for part in parts],
        "mtp": mtp,
        "source": source,
    }
    write_json(folder / SNAPSHOT_FILE, {**values, "sha256": digest(values)})


def digest(values: Any) -> str:
    """SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

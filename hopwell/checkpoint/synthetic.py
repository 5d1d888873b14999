"""Writing a checkpoint of random weights: what each tensor holds, and the shards that hold them.

Tensors are drawn in chunks by a few threads and written in order, so that memory stays bounded whatever the model.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from hopwell.checkpoint.draw import code_table, draw, normal_table, scale_table, seed_of
from hopwell.checkpoint.header import DTYPE_NAMES
from hopwell.checkpoint.reader import INDEX
from hopwell.checkpoint.spec import TensorSpec

SHARD_BYTES = 5_000_000_000
"""About what a released shard holds."""
CHUNK_BYTES = 16 << 20
"""Drawn at once, with a seed of its own: chunks may be made in any order."""
AHEAD = 16
"""Chunks in memory."""
SWIGLU_DEVIATION = 0.5964
"""Of silu(a) * b, a and b normal: sqrt(E[silu(a)^2]), by which a down projection must make up for its input."""
BIAS_DEVIATION = 0.005
"""Of the router's correction bias: present, and too small to unbalance the experts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of consecutive bytes of one tensor."""

    spec: TensorSpec
    index: int
    count: int
    """Values."""


def write_shards(
    folder: Path,
    specs: Sequence[TensorSpec],
    seed: int,
    device: str = "cpu",
    power_of_two: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes random weights for `specs`, in their order, as safetensors shards with an index.

    On a CPU the same seed gives the same bytes, whatever the threads; a GPU's own generator gives others.

    Args:
        power_of_two: block scales are powers of two.
        progress: called with bytes written, bytes in all and the tensor's name.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    shards = list(_split(specs, shard_bytes))
    total, done = sum(spec.nbytes for spec in specs), 0
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    maker = _Maker(specs, seed, device, power_of_two)
    with ThreadPoolExecutor(_threads(device)) as pool:
        for name, shard in zip(names, shards, strict=True):
            with (folder / name).open("wb") as file:
                file.write(_header(shard))
                for piece, data in _in_order(pool, maker, _pieces(shard)):
                    file.write(data.view(torch.uint8).numpy().data)
                    done += data.nbytes
                    if progress is not None:
                        progress(done, total, piece.spec.name)
                _to_disk(file)
    places = {spec.name: name for name, shard in zip(names, shards, strict=True) for spec in shard}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


class _Maker:
    """What each tensor of a model holds."""

    def __init__(self, specs: Sequence[TensorSpec], seed: int, device: str, power_of_two: bool) -> None:
        self.seed, self.device, self.power_of_two = seed, device, power_of_two
        self.shapes = {spec.name: spec.shape for spec in specs}

    def __call__(self, piece: Piece) -> Tensor:
        """The values of a piece, flat, on the CPU."""
        spec, count = piece.spec, piece.count
        seed = seed_of(self.seed, _original(spec), piece.index)
        if spec.name.endswith("_scale_inv"):
            weight = spec.name.removesuffix("_scale_inv")
            table = scale_table(gain(weight, self.shapes[weight]), self.power_of_two, self.device)[0]
            return draw(table, count, seed).cpu()
        if spec.dtype == torch.float8_e4m3fn:
            stretch = scale_table(gain(spec.name, spec.shape), self.power_of_two, self.device)[1]
            pairs = draw(code_table(stretch, self.device), -(-count // 2), seed)
            return pairs.cpu().view(spec.dtype)[:count]
        deviation, mean = gain(spec.name, spec.shape), float(_is_norm(spec.name))
        return draw(normal_table(deviation, mean, spec.dtype, self.device), count, seed).cpu()


def gain(name: str, shape: Sequence[int]) -> float:
    """The deviation of a tensor's values, with which activations neither vanish nor explode.

    A matrix keeps its input's variance; embeddings have deviation 1; norms are 1 +- 0.1.
    """
    if name.endswith("e_score_correction_bias"):
        return BIAS_DEVIATION
    if _is_norm(name):
        return 0.1
    if name.endswith("embed_tokens.weight"):
        return 1.0
    unit = 1 / math.sqrt(shape[-1])
    return unit / SWIGLU_DEVIATION if name.endswith("down_proj.weight") else unit


def _is_norm(name: str) -> bool:
    return name.endswith("norm.weight")


def _original(spec: TensorSpec) -> str:
    """The tensor whose bytes these are: MTP's embedding and head are copies of the model's."""
    if spec.part != "mtp_copies":
        return spec.name
    return "model.embed_tokens.weight" if spec.name.endswith("embed_tokens.weight") else "lm_head.weight"


def _split(specs: Iterable[TensorSpec], limit: int) -> Iterator[list[TensorSpec]]:
    shard: list[TensorSpec] = []
    size = 0
    for spec in specs:
        if shard and size + spec.nbytes > limit:
            yield shard
            shard, size = [], 0
        shard.append(spec)
        size += spec.nbytes
    yield shard


def _header(shard: Sequence[TensorSpec]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for spec in shard:
        offsets = [start, start + spec.nbytes]
        entries[spec.name] = {"dtype": DTYPE_NAMES[spec.dtype], "shape": list(spec.shape), "data_offsets": offsets}
        start = offsets[1]
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _pieces(shard: Iterable[TensorSpec]) -> Iterator[Piece]:
    for spec in shard:
        step = CHUNK_BYTES // spec.dtype.itemsize
        for index in range(-(-spec.numel // step)):
            yield Piece(spec, index, min(step, spec.numel - index * step))


def _in_order(
    pool: ThreadPoolExecutor, make: Callable[[Piece], Tensor], pieces: Iterator[Piece]
) -> Iterator[tuple[Piece, Tensor]]:
    """Makes pieces a few ahead of their use."""
    ahead: deque[tuple[Piece, Future[Tensor]]] = deque()
    for piece in pieces:
        ahead.append((piece, pool.submit(make, piece)))
        if len(ahead) > AHEAD:
            first, future = ahead.popleft()
            yield first, future.result()
    while ahead:
        first, future = ahead.popleft()
        yield first, future.result()


def _threads(device: str) -> int:
    return 2 if device != "cpu" else min(8, os.cpu_count() or 1)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

"""Writing synthetic weights as safetensors shards: drawn by a few threads, written in order, in bounded memory."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.header import DTYPE_NAMES
from hopwell.checkpoint.reader import INDEX
from hopwell.checkpoint.spec import TensorSpec
from hopwell.checkpoint.synthetic import Piece, SyntheticWeights, pieces

SHARD_BYTES = 5_000_000_000
"""About what a shard of the released checkpoints holds."""
AHEAD = 16
"""Pieces in memory at most."""
THREADS = 8


def write_shards(
    folder: Path,
    weights: SyntheticWeights,
    progress: Callable[[int, int, str], None] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes all of `weights`, in the order of their specs, and an index.

    Args:
        progress: called with bytes written, bytes in all and the tensor's name.
        shard_bytes: of tensors in a shard, unless one is larger.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    shards = list(split(weights.specs.values(), shard_bytes))
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    total, done = weights.total_bytes, 0
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for name, shard in zip(names, shards, strict=True):
            with (folder / name).open("wb") as file:
                file.write(header_of(shard))
                for piece, data in _in_order(pool, lambda piece: weights.make(piece).cpu(), pieces(shard)):
                    file.write(data.view(torch.uint8).numpy().data)
                    done += data.nbytes
                    if progress is not None:
                        progress(done, total, piece.spec.name)
                file.flush()
                os.fsync(file.fileno())
    places = {spec.name: name for name, shard in zip(names, shards, strict=True) for spec in shard}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def split(specs: Iterable[TensorSpec], limit: int) -> Iterator[list[TensorSpec]]:
    """Tensors by shard, each of at most `limit` bytes unless one tensor is larger."""
    shard: list[TensorSpec] = []
    size = 0
    for spec in specs:
        if shard and size + spec.nbytes > limit:
            yield shard
            shard, size = [], 0
        shard.append(spec)
        size += spec.nbytes
    yield shard


def header_of(shard: Sequence[TensorSpec]) -> bytes:
    """The bytes of a safetensors file that come before its data."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for spec in shard:
        offsets = [start, start + spec.nbytes]
        entries[spec.name] = {"dtype": DTYPE_NAMES[spec.dtype], "shape": list(spec.shape), "data_offsets": offsets}
        start = offsets[1]
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _in_order(
    pool: ThreadPoolExecutor, make: Callable[[Piece], Tensor], wanted: Iterator[Piece]
) -> Iterator[tuple[Piece, Tensor]]:
    """Makes pieces a few ahead of their use."""
    ahead: deque[tuple[Piece, Future[Tensor]]] = deque()
    for piece in wanted:
        ahead.append((piece, pool.submit(make, piece)))
        if len(ahead) == AHEAD:
            first, future = ahead.popleft()
            yield first, future.result()
    for first, future in ahead:
        yield first, future.result()

"""A checkpoint read ahead by several threads: most of a load is copying, checking and making memory, and one core is
slower at each than a disk or a GPU's link."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.reader import Checkpoint, WeightReader

WINDOW = 1 << 30
"""Bytes that are read before they are asked for, at most."""
WORTH_IT = 1 << 28
"""Bytes of a checkpoint below which one thread reads it as fast."""
THREADS = 8


class ReadAhead:
    """A `WeightReader` that guesses what will be asked for next: tensors come in the order of their names, numbers in
    them as numbers. What is asked for out of that order is read in the caller's own thread."""

    def __init__(self, checkpoint: Checkpoint, pool: ThreadPoolExecutor, window: int = WINDOW) -> None:
        """
        Args:
            pool: its threads read.
            window: bytes to be ahead, at most.
        """
        self.path: Path = checkpoint.path
        self.config: dict[str, Any] = checkpoint.config
        self.tensors: dict[str, TensorInfo] = checkpoint.tensors
        self._checkpoint, self._pool, self._window = checkpoint, pool, window
        self._guesses = iter(sorted(self.tensors, key=natural))
        self._coming: dict[str, Future[Tensor]] = {}
        self._asked: set[str] = set()
        self._held = 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return self._checkpoint.total_bytes

    def hint(self, name: str) -> str:
        """As `Checkpoint.hint`."""
        return self._checkpoint.hint(name)

    def read(self, name: str) -> Tensor:
        """As `Checkpoint.read`."""
        self._asked.add(name)
        found = self._coming.pop(name, None)
        if found is not None:
            self._held -= self.tensors[name].nbytes
        self._guess()
        return self._checkpoint.read(name) if found is None else found.result()

    def _guess(self) -> None:
        while self._held < self._window and (name := next(self._guesses, None)) is not None:
            size = self.tensors[name].nbytes
            if name not in self._asked and size <= self._window // 4:
                self._coming[name] = self._pool.submit(self._checkpoint.read, name)
                self._held += size


@contextmanager
def ahead(checkpoint: WeightReader) -> Iterator[WeightReader]:
    """`checkpoint`, read ahead where that pays. Threads end with the context, whatever ends it."""
    if not isinstance(checkpoint, Checkpoint) or checkpoint.total_bytes < WORTH_IT:
        yield checkpoint
        return
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "hopwell-read")
    try:
        yield ReadAhead(checkpoint, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

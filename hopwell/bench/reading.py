"""How fast a checkpoint's tensors come from disk, and from the file cache, with one thread and with several."""

from __future__ import annotations

import os
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.ahead import ReadAhead, natural
from hopwell.checkpoint.reader import Checkpoint, WeightReader


def reading_rows(folder: Path, threads: list[int], runs: int = 3, device: str = "cpu") -> list[dict[str, Any]]:
    """Reads every tensor and copies it to `device`, each way `runs` times in random order.

    Args:
        threads: numbers of threads to try; 1 is plain `Checkpoint.read`.

    Returns:
        A row for each number of threads, from disk and from the file cache: the median second, and GB/s.

    Raises:
        CheckpointError: the folder is no checkpoint.
    """
    checkpoint = Checkpoint.open(folder)
    names = sorted(checkpoint.tensors, key=natural)
    seconds: dict[tuple[int, bool], list[float]] = {}
    ways = [*product(threads, (True, False))] * runs
    random.shuffle(ways)
    for count, cold in ways:
        _forget(folder)
        if not cold:
            _read_all(checkpoint, names, "cpu")
        if count == 1:
            took = _read_all(checkpoint, names, device)
        else:
            with ThreadPoolExecutor(count) as pool:
                took = _read_all(ReadAhead(checkpoint, pool), names, device)
        seconds.setdefault((count, cold), []).append(took)
    return [
        {"threads": count, "from": "disk" if cold else "file cache", "seconds": (middle := statistics.median(each)),
         "gb_per_s": checkpoint.total_bytes / middle / 1e9, "fingerprints": bool(checkpoint.fingerprints)}
        for (count, cold), each in sorted(seconds.items(), key=lambda item: (not item[0][1], item[0][0]))
    ]  # fmt: skip


def _read_all(reader: WeightReader, names: list[str], device: str) -> float:
    began = time.perf_counter()
    for name in names:
        tensor = reader.read(name)
        torch.empty_like(tensor, device=device).copy_(tensor)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _forget(folder: Path) -> None:
    """Asks the system to drop the folder's shards from its cache; a virtual disk's host may keep its own."""
    for path in folder.glob("*.safetensors"):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)

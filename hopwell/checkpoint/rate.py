"""How fast files can be read as they lie now: what the system has in its page cache from there, the rest directly."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hopwell.checkpoint.content import PAGE, told
from hopwell.checkpoint.errors import CheckpointError
from hopwell.system import PageCache, open_direct, open_to_read, read_at

THREADS = 8
PART = 4 << 20
"""Bytes of a request."""
SAMPLE = 256 << 20
"""Read to learn a rate, unless less is asked for."""


def read_rate(paths: Sequence[Path], most: int = SAMPLE) -> float:
    """Bytes a second at which parts spread over files are read, by eight threads that keep nothing.

    Directly, past the page cache, where a part is not all in it and the file system can; so what is read here makes no
    later read faster.

    Args:
        most: bytes to be read, about.

    Raises:
        CheckpointError: there is no byte to read, or a file cannot be read.
    """
    parts = [(path, at) for path in paths for at in range(0, path.stat().st_size, PART)]
    if not parts:
        raise CheckpointError(f"{', '.join(map(str, paths)) or 'no file'}: nothing to read; give weights")
    chosen = parts[:: max(1, -(-len(parts) * PART // most))]
    files = {path: _File(path) for path in {path for path, _ in chosen}}
    try:
        shares = [chosen[first::THREADS] for first in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            buffers = [memoryview(mmap.mmap(-1, PART)) for _ in shares]  # whole pages, as direct reads want them
            started = time.perf_counter()
            done = sum(pool.map(lambda share, buffer: _read(files, share, buffer), shares, buffers))
            return done / (time.perf_counter() - started)
    finally:
        for file in files.values():
            file.close()


def cached_share(path: Path) -> float | None:
    """What part of a file is in the page cache, 0 to 1; None where the system does not say (`PageCache`)."""
    size = path.stat().st_size
    if not hasattr(os, "posix_fadvise") or not size or not os.access(path, os.W_OK):
        return None
    with told(path):
        file = open_to_read(path)
    try:
        cache = PageCache(file)
        return (
            sum(cache.count(at, min(PART, size - at)) for at in range(0, size, PART)) * PAGE / (-(-size // PAGE) * PAGE)
        )
    except OSError:
        return None
    finally:
        os.close(file)


def drop_cached(path: Path) -> None:
    """Has the system give up what it holds of a file in its page cache, once that is on the disk.

    Raises:
        CheckpointError: the system has no such call, or some of it stays, as it does in a file system in memory and
            while a process has it mapped.
    """
    if not hasattr(os, "posix_fadvise"):
        raise CheckpointError(f"{path}: this system cannot drop a file from its page cache; measure it warm")
    with told(path):
        file = open_to_read(path)
        try:
            with suppress(OSError):  # a file system that is only read has nothing to write
                os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
    left = cached_share(path)
    if left is None:
        raise CheckpointError(f"{path}: the system does not say what it has cached of it; own the file to measure cold")
    if left > 0:
        raise CheckpointError(f"{path}: {left:.1%} of it stays in memory; move it to a disk, or end what has it mapped")


class _File:
    """Opened both ways."""

    def __init__(self, path: Path) -> None:
        with told(path):
            self.path, self.size = path, path.stat().st_size
            self.file = open_to_read(path)
            self.direct = open_direct(path)
        self.cache = None
        with suppress(OSError):
            self.cache = PageCache(self.file)

    def read(self, at: int, buffer: memoryview) -> int:
        part = buffer[: min(PART, self.size - at)]
        if self.direct is not None and self.cache is not None and not self.cache.holds(at, len(part)):
            with suppress(OSError):  # opened for direct reads, and not read so
                if (done := read_at(self.direct, buffer, at)) >= len(part):
                    return len(part)
        done = 0
        while done < len(part) and (count := read_at(self.file, part[done:], at + done)):
            done += count
        return done

    def close(self) -> None:
        for file in (self.file, self.direct):
            if file is not None:
                os.close(file)


def _read(files: dict[Path, _File], share: Sequence[tuple[Path, int]], buffer: memoryview) -> int:
    """Reads parts, and returns how many bytes those were."""
    done = 0
    for path, at in share:
        with told(path):
            done += files[path].read(at, buffer)
    return done

"""Large files with the SHA-256 of every chunk: written in order, read by several threads and held to what was written.

A read goes by the page cache where the system allows (direct I/O): what is read once need not push out what others use,
and no core is busy copying. Chunks that are in the page cache already come from there, which is faster still.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO, Protocol

from hopwell.checkpoint.errors import CheckpointError
from hopwell.system import PageCache, open_direct, open_to_read, read_at

CHUNK = 16 << 20
"""Bytes of a request, and of what has a digest."""
PAGE = 4096
"""Of which direct reads want multiples."""


class ContentWriter:
    """Writes a file in order and keeps a digest of every chunk."""

    def __init__(self, file: BinaryIO) -> None:
        self.digests: list[str] = []
        self.nbytes = 0
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: memoryview) -> None:
        """Appends bytes.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        while len(data):
            part = data[: CHUNK - self.nbytes % CHUNK]
            self._file.write(part)
            self._hash.update(part)
            self.nbytes += len(part)
            data = data[len(part) :]
            if self.nbytes % CHUNK == 0:
                self._end_chunk()

    def fill(self, alignment: int) -> None:
        """Appends zeros up to a multiple of `alignment`."""
        self.write(memoryview(bytes(-self.nbytes % alignment)))

    def finish(self) -> list[str]:
        """Fills the last page and has all of it on the disk; returns the digests."""
        self.fill(PAGE)
        if self.nbytes % CHUNK:
            self._end_chunk()
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.digests

    def _end_chunk(self) -> None:
        self.digests.append(self._hash.hexdigest())
        self._hash = hashlib.sha256()


class Receiver(Protocol):
    """What one reading thread reads into, and where that goes."""

    def buffer(self) -> memoryview:
        """`CHUNK` bytes at a page's start, which nobody reads any more."""
        ...

    def take(self, start: int, count: int) -> None:
        """Told that the first `count` bytes of the last buffer are those at `start`, and right."""
        ...

    def finish(self) -> None:
        """Waits until all that was taken is where it goes. Called from another thread, when the reading one has ended,
        also after a fault."""
        ...


class Unkept:
    """A receiver of what is only to be checked."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, CHUNK))

    def buffer(self) -> memoryview:
        return self._memory

    def take(self, start: int, count: int) -> None:
        pass

    def finish(self) -> None:
        pass


def read_content(
    path: Path,
    nbytes: int,
    digests: Sequence[str],
    receivers: Sequence[Receiver],
    direct: bool,
    progress: Callable[[int], None] = lambda done: None,
    where: Callable[[int, int], str] = lambda start, end: "",
) -> None:
    """Reads a file that a `ContentWriter` has written, a thread a receiver.

    Args:
        nbytes: of the file.
        direct: by direct I/O, where that can be had; else into the page cache, for whoever maps the file.
        progress: called with bytes done, from the calling thread.
        where: what the bytes from `start` to `end` are, as the end of an error message.

    Raises:
        CheckpointError: the file cannot be read, or is not what was written.
    """
    content = _Content(path, nbytes, digests, direct, where)
    left, news = iter(range(len(digests))), SimpleQueue[int | BaseException]()

    def work(receiver: Receiver) -> None:
        try:
            for index in left:
                buffer = content.read(index, receiver.buffer())
                receiver.take(index * CHUNK, len(buffer))
                news.put(len(buffer))
        except BaseException as error:  # told by the calling thread
            news.put(error)

    threads = [Thread(target=work, args=(receiver,), daemon=True) for receiver in receivers]
    for thread in threads:
        thread.start()
    done = 0
    try:
        for _ in digests:
            count = news.get()
            if isinstance(count, BaseException):
                raise count
            done += count
            progress(done)
    finally:
        for _ in left:  # after a fault no thread begins another chunk
            pass
        for thread, receiver in zip(threads, receivers, strict=True):
            thread.join()
            receiver.finish()
        content.close()


class _Content:
    """An open file, chunk by chunk."""

    def __init__(
        self, path: Path, nbytes: int, digests: Sequence[str], direct: bool, where: Callable[[int, int], str]
    ) -> None:
        self.path, self.nbytes, self.digests, self.where = path, nbytes, digests, where
        with told(path):
            self._file = open_to_read(path)
            self._direct = open_direct(path) if direct else None
        self.direct = self._direct is not None
        self._cache = None
        if self.direct:
            with suppress(OSError):  # some file systems map no files
                self._cache = PageCache(self._file)

    def read(self, index: int, buffer: memoryview) -> memoryview:
        """Chunk `index`, which the start of `buffer` then holds."""
        start = index * CHUNK
        part = buffer[: min(CHUNK, self.nbytes - start)]
        with told(self.path):
            done = self._read_directly(part, start)
            while done < len(part):
                if not (count := read_at(self._file, part[done:], start + done)):
                    raise CheckpointError(f"{self.path}: the file shrank while it was read; pack it again")
                done += count
        if hashlib.sha256(part).hexdigest() != self.digests[index]:
            end = start + len(part)
            fault = f"bytes {start:,} to {end:,} are not what was packed{self.where(start, end)}"
            raise CheckpointError(f"{self.path}: {fault}; fetch the file or pack it again")
        return part

    def close(self) -> None:
        for file in (self._file, self._direct):
            if file is not None:
                os.close(file)

    def _read_directly(self, part: memoryview, start: int) -> int:
        """Bytes that came past the page cache: none where it has them, or the file cannot be read so."""
        cached = self._cache is not None and self._cache.holds(start, len(part))
        if self._direct is None or not self.direct or cached:
            return 0
        try:
            return read_at(self._direct, part, start)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.direct = False  # some file systems open files for it, and read none
            return 0


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns a fault of the system's in reading a file into the one line that names it."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from None

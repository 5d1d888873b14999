"""A store of pages that is a folder, a file a page, for any number of processes and, on a shared disk, hosts.

A page appears whole under its name, or not at all; whoever finds too much there removes what was unused longest.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CHECKSUM_BYTES = 16
LOOKS = 16
"""A process looks at what all of them keep after it has written so many times less than they may."""
KEPT = 0.9
"""Of what they may keep, what is left after a look that found too much."""


class DirectoryStore:
    """A `PageStore`."""

    def __init__(self, folder: Path, fingerprint: str, page_bytes: int, capacity: int) -> None:
        """
        Args:
            capacity: bytes that pages of this fingerprint may take; each process that writes may exceed it by a
                sixteenth for a while.

        Raises:
            OSError: the folder cannot be made.
        """
        self.folder, self.page_bytes, self.capacity = folder / fingerprint, page_bytes, capacity
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._written = capacity  # a look before the first page

    def find(self, keys: Sequence[bytes]) -> int:
        """As `PageStore`."""
        for at, key in enumerate(keys):
            if not self._path(key).exists():
                return at
        return len(keys)

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        """As `PageStore`.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        path = self._path(key)
        if path.exists():
            return
        try:
            self._write(path, checksum, page)
        except FileNotFoundError:  # somebody has emptied the place meanwhile
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(path, checksum, page)

    def _write(self, path: Path, checksum: bytes, page: memoryview) -> None:
        if self._written * LOOKS >= self.capacity:
            self._make_room()
        # hazard: processes of two hosts, or of two containers, may have one number
        partial = self.folder / f"{path.name}.{uuid.uuid4().hex}"
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            left = memoryview(checksum + bytes(page))
            while left:
                left = left[os.write(file, left) :]
            os.replace(partial, path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        finally:
            os.close(file)
        self._written += self.page_bytes

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        """As `PageStore`.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with self._path(key).open("rb", buffering=0) as file:
                checksum = file.read(CHECKSUM_BYTES)
                done = 0
                while done < len(into) and (count := file.readinto(into[done:])):
                    done += count
                with suppress(OSError):
                    os.utime(file.fileno())  # used now
        except FileNotFoundError:
            return None
        return checksum if done == len(into) else None

    def close(self) -> None:
        """As `PageStore`."""

    def _path(self, key: bytes) -> Path:
        return self.folder / key.hex()

    def _make_room(self) -> None:
        found: list[tuple[float, int, str]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process has removed it
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, entry.path))
        held = sum(size for _, size, _ in found)
        if held + self.capacity // LOOKS > self.capacity:
            for _, size, path in sorted(found):
                if held <= KEPT * self.capacity - self.capacity // LOOKS:
                    break
                with suppress(OSError):
                    os.unlink(path)
                held -= size
        self._written = 0

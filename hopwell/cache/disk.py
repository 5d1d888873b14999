"""Pages on disk: shards of one file each, found again after a restart.

A shard is a block that says what it is, a table of entries, and its pages. A page is written before its entry, so what
ends in between leaves nothing that is found; an entry has a checksum of its own, and the page's, by which whoever reads
it tells what is torn or has decayed. Shards are filled one after the other, and given up whole, the oldest first.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import sys
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hopwell.errors import HopwellError
from hopwell.system import lock_file

BLOCK = 4096
"""Pages begin at multiples of it."""
HEAD = struct.Struct("<8sQQ")
"""Magic, bytes of a page, pages of a shard."""
MAGIC = b"HWPAGES1"
ENTRY = struct.Struct("<16s16sII")
"""Key, checksum of the page, place, CRC of the three."""
ENTRY_BYTES = 64
SHARDS = 16
"""The tier is cut into so many, or more where they would be large."""
SHARD_BYTES = 1 << 30


class DiskTierError(HopwellError):
    """A folder that cannot hold pages; the message says why."""


class DiskFault(Exception):
    """A page could not be written or read: `full`, `failed` (the system said so) or `short` (its file ends)."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True, eq=False)
class _Shard:
    number: int
    path: Path
    file: int
    used: int = 0
    """Places that are taken."""
    keys: set[bytes] = field(default_factory=set)


class DiskTier:
    """Pages of one model with one set of settings in a folder. May be called from any thread; writers take turns."""

    def __init__(self, folder: Path, fingerprint: str, page_bytes: int, capacity: int) -> None:
        """
        Args:
            folder: for the pages of any models; each has a folder below, named by its fingerprint.
            capacity: bytes that the pages of this one may take, at least two pages.

        Raises:
            DiskTierError: the folder cannot be used, another process uses it, or the capacity is too small.
        """
        self.page_bytes = page_bytes
        self._stride = -(-page_bytes // BLOCK) * BLOCK
        pages = capacity // self._stride
        if pages < 2:
            raise DiskTierError(f"disk_cache_gb is {capacity / 1e9:g}; give {2 * self._stride / 1e9:g} or more")
        self._per_shard = max(1, min(pages // SHARDS, SHARD_BYTES // self._stride))
        self._shards_at_most = pages // self._per_shard
        self._table = BLOCK
        self._data = BLOCK + -(-self._per_shard * ENTRY_BYTES // BLOCK) * BLOCK
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._places: dict[bytes, tuple[_Shard, int, bytes]] = {}
        self._shards: list[_Shard] = []
        if sys.platform == "win32":
            raise DiskTierError("disk_cache is for Linux and macOS; leave it out")
        self.folder = folder / fingerprint
        try:
            guard = _locked(self.folder)
        except OSError as error:
            raise DiskTierError(f"disk_cache {folder}: {error.strerror}; give a folder that can be written") from None
        if guard is None:
            raise DiskTierError(f"disk_cache {folder} is used by another process for this model; give another folder")
        self._guard = guard
        os.utime(guard)
        make_room(folder, self.folder, capacity)
        for path in sorted(self.folder.glob("shard-*")):
            self._open(path)
        while len(self._shards) > self._shards_at_most:
            self._remove(self._shards[0])

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    @property
    def capacity(self) -> int:
        """Pages."""
        return self._shards_at_most * self._per_shard

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        """As `PageStore`; gives up the oldest shard for it if need be.

        Raises:
            DiskFault: it is not kept.
        """
        with self._writing:
            if key in self._places:
                return
            try:
                shard = self._writable()
                place = shard.used
                _write(shard.file, page, self._data + place * self._stride)
                entry = ENTRY.pack(key, checksum, place, _crc(key, checksum, place))
                _write(shard.file, memoryview(entry), self._table + place * ENTRY_BYTES)
            except OSError as error:
                raise DiskFault("full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "failed") from None
            with self._lock:
                shard.used += 1
                shard.keys.add(key)
                self._places[key] = shard, place, checksum

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        """As `PageStore`.

        Raises:
            DiskFault: it cannot be read, and is not kept any more.
        """
        with self._lock:
            if (found := self._places.get(key)) is None:
                return None
            shard, place, checksum = found
            file = os.dup(shard.file)  # the shard may be given up meanwhile
        try:
            done, at = 0, self._data + place * self._stride
            while done < len(into):
                got = os.preadv(file, [into[done:]], at + done)
                if not got:
                    raise DiskFault("short")
                done += got
        except OSError:
            self.forget(key)
            raise DiskFault("failed") from None
        except DiskFault:
            self.forget(key)
            raise
        finally:
            os.close(file)
        return checksum

    def forget(self, key: bytes) -> None:
        """A page that has turned out bad is not found any more."""
        with self._lock:
            if (found := self._places.pop(key, None)) is None:
                return
            shard, place, _ = found
            shard.keys.discard(key)
            file = os.dup(shard.file)
        try:
            with suppress(OSError):  # else it is found bad again after a restart
                _write(file, memoryview(bytes(ENTRY_BYTES)), self._table + place * ENTRY_BYTES)
        finally:
            os.close(file)

    def hide(self) -> None:
        """None of the pages is found any more; `clear` is to follow, which may have to wait for the disk."""
        with self._lock:
            self._places.clear()
            for shard in self._shards:
                shard.keys.clear()

    def clear(self) -> None:
        """Gives up all pages."""
        with self._writing:
            for shard in [*self._shards]:
                self._remove(shard)

    def close(self) -> None:
        """Nothing is written or read after it."""
        with self._writing, self._lock:
            self._places.clear()
            for shard in self._shards:
                os.close(shard.file)
            self._shards.clear()
            os.close(self._guard)

    def _writable(self) -> _Shard:
        """The shard that is being filled."""
        if not self._shards or self._shards[-1].used == self._per_shard:
            while len(self._shards) >= self._shards_at_most:
                self._remove(self._shards[0])
            number = self._shards[-1].number + 1 if self._shards else 0
            path = self.folder / f"shard-{number:08d}"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.ftruncate(file, self._data)
                _write(file, memoryview(HEAD.pack(MAGIC, self.page_bytes, self._per_shard)), 0)
            except OSError:
                os.close(file)
                path.unlink(missing_ok=True)
                raise
            self._shards.append(_Shard(number, path, file))
        return self._shards[-1]

    def _remove(self, shard: _Shard) -> None:
        with self._lock:
            self._shards.remove(shard)
            for key in shard.keys:
                del self._places[key]
            os.close(shard.file)
        with suppress(OSError):
            shard.path.unlink()

    def _open(self, path: Path) -> None:
        """Takes in a shard of an earlier process; one that is none is removed."""
        try:
            number = int(path.name.removeprefix("shard-"))
            file = os.open(path, os.O_RDWR)
        except (ValueError, OSError):
            return
        try:
            head = os.pread(file, self._data, 0)
        except OSError:
            head = b""
        if len(head) < self._data or HEAD.unpack_from(head) != (MAGIC, self.page_bytes, self._per_shard):
            os.close(file)
            with suppress(OSError):
                path.unlink()
            return
        shard = _Shard(number, path, file)
        for place in range(self._per_shard):
            key, checksum, own, crc = ENTRY.unpack_from(head, self._table + place * ENTRY_BYTES)
            if own == place and crc == _crc(key, checksum, place) and key not in self._places:
                self._places[key] = shard, place, checksum
                shard.keys.add(key)
                shard.used = place + 1
        self._shards.append(shard)


def _locked(folder: Path) -> int | None:
    """The lock of a folder, which need not be there yet, as a descriptor; None: another process has it.

    Raises:
        OSError: the folder cannot be made, or nothing can be locked there.
    """
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        ours = lock_file(guard)
        if ours and os.fstat(guard).st_nlink:  # else `make_room` of another process has just removed the folder
            return guard
        os.close(guard)
        if not ours:
            return None


def make_room(folder: Path, own: Path, capacity: int) -> None:
    """Removes pages of other models or settings, the longest unused first, while the disk has less free than `own` may
    still need; those of a process that runs are left."""
    others: list[tuple[float, Path]] = []
    for lock in folder.glob("*/lock"):
        with suppress(FileNotFoundError):  # another process has made room too
            others.append((lock.stat().st_mtime, lock.parent))
    needed = capacity - sum(path.stat().st_blocks * 512 for path in own.glob("shard-*"))
    for other in (other for _, other in sorted(others) if other != own):
        if shutil.disk_usage(folder).free >= needed:
            return
        with suppress(OSError):
            guard = os.open(other / "lock", os.O_RDWR)
            try:
                if lock_file(guard):
                    for path in (*other.glob("shard-*"), other / "lock"):
                        path.unlink()
                    other.rmdir()
            finally:
                os.close(guard)


def _crc(key: bytes, checksum: bytes, place: int) -> int:
    return zlib.crc32(key + checksum + place.to_bytes(4, "little"), 1)


def _write(file: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], at + done)

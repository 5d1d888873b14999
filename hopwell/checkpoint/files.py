"""Files and folders that appear whole or not at all, JSON, and what to say when the disk does not play along."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopwell.checkpoint.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: the file is missing, unreadable or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes text, whole or not at all.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to. What was written takes `path`'s place at the end, and is gone after a fault."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, need: int) -> Iterator[Path]:
    """A folder `<path>.partial` to write into, renamed to `path` at the end and removed after any fault.

    A process that is killed leaves `<path>.partial`, which the next run removes.

    Args:
        need: bytes that will be written.

    Raises:
        CheckpointError: `path` exists and is not an empty folder, another process is writing it, or its disk has too
            little room, at the start or on the way.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CheckpointError(f"{path}: exists already; give a new folder, or remove it first")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise CheckpointError(f"{partial}: cannot make the folder: {error.strerror}; give another place") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CheckpointError(f"{partial}: another process is writing it; wait for it, or stop it") from None
        try:
            empty(partial)
            check_room(path, need)
            yield partial
            partial.replace(path)
            os.fsync(lock)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise disk_fault(path, need, error) from None
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def empty(folder: Path) -> None:
    """Removes all that a folder holds."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def check_room(path: Path, need: int) -> None:
    """
    Raises:
        CheckpointError: the disk that is to hold `path` has fewer than `need` bytes free.
    """
    disk, free = disk_of(path)
    if free < need:
        raise CheckpointError(
            f"{path}: needs {need:,} bytes, the disk at {disk} has {free:,} free; make room or give another place"
        )


def disk_of(path: Path) -> tuple[Path, int]:
    """Where the disk that holds `path`, or will, is mounted, and its free bytes."""
    place = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    disk = next(p for p in (place, *place.parents) if os.path.ismount(p))
    return disk, shutil.disk_usage(place).free


def disk_fault(path: Path, need: int, error: OSError) -> CheckpointError:
    """The one line for a write that failed, naming the disk and the bytes needed."""
    disk, free = disk_of(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fault = f"the disk at {disk} is full: {need:,} bytes are needed, {free:,} are free now that the part is removed"
        return CheckpointError(f"{path}: {fault}; make room or give another place")
    if error.errno == errno.EFBIG:
        return CheckpointError(f"{path}: a file may not be as large here: raise the limit (ulimit -f) and run again")
    return CheckpointError(f"{path}: cannot write to the disk at {disk}: {error.strerror or error}")

"""Files and folders that appear whole or not at all, JSON, and what to say when the disk does not play along."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopwell.checkpoint.errors import CheckpointError
from hopwell.system import lock_folder

TEXT_BYTES = 64 << 20
"""Of a file of text that comes with a checkpoint; a config that names the format of every matrix has some 10 MB."""
REPORT_BYTES = 1 << 30
"""Of a conversion's report or an index, which tell of every tensor."""
LFS, POINTER_BYTES = b"version https://git-lfs", 1024
LFS_POINTER = "is a pointer of Git LFS, not the file: run git lfs pull, or fetch it with the hub's own tool"
GGUF_MAGIC = b"GGUF"
NOT_READ = "not read here: give the folder of the original's safetensors"
GGUF = f"is a GGUF file, which is {NOT_READ}"
PICKLES = ("*.bin", "*.pt", "*.pth")
SNAPSHOT_FILE = "hopwell_snapshot.json"
"""What a packed snapshot says of itself (`model/snapshot.py`)."""
MODELOPT_FILE = "hf_quant_config.json"
"""ModelOpt's description of formats; its older conversions have it alone."""


def check_regular(path: Path, limit: int | None = None) -> None:
    """Refuses what is no file, as reading a pipe waits for ever and /dev/zero never ends, and what only points to one.

    Args:
        limit: bytes that it may have.

    Raises:
        CheckpointError: the file is missing, something else, or larger.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{path}: is not a regular file; put the file itself there")
        with path.open("rb") as file:
            start = file.read(len(LFS))
        if found.st_size < POINTER_BYTES and start == LFS:
            raise CheckpointError(f"{path}: {LFS_POINTER}")
        if start.startswith(GGUF_MAGIC):
            raise CheckpointError(f"{path}: {GGUF}")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from None
    if limit is not None and found.st_size > limit:
        raise CheckpointError(f"{path}: has {found.st_size:,} bytes, at most {limit:,} are read; fetch it again")


def unread_weights(folder: Path) -> str | None:
    """What a folder without shards holds that others read weights from; None: nothing that is known."""
    if any(folder.glob("*.safetensors")):
        return None
    if any(folder.glob("*.gguf")):
        return f"holds GGUF files, which are {NOT_READ}"
    if any(file for kind in PICKLES for file in folder.glob(kind)):
        return "holds weights as pickles, which are programs and never read: fetch or make safetensors of them"
    return None


def read_bytes(path: Path, limit: int = TEXT_BYTES) -> bytes:
    """A whole file.

    Raises:
        CheckpointError: it is missing, unreadable, no regular file or larger than `limit`.
    """
    check_regular(path, limit)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)  # some files of the system have no size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
    if len(data) > limit:
        raise CheckpointError(f"{path}: has more than {limit:,} bytes; fetch it again")
    return data


def read_text(path: Path, limit: int = TEXT_BYTES, remedy: str = "fetch it again") -> str:
    """A file of text in UTF-8.

    Args:
        remedy: what to do about one that is not.

    Raises:
        CheckpointError: as `read_bytes`, or it is something else.
    """
    data = read_bytes(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: is not UTF-8 at byte {error.start:,}; {remedy}") from None


def read_json(path: Path, limit: int = TEXT_BYTES) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: the file is missing, unreadable or holds something else.
    """
    text = read_text(path, limit)
    try:
        values = json.loads(text)
    except RecursionError:
        raise CheckpointError(f"{path}: is nested too deeply; fetch the file again") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def read_config(path: Path, beside: Path | None = None) -> dict[str, Any]:
    """A config.json; where it says nothing of formats, with what ModelOpt's own file says of them.

    Args:
        beside: `hf_quant_config.json`, which need not exist; default: that in config.json's folder.

    Raises:
        CheckpointError: as `read_json`.
    """
    if not path.exists() and (found := unread_weights(path.parent)):
        raise CheckpointError(f"{path.parent}: {found}")
    config, own = read_json(path), path.with_name(MODELOPT_FILE) if beside is None else beside
    if not config.get("quantization_config") and own.exists():
        described = read_json(own).get("quantization")
        if not isinstance(described, dict):
            raise CheckpointError(f"{own}: quantization is {described!r}, expected an object; fetch the file again")
        config["quantization_config"] = described | {"quant_method": "modelopt"}
    return config


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
    """A name beside `path` to write to. What was written takes `path`'s place at the end, and is gone after a fault. A
    link stays, and what it leads to is replaced; a device or a pipe is written to itself."""
    if _is_special(path):  # hazard: a file that takes the place of /dev/null
        yield path
        return
    path = Path(os.path.realpath(path))
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("r+b") as file:  # Windows writes out only what may be written to
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
        CheckpointError: `path` exists and is not an empty folder, or is where a disk is mounted, another process is
            writing it, or its disk has too little room, at the start or on the way.
    """
    path = Path(os.path.realpath(path))  # beside what a link leads to: nothing can be renamed to a link
    if os.path.ismount(path):
        raise CheckpointError(f"{path}: a disk is mounted there, so it cannot appear whole; give a folder within it")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CheckpointError(f"{path}: exists already; give a new folder, or remove it first")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(partial)
    except BlockingIOError:
        raise CheckpointError(f"{partial}: another process is writing it; wait for it, or stop it") from None
    except OSError as error:
        raise CheckpointError(f"{partial}: cannot make the folder: {error.strerror}; give another place") from None
    try:
        try:
            empty(partial)
            check_room(path, need)
            yield partial
            if lock is None and path.exists():  # Windows renames to no folder that exists, empty or not
                path.rmdir()
            partial.replace(path)
            if lock is not None:
                os.fsync(lock)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise disk_fault(path, need, error) from None
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        if lock is not None:
            os.close(lock)


def empty(folder: Path) -> None:
    """Removes all that a folder holds."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def check_writable(path: Path, kind: str | None = None) -> None:
    """Tries whether `path`, a folder or a file that need not be there, can be written; for before long work.

    Args:
        kind: what it must be where it is there, "file" or "folder".

    Raises:
        CheckpointError: it cannot, or the folder that is to hold it is not there.
    """
    if kind == "folder" and path.is_file():
        raise CheckpointError(f"{path}: is a file; give a new folder")
    if kind == "file" and path.is_dir():
        raise CheckpointError(f"{path}: is a folder; give a file")
    if not (parent := path.absolute().parent).is_dir():
        raise CheckpointError(f"{path}: there is no folder {parent}; make it, or give another place")
    try:
        if path.is_file():
            path.open("ab").close()
        elif _is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            tempfile.TemporaryFile(dir=path if path.is_dir() else parent).close()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}; give another place") from None


def _is_special(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: `/dev/null`, `/dev/stdout`, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


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

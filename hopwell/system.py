"""What Linux, macOS and Windows do each in their own way. Hopwell is tested on Linux alone."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None

_seeking = threading.Lock()
_imported = time.monotonic()
NO_LIMIT = 1 << 20


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less where a container limits it."""
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        try:
            limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        except OSError:
            return total
        return min(total, int(limit)) if limit.isdecimal() else total
    kilobytes = ctypes.c_ulonglong()
    ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))  # type: ignore[attr-defined]
    return 1024 * kilobytes.value


def cores() -> int:
    """CPU cores that this process may use."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) or 1


def cache_folder() -> Path:
    """Where Hopwell keeps what it has measured of this machine: $HOPWELL_CACHE, or the system's place for such."""
    if given := os.environ.get("HOPWELL_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "hopwell"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hopwell"


def process_seconds() -> float:
    """How long this process has been there; on other systems than Linux, since this was imported."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.monotonic() - _imported


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held; None where the system does not say."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def lock_file(file: int) -> bool:
    """Takes an open file for this process, until it is closed or the process ends; False if another has it.

    Raises:
        OSError: the system cannot lock files.
    """
    if fcntl is None:
        raise OSError("files cannot be locked on Windows")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def raise_descriptors() -> int:
    """Raises the limit of open files and sockets to what the system allows; returns it."""
    if resource is None:
        return NO_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    except (OSError, ValueError):
        return soft


def open_missing_streams() -> None:
    """Opens the null device for each standard stream that whoever started this process had closed: stdin is then empty,
    and what is printed goes nowhere. Of descriptors too, or the next file or socket would get the number of one, and
    what a library prints."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            file = open(os.devnull, mode, encoding="utf-8", errors="replace")  # noqa: SIM115  # it lasts as they do
            setattr(sys, name, file)


def _open_null(number: int) -> None:
    """The null device under a descriptor's number, for processes that this one starts too."""
    file = os.open(os.devnull, os.O_RDWR)
    if file != number:
        os.dup2(file, number)
        os.close(file)
    os.set_inheritable(number, True)


def forget_stdout() -> None:
    """Lets what is printed from now on, and what waits to be written, go nowhere: stdout takes no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def yield_cores() -> None:
    """Lets everybody else go before the calling thread, and the threads that it will start; only on Linux, where
    threads have a priority each."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19))


def open_to_read(path: Path) -> int:
    """A file's descriptor, for `read_at`."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))


def read_at(file: int, buffer: memoryview, offset: int) -> int:
    """Reads into `buffer` from a place in a file, from any thread; returns how many bytes came, 0 at the end."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [buffer], offset)
    with _seeking:
        os.lseek(file, offset, os.SEEK_SET)
        data = os.read(file, min(len(buffer), 64 << 20))
    buffer[: len(data)] = data
    return len(data)


def open_direct(path: Path) -> int | None:
    """A file's descriptor whose reads pass by the page cache, where the system and the file system have such: places,
    lengths and memory must be whole pages."""
    flag = getattr(os, "O_DIRECT", None)
    if flag is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | flag)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


class PageCache:
    """Which parts of a file the system has in memory. On Linux; to a user who may not write to the file it says that it
    has all.

    Raises:
        OSError: the file cannot be mapped.
    """

    def __init__(self, file: int) -> None:
        self._mapped = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._mapped))
        self._mincore = ctypes.CDLL(None, use_errno=True).mincore

    def holds(self, start: int, count: int) -> bool:
        """Whether all of `count` bytes is there; `start` is a page's."""
        return self.count(start, count) == -(-count // mmap.PAGESIZE)

    def count(self, start: int, count: int) -> int:
        """How many pages of `count` bytes are there, 0 where the system does not say; `start` is a page's."""
        pages = (ctypes.c_ubyte * -(-count // mmap.PAGESIZE))()
        place, length = ctypes.c_void_p(self._start + start), ctypes.c_size_t(count)
        return len(pages) - bytes(pages).count(0) if self._mincore(place, length, pages) == 0 else 0


def lock_folder(folder: Path) -> int | None:
    """Keeps other processes from locking a folder, until the descriptor that it returns is closed. None on Windows,
    where a folder cannot be opened: two processes must not write it at once.

    Raises:
        BlockingIOError: another process has locked it.
    """
    if fcntl is None:
        return None
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def memory_file(size: int) -> int:
    """A descriptor of a file without a name, of so many zeros, in memory where there is such a place: for what several
    processes map. It goes with the last of them."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("hopwell")
    else:
        import tempfile  # dear, and on Linux not wanted

        with tempfile.TemporaryFile() as made:
            file = os.dup(made.fileno())
    os.ftruncate(file, size)
    return file


@contextmanager
def locked(file: int) -> Iterator[None]:
    """Keeps other processes that would lock a file waiting; within one process it keeps nobody. Not on Windows."""
    assert fcntl is not None
    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)


def ignored(number: int) -> bool:
    """Whether whoever started this process wants a signal ignored: `nohup` SIGHUP, a script SIGINT for its background
    jobs, since the terminal's Ctrl-C is not meant for them."""
    return signal.getsignal(number) is signal.SIG_IGN


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: what Ctrl-C does, and for good."""


@contextmanager
def ended_like_interrupted() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise `Terminated`, unless they are ignored: what is half-written is removed, and a
    terminal is left as it was. For the main thread."""
    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers if not ignored(number)}
    for number in before:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(*_: object) -> None:
    raise Terminated


def on_signal(loop: asyncio.AbstractEventLoop, name: str, run: Callable[[], None]) -> None:
    """Has the loop call `run` when a signal comes, where there is one of that name and it is not ignored."""
    number = getattr(signal, name, None)
    if number is None or ignored(number):
        return
    try:
        loop.add_signal_handler(number, run)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(run))

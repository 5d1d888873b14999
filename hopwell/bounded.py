"""Runs a named pure function in a child process with limits of stack, memory and time.

What cannot be bounded from inside (a native stack, a pattern that explodes, a template that loops) ends the child and
becomes one exception; the process that asked goes on. The child is warm: it starts before it is needed, without torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hopwell.bounded_child import HEADER, NESTED, START_SECONDS, encode
from hopwell.errors import HopwellError

BOOT = "import sys; sys.path[:] = sys.argv[1:]; from hopwell.bounded_child import main; main()"


class BoundedError(HopwellError):
    """A call that came to nothing.

    Attributes:
        kind: `time`, `memory` or `stack` (a limit was passed; a native stack that overflows is `crash`), `crash` (the
            child died), `raised` (the function raised: `type` names the exception, the message is its own) or `start`
            (no child can be had).
        type: the exception's name, where the kind is `raised`.
    """

    def __init__(self, message: str, kind: str, type: str = "") -> None:
        super().__init__(message)
        self.kind, self.type = kind, type


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may take."""

    seconds: float = 10.0
    memory: int = 512 << 20
    """Bytes of address space that a call may add to those of a warm child."""
    stack: int = 64 << 20
    """Bytes of native stack."""
    reply: int = 64 << 20
    """Bytes of the result as JSON."""


class Bounded:
    """A function that runs in child processes.

    The function is made in the child by `make(setup)`, which is named and so needs no pickle. What it takes, returns
    and is set up with is JSON: None, bool, numbers, text, lists, and dicts with text keys.

        def renderer(setup):                                   # in hopwell/chat/example.py
            template = compile_it(setup["source"])             # once a child
            return lambda value: template.render(**value)      # once a call

        render = Bounded("hopwell.chat.example:renderer", {"source": text}, Limits(seconds=2.0))
        render.warm()                                          # optional: the first call then waits for nothing
        text = render({"messages": [...]})                     # from any thread; blocks
        text = await render.run({"messages": [...]})           # in asyncio; cancelling it kills the child
        render.close()                                         # or drop it

    Calls beyond `workers` wait their turn. A child lives on after a call that returned or raised; after any other end
    it is killed and the next one started before anybody asks. It dies with its parent. Without `resource` (Windows)
    only time and crashes are bounded; macOS does not hold processes to a limit of memory.
    """

    def __init__(self, make: str, setup: Any = None, limits: Limits | None = None, workers: int = 1) -> None:
        """
        Args:
            make: `module:function`, to be imported in the child. Keep what that module imports small.
            workers: children that may run at once. Each has its own memory; the second starts when two calls meet.
        """
        self.make, self.setup, self.limits = make, setup, limits or Limits()
        self._pool = ThreadPoolExecutor(workers, "hopwell-bounded")
        self._local = threading.local()

    def __call__(self, value: Any) -> Any:
        """Calls the function and waits for its result.

        Raises:
            BoundedError: it passed a limit, crashed or raised; `kind` says which.
        """
        call = _Call(value)
        self._pool.submit(self._work, call)
        try:
            return call.future.result()
        finally:
            call.cancel()  # if the wait was interrupted

    async def run(self, value: Any) -> Any:
        """The same in a coroutine. Cancelling it takes it out of the queue, or kills the child that computes it."""
        call = _Call(value)
        self._pool.submit(self._work, call)
        try:
            return await asyncio.wrap_future(call.future)
        finally:
            call.cancel()

    def warm(self) -> None:
        """Starts a child in the background."""
        self._pool.submit(self._start)

    def close(self) -> None:
        """Ends the children, once calls under way have ended."""
        self._pool.shutdown(wait=False)

    def _work(self, call: _Call) -> None:
        """In a worker's thread, which owns one child."""
        if not call.future.set_running_or_notify_cancel():
            return
        try:
            result = self._start().ask(encode(call.value), call, self.limits)
        except RecursionError:
            call.future.set_exception(BoundedError(NESTED, "stack"))
        except BaseException as error:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)
        with contextlib.suppress(BoundedError):  # whoever calls next hears of it
            self._start()

    def _start(self) -> _Child:
        """This thread's child, a new one if the last has died."""
        child: _Child | None = getattr(self._local, "child", None)
        if child is None or not child.alive:
            self._local.child = None
            self._local.child = child = _Child(self.make, self.setup, self.limits)
        return child


@dataclass(slots=True)
class _Call:
    """A call on its way, which may be given up from another thread."""

    value: Any
    future: Future[Any] = field(default_factory=Future)
    child: _Child | None = None
    given_up: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def attach(self, child: _Child | None) -> None:
        """Says which child is at work on it."""
        with self.lock:
            self.child = child
            if child is not None and self.given_up:
                child.kill("cancelled")

    def cancel(self) -> None:
        """Gives it up; nothing happens if it has ended."""
        self.future.cancel()
        with self.lock:
            self.given_up = True
            if self.child is not None:
                self.child.kill("cancelled")


class _Child:
    """The parent's side of one child process. Used by one thread, but for `kill`."""

    def __init__(self, make: str, setup: Any, limits: Limits) -> None:
        paths = [path or os.getcwd() for path in sys.path] + [str(Path(__file__).parent.parent)]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        weakref.finalize(self, self._errors.close)  # at the interpreter's end too, else it warns of a file left open
        self._why, self._ended = "", False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOT, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # a terminal's Ctrl-C is the parent's
            )
        except (OSError, ValueError) as error:
            raise BoundedError(f"no child process can be started: {error}", "start") from None
        self._exchange(encode([make, setup, limits.memory, limits.stack, limits.seconds]), START_SECONDS, limits)

    @property
    def alive(self) -> bool:
        """Whether it can take a call."""
        return not self._why and not self._ended

    def ask(self, request: bytes, call: _Call, limits: Limits) -> Any:
        """Calls the function once."""
        call.attach(self)
        try:
            return self._exchange(request, limits.seconds, limits)
        finally:
            call.attach(None)

    def kill(self, why: str) -> None:
        """Ends the process; whoever waits for its answer hears why. From any thread."""
        self._why = self._why or why
        self._process.kill()

    def _exchange(self, request: bytes, seconds: float, limits: Limits) -> Any:
        assert self._process.stdin and self._process.stdout
        timer = threading.Timer(seconds, self.kill, ("time",))
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
            header = self._process.stdout.read(HEADER)
            size = int.from_bytes(header, "big")
            if size > limits.reply:
                raise BoundedError(f"its result is larger than {limits.reply >> 20:,} MiB", "memory")
            body = self._process.stdout.read(size)
            if len(header) < HEADER or len(body) < size:
                raise self._obituary(limits, seconds)
            ended, status, kind, result = json.loads(body)
        except BrokenPipeError:
            raise self._obituary(limits, seconds) from None
        except RecursionError:
            raise BoundedError(NESTED, "stack") from None
        except BoundedError:
            self._end()
            raise
        finally:
            timer.cancel()
            timer.join()  # or it might kill the child in its next call
        if ended:
            self._end()
        if status:
            raise BoundedError(result, status, kind)
        return result

    def _obituary(self, limits: Limits, seconds: float) -> BoundedError:
        """Why the child died."""
        self._end()
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")
        code = self._process.returncode
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        if self._why == "time" or how == "SIGALRM":
            return BoundedError(f"it took more than {seconds:g} s", "time")
        if self._why:
            return BoundedError("it was cancelled", self._why)
        if "memory allocation of" in told or "bad_alloc" in told or "MemoryError" in told:
            return BoundedError(f"it needs more than {limits.memory >> 20:,} MiB", "memory")
        deep = ", most likely a stack that overflowed" if how in ("SIGSEGV", "SIGBUS") else ""
        return BoundedError(f"the child process died of {how}{deep}", "crash")

    def _end(self) -> None:
        self._ended = True
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # pyright: ignore[reportOptionalMemberAccess]
        self._process.wait()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self._end()

"""A program in a pseudo-terminal: type, wait for what it says, interrupt it."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from types import TracebackType

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
termios = pytest.importorskip("termios", reason="needs pseudo-terminals")

HOPWELL = (sys.executable, "-m", "hopwell")


class Terminal:
    """Runs a command as a user sees it; use as a context manager.

    `said` is everything it wrote, escape codes included.
    """

    def __init__(self, *command: str) -> None:
        self.said = ""
        self._seen = 0
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
            os.environ.pop("NO_COLOR", None)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # nohup and scripts have some ignored
                signal.signal(number, signal.SIG_DFL)
            os.execv(command[0], command)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, text: str) -> None:
        """Presses keys: `\\r` is Enter, `\\x03` Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._fd, text.encode())

    def until(self, text: str, seconds: float = 300) -> str:
        """Waits until it says this; returns what it said since the last wait."""
        deadline = time.monotonic() + seconds
        while text not in self.said[self._seen :]:
            assert time.monotonic() < deadline and self._read(), f"no {text!r} in {self.said[self._seen :]!r}"
        end = self.said.index(text, self._seen) + len(text)
        since, self._seen = self.said[self._seen : end], end
        return since

    def interrupt(self, prompt: str) -> None:
        """Presses Ctrl-C at a prompt until there is a new one. Once is enough for people; but a signal between the
        prompt and Python's wait for keys is only seen with the next key (CPython's readline.c)."""
        for _ in range(10):
            self.type("\x03")
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and prompt not in self.said[self._seen :]:
                self._read()
            if prompt in self.said[self._seen :]:
                break
        self.until(prompt)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal, as whoever stops a service does."""
        os.kill(self._pid, number)

    def stopped(self, number: signal.Signals) -> int:
        """Sends a signal until it ends, for the reason that `interrupt` gives; returns the exit code."""
        for _ in range(10):
            self.signal(number)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                if not self._read():
                    return self.leave()
        raise AssertionError("it does not end")

    def echoes(self) -> bool:
        """Whether it shows what is typed, as a shell finds and leaves it."""
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)

    def leave(self) -> int:
        """Waits for the end; returns the exit code."""
        deadline = time.monotonic() + 300
        while self._read():
            assert time.monotonic() < deadline, "it does not end"
        pid, self._pid = self._pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _read(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], 1.0)
        if not ready:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.said += data.decode(errors="replace")
        return bool(data)

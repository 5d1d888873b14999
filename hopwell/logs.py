"""The server's log: one JSON object a line on stderr, whoever writes it; nobody waits for whoever reads it."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from datetime import UTC, datetime

WAITING = 10_000
"""Lines that wait to be written; more are dropped and counted."""
LAST = 2.0
"""Seconds at the end for what waits."""
MINUTE = 60.0


class JsonLines(logging.Formatter):
    """Formats a record; a dict as its message becomes fields of the line."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"time": when, "level": record.levelname.lower()}
        line |= record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Writer(logging.Handler):
    """Writes lines in a thread of its own: a pipe that nobody reads and a full disk lose lines, and stop nothing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._lines = descriptor, queue.Queue[bytes](WAITING)
        self._lost = 0
        threading.Thread(target=self._run, name="hopwell-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait((self.format(record) + "\n").encode(errors="backslashreplace"))
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Waits for what is to be written, but not for long."""
        end = time.monotonic() + LAST
        while self._lines.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if lost := self._lost:
                record = {"event": "log lines lost", "lines": lost}
                line = json.dumps(record).encode() + b"\n" + line
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
                self._lost -= lost
            except OSError:
                self._lost += 1
            self._lines.task_done()


class Seldom:
    """Says something at most once a minute, with how often it has happened."""

    def __init__(self) -> None:
        self._times, self._next = 0, 0.0

    def warn(self, event: str, **fields: object) -> None:
        """Logs a warning, unless one was logged in the last minute."""
        self._times += 1
        now = time.monotonic()
        if now >= self._next:
            logging.getLogger("hopwell.server").warning({"event": event, **fields, "times": self._times})
            self._times, self._next = 0, now + MINUTE


def log_json() -> None:
    """Sends every logger's lines there, uvicorn's too."""
    handler: logging.Handler = logging.NullHandler() if sys.stderr is None else Writer(sys.stderr.fileno())
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for chatty in ("httpx", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

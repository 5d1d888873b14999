"""`hopwell serve` as a process under attack: its memory, and how long /health takes meanwhile."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
BIG = json.dumps({"prompt": "日" * 200_000, "return_token_strs": True}).encode()
"""For /tokenize: an answer of several MB."""
API, ENGINE = "hopwell.server.worker", "hopwell.engine.process"
HEALTH = 3.0
"""Seconds of the server's own work within which /health must answer, whatever goes on: three times what a core of today
may take."""


@dataclass
class Attacked:
    """A server that runs as a process of its own."""

    process: subprocess.Popen[str]
    url: str
    banner: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def pids(self, module: str = "") -> list[int]:
        """The server's processes: the one that was started, the engine's and those of the API; not those that they
        start for what may explode. `module`: of its entry, to have only some of them."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        named = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
        found = [child for child, line in named.items() if module in line]
        return found if module else [pid, *found]

    def rss(self) -> int:
        """MB resident."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) for status in statuses) >> 10

    def descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def worked(self) -> float:
        """Seconds of the API's threads on a core."""
        (pid,) = self.pids(API)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """One of /metrics, summed over its labels."""
        text = httpx.get(self.url + "/metrics", timeout=300).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(name + r"[{ ]", line))

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A bare connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=300)
        connection.sendall(sent)
        return connection

    def post(self, path: str, body: bytes | Any, **more: Any) -> httpx.Response:
        """A JSON post of bytes as they are, or of a value."""
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        return httpx.post(self.url + path, headers=headers, timeout=300, **given, **more)

    def answers(self) -> None:
        """An ordinary request is answered, and nothing else runs."""
        reply = self.post("/v1/completions", {"prompt": "1+1=", "max_tokens": 3})
        assert reply.status_code == 200, reply.text
        assert within(120, lambda: self.metric("hopwell_running") == self.metric("hopwell_waiting") == 0)

    def under(self, attack: Callable[[], T]) -> T:
        """Runs an attack while /health is asked for; it must answer in time. A busy machine gets three tries."""
        slowest = 0.0
        for _ in range(3):
            with Watch(self) as watch:
                result = attack()
            slowest = max(watch.seconds)
            if slowest < HEALTH:
                return result
        raise AssertionError(f"/health took {slowest:.2f} s")


class Watch:
    """Asks for /health again and again while the block runs; `seconds` holds how long each answer took, less what the
    server's process stood still, since others have the cores then."""

    def __init__(self, server: Attacked) -> None:
        self.server, self.seconds, self._over = server, [0.0], threading.Event()

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=300) as client:
            while not self._over.wait(0.02):
                began, worked = time.monotonic(), self.server.worked()
                assert client.get(self.server.url + "/health").status_code == 200
                self.seconds.append(min(time.monotonic() - began, self.server.worked() - worked))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def request(method: str, path: str, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    """A request as bytes; `length` may lie."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items())]
    if "host" not in headers:
        lines.append("host: localhost")
    if method == "POST":
        lines += ["content-type: application/json", f"content-length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def unread(server: Attacked, sent: bytes = request("POST", "/tokenize", BIG)) -> socket.socket:
    """A client that has asked and does not read, once its answer is on its way."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(sent)
    assert select.select([connection], [], [], 60)[0]
    return connection


@contextmanager
def attacked(*options: str, command: Sequence[str] = (), **popen: Any) -> Iterator[Attacked]:
    """`hopwell serve` with nano, until the block ends.

    Args:
        command: what to put before it, such as a shell's `ulimit`.
    """
    run = [sys.executable, "-m", "hopwell", "serve", "--port", "0", "--device", "cpu", *options]
    popen = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, **popen}
    env = {**os.environ, "OMP_NUM_THREADS": "1", **popen.pop("env", {})}
    process = subprocess.Popen([*command, *run], text=True, env=env, **popen)
    try:
        banner = ""
        while process.stdout is not None and "http://" not in banner:
            line = process.stdout.readline()
            assert line, f"it ended with {process.wait()}"
            banner += line
        yield Attacked(process, "".join(re.findall("http://.*", banner)), banner)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

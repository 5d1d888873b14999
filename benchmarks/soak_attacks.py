"""What the soak sends to hurt a server: requests that must be refused, and clients that do not behave.

    python -m benchmarks.soak_attacks PORT KEY SECONDS SEED CALLERS PAUSE [ATTACK]

attacks from a process of its own, so that its work delays no good caller's clock, and prints a line for each attack:
its name, what came of it, when it began and ended.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def chain(links: int) -> dict[str, Any]:
    """A schema whose definitions refer to each other."""
    definitions = {f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(links)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{links}": {"type": "integer"}}}


def bodies() -> dict[str, tuple[str, bytes]]:
    """Requests that are refused, or not read."""
    long = "word " * 1_600_000
    user = [{"role": "user", "content": "a"}]
    rules = "start: r0\n" + "\n".join(f"r{i}: r{i + 1}" for i in range(8000)) + '\nr8000: "a"'
    whole = {"type": "integer"}
    for _ in range(90):
        whole = {"allOf": [whole]}
    return {
        "items of no kind": ("/v1/responses", text({"input": [{}] * 60_000})),
        "messages": ("/v1/chat/completions", text({"messages": user * 100_000})),
        "biases": ("/v1/completions", text({"prompt": "a", "logit_bias": {str(i): 1 for i in range(500_000)}})),
        "token ids": ("/v1/completions", text({"prompt": [1000] * 2_000_000})),
        "nested": ("/v1/responses", b'{"input":"a","metadata":' + b'{"a":' * 1000 + b"1" + b"}" * 1001),
        "half a surrogate": ("/v1/responses", b'{"input":"a","metadata":{"a":"\\ud800"}}'),
        "a long prompt": ("/v1/completions", text({"prompt": long})),
        "a long conversation": ("/v1/chat/completions", text({"messages": [{"role": "user", "content": long}]})),
        "a long text": ("/tokenize", text({"prompt": "7 " * 100_000, "return_token_strs": True})),
        "many prompts": ("/v1/completions", text({"prompt": ["word " * 200] * 1000, "max_tokens": 99_999})),
        "many answers": ("/v1/completions", text({"prompt": "1+1=", "n": 128, "max_tokens": 4})),
        "a chain of schemas": ("/v1/completions", text({"prompt": "a", "structured_outputs": {"json": chain(1000)}})),
        "a chain of rules": ("/v1/completions", text({"prompt": "a", "structured_outputs": {"grammar": rules}})),
        "a chain of allOf": ("/v1/completions", text({"prompt": "a", "structured_outputs": {"json": whole}})),
        "another name": ("/v1/completions", b'{"prompt":"a"}'),
        "no JSON": ("/v1/completions", b"\xff\x00" * 5000),
    }


class Attacks:
    """Ways to hurt the server at a port. Each gives a word for what came of it, mostly a status."""

    def __init__(self, port: int, key: str) -> None:
        """
        Args:
            key: of the tenant that attacks.
        """
        self.port, self.key, self.bodies = port, key, bodies()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.ways: dict[str, Callable[[], str]] = {
            "silence": self.silence,
            "half a head": lambda: self.leave(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n", 1.0),
            "half a body": lambda: self.leave(self.head("/v1/completions", 1000) + b"{", 1.0),
            "leaves a stream": lambda: self.ask(stream=True, wait=0.2),
            "leaves a queue": lambda: self.ask(stream=True, wait=0.0, n=64),
            "leaves a whole answer": lambda: self.ask(stream=False, wait=0.2),
            "leaves a grammar": self.leave_grammar,
            "reads nothing": self.read_nothing,
            "no HTTP": lambda: self.leave(b"\x16\x03\x01\x02\x00" * 100, 0.1),
            "flush": lambda: self.post("/flush_cache", b"{}"),
            **{name: self.poster(name) for name in self.bodies},
        }

    def poster(self, name: str) -> Callable[[], str]:
        path, body = self.bodies[name]
        host = "evil.example" if name == "another name" else "localhost"
        return lambda: self.post(path, body, host)

    def head(self, path: str, length: int) -> bytes:
        lines = f"POST {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {self.key}"
        return "\r\n".join([*lines, "content-type: application/json", f"content-length: {length}", "", ""]).encode()

    def post(self, path: str, body: bytes, host: str = "localhost") -> str:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "host": host}
        try:
            reply = self.client.post(path, content=body, headers=headers)
            return str(reply.status_code)
        except httpx.HTTPError as error:  # the server may hang up on a body that it refuses
            return type(error).__name__

    def connect(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with suppress(OSError):
            connection.sendall(sent)
        return connection

    def leave(self, sent: bytes, seconds: float) -> str:
        with self.connect(sent):
            time.sleep(seconds)
        return "left"

    def silence(self) -> str:
        held = []
        with suppress(OSError):
            held = [self.connect(b"") for _ in range(300)]
        time.sleep(0.5)
        for connection in held:
            connection.close()
        return "left"

    def ask(self, stream: bool, wait: float, n: int = 1) -> str:
        body = text({"prompt": "1+1=", "max_tokens": 2000, "ignore_eos": True, "stream": stream, "n": n})
        return self.leave(self.head("/v1/completions", len(body)) + body, wait)

    def leave_grammar(self) -> str:
        body = text({"prompt": "a", "n": 64, "structured_outputs": {"json": chain(200)}})
        return self.leave(self.head("/v1/completions", len(body)) + body, 0.0)

    def read_nothing(self) -> str:
        body = text({"prompt": "日" * 100_000, "return_token_strs": True})
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", self.port))
        with connection:
            connection.sendall(self.head("/tokenize", len(body)) + body)
            select.select([connection], [], [], 10)
            time.sleep(8.0)
        return "left"


def attack(attacks: Attacks, seconds: float, seed: str, pause: float, only: str = "") -> None:
    """Attacks for so long, in shuffled rounds of all ways, or in `only` one."""
    pick, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        for name in [only] if only else pick.sample(sorted(attacks.ways), len(attacks.ways)):
            if time.monotonic() > end:
                break
            began = time.monotonic()
            outcome = attacks.ways[name]()
            sys.stdout.write(json.dumps([name, outcome, began, time.monotonic()]) + "\n")
            time.sleep(pick.expovariate(1 / pause))


def main() -> None:
    os.nice(10)  # attackers have machines of their own
    port, key, seconds, seed, callers, pause, *only = sys.argv[1:]
    attacks = Attacks(int(port), key)
    threads = [
        threading.Thread(target=attack, args=(attacks, float(seconds), f"{seed} {i}", float(pause), *only))
        for i in range(int(callers))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()

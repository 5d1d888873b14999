"""A server under a few loads, as the planner wants them; and servers that are started to be measured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import httpx

from hopwell.bench.serve import Load, bench_serve, listed_model
from hopwell.errors import HopwellError
from hopwell.planner.calibration import Loaded

OWNERS = {"hopwell": "hopwell", "vllm": "vllm", "sglang": "sglang", "tensorrt_llm": "trtllm"}
"""What engines call themselves in /v1/models, and the planner calls them."""
FEWEST = 8
"""Requests of a load, at least; and two a user."""
START_SECONDS, END_SECONDS = 3600.0, 30.0
"""For a big model to load; for a server to end."""


def engine_of(url: str, key: str | None = None) -> str | None:
    """Which engine answers there, or None if it does not say.

    Raises:
        HopwellError: nothing answers as an OpenAI-compatible server does.
    """
    return OWNERS.get(str(listed_model(url, key).get("owned_by")).lower())


def measure_loads(
    url: str,
    users: Sequence[int],
    words: int,
    tokens: int,
    *,
    key: str | None = None,
    ignore_eos: bool = True,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[Loaded]:
    """Closed loops of so many users each, streamed: what a client sees.

    Args:
        words, tokens: of each prompt, about, and of each answer.
        ignore_eos: ask for answers of full length; servers of other origin may refuse.

    Raises:
        HopwellError: the server cannot be reached, or a request failed.
    """
    load = Load(input_words=words, output_tokens=tokens, spread=0.0, ignore_eos=ignore_eos)
    rows = bench_serve(
        url, load, concurrency=users, requests=FEWEST, key=key, say=lambda _: None, progress=progress
    )  # fmt: skip
    found = []
    for row in rows:
        if row["failed"] or not row["tpot_p50_ms"]:
            told = row["first_error"] or "answers have one token; ask for more with --output-tokens"
            raise HopwellError(f"{url}: of {row['requests']} requests, {row['failed']} failed: {told}")
        count = int(row["concurrency"])
        seen = (row["mean_isl"], row["mean_osl"], row["tpot_p50_ms"], row["ttft_p50_ms"], row["output_tokens_per_s"])
        found.append(Loaded(count, row["requests"] / count, *seen))
    return found


@contextmanager
def own_server(model: str | None, options: Sequence[str]) -> Iterator[str]:
    """`hopwell serve` on a free port until the block ends; gives its URL once it is ready.

    Raises:
        HopwellError: it ended before; the message is its own last line.
    """
    with server(["-m", "hopwell", "serve", *([model] if model else []), *options], "hopwell serve", "/ready") as url:
        yield url


@contextmanager
def server(arguments: Sequence[str], name: str, ready: str, environment: Mapping[str, str] = {}) -> Iterator[str]:
    """A server in Python on a free port until the block ends; gives its URL once it is ready.

    Args:
        arguments: of Python; `--port` follows.
        ready: the route that answers 200 from then on.
        environment: what differs from this process's own.

    Raises:
        HopwellError: it ended before; the message is its own last line.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # -P: a folder of the working directory must not stand in for a package
    command = [sys.executable, "-P", *arguments, "--port", str(port)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True, env={**os.environ, **environment}
        )
        try:
            _await(process, f"http://127.0.0.1:{port}{ready}", said, name)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], url: str, said: IO[bytes], name: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise HopwellError(f"{name} ended: {lines[-1] if lines else f'exit code {process.returncode}'}")
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise HopwellError(f"{name} is not ready after {START_SECONDS:g} s")

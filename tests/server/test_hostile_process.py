"""The process itself: signals while clients misbehave, outputs that nobody reads, two servers on one port."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from hostile import Attacked, attacked, request, unread, within

from hopwell.server.run import bind, claim

SECONDS = 30
"""Well below the 60 s of --drain-timeout, and far above what ending takes."""
HALF = request("POST", "/v1/completions", b'{"pro', length=1000)
STREAM = {"prompt": "1+1=", "max_tokens": 100, "ignore_eos": True, "stream": True}


@pytest.mark.slow
def test_a_hangup_drains_though_bodies_are_half_sent() -> None:
    """As SIGTERM does, by which others end here."""
    heeded = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # also where nohup runs the tests
    with attacked(preexec_fn=heeded) as server, ExitStack() as stack:
        for sent in (HALF, HALF[:40], b""):
            stack.enter_context(server.connect(sent))
        with httpx.stream("POST", server.url + "/v1/completions", json=STREAM, timeout=300) as reply:
            lines = reply.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGHUP)
            assert [line for line in lines if line][-1] == "data: [DONE]", "what runs may end"
        assert server.process.wait(SECONDS) == 0


@pytest.mark.slow
def test_a_second_signal_ends_it_though_answers_are_not_read() -> None:
    with attacked() as server, unread(server), server.connect(HALF):
        server.process.send_signal(signal.SIGTERM)
        time.sleep(2.0)
        assert server.process.poll() is None, "the answer may still be read"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0


@pytest.mark.slow
def test_under_nohup_neither_a_hangup_nor_a_log_that_nobody_reads_stops_anything() -> None:
    """A pipe holds 64 KiB, some 300 lines."""
    nohup = {"stderr": subprocess.PIPE, "preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with attacked(**nohup) as server, httpx.Client(base_url=server.url, timeout=300) as http:
        server.process.send_signal(signal.SIGHUP)
        server.answers()
        for _ in range(1000):
            assert http.get("/health", timeout=300).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0


def test_a_log_that_is_read_again_tells_what_it_lost(tmp_path: Path) -> None:
    code = """
import logging, os, sys, time
from hopwell.logs import WAITING, log_json
log_json()
for i in range(WAITING + 5000):
    logging.info(i)
print("logged", flush=True)
sys.stdin.read()
waiting = logging.getLogger().handlers[0]._lines
waiting.join()  # however slow the reader
logging.info("last")
waiting.join()
"""
    run = [sys.executable, "-c", code]
    process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "logged\n"
    _, log = process.communicate(timeout=300)
    lines = [json.loads(line) for line in log.splitlines()]
    lost = [line["lines"] for line in lines if line["event"] == "log lines lost"]  # maybe several times
    assert sum(lost) > 0 and sum(lost) + len(lines) - len(lost) - 1 == 15_000 and lines[-1]["event"] == "last"


@pytest.mark.slow
def test_a_signal_as_soon_as_it_is_healthy_is_an_orderly_end() -> None:
    """Though the banner is still to come: whoever asks for health need not wait for it."""
    code = """
import asyncio, sys
from hopwell.cli import main
from hopwell.server.supervisor import Supervisor
up = Supervisor._all_up
async def late(self):
    await up(self)
    await asyncio.sleep(300)
Supervisor._all_up = late
main()
"""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = [sys.executable, "-c", code, "serve", "--device", "cpu", "--port", str(port)]
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert within(120, lambda: _healthy(port))
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_full_disk_under_its_outputs_is_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open("/dev/full", "w") as full, attacked("--port", str(port), stdout=full, stderr=full) as server:
        assert within(120, lambda: _healthy(port)), "it has not started"
        served = Attacked(server.process, f"http://127.0.0.1:{port}", "")
        served.answers()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=300).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_of_two_servers_started_together_the_second_fails_before_it_loads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "hopwell", "serve", "--device", "cpu", "--port", port]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert within(120, lambda: any(one.poll() is not None for one in both))
        (failed,) = [one for one in both if one.poll() is not None]
        (other,) = [one for one in both if one is not failed]
        out, said = failed.communicate()
        assert (failed.returncode, out) == (2, "") and port in said and said.count("\n") == 1, said
        assert within(120, lambda: _healthy(int(port)))
        other.send_signal(signal.SIGTERM)
        assert other.wait(SECONDS) == 0
    finally:
        for one in both:
            one.kill()
            one.wait()


def test_whoever_comes_before_the_model_is_loaded_is_refused() -> None:
    with bind("127.0.0.1", 0) as listener, claim(listener.getsockname()[1]), socket.socket() as early:
        assert early.connect_ex(listener.getsockname()) != 0

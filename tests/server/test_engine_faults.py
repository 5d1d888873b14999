"""An engine that dies or hangs under a server: probes say so, nobody waits in vain, the log tells, SIGTERM ends it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

SERVE = """
import threading, time
from hopwell.engine.loading import load_model
from hopwell.engine.engine import Engine
from hopwell.server.run import serve
from hopwell.server.settings import ServerSettings

step = Engine._step

def faulty(engine):
    if engine.has_work() and engine._inbox:
        FAULT
    return step(engine)

Engine._step = faulty
serve(
    lambda: load_model(None, device="cpu"), port=0, names=(),
    settings=ServerSettings(drain_timeout=5.0), tenants=(), step_timeout=0.5,
)
"""


@contextmanager
def served(fault: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.replace("FAULT", fault)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.findall("http://.*", line)))
        yield url, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says", "code"),
    [("raise MemoryError('no memory left')", "no memory left", 0), ("time.sleep(1000)", "step_timeout", 1)],
)
def test_probes_streams_and_calls_hear_of_it(fault: str, says: str, code: int) -> None:
    with served(fault) as (url, process):
        assert httpx.get(url + "/health", timeout=300).status_code == 200
        answers: list[httpx.Response] = []

        def post(path: str, body: dict) -> None:
            answers.append(httpx.post(url + path, json=body, timeout=300))

        asked = [("/v1/completions", {"prompt": "a", "max_tokens": 3, "stream": stream}) for stream in (True, False)]
        threads = [threading.Thread(target=post, args=one) for one in [*asked, ("/flush_cache", {})]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [answer.status_code for answer in answers] == [503] * 3, [answer.text for answer in answers]
        late = [httpx.post(url + path, json=body, timeout=300) for path, body in [*asked, ("/flush_cache", {})]]
        probes = [httpx.get(url + path, timeout=300) for path in ("/health", "/ready")]
        for answer in (*late, *probes):
            assert answer.status_code == 503 and says in answer.json()["error"]["message"], answer.text
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, log = process.communicate(timeout=300)
        assert time.monotonic() - began < 60 and process.returncode == code
        assert says in log
        assert ("Traceback" in log) == (code == 0)

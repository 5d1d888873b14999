"""Bad clients and bad moments: only the guilty request fails, with its status, and the server goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from server_fixture import Running, server
from torch import Tensor

from hopwell.engine.request import FinishReason
from hopwell.model.batch import ForwardBatch
from hopwell.server.settings import KeysError, ServerSettings, Tenant, read_keys

LONG = {"prompt": "1+1=", "max_tokens": 3000, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    settings = ServerSettings(max_body_bytes=1 << 20, body_timeout=3.0, write_timeout=1.5, drain_timeout=5.0)
    with server(settings) as it:
        yield it


@pytest.fixture(autouse=True)
def still_serves(running: Running) -> Iterator[None]:
    """After each fault, an ordinary request is answered, and nothing runs on."""
    yield
    reply = httpx.post(running.url + "/v1/completions", json={"prompt": "1+1=", "max_tokens": 3}, timeout=300)
    assert reply.status_code == 200, reply.text
    metrics = running.host.engine.metrics
    assert _within(60, lambda: not metrics.running and not metrics.waiting)


def _within(seconds: float, condition: object) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def _connect(running: Running, body: bytes, path: str = "/v1/completions", length: int | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=300)
    connection.sendall(_head(len(body) if length is None else length, path) + body)
    return connection


def _head(length: int, path: str = "/v1/completions") -> bytes:
    lines = f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json", f"content-length: {length}"
    return "\r\n".join([*lines, "", ""]).encode()


def test_client_vanishes_mid_stream(running: Running) -> None:
    aborted = running.host.engine.metrics.finished[FinishReason.ABORT]
    connection = _connect(running, json.dumps(LONG).encode())
    assert b"200" in connection.recv(200)
    connection.close()
    assert _within(60, lambda: running.host.engine.metrics.finished[FinishReason.ABORT] == aborted + 1)


def test_client_vanishes_while_it_waits_for_a_whole_answer(running: Running) -> None:
    aborted = running.host.engine.metrics.finished[FinishReason.ABORT]
    connection = _connect(running, json.dumps({**LONG, "stream": False}).encode())
    assert _within(60, lambda: running.host.engine.metrics.running)
    connection.close()
    assert _within(60, lambda: running.host.engine.metrics.finished[FinishReason.ABORT] == aborted + 1)


def test_client_that_reads_a_byte_a_second(running: Running) -> None:
    aborted = running.host.engine.metrics.finished[FinishReason.ABORT]
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(300)
    connection.connect(("127.0.0.1", running.port))
    body = json.dumps({**LONG, "logprobs": 20}).encode()
    connection.sendall(_head(len(body)) + body)
    assert connection.recv(1) == b"H"
    others = [
        httpx.post(running.url + "/v1/completions", json={"prompt": "2+2=", "max_tokens": 2}, timeout=300)
        for _ in range(5)
    ]
    assert [reply.status_code for reply in others] == [200] * 5
    for _ in range(30):
        if _within(1, lambda: running.host.engine.metrics.finished[FinishReason.ABORT] == aborted + 1):
            break
        connection.recv(1)
    else:
        raise AssertionError("the request of a client that does not read runs on")
    connection.close()


def test_body_of_100_mb_is_refused_unread(running: Running) -> None:
    connection = _connect(running, b"{", length=100 << 20)
    assert b" 413 " in connection.recv(2000)
    connection.close()

    # one that is not much too large hears why, though it sends everything before it reads
    body = b" " * (running.service.settings.max_body_bytes + (1 << 18))
    connection = _connect(running, body, length=len(body))
    assert b" 413 " in connection.recv(2000)
    connection.close()

    def endless() -> Iterator[bytes]:  # no length is told
        for _ in range(100):
            yield b" " * (1 << 20)

    with suppress(httpx.TransportError):  # the server may close while the client still writes
        assert httpx.post(running.url + "/v1/completions", content=endless(), timeout=300).status_code == 413


@pytest.mark.slow
def test_body_that_never_ends(running: Running) -> None:
    connection = _connect(running, b'{"prompt":', length=100)
    assert b" 408 " in connection.recv(2000)
    connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": ["ok", "\\udfff"]}',
        b'{"prompt": "a", "stop": "\\ud800"}',
        b"{",
        b"[]",
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": [999999999]}',
        b'{"prompt": ""}',
        b'{"prompt": "a", "structured_outputs": {"regex": "("}}',
        b'{"prompt": "a", "structured_outputs": {"json": {"type": "nonsense"}}}',
        b'{"prompt": "a", "logit_bias": {"999999": 1}}',
        b'{"prompt": "a", "max_tokens": 99999999}',
        b'{"prompt": "a", "min_tokens": 20}',
    ],
)
def test_malformed_bodies(running: Running, body: bytes) -> None:
    reply = httpx.post(
        running.url + "/v1/completions", content=body, headers={"content-type": "application/json"}, timeout=300
    )
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["message"]


def test_broken_characters_in_a_conversation(running: Running) -> None:
    body = b'{"messages": [{"role": "user", "content": "\\ud83d"}]}'
    for path in ("/v1/chat/completions", "/v1/messages", "/tokenize"):
        assert httpx.post(running.url + path, content=body, timeout=300).status_code == 400


def test_schema_that_nothing_satisfies(running: Running) -> None:
    schema = {"type": "integer", "minimum": 5, "maximum": 4}
    reply = httpx.post(
        running.url + "/v1/completions", json={"prompt": "a", "structured_outputs": {"json": schema}}, timeout=30
    )
    assert reply.status_code == 400, reply.text


NAN_TOKEN = 777


@pytest.fixture
def sick_rows(running: Running) -> Iterator[list[bool]]:
    """Prompts with `NAN_TOKEN` give NaN; so do all rows while the list holds True."""
    runner = running.host.engine.runner
    model, meter, armed = runner.model, runner.meter, [False]

    class Sick:
        def __getattr__(self, name: str) -> object:
            return getattr(model, name)

        def step(self, batch: ForwardBatch, latent: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
            hidden, _ = model.step(batch, latent, wanted)
            for rows, tokens in zip(hidden.split(batch.query_lens), batch.tokens.split(batch.query_lens), strict=True):
                if armed[0] or NAN_TOKEN in tokens:
                    rows.fill_(float("nan"))
            return hidden, model.logits(hidden if wanted is None else hidden[wanted])

    runner.model, runner.meter = Sick(), None  # type: ignore[assignment]  # a measured step would take another model
    yield armed
    runner.model, runner.meter = model, meter


def test_nan_logits_fail_one_request_of_a_batch(running: Running, sick_rows: list[bool]) -> None:
    replies: dict[str, httpx.Response] = {}

    def ask(name: str, prompt: object) -> None:
        body = {"prompt": prompt, "max_tokens": 40, "ignore_eos": True}
        replies[name] = httpx.post(running.url + "/v1/completions", json=body, timeout=300)

    healthy = {f"{i}": f"{i}+{i}=" for i in range(4)}
    threads = [threading.Thread(target=ask, args=one) for one in [*healthy.items(), ("sick", [5, NAN_TOKEN, 6])]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies["sick"].status_code == 500 and replies["sick"].json()["error"]["code"] == "request_failed"
    assert all(replies[name].json()["usage"]["completion_tokens"] == 40 for name in healthy)


def test_nan_logits_in_the_middle_of_a_stream_are_its_last_event(running: Running, sick_rows: list[bool]) -> None:
    with httpx.stream("POST", running.url + "/v1/completions", json=LONG, timeout=300) as reply:
        events = (line for line in reply.iter_lines() if line)
        assert '"text"' in next(events)
        sick_rows[0] = True
        *_, error, done = events
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "request_failed"
    assert done == "data: [DONE]"


def test_an_error_of_the_server_itself_is_a_500_with_its_id(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.service, "encode", None)
    reply = httpx.post(running.url + "/v1/completions", json={"prompt": "a"}, timeout=300)
    assert reply.status_code == 500 and reply.json()["error"]["type"] == "api_error"
    assert len(reply.headers["x-request-id"]) == 32


def test_pages_of_known_origins_may_call() -> None:
    with server(ServerSettings(cors_origins=("https://a.example",)), [Tenant(name="a", key="alice-key")]) as guarded:
        asks = {"origin": "https://a.example", "access-control-request-method": "POST"}
        asks["access-control-request-headers"] = "authorization,content-type"
        flight = httpx.options(guarded.url + "/v1/chat/completions", headers=asks, timeout=300)
        assert flight.status_code == 200 and flight.headers["access-control-allow-origin"] == "https://a.example"
        refused = httpx.post(guarded.url + "/v1/chat/completions", headers={"origin": "https://a.example"}, timeout=300)
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://a.example"
        assert httpx.options(
            guarded.url + "/v1/models", headers={**asks, "origin": "https://b.example"}, timeout=300
        ).is_error


def test_every_unknown_field_is_named(running: Running) -> None:
    for path, body in (
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
        ("/tokenize", {"prompt": "a"}),
        ("/detokenize", {"tokens": [1]}),
    ):
        reply = httpx.post(running.url + path, json={**body, "frobnicate": 1}, timeout=300)
        assert reply.status_code == 400 and "frobnicate" in reply.json()["error"]["message"], reply.text


@pytest.mark.slow
def test_pool_exhausted_requests_wait_and_finish() -> None:
    with server(cache_tokens=512, max_seqs=8) as small:
        codes: list[int] = []

        def ask(i: int) -> None:
            body = {"prompt": f"{i}+1=", "max_tokens": 150, "ignore_eos": True}
            codes.append(httpx.post(small.url + "/v1/completions", json=body, timeout=300).status_code)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [200] * 8
        assert small.host.engine.metrics.preemptions > 0
        too_long = httpx.post(small.url + "/v1/completions", json={"prompt": "a", "max_tokens": 600}, timeout=300)
        assert too_long.status_code == 400 and too_long.json()["error"]["param"] == "max_tokens"


def test_keys_rates_and_tenants() -> None:
    tenants = [Tenant(name="alice", key="alice-key"), Tenant(name="bob", key="bob-key-1", requests_per_minute=2)]
    with server(tenants=tenants) as guarded, httpx.Client(base_url=guarded.url, timeout=300) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/v1/models").status_code == 401
        assert http.get("/v1/models", headers={"x-api-key": "wrong"}).status_code == 401
        alice, bob = {"authorization": "Bearer alice-key"}, {"x-api-key": "bob-key-1"}
        body = {"prompt": "1+" * 100, "max_tokens": 1, "stream": False}

        def hit(headers: dict[str, str]) -> int:
            return http.post("/v1/completions", json=body, headers=headers).json()["usage"]["prompt_cache_hit_tokens"]

        assert hit(alice) == 0
        assert hit(alice) > 0
        assert hit(bob) == 0  # another tenant's pages are not seen, whatever the prompt
        assert hit(bob) > 0
        refused = http.post("/v1/completions", json=body, headers=bob)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
        assert hit(alice) > 0


def test_a_tenants_answers_are_counted_not_its_requests() -> None:
    tenants = [Tenant(name="alice", key="alice-key", max_concurrent=2)]
    messages = [{"role": "user", "content": "1+1="}]
    many = [
        ("/v1/completions", {"prompt": "a", "n": 3}),
        ("/v1/completions", {"prompt": ["a", "b", "c"]}),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 2}),
        ("/v1/completions", {"prompt": "a", "n": 128, "stream": True}),
        ("/v1/chat/completions", {"messages": messages, "n": 3}),
    ]
    with server(tenants=tenants) as guarded, httpx.Client(base_url=guarded.url, timeout=300) as http:
        http.headers["x-api-key"] = "alice-key"
        for path, body in many:
            refused = http.post(path, json=body)
            assert refused.status_code == 429 and refused.json()["error"]["code"] == "too_many_running", refused.text
        for _ in range(20):  # what was refused, and what has ended, holds no seat
            assert http.post("/v1/completions", json={"prompt": "a", "n": 2, "max_tokens": 1}).status_code == 200
        long = {"prompt": "a", "n": 2, "max_tokens": 4000, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/v1/completions", json=long) as stream:
            lines = stream.iter_lines()  # held: httpx leaves the server with the last of its iterators
            assert stream.status_code == 200 and next(lines)
            refused = http.post("/v1/messages", json={"messages": messages, "max_tokens": 1})
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        assert _within(30, lambda: http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}).is_success)
        assert guarded.host.engine.metrics.prompt_tokens < 60


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no tenant"),
        ("[a]\n", "a.key"),
        ('[a]\nkey = "short"', "a.key"),
        ('[a]\nkey = "12345678"\n[b]\nkey = "12345678"', "b.key"),
        ('[a]\nkey = "12345678"\nrate = 1', "a.rate"),
        ('[a]\nkey = "12345678"\nmax_concurrent = 0', "a.max_concurrent"),
        ('[a]\nkey = "12345678"\nlatency_class = "x"', "a.latency_class"),
        ("[a", "keys.toml"),
    ],
)
def test_bad_keys_files_are_refused_by_name(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeysError, match=word):
        read_keys(path)


@pytest.mark.slow
def test_sigterm_under_load() -> None:
    process, out = _serve("--drain-timeout", "300")
    try:
        url = re.findall("http://.*", out)[0]
        assert httpx.get(url + "/ready", timeout=300).status_code == 200
        for word in (
            "model     nano on cpu",
            "precision",
            "cache",
            "limits",
            "imports",
            "weights",
            "answers",
            "callers",
        ):
            assert word in out
        results: list[str] = []

        def ask() -> None:
            body = {"prompt": "1+1=", "max_tokens": 200, "ignore_eos": True, "stream": True}
            with httpx.stream("POST", url + "/v1/completions", json=body, timeout=300) as reply:
                results.append("".join(reply.iter_text()))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        begun = r"hopwell_prompt_tokens_total\{.*\} 24\.0"  # of six prompts of four tokens
        assert _within(60, lambda: re.search(begun, httpx.get(url + "/metrics", timeout=300).text))
        process.send_signal(signal.SIGTERM)
        with suppress(httpx.TransportError):  # it had nothing left to drain
            while httpx.get(url + "/ready", timeout=300).status_code == 200:
                time.sleep(0.01)
            late = httpx.post(url + "/v1/completions", json={"prompt": "a"}, timeout=300)
            assert late.status_code == 503
            assert httpx.get(url + "/ready", timeout=300).status_code == 503
        for thread in threads:
            thread.join()
        assert len(results) == 6 and all(text.endswith("data: [DONE]\n\n") for text in results)
        assert all('"finish_reason":"length"' in text for text in results)
        _, log = process.communicate(timeout=300)
        assert process.returncode == 0, log
        lines = [json.loads(line) for line in log.splitlines()]
        asked = [line for line in lines if line["event"] == "request" and line.get("path") == "/v1/completions"]
        answered = [line for line in lines if line["event"] == "answer"]
        assert len(answered) == 6 and all(line["finish"] == ["length"] and line["tokens"] == 200 for line in answered)
        assert {line["request_id"][:32] for line in answered} <= {line["request_id"] for line in asked}
        assert all(line["time"] and line["level"] for line in lines)
    finally:
        process.kill()


@pytest.mark.slow
def test_a_second_signal_cancels_what_runs() -> None:
    process, out = _serve("--drain-timeout", "60")
    try:
        url = re.findall("http://.*", out)[0]
        with httpx.stream("POST", url + "/v1/completions", json={**LONG, "max_tokens": 15000}, timeout=300) as reply:
            lines = reply.iter_lines()
            next(lines)
            process.send_signal(signal.SIGINT)
            assert _within(60, lambda: httpx.get(url + "/ready", timeout=300).status_code == 503)
            assert process.poll() is None, "the first one lets it finish"
            process.send_signal(signal.SIGINT)
            assert any("shutting down" in line for line in lines)
        assert process.wait(300) == 0
    finally:
        process.kill()


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "hopwell", "serve", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert port in done.stderr and "--port" in done.stderr and done.stderr.count("\n") == 1


def _serve(*options: str) -> tuple[subprocess.Popen[str], str]:
    """`hopwell serve` with nano as a process of its own, and what it printed once it was ready."""
    command = [sys.executable, "-m", "hopwell", "serve", "--port", "0", "--device", "cpu", *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    out = ""
    while "http://" not in out:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        out += line
    return process, out


def test_a_client_that_sends_no_more_has_left(running: Running) -> None:
    """A half that is closed cannot be told from a client who is gone, whose answer nobody should compute."""
    aborted = running.host.engine.metrics.finished[FinishReason.ABORT]
    with _connect(running, json.dumps(LONG).encode()) as connection:
        assert b"200" in connection.recv(200)
        connection.shutdown(socket.SHUT_WR)
        assert _within(60, lambda: running.host.engine.metrics.finished[FinishReason.ABORT] == aborted + 1)

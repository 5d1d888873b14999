"""Clients that are silent, do not read, leave, or come by the thousand; browsers that are sent by a stranger's page."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from hostile import BIG, Attacked, attacked, request, unread, within
from server_fixture import server as in_thread

from hopwell.server import run
from hopwell.server.settings import ServerSettings

KEYS = '[alice]\nkey = "alice-key"\nflush_cache = true\n[bob]\nkey = "bobby-key"\n'
ALICE, BOB = {"authorization": "Bearer alice-key"}, {"authorization": "Bearer bobby-key"}
STREAM = {"prompt": "1+1=", "max_tokens": 8000, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def server() -> Iterator[Attacked]:
    """Few connections, short time-outs."""
    with attacked(
        *("--write-timeout", "1.5", "--head-timeout", "1.5", "--max-connections", "60", "--max-seqs", "2"),
        *("--allowed-host", "models.example"),
    ) as it:
        it.answers()
        yield it


@pytest.fixture(autouse=True)
def still_answers(server: Attacked) -> Iterator[None]:
    before = server.descriptors()
    yield
    server.answers()
    assert within(120, lambda: server.descriptors() <= before + 2), "connections are left"


def closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return connection.recv(1 << 20) == b""
    except ConnectionResetError:
        return True


HEADS = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half a head": b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ",
}


@pytest.mark.slow
def test_half_a_second_head_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet connection is kept for half a minute, which is a second here."""
    monkeypatch.setattr(run, "KEEP_ALIVE", 1)
    with (
        in_thread(ServerSettings(head_timeout=1.5, drain_timeout=5.0)) as it,
        socket.create_connection(("127.0.0.1", it.port), timeout=300) as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /hea")
        assert b"200 OK" in connection.recv(1 << 16)
        assert within(300, lambda: closed(connection))


@pytest.mark.slow
def test_heads_that_do_not_come_are_not_waited_for(server: Attacked) -> None:
    """All at once: each takes as long as the server waits."""
    names = (*HEADS, "a head that drips", "a head without end")

    def ended(name: str, connection: socket.socket) -> bool:
        if name not in HEADS and not closed(connection):
            try:
                connection.sendall(b"x: y\r\n" if "drips" in name else b"x" * 4096)
            except OSError:
                return True
        return closed(connection)

    with ExitStack() as stack:
        begun = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
        left = {name: stack.enter_context(server.connect(HEADS.get(name, begun))) for name in names}
        began = time.monotonic()
        while left:
            left = {name: connection for name, connection in left.items() if not ended(name, connection)}
            time.sleep(0.02)
            assert time.monotonic() - began < 300, list(left)


def test_silent_connections_make_room(server: Attacked) -> None:
    def crowd() -> None:
        with ExitStack() as stack:
            crowd = [stack.enter_context(server.connect()) for _ in range(300)]
            assert within(120, lambda: sum(map(closed, crowd)) >= 300 - 60)

    server.under(crowd)


@pytest.mark.slow
def test_connections_at_work_are_not_closed_for_others(server: Attacked) -> None:
    with httpx.stream("POST", server.url + "/v1/completions", json={**STREAM, "max_tokens": 300}, timeout=300) as reply:
        lines = reply.iter_lines()
        next(lines)
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(server.connect())
        assert [line for line in lines if line][-1] == "data: [DONE]"


def test_answers_that_nobody_reads_are_given_up(server: Attacked) -> None:
    """A whole answer, and small ones of a client that goes on asking."""
    before = server.descriptors()
    many = request("GET", "/metrics") * 400
    with unread(server), unread(server, many):
        assert server.descriptors() > before
        assert within(120, lambda: server.descriptors() <= before + 1), "unread answers are kept"


@pytest.mark.parametrize("stream", [True, False])
def test_whoever_leaves_before_the_first_token_is_forgotten(server: Attacked, stream: bool) -> None:
    """Two fill the batch, others wait and leave: nothing is computed for them."""
    with ExitStack() as stack:
        busy = [
            stack.enter_context(
                httpx.stream("POST", server.url + "/v1/completions", json=STREAM, timeout=300)
            ).iter_lines()
            for _ in range(2)
        ]
        assert all(next(lines) for lines in busy)
        body = json.dumps({**STREAM, "stream": stream, "prompt": "2+2="}).encode()
        waiting = [server.connect(request("POST", "/v1/completions", body)) for _ in range(8)]
        assert within(120, lambda: server.metric("hopwell_waiting") == 8)
        for connection in waiting:
            connection.close()
        assert within(120, lambda: server.metric("hopwell_waiting") == 0)


def test_whoever_leaves_while_a_text_is_encoded_is_forgotten(server: Attacked) -> None:
    def leave() -> None:
        for _ in range(6):
            server.connect(request("POST", "/tokenize", BIG)).close()

    server.under(leave)


def test_bodies_that_drip_hold_no_memory_for_long(server: Attacked) -> None:
    def drip() -> None:
        with ExitStack() as stack:
            sent = b"[" * (8 << 20)
            begun = [
                stack.enter_context(server.connect(request("POST", "/v1/completions", b"", length=15 << 20)))
                for _ in range(30)
            ]
            threads = [threading.Thread(target=_send, args=(connection, sent)) for connection in begun]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert server.rss() - before < 400, "30 bodies of 8 MiB are 240 MiB; the shelf holds 128"

    before = server.rss()
    server.under(drip)


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # refused
        connection.sendall(data)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("127.3.4.5", 200),
        ("[::1]:8000", 200),
        ("page.localhost", 200),
        ("models.example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("evil", 421),
        ("10.0.0.1", 421),
        ("0.0.0.0", 421),
        ("[::ffff:10.0.0.1]", 421),
        ("localhost@evil.example", 421),
    ],
)
def test_only_names_of_the_server_are_answered(server: Attacked, host: str, status: int) -> None:
    for method, path in (
        ("GET", "/health"),
        ("GET", "/"),
        ("GET", "/v1/models"),
        ("GET", "/nowhere"),
        ("POST", "/tokenize"),
    ):
        got = httpx.request(method, server.url + path, headers={"host": host}, timeout=300).status_code
        assert (got == 421) == (status == 421), (path, got)
    reply = httpx.get(server.url + "/v1/models", headers={"host": host}, timeout=300)
    assert reply.status_code == status
    assert status == 200 or "--allowed-host" in reply.json()["error"]["message"]


def test_pages_of_strangers_change_nothing(server: Attacked) -> None:
    body, own = {"prompt": "1+1=", "max_tokens": 1}, {"origin": server.url}
    for path in ("/v1/completions", "/flush_cache"):
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{server.port + 1}", "http://localhost"):
            assert server.post(path, body, headers={"origin": origin}).status_code == 403
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            assert server.post(path, body, headers={"content-type": kind}).status_code == 400
        assert httpx.post(server.url + path, timeout=300).status_code == 400
    assert server.post("/v1/completions", body, headers=own).status_code == 200
    assert server.post("/flush_cache", {}, headers=own).status_code == 200
    assert server.post("/flush_cache", {"now": True}).status_code == 400


@pytest.mark.parametrize("path", ["/health", "/ready", "/", "/metrics", "/v1/models"])
def test_head_is_get_without_a_body(server: Attacked, path: str) -> None:
    with httpx.Client(base_url=server.url, timeout=300) as http:
        head, get = http.head(path), http.get(path)
        assert head.status_code == get.status_code == 200 and not head.content
        assert head.headers["content-type"] == get.headers["content-type"]
        assert http.head("/v1/completions").status_code == 405


@pytest.mark.slow
def test_descriptors_at_an_end_stop_no_stream_and_fill_no_log(tmp_path: Path) -> None:
    keys, log = tmp_path / "keys.toml", tmp_path / "log"
    keys.write_text(KEYS)
    limit = ("bash", "-c", 'ulimit -n 64 && exec "$@"', "-")
    with (
        log.open("w") as stderr,
        attacked("--api-keys", str(keys), "--max-connections", "100000", command=limit, stderr=stderr) as small,
    ):
        with (
            httpx.Client(base_url=small.url, headers=BOB, timeout=300) as http,
            http.stream("POST", "/v1/completions", json={**STREAM, "max_tokens": 300}) as reply,
        ):
            lines = reply.iter_lines()
            next(lines)
            with ExitStack() as stack:
                for _ in range(300):
                    stack.enter_context(small.connect())
                assert [line for line in lines if line][-1] == "data: [DONE]"
        assert within(120, lambda: httpx.get(small.url + "/health", timeout=300).status_code == 200)
        warned = [line for line in log.read_text().splitlines() if '"warning"' in line or '"error"' in line]
        assert 1 <= len(warned) <= 4, warned

        for headers, status in ((ALICE, 200), (BOB, 403), ({}, 401)):
            assert small.post("/flush_cache", {}, headers=headers).status_code == status

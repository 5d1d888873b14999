"""The server's processes: whichever is killed, requests end soon, the rest goes on, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile import API, ENGINE, Attacked, attacked, within
from shared_names import shared_names

from hopwell import LLM, SamplingParams

SOON = 60.0
"""Seconds within which requests end, once what serves them is gone: on any machine, and long before their own ends."""
TIMES = 2
"""Kills, one soon after the other; a third would be one too many (`benchmarks.storm --kill` has more patience)."""
LONG = {"prompt": "1+1=", "max_tokens": 4000, "ignore_eos": True}
KEYS = '[alice]\nkey = "alice-key"\nmax_concurrent = 2\nrequests_per_minute = 30\n'
BODY = {"prompt": "What is 37 * 43? " * 40, "max_tokens": 20, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def wanted() -> str:
    """What one process answers to `BODY`."""
    llm = LLM(device="cpu", dtype="float32", max_seqs=1)
    params = SamplingParams(temperature=0.0, max_tokens=20, ignore_eos=True)
    text = llm.generate(str(BODY["prompt"]), params)[0].text
    llm.close()
    return text


@contextmanager
def callers(server: Attacked, streams: int, whole: int) -> Iterator[list[tuple[float, str]]]:
    """Long requests on their way; when each ended, and with what."""
    ends: list[tuple[float, str]] = []
    begun = threading.Semaphore(0)

    def stream() -> None:
        said, body = "", {**LONG, "stream": True}
        try:
            with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=300) as reply:
                for line in reply.iter_lines():
                    if not said:
                        begun.release()
                    said = said if line in ("", "data: [DONE]") else line
        except httpx.HTTPError as error:
            said = repr(error)
        ends.append((time.monotonic(), said))

    def ask() -> None:
        begun.release()
        try:
            said = str(httpx.post(server.url + "/v1/completions", json=LONG, timeout=300).status_code)
        except httpx.HTTPError as error:
            said = repr(error)
        ends.append((time.monotonic(), said))

    threads = [threading.Thread(target=target) for target, n in ((stream, streams), (ask, whole)) for _ in range(n)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    time.sleep(0.2)
    yield ends
    for thread in threads:
        thread.join(300)


def kill(server: Attacked, module: str) -> float:
    """Kills a process; returns when."""
    (pid,) = server.pids(module)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def idle_again(server: Attacked) -> bool:
    """Whether an ordinary request is answered."""
    try:
        return httpx.post(server.url + "/v1/completions", json={"prompt": "a", "max_tokens": 1}, timeout=300).is_success
    except httpx.HTTPError:
        return False


def test_a_process_that_ends_after_the_supervisors_loop_says_nothing() -> None:
    from hopwell.control import Control
    from hopwell.server.supervisor import into

    faults: list[object] = []
    before, threading.excepthook = threading.excepthook, faults.append
    ours, theirs = socket.socketpair()
    try:
        loop = asyncio.new_event_loop()
        Control(ours).listen(into(asyncio.Queue(), loop))
        (thread,) = (one for one in threading.enumerate() if one.name == "hopwell-control")
        loop.close()
        theirs.close()
        thread.join(60)
    finally:
        threading.excepthook = before
        ours.close()
    assert not thread.is_alive() and not faults


@pytest.mark.slow
def test_a_killed_engine_ends_requests_and_is_started_again(tmp_path: Path) -> None:
    shared = shared_names()
    with (tmp_path / "log").open("w") as log, attacked(stderr=log) as server:
        for _ in range(TIMES):
            with callers(server, 4, 4) as ends:
                killed = kill(server, ENGINE)
            assert max(when for when, _ in ends) - killed < SOON
            assert all("its process has ended" in said or said == "503" for _, said in ends), ends
            assert within(120, lambda: idle_again(server)), "the engine was not started again"
            server.answers()
        assert shared_names() <= shared
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    events = [line["event"] for line in told if line.get("process") == "the engine"]
    assert events == ["a process has ended", "a process is started again", "a process is up again"] * TIMES
    assert all(line["how"] == "was killed by SIGKILL" for line in told if line["event"] == "a process has ended")
    assert all(line["seconds"] > 0 for line in told if line["event"] == "a process is up again")


@pytest.mark.slow
def test_a_killed_rank_takes_the_engine_with_it_and_pages_on_disk_outlive_both(wanted: str, tmp_path: Path) -> None:
    """Rank 0 keeps them for all; what was whole is found by the ranks that are started again."""
    shared, folder = shared_names(), str(tmp_path / "pages")
    below = ("--host-cache-gb", "0.1", "--disk-cache", folder, "--disk-cache-gb", "0.5")
    with (
        (tmp_path / "log").open("w") as log,
        attacked("--gpus", "2", "--dtype", "float32", *below, stderr=log) as server,
    ):
        assert "layout    TP2 (2 processes" in server.banner, "one engine at a time has a folder of pages"
        assert server.post("/v1/completions", BODY).json()["choices"][0]["text"] == wanted

        def written() -> bool:
            server.answers()  # counts are told with a step
            return server.metric("hopwell_tier_written_pages_total") >= 6

        assert within(60, written)
        with callers(server, 4, 4) as ends:
            (engine,) = server.pids(ENGINE)
            (rank,) = (pid for pid in _children(engine) if "engine.rank" in Path(f"/proc/{pid}/cmdline").read_text())
            os.kill(rank, signal.SIGKILL)
            killed = time.monotonic()
        assert max(when for when, _ in ends) - killed < SOON
        assert all("rank 1" in said or "its process has ended" in said or said in ("500", "503") for _, said in ends)
        assert within(120, lambda: idle_again(server)), "the engine was not started again"
        assert not _lives(engine)
        assert server.post("/v1/completions", BODY).json()["choices"][0]["text"] == wanted
        assert server.metric("hopwell_tier_hit_tokens_total") >= 64 * 6
        assert not server.metric("hopwell_tier_faults_total")
    assert within(60, lambda: shared_names() <= shared)
    assert re.search(r"rank 1 \(process \d+\) has died: signal 9", (tmp_path / "log").read_text())


@pytest.mark.slow
def test_ranks_hand_prompts_pages_to_ranks(wanted: str) -> None:
    shared = shared_names()
    with attacked("--tp", "2", "--dtype", "float32", "--prefill-engines", "1") as server:
        assert "computed by 1 more" in server.banner and "TP2" in server.banner
        assert server.post("/v1/completions", BODY).json()["choices"][0]["text"] == wanted
        assert 'hopwell_tier_hit_tokens_total{engine="1"' in httpx.get(server.url + "/metrics").text
    assert within(60, lambda: shared_names() <= shared)


@pytest.mark.slow
def test_a_layout_that_was_chosen_runs_and_the_banner_says_why() -> None:
    with attacked("--gpus", "2") as server:
        assert re.search(r"(?m)^  layout +2 engines of one rank \(2 processes, ", server.banner)
        assert len(server.pids(ENGINE)) == 2
        server.answers()


@pytest.mark.slow
def test_one_of_two_engines_is_killed_and_the_other_serves_on(tmp_path: Path) -> None:
    shared = shared_names()
    with (tmp_path / "log").open("w") as log, attacked("--dp", "2", stderr=log) as server:
        assert "2, each as above" in server.banner
        with callers(server, 4, 4) as ends:
            victim = server.pids(ENGINE)[0]
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            assert within(SOON, lambda: idle_again(server)), "one given to the engine that has ended may fail"
            for _ in range(3):
                assert idle_again(server), "the other engine serves meanwhile"
            assert within(120, lambda: "a process is up again" in (tmp_path / "log").read_text())
            for pid in server.pids(ENGINE):  # the streams of the one that lives would be long
                os.kill(pid, signal.SIGKILL)
        assert max(when for when, _ in ends) - killed < 3 * SOON
        assert within(120, lambda: idle_again(server)), "the engines were not started again"
        server.answers()
        assert shared_names() <= shared
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    ended = {line["process"] for line in events if line["event"] == "a process has ended"}
    assert ended == {"engine 1", "engine 2"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_start_tells_what_passed_its_budget(workers: str) -> None:
    with attacked("--start-budget", "0.1", "--api-workers", workers) as server:
        start, budget = re.findall(r"(?m)^  (?:start|budget) +(.*)", server.banner)
    assert "(at least 0.025 GB at " in start and re.search(r"in all \d", start)
    assert re.match(r"0.1 s, passed by \d+\.\d\d s: \w+ \d", budget)


@pytest.mark.slow
def test_engines_for_prompts_and_for_answers_are_killed(wanted: str, tmp_path: Path) -> None:
    """Without the one, prompts are computed by the other; without the other, requests end as with one engine."""
    shared = shared_names()
    with (
        (tmp_path / "log").open("w") as log,
        attacked("--dtype", "float32", "--prefill-engines", "1", stderr=log) as server,
    ):
        assert "computed by 1 more" in server.banner

        def said() -> str:
            return server.post("/v1/completions", BODY).json()["choices"][0]["text"]

        assert said() == wanted
        assert 'hopwell_tier_hit_tokens_total{engine="1"' in httpx.get(server.url + "/metrics").text
        decoding, computing = sorted(server.pids(ENGINE))  # started in this order
        os.kill(computing, signal.SIGKILL)
        httpx.post(server.url + "/flush_cache", timeout=300)
        assert said() == wanted, "whoever decodes computes meanwhile"
        assert within(120, lambda: "a process is up again" in (tmp_path / "log").read_text())
        with callers(server, 4, 4) as ends:
            os.kill(decoding, signal.SIGKILL)
            killed = time.monotonic()
        assert max(when for when, _ in ends) - killed < SOON
        assert all("its process has ended" in said or said == "503" for _, said in ends), ends
        assert within(120, lambda: idle_again(server)), "the engine was not started again"
        assert said() == wanted
        pids = server.pids()
        server.process.kill()
        server.process.wait()
        assert within(60, lambda: not any(map(_lives, pids)))
        assert within(60, lambda: shared_names() <= shared), "pages of ours are left in memory"


@pytest.mark.slow
def test_a_killed_api_process_is_started_again_and_a_killed_supervisor_leaves_nobody() -> None:
    with attacked() as server:
        _api_imports_no_torch_and_stays_small(server)
        for _ in range(TIMES):
            with callers(server, 4, 4) as ends:
                killed = kill(server, API)
            assert max(when for when, _ in ends) - killed < SOON
            assert within(120, lambda: idle_again(server)), "the API was not started again"
            assert within(120, lambda: server.metric("hopwell_running") == 0), "its requests still run"
        _leaves_nobody(server)


@pytest.mark.slow
def test_an_engine_that_does_not_stay_up_ends_the_server(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, attacked(stderr=log) as server:
        for _ in range(3):
            assert within(120, lambda: idle_again(server))
            kill(server, ENGINE)
        assert server.process.wait(60) == 1
    assert "3 times within 30 s of its start" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_several_api_processes_share_limits_and_answers(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(KEYS)
    headers = {"authorization": "Bearer alice-key"}
    with attacked("--api-workers", "3", "--api-keys", str(keys)) as server:
        assert len(server.pids(API)) == 3
        texts: set[str] = set()
        for _ in range(12):  # a connection each: whichever accepts it
            body = {"prompt": "1+1=", "max_tokens": 4, "temperature": 0}
            texts.add(server.post("/v1/completions", body, headers=headers).json()["choices"][0]["text"])
        assert len(texts) == 1
        busy: list[httpx.Client] = [httpx.Client(headers=headers, timeout=300) for _ in range(6)]
        statuses: list[int] = []
        for client in busy:
            request = client.build_request("POST", server.url + "/v1/completions", json={**LONG, "stream": True})
            statuses.append(client.send(request, stream=True).status_code)
        assert statuses.count(200) == 2 and statuses.count(429) == 4, statuses
        for client in busy:
            client.close()
        assert within(120, lambda: _status(server, headers) == 200), "seats are not given back"
        # one by one: of many at once most have no seat, and take nothing from the bucket
        left = (_refusal(server, headers) for _ in range(120))
        assert "rate_limited" in left, "the bucket of requests is everybody's"
        assert server.metric("hopwell_generated_tokens_total") >= 48  # whichever answers


@pytest.mark.slow
def test_killing_one_of_several_apis_gives_its_seats_back(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(KEYS.replace("requests_per_minute = 30\n", ""))
    headers = {"authorization": "Bearer alice-key"}
    with (
        attacked("--api-workers", "2", "--api-keys", str(keys)) as server,
        httpx.Client(headers=headers, timeout=300) as one,
        httpx.Client(headers=headers, timeout=300) as two,
    ):
        for client in (one, two):
            request = client.build_request("POST", server.url + "/v1/completions", json={**LONG, "stream": True})
            assert client.send(request, stream=True).status_code == 200
        assert _status(server, headers) == 429
        for pid in server.pids(API):
            os.kill(pid, signal.SIGKILL)
        assert within(120, lambda: _status(server, headers) == 200)


@pytest.mark.slow
def test_the_terminals_ctrl_c_reaches_only_whoever_drains() -> None:
    with attacked(start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as server:
        body: dict[str, Any] = {"prompt": "1+1=", "max_tokens": 100, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=300) as reply:
            lines = reply.iter_lines()
            next(lines)
            os.killpg(server.process.pid, signal.SIGINT)
            assert [line for line in lines if line][-1] == "data: [DONE]", "what runs may end"
        assert server.process.wait(60) == 0


def _api_imports_no_torch_and_stays_small(server: Attacked) -> None:
    server.answers()
    (api,), (engine,) = server.pids(API), server.pids(ENGINE)
    assert "torch" not in Path(f"/proc/{api}/maps").read_text()
    assert "libtorch" in Path(f"/proc/{engine}/maps").read_text()
    resident = int(Path(f"/proc/{api}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    assert resident < 160, f"{resident} MB"


def _leaves_nobody(server: Attacked) -> None:
    """The supervisor is killed: its processes end, and the port is free."""
    pids, port = server.pids(), server.port
    everybody = [pid for parent in pids for pid in _children(parent)] + pids
    server.process.kill()
    server.process.wait()
    assert within(60, lambda: not any(map(_lives, everybody)))
    assert within(60, lambda: _free(port)), "a process is gone once the last of its threads is"


def _free(port: int) -> bool:
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            again.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _status(server: Attacked, headers: dict[str, str]) -> int:
    try:
        return server.post("/v1/completions", {"prompt": "a", "max_tokens": 1}, headers=headers).status_code
    except httpx.HTTPError:
        return 0


def _refusal(server: Attacked, headers: dict[str, str]) -> str | None:
    reply = httpx.get(server.url + "/v1/models", headers=headers, timeout=300)
    return reply.json()["error"]["code"] if reply.is_error else None


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

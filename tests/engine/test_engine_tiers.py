"""Engines with tiers below their pool: the same tokens, whatever happens to the pages down there."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy import ToyModel, ask, run, toy_answer, toy_engine

from benchmarks.stress import make_cases, run_stress
from hopwell.cache.disk import DiskTier
from hopwell.cache.host import HostTier
from hopwell.cache.tiers import Fetch, Tiers
from hopwell.engine.config import EngineConfigError
from hopwell.engine.engine import Engine
from hopwell.engine.fetches import Fetches
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.page_mover import Move, PageMover, host_memory, put_pages
from hopwell.engine.request import Request, SamplingParams
from hopwell.engine.sequence import Awaited
from hopwell.engine.tiering import Tiering

PAGE_GB = 512 / 1e9
"""A toy's page."""
TIERS: dict[str, Any] = {"host_cache_gb": 30 * PAGE_GB}


def disk(folder: Path, pages: int = 400) -> dict[str, Any]:
    return TIERS | {"disk_cache": str(folder), "disk_cache_gb": pages * 4096 / 1e9}


@pytest.fixture(scope="module")
def burst() -> tuple[ToyModel, list[Any], list[list[int]]]:
    """200 random requests and what the model alone answers."""
    model = ToyModel()
    cases = make_cases(200, range(8, 64), seed=9, constrained=False)
    answers = [toy_answer(model, c.prompt, c.params.max_tokens or 0, None if c.params.ignore_eos else 1) for c in cases]
    return model, cases, answers


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what is known is fetched, and waited for: what pays is tested with given paces."""
    monkeypatch.setattr(Tiering, "observe", lambda self, rows, seconds: None)
    monkeypatch.setattr("hopwell.engine.tiering.UNKNOWN_WAIT", 60.0)


def close(engine: Engine) -> None:
    """Ends an engine whose requests have ended; no slot of host memory is held by then."""
    engine.close()
    assert engine.tiering is not None
    engine.tiering.tiers.host.check()


@pytest.mark.parametrize(("drafts", "overlap"), [(0, False), (2, True), (0, "ahead")])
@pytest.mark.parametrize("below", ["host", "disk"])
@pytest.mark.slow
def test_random_bursts(burst: Any, tmp_path: Path, below: str, drafts: int, overlap: bool | str) -> None:
    """Pages short, cancellations, preemptions: every answer right, and many pages from below."""
    model, cases, answers = burst
    settings: dict[str, Any] = TIERS if below == "host" else disk(tmp_path) | {"host_cache_gb": 10 * PAGE_GB}
    engine = toy_engine(model, pages=14, drafts=drafts, overlap=overlap, **settings)
    result = run_stress(engine, cases, answers, seed=drafts)
    close(engine)
    m = engine.metrics
    assert not result.wrong and result.finished + result.aborted == 200 and result.aborted > 10
    assert m.preemptions > 0 and m.tier_hit_tokens["host"] > 1000 and not m.tier_faults
    assert (m.tier_hit_tokens["disk"] > 100) == (below == "disk")


def test_pages_that_are_spoilt_all_the_time(burst: Any, tmp_path: Path) -> None:
    """Host memory and the disk's files are overwritten anywhere, at any time, while the engine runs."""
    model, cases, answers = burst
    engine = toy_engine(model, pages=14, **disk(tmp_path))
    assert engine.tiering is not None
    tiers, r = engine.tiering.tiers, random.Random(0)
    step = engine.step

    def spoil() -> list[Any]:
        for page in list(tiers.host._pages.values()):
            if r.random() < 0.02 and page.checksum is not None and not page.leases:
                tiers.host.data(page)[r.randrange(512)] ^= 1 << r.randrange(8)
        for path in tmp_path.glob("*/shard-*"):
            if r.random() < 0.1:
                with path.open("r+b") as file:
                    file.seek(r.randrange(max(1, path.stat().st_size)))  # a shard that begins is empty
                    file.write(r.randbytes(16))
        return step()

    engine.step = spoil
    result = run_stress(engine, cases, answers, seed=1)
    close(engine)
    assert not result.wrong
    assert engine.metrics.tier_faults["host corrupt"] > 5
    assert engine.metrics.tier_hit_tokens["host"] > 100


def test_a_disk_that_is_taken_away(burst: Any, tmp_path: Path) -> None:
    model, cases, answers = burst
    engine = toy_engine(model, pages=14, **disk(tmp_path / "cache", 40))
    first = run_stress(engine, cases[:100], answers[:100], seed=1)
    shutil.rmtree(tmp_path / "cache")
    second = run_stress(engine, cases[100:], answers[100:], seed=2)
    close(engine)
    assert not first.wrong and not second.wrong
    assert engine.metrics.tier_faults["disk failed"] > 0, "no new shard can be begun"
    assert engine.metrics.tier_unwritten_pages > 0


def test_a_slow_disk_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages are computed, and come too late without harm."""
    model, prompt = ToyModel(), [9] * 400
    engine = toy_engine(model, **disk(tmp_path))
    expected = run(engine, [ask(prompt, max_tokens=8)])["r"].answers[0].tokens
    engine.close()
    engine = toy_engine(model, **disk(tmp_path))
    read = DiskTier.import_page
    released = threading.Event()

    def slow(self: DiskTier, key: bytes, into: Any) -> bytes | None:
        released.wait(30)
        return read(self, key, into)

    monkeypatch.setattr(DiskTier, "import_page", slow)
    monkeypatch.setattr("hopwell.engine.tiering.UNKNOWN_WAIT", 0.05)
    answer = run(engine, [ask(prompt, max_tokens=8)])["r"]
    assert answer.answers[0].tokens == expected and answer.cached_tokens == 0
    released.set()
    close(engine)
    assert engine.metrics.tier_faults == {"disk slow": 1}


def test_after_a_restart_pages_are_found(tmp_path: Path) -> None:
    model, prompt = ToyModel(), [*range(8, 64)] * 8
    first = toy_engine(model, **disk(tmp_path))
    answer = run(first, [ask(prompt, max_tokens=70)])["r"].answers[0].tokens
    close(first)
    again = toy_engine(model, **disk(tmp_path))
    found = run(again, [ask(prompt, max_tokens=70)])["r"]
    assert found.answers[0].tokens == answer == toy_answer(model, prompt, 70, eos=1)
    assert found.cached_tokens == (len(prompt) - 1) // 64 * 64 == again.metrics.tier_hit_tokens["disk"]
    assert again.flush_cache() and not len(again.tiering.tiers.host) and not len(again.tiering.tiers.disk)  # type: ignore
    close(again)
    empty = toy_engine(model, **disk(tmp_path))
    assert run(empty, [ask(prompt, max_tokens=4)])["r"].cached_tokens == 0, "what was flushed is gone for good"
    close(empty)


def test_tenants_never_share_a_page_below(tmp_path: Path) -> None:
    model, prompt = ToyModel(), [*range(8, 64)] * 8
    for _ in range(2):  # from the pool and host memory, then from disk
        engine = toy_engine(model, pages=8, **disk(tmp_path))
        for _ in range(3):
            for tenant in "ab":
                request = ask(prompt, f"{tenant}", max_tokens=4)
                request.cache_salt = tenant
                run(engine, [request])
                settled(engine)  # what this one left is below before the next one looks
        hits = dict(engine.metrics.tier_hit_tokens)
        stranger = ask(prompt, "c", max_tokens=4)
        stranger.cache_salt = "c" * (1 + len(os.listdir(tmp_path)))
        assert run(engine, [stranger])["c"].cached_tokens == 0
        assert dict(engine.metrics.tier_hit_tokens) == hits and sum(hits.values()) > 0
        close(engine)
        (tmp_path / f"{time.monotonic_ns()}").mkdir()  # so that the next stranger is another


CHILD = """
import sys
sys.path[:0] = sys.argv[3:]
from test_engine_tiers import ToyModel, ask, disk, run, toy_engine
from pathlib import Path
from types import SimpleNamespace
engine = toy_engine(ToyModel(), pages=14, **disk(Path(sys.argv[1]), 4000))
for i in range(10**9):
    start = int(sys.argv[2]) + i % 50
    run(engine, [ask([8 + (start + j * j) % 56 for j in range(300)], str(i), max_tokens=4)])
    print(engine.metrics.tier_written_pages, flush=True)
"""


@pytest.mark.slow
def test_killed_while_it_writes_pages(tmp_path: Path) -> None:
    """kill -9 in the middle; the next engine finds pages, and its answers are right."""
    paths = [str(Path(__file__).parent), *sys.path]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), "0", *paths], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) > 60:
            os.kill(child.pid, signal.SIGKILL)
            break
    child.stdout.close()
    child.wait()
    model = ToyModel()
    engine = toy_engine(model, pages=14, **disk(tmp_path, 4000))
    for i in range(50):
        prompt = [8 + (i + j * j) % 56 for j in range(300)]
        assert run(engine, [ask(prompt, max_tokens=4)])["r"].answers[0].tokens == toy_answer(model, prompt, 4, eos=1)
    close(engine)
    assert engine.metrics.tier_hit_tokens["disk"] > 1000 and not engine.metrics.tier_faults


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"disk_cache": "x", "host_cache_gb": 1.0}, "disk_cache_gb"),
        ({"disk_cache_gb": 1.0, "host_cache_gb": 1.0}, "disk_cache"),
        ({"disk_cache": "x", "disk_cache_gb": 1.0}, "host_cache_gb"),
        ({"host_cache_gb": 1.0, "prefix_cache": False}, "prefix_cache"),
        ({"page_store": "a:b", "prefix_cache": False}, "prefix_cache"),
        ({"page_store": "dir:x"}, "page_store_gb"),
        ({"page_store": "a:b", "page_store_gb": 1.0}, "page_store_gb"),
        ({"page_store_gb": 1.0}, "page_store"),
        ({"page_store": "x", "page_store_gb": 1.0}, "dir:FOLDER"),
        (TIERS | {"page_store": "a:b", "disk_cache": "x", "disk_cache_gb": 1.0}, "disk_cache"),
        ({"host_cache_gb": 0.0}, "host_cache_gb"),
        ({"host_cache_gb": 1e-9}, "host_cache_gb"),
        ({"cache_policy": "mru"}, "cache_policy"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineConfigError, match=named):
        toy_engine(**settings)


@pytest.mark.parametrize("settings", [{"host_cache_gb": 1.0}, {"page_store": "a:b"}])
def test_ranks_with_pages_of_their_own_are_refused_before_they_are_started(settings: dict[str, Any]) -> None:
    with pytest.raises(
        EngineConfigError, match=rf"^{min(settings)} is .* not for TP2 DP attention; leave it out, or --dp"
    ):
        load_model(device="cpu", tp=2, dp_attention=True, settings=settings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float32])
def test_pages_are_gathered_and_scattered_as_they_lie(dtype: torch.dtype) -> None:
    """As on a GPU, where they cross the link in one piece each."""
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(3, 10, 64, 24, generator=generator).to(dtype)
    host = HostTier(np.zeros((4, latent[:, 0].numel() * latent.itemsize), np.uint8))
    mover = PageMover(latent, host_memory(latent, 4), Tiers(host))
    pages = [7, 0, 3]
    gathered, before = mover.gather(pages), latent.view(torch.uint8).clone()
    assert all((gathered[i] == before[:, page]).all() for i, page in enumerate(pages))
    put_pages(latent, [1, 2, 9], gathered)
    after = latent.view(torch.uint8)
    assert all((after[:, to] == before[:, page]).all() for to, page in zip([1, 2, 9], pages, strict=True))
    assert (after[:, 3:9] == before[:, 3:9]).all() and (after[:, 0] == before[:, 0]).all()
    mover._tiers.close()


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return load_model(device="cpu")


def answers(nano: LoadedModel, prompts: list[list[int]], **settings: Any) -> tuple[list[list[int]], Engine]:
    """Greedy answers to prompts, one after the other, from a cache that holds hardly two of them."""
    engine = nano.engine(nano.config(max_seqs=2, cache_tokens=448, **settings))
    found = []
    for i, prompt in enumerate(prompts):
        params = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)
        request = Request(request_id=str(i), prompt=prompt, params=params, cache_tokens=len(prompt))
        found.append(run(engine, [request])[str(i)].answers[0].tokens)
    engine.close()
    return found, engine


@pytest.mark.parametrize("cache_dtype", [pytest.param("auto", marks=pytest.mark.slow), "fp8"])
@pytest.mark.slow
def test_nano_says_the_same_with_tiers(nano: LoadedModel, tmp_path: Path, cache_dtype: str) -> None:
    """A real model, its pages from host memory, then from disk in another engine; another format has other pages."""
    r = random.Random(0)
    texts = [[r.randrange(8, 500) for _ in range(r.randrange(140, 190))] for _ in range(4)]
    prompts = [texts[i % 4] + [r.randrange(8, 500) for _ in range(20)] for i in range(7)]  # again once it has gone
    plain, _ = answers(nano, prompts, cache_dtype=cache_dtype)
    tiers = {"host_cache_gb": 0.05, "disk_cache": str(tmp_path), "disk_cache_gb": 0.2, "cache_dtype": cache_dtype}
    warm, engine = answers(nano, prompts, **tiers)
    assert warm == plain and engine.metrics.tier_hit_tokens["host"] > 300
    again, engine = answers(nano, prompts, **tiers)
    assert again == plain and engine.metrics.tier_hit_tokens["disk"] > 300 and not engine.metrics.tier_faults
    _, engine = answers(nano, prompts[:2], **(tiers | {"cache_dtype": "bfloat16" if cache_dtype == "fp8" else "fp8"}))
    assert not engine.metrics.tier_hit_tokens["disk"], "another format's pages are not these"


def store(folder: Path, pages: int = 400) -> dict[str, Any]:
    return {"page_store": f"dir:{folder}", "page_store_gb": pages * 528 / 1e9}


def settled(engine: Engine) -> None:
    """Until pages that were given back are in the store."""
    done = threading.Event()
    engine.when_settled(done.set)
    while engine.has_work():
        engine.step()
    assert done.wait(60)


@pytest.mark.parametrize(("drafts", "overlap"), [(0, False), (2, True), (0, "ahead")])
def test_an_engine_goes_on_where_another_has_left(tmp_path: Path, drafts: int, overlap: bool | str) -> None:
    """Through a store both find each other's pages; tenants find their own."""
    model, prompt = ToyModel(), [*range(8, 64)] * 8
    one, other = (toy_engine(model, drafts=drafts, overlap=overlap, **store(tmp_path)) for _ in range(2))
    expected = toy_answer(model, prompt, 20, eos=1)
    assert run(one, [ask(prompt, max_tokens=20)])["r"].answers[0].tokens == expected
    settled(one)
    stranger = ask(prompt, "b", max_tokens=20)
    stranger.cache_salt = "bob"
    assert run(other, [stranger])["b"].cached_tokens == 0
    found = run(other, [ask(prompt, max_tokens=20)])["r"]
    assert found.answers[0].tokens == expected and found.cached_tokens == (len(prompt) - 1) // 64 * 64
    assert other.metrics.tier_hit_tokens == {"store": found.cached_tokens} and not other.metrics.tier_faults
    for engine in (one, other):
        close(engine)


def test_a_page_that_others_still_use_is_handed_on(tmp_path: Path) -> None:
    """Else whoever waits for it in another engine would wait for a stranger's answer."""
    model, prompt = ToyModel(), [*range(8, 64)] * 8
    one, other = (toy_engine(model, **store(tmp_path)) for _ in range(2))
    one.submit(ask(prompt, "long", max_tokens=300, ignore_eos=True))
    for _ in range(4):
        one.step()
    one.submit(ask(prompt, "short", max_tokens=1))
    while not any(output.request_id == "short" and output.finished for output in one.step()):
        pass
    done = threading.Event()
    one.when_settled(done.set)
    one.step()
    assert done.wait(60) and one.metrics.running == 1
    assert run(other, [ask(prompt, max_tokens=4)])["r"].cached_tokens == (len(prompt) - 1) // 64 * 64
    one.abort("long")
    while one.has_work():
        one.step()
    for engine in (one, other):
        close(engine)


def test_settled_is_said_after_what_a_step_that_runs_still_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With steps in a thread of their own the pages may be on their way there when they are asked for."""
    prompt = [*range(8, 64)] * 8
    engine = toy_engine(ToyModel(), overlap=True, **store(tmp_path))
    held, save = threading.Event(), PageMover.save

    def late(self: PageMover, moves: Sequence[Move]) -> None:
        held.wait(60)
        save(self, moves)

    monkeypatch.setattr(PageMover, "save", late)
    engine.submit(ask(prompt[:70], "on", max_tokens=100, ignore_eos=True))
    engine.submit(ask(prompt, "one", max_tokens=1))
    while not any(output.request_id == "one" and output.finished for output in engine.step()):
        pass
    engine.step()  # launches the step that saves
    told = threading.Event()
    engine.when_settled(told.set)
    threading.Timer(0.2, held.set).start()  # a step may wait for it
    engine.step()
    assert told.wait(60)
    assert len(list(next(tmp_path.iterdir()).iterdir())) >= (len(prompt) - 1) // 64, "all its pages are there"
    engine.abort("on")
    while engine.has_work():
        engine.step()
    close(engine)


@pytest.mark.slow
def test_random_bursts_over_two_engines_that_share_a_store(burst: Any, tmp_path: Path) -> None:
    model, cases, answers = burst
    hits = 0
    for seed in range(2):
        engine = toy_engine(model, pages=14, **store(tmp_path, 200))
        result = run_stress(engine, cases, answers, seed=seed)
        settled(engine)
        close(engine)
        assert not result.wrong and not engine.metrics.tier_faults
        hits = engine.metrics.tier_hit_tokens["store"]
    assert hits > 1000, "the second finds the first's"


def test_a_fetch_that_comes_late_queues_nobody_who_waits_for_another() -> None:
    """It may be told of between the look at the deadline and the next step, when a second fetch has begun."""
    told: list[Callable[[], None]] = []
    arrivals: list[Callable[[Fetch], None]] = []

    def begin(keys: Sequence[bytes], done: Callable[[Fetch], None]) -> Awaited:
        arrivals.append(done)
        return Awaited(Fetch(keys, [], [], done), 0, -1.0)

    queued: list[Any] = []
    tiering: Any = SimpleNamespace(begin=begin, late=lambda awaited: None)
    scheduler: Any = SimpleNamespace(lookup_keys=lambda seq: [b"key"], add=queued.append)
    fetches, seq = Fetches(tiering, scheduler, told.append), SimpleNamespace(awaited=None, fetches=0)
    assert fetches.begin(seq)  # type: ignore[arg-type]
    first = seq.awaited.fetch  # type: ignore[attr-defined]
    arrivals[0](first)
    fetches.end_late()
    assert queued == [seq] and fetches.begin(seq)  # type: ignore[arg-type]
    told[0]()
    assert len(fetches) == 1 and queued == [seq], "its pages are not there yet"
    arrivals[1](seq.awaited.fetch)  # type: ignore[attr-defined]
    told[1]()
    assert not len(fetches) and queued == [seq, seq]

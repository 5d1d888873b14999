"""Tiers below the pool where ranks have all pages: rank 0 keeps them once, and what comes back is everybody's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from toy import ToyModel, run, toy_answer, toy_engine

from benchmarks.stress import make_cases, run_stress
from hopwell.engine import loading
from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.parallel import Follower, ParallelModel
from hopwell.engine.request import Request, SamplingParams
from hopwell.engine.tiering import Tiering
from hopwell.parallel.launch import Ranks

PAGE_GB = 512 / 1e9
"""A toy's page."""


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what is known is fetched, and waited for."""
    monkeypatch.setattr(Tiering, "observe", lambda self, rows, seconds: None)
    monkeypatch.setattr("hopwell.engine.tiering.UNKNOWN_WAIT", 60.0)


class ToyRanks:
    """Ranks that repeat rank 0's calls at once, in its process: what is in their caches follows from these alone."""

    def __init__(self, count: int) -> None:
        loaded, cpu = SimpleNamespace(runnable=lambda config: ToyModel()), torch.device("cpu")
        self.followers = [Follower(cast(Any, loaded), cast(Any, object()), cpu) for _ in range(count)]
        self.lines = SimpleNamespace(ring=SimpleNamespace(write=self._write))
        self.block = SimpleNamespace(lost=None)

    def _write(self, message: bytes) -> None:
        for follower in self.followers:
            follower(message)

    def notices_a_loss(self) -> bool:
        return False

    def model(self) -> ParallelModel:
        """Rank 0's."""
        return ParallelModel(ToyModel(), cast(Ranks, self), cast(Any, object()), 1, EngineConfig())

    def alike(self, engine: Engine) -> bool:
        """Whether all caches hold the same bits."""
        own = engine.runner.latent.view(torch.int32)
        return all(torch.equal(own, follower._latents[1].view(torch.int32)) for follower in self.followers)


def tiers(folder: Path, below: str) -> dict[str, Any]:
    if below == "store":
        return {"page_store": f"dir:{folder}", "page_store_gb": 400 * 528 / 1e9}
    host = {"host_cache_gb": 30 * PAGE_GB}
    return host if below == "host" else host | {"disk_cache": str(folder), "disk_cache_gb": 400 * 4096 / 1e9}


LONG = (("host", 0, False), ("store", 0, "ahead"))


@pytest.mark.parametrize(
    ("below", "drafts", "overlap"),
    [("disk", 2, True), *(pytest.param(*case, marks=pytest.mark.slow) for case in LONG)],
)
def test_all_ranks_have_the_pages_that_rank_0_has(
    tmp_path: Path, below: str, drafts: int, overlap: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random bursts over a pool that is short of pages, several pieces a load; after each step that reads them the
    caches of all ranks are bit for bit alike. Ranks that are not told of what is loaded have others."""
    monkeypatch.setattr("hopwell.engine.page_mover.LOAD_BYTES", 1500)
    cases = make_cases(120, range(8, 64), seed=9, constrained=False)
    for tells in (True, False):
        with monkeypatch.context() as patch:
            if not tells:
                patch.setattr(ParallelModel, "fill", lambda self, pages, values: None)
            ranks = ToyRanks(2)
            model = ranks.model()
            alone = ToyModel()
            answers = [
                toy_answer(alone, c.prompt, c.params.max_tokens or 0, None if c.params.ignore_eos else 1) for c in cases
            ]
            engine = toy_engine(
                model, pages=14, vocab=alone.vocab, drafts=drafts, overlap=overlap,
                **tiers(tmp_path / str(tells), below),
            )  # fmt: skip
            result = run_stress(engine, cases, answers, seed=3)
            assert not result.wrong and sum(engine.metrics.tier_hit_tokens.values()) > 500
            assert not engine.metrics.tier_faults
            assert ranks.alike(engine) == tells
            engine.close()
            assert engine.tiering is not None
            engine.tiering.tiers.host.check()


@pytest.fixture(scope="module")
def alone() -> LoadedModel:
    return load_model(device="cpu", dtype="float32")


@pytest.fixture(scope="module", params=["shared"])
def two(request: pytest.FixtureRequest) -> Iterator[LoadedModel]:
    """Two ranks, which speak through memory, or through a process group with broadcasts, as GPUs do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "GLOO", request.param == "gloo")
        loaded = load_model(device="cpu", dtype="float32", tp=2)
    try:
        yield loaded
    finally:
        loaded.close()


def conversation() -> list[list[int]]:
    """Five texts in turns, each asked again after the pool has given it up."""
    r = random.Random(0)
    texts = [[r.randrange(8, 500) for _ in range(r.randrange(140, 190))] for _ in range(4)]
    return [texts[i % 4] + [r.randrange(8, 500) for _ in range(10)] for i in range(7)]


def answers(loaded: LoadedModel, prompts: int = 7, **settings: Any) -> tuple[list[list[int]], Engine]:
    """Greedy ones, one after the other, from a cache that holds hardly two of the texts."""
    engine = loaded.engine(loaded.config(max_seqs=2, cache_tokens=448, meter=False, **settings))
    found = []
    for i, prompt in enumerate(conversation()[:prompts]):
        params = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)
        request = Request(request_id=str(i), prompt=prompt, params=params, cache_tokens=len(prompt))
        found.append(run(engine, [request])[str(i)].answers[0].tokens)
    engine.close()
    return found, engine


def on_disk(folder: Path) -> dict[str, Any]:
    return {"host_cache_gb": 0.05, "disk_cache": str(folder), "disk_cache_gb": 0.2}


@pytest.mark.slow
def test_tokens_are_those_of_one_process(alone: LoadedModel, two: LoadedModel, tmp_path: Path) -> None:
    """From host memory; after a restart from the disk; a disk that is spoilt loses hits and no token; one process finds
    none of two ranks' pages, whose bits are others."""
    expected, _ = answers(alone)
    found, engine = answers(two, **on_disk(tmp_path))
    assert found == expected and engine.metrics.tier_hit_tokens["host"] > 300 and not engine.metrics.tier_faults
    found, engine = answers(two, **on_disk(tmp_path))
    assert found == expected and engine.metrics.tier_hit_tokens["disk"] > 300 and not engine.metrics.tier_faults
    for shard in tmp_path.glob("*/shard-*"):
        with shard.open("r+b") as file:
            for place in range(200_000, shard.stat().st_size, 100_000):
                file.seek(place)
                file.write(b"spoilt")
    found, engine = answers(two, **on_disk(tmp_path))
    assert found == expected and engine.metrics.tier_faults["disk corrupt"] > 0
    found, engine = answers(alone, 2, **on_disk(tmp_path))
    assert found == expected[:2] and not engine.metrics.tier_hit_tokens["disk"]


@pytest.mark.slow
@pytest.mark.parametrize(("two", "cache_dtype"), [("shared", "fp8"), ("gloo", "auto")], indirect=["two"])
def test_ranks_go_on_where_other_ranks_have_left(two: LoadedModel, tmp_path: Path, cache_dtype: str) -> None:
    """Through a store, with drafts, in the thread that runs steps ahead. Not beside one process: where sums over ranks
    round to other codes of an FP8 cache, a token may be another."""
    settings = {"cache_dtype": cache_dtype, "drafts": 1, "overlap": True}
    expected, _ = answers(two, **settings)
    store = {"page_store": f"dir:{tmp_path}", "page_store_gb": 0.5}
    first, engine = answers(two, **settings, **store)
    found, again = answers(two, **settings, **store)
    assert found == first == expected and again.metrics.tier_hit_tokens["store"] > 300
    assert again.tiering is not None and engine.tiering is not None
    assert again.tiering.pages_of == engine.tiering.pages_of and not again.metrics.tier_faults

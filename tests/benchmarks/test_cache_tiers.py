"""The replay of tiers finds what an engine finds."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from toy import ToyModel, ask, run, toy_engine

from benchmarks.cache_tiers import TIERS, compare, replay_tiers
from benchmarks.cache_traces import TraceRequest
from hopwell.engine.tiering import Tiering
from hopwell.ops.sizes import PAGE


def conversations(count: int, seed: int) -> list[TraceRequest]:
    """Turns of conversations, mixed, each a few pages longer than the last."""
    r, fresh = random.Random(seed), iter(range(10**9))
    turns: list[list[int]] = [[] for _ in range(30)]
    requests = []
    for _ in range(count):
        who = min(int(r.expovariate(0.15)), 29)
        if len(turns[who]) > 12:
            turns[who] = []
        turns[who] = turns[who] + [next(fresh) for _ in range(r.randrange(1, 4))]
        requests.append(TraceRequest(len(turns[who]) * PAGE, turns[who]))
    return requests


def page_of(block: int) -> list[int]:
    """Tokens that no other block has."""
    return [8 + (block >> 5 * at) % 32 for at in range(6)] + [9] * (PAGE - 6)


@pytest.mark.parametrize("disk_blocks", [0, 160])
def test_an_engine_finds_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_blocks: int) -> None:
    monkeypatch.setattr(Tiering, "observe", lambda self, rows, seconds: None)  # all that is known is fetched
    monkeypatch.setattr("hopwell.engine.tiering.UNKNOWN_WAIT", 60.0)
    requests = conversations(250, seed=disk_blocks)
    capacity, host_blocks = 24, 60
    below = {"disk_cache": str(tmp_path / "engine"), "disk_cache_gb": disk_blocks * 4096 / 1e9} if disk_blocks else {}
    engine = toy_engine(ToyModel(), pages=capacity, host_cache_gb=host_blocks * 512 / 1e9, **below)
    for number, request in enumerate(requests):
        prompt = [token for block in request.blocks for token in page_of(block)]
        run(engine, [ask([*prompt, 8], str(number), max_tokens=1)])
        done = threading.Event()
        engine.when_settled(done.set)
        while engine.has_work():
            engine.step()
        assert done.wait(60)
    m = engine.metrics
    engine.close()
    replayed = replay_tiers(requests, capacity - 1, "rai", host_blocks, disk_blocks, tmp_path / "replay")
    total = sum(len(request.blocks) for request in requests)
    seen = {"pool": m.cache_hit_tokens, **m.tier_hit_tokens}
    percent = {tier: (100 * sum(replayed[tier]) / total, 100 * seen.get(tier, 0) / PAGE / total) for tier in TIERS}
    assert all(abs(replay - engine) < 1.0 for replay, engine in percent.values()), percent
    assert percent["host"][0] > 3 and (percent["disk"][0] > 3) == bool(disk_blocks), "each tier has something to find"


def test_a_larger_store_finds_more_and_never_more_than_the_optimum() -> None:
    row = compare(conversations(400, seed=5), 24, "lru", 2, 8, PAGE)
    assert row["pool"] < row["pool+host"] < row["pool+host+disk"] <= row["opt_all"]
    assert row["pool"] <= row["opt_pool"] <= row["opt_all"]

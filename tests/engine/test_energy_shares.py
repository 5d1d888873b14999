"""Joules of a simulated counter through the real engine on nano: conserved, and shared by what requests ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from threading import Lock

import numpy as np
import pytest
from server_fixture import nano

from hopwell.engine import energy, runner
from hopwell.engine import loaded as loaded_models
from hopwell.engine.config import EngineConfigError
from hopwell.engine.energy import NO_COUNTER, EnergyMeter, RowCosts
from hopwell.engine.engine import Engine
from hopwell.engine.request import Request, RequestOutput, SamplingParams
from hopwell.limits.meter import Rates

RATES = Rates("simulated", 1e10, {"": 1e11})


class Clock:
    """Seconds that pass whenever somebody asks for them, most often few, now and then a lot: a machine's haste or halts
    are not this test's."""

    def __init__(self, seed: int) -> None:
        self._random, self._now, self._lock = Random(seed), 100.0, Lock()

    def perf_counter(self) -> float:
        with self._lock:
            self._now += 1.0 if self._random.random() < 0.01 else self._random.uniform(0.01, 0.1)
            return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


class Counter:
    """Watts that wander between 50 and 350, by such a clock."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self._random, self._clock, self._joules, self._watts = Random(seed), clock, 0.0, 200.0
        self._at = clock.perf_counter()

    def __call__(self) -> float:
        now = self._clock.perf_counter()
        self._joules += self._watts * (now - self._at)
        self._at = now
        self._watts = min(350.0, max(50.0, self._watts + self._random.uniform(-20, 20)))
        return self._joules


def engine_of(counter: Callable[[], float], **settings: object) -> Engine:
    """An engine on nano whose counter whoever steps it samples."""
    loaded = nano()
    engine = loaded.engine(loaded.config(max_seqs=8, **settings))
    engine.energy = EnergyMeter(counter, RowCosts(loaded.model, RATES), interval=None)
    return engine


def request(name: str, prompt: int, answer: int, tenant: str = "") -> Request:
    params = SamplingParams(temperature=0.0, max_tokens=answer, ignore_eos=True)
    tokens = [5 + (7 * place) % 90 for place in range(prompt)]
    return Request(request_id=name, prompt=tokens, params=params, cache_salt=tenant, stream=False)


def run(engine: Engine, each: int = 5) -> dict[str, RequestOutput]:
    """Steps until nothing is left, and samples every few steps; the last output of each request."""
    ended, count = {}, 0
    assert engine.energy is not None
    while engine.has_work():
        ended |= {output.request_id: output for output in engine.step() if output.finished}
        count += 1
        if count % each == 0:
            engine.energy.sample()
    return ended


@pytest.mark.parametrize(("seed", "settings"), [(1, {}), (2, {"drafts": 2}), (3, {"overlap": True})])
@pytest.mark.slow
def test_all_requests_and_idle_time_sum_to_the_counter(
    seed: int, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed load, in waves with pauses: within 2 %."""
    random, clock = Random(seed), Clock(seed)
    counter = Counter(seed, clock)
    monkeypatch.setattr(energy, "time", clock)
    monkeypatch.setattr(runner, "time", clock)
    engine = engine_of(counter, **settings)
    meter = engine.energy
    assert meter is not None
    began = meter.account._joules
    total = 0.0
    for wave in range(3):
        for place in range(random.randrange(2, 10)):
            own = random.choice("ab")
            engine.submit(request(f"{wave}-{place}", random.randrange(1, 300), random.randrange(2, 40), own))
        ended = run(engine)
        total += sum(output.joules.total for output in ended.values() if output.joules is not None)
        clock.sleep(random.uniform(0.0, 2.0))
        meter.sample()
    used = meter.account._joules - began
    totals = engine.counted().energy
    assert totals is not None
    billed = sum(joules.total for joules in totals.tenants.values())
    assert billed == pytest.approx(total) == pytest.approx(meter.account.paid)
    assert billed + totals.idle + totals.owed == pytest.approx(used), "nothing is lost"
    assert abs(billed + totals.idle - used) < 0.02 * used, "and little is owed"
    assert totals.idle > 0 and set(totals.tenants) == {"a", "b"}
    assert all(joules.prompt > 0 and joules.decode > 0 for joules in totals.tenants.values())
    engine.close()


def test_shares_follow_bytes_and_flops() -> None:
    """Of one step: a longer prompt pays more, alike ones pay alike, prompts and decoding are told apart."""
    engine = engine_of(lambda: 100 * time.perf_counter(), drafts=0)  # drafts that hold would spare one of them steps
    assert engine.energy is not None
    engine.energy.account.sample(time.perf_counter() + 1, 1e9)  # so that watts are known
    for name, prompt, answer in (("a", 20, 20), ("b", 20, 20), ("long", 200, 20), ("one", 20, 1)):
        engine.submit(request(name, prompt, answer))
    found = {}
    while engine.has_work():
        found |= {output.request_id: output.joules for output in engine.step() if output.finished}
    engine.close()
    for phase in ("prompt", "decode"):
        assert getattr(found["a"], phase) == pytest.approx(getattr(found["b"], phase))
    assert 8 < found["long"].prompt / found["a"].prompt < 13
    assert found["long"].decode > found["a"].decode and found["one"].decode == 0 < found["one"].prompt


def test_costs_of_rows_are_those_of_the_ops() -> None:
    costs = RowCosts(nano().model, RATES)
    each = [costs.each(rows) for rows in (1, 8, 64, 512)]
    assert each == sorted(each, reverse=True) and each[-1] > 0, "weights are read once for all rows"
    one, two = costs.attention(1, 1000), costs.attention(1, 2000)
    assert two > one and costs.attention(100, 1000) > one
    line = costs.decoding(np.array([1000, 2000]))
    assert line.tolist() == pytest.approx([one, two], rel=0.05)


def test_without_a_counter_there_are_no_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_models, "find_counter", lambda *_: None)
    loaded = nano()
    with pytest.raises(EngineConfigError, match=NO_COUNTER):
        loaded.engine(loaded.config(max_seqs=2, energy=True))
    engine = loaded.engine(loaded.config(max_seqs=2))
    engine.submit(request("a", 5, 2))
    ended = {}
    while engine.has_work():
        ended |= {output.request_id: output for output in engine.step() if output.finished}
    assert ended["a"].joules is None and engine.counted().energy is None
    engine.close()


def test_a_counter_that_is_found_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []

    def counter() -> float:
        reads.append(100 * time.perf_counter())
        return reads[-1]

    monkeypatch.setattr(loaded_models, "find_counter", lambda *_: counter)
    engine = nano().engine(nano().config(max_seqs=2))
    assert engine.energy is not None
    end = time.monotonic() + 60
    while len(reads) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    engine.close()
    assert len(reads) >= 3 and engine.energy.account.idle > 0
    assert nano().engine(nano().config(max_seqs=2, energy=False)).energy is None

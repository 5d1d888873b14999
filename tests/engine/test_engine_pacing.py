"""Pacing in the real engine, in a time of its own: the same tokens in fewer steps, promises kept, nobody delayed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simulated_nvml as nvml
from test_scheduler import Clock, Recorder
from toy import ToyModel, toy_engine

from hopwell.engine import engine as loop
from hopwell.engine import output_processor as outputs
from hopwell.engine import runner, scheduler
from hopwell.engine import thermal as thermal_module
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.engine import Engine
from hopwell.engine.request import Request, RequestOutput
from hopwell.engine.thermal import ThermalWatch
from hopwell.limits.board import read_board
from hopwell.limits.pacing import MOST, REST

FIXED, PER_ROW = 0.02, 0.0001
"""Seconds of a step: 33 ms with 128 rows."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (loop, outputs, runner, scheduler, thermal_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def engine_of(clock: Clock, objective: str, **settings: Any) -> Engine:
    """One whose steps, and whose waits, take their time by the clock."""
    model = Recorder(clock, FIXED, PER_ROW)
    settings = {"max_seqs": 128, "max_batch_tokens": 1024, "objective": objective} | settings
    engine = toy_engine(model, pages=4000, model_len=100_000, **settings)

    def wait(seconds: float | None = None) -> None:
        clock.now += seconds or 0.0

    engine._inbox.wait = wait
    return engine


def load(clock: Clock, seconds: float, rate: float, **given: Any) -> list[Request]:
    """Poisson arrivals from now on."""
    found, at, draw = [], clock.now, random.Random(3)
    while (at := at + draw.expovariate(rate)) < clock.now + seconds:
        prompt = draw.choices(range(8, 64), k=draw.randrange(5, 210))
        request = clock.ask(prompt, str(len(found)), max_tokens=draw.randrange(20, 150), ignore_eos=True)
        request.arrival, request.latency_class = at, given.get("latency_class", "server")
        found.append(request)
    return found


def play(
    engine: Engine, clock: Clock, requests: list[Request], told: Callable[[list[RequestOutput]], None] = lambda _: None
) -> dict[str, list[int]]:
    """Submits each when it is due, by the clock; answers by id."""
    coming, answers = list(requests), {request.request_id: list[int]() for request in requests}
    while coming or engine.has_work():
        if not engine.has_work():
            clock.now = max(clock.now, coming[0].arrival)
        while coming and coming[0].arrival <= clock.now:
            engine.submit(coming.pop(0))
        news = engine.step()
        told(news)
        for output in news:
            for part in output.outputs:
                answers[output.request_id] += part.tokens
    return answers


@pytest.mark.parametrize("settings", [{}, {"overlap": True}, {"drafts": 2, "max_seqs": 64}, {"overlap": "ahead"}])
@pytest.mark.slow
def test_the_same_tokens_in_fewer_steps_and_promises_kept(clock: Clock, settings: dict[str, Any]) -> None:
    found: dict[str, tuple[Any, float, Engine]] = {}
    for objective in ("latency", "energy"):
        clock.now = 1000.0
        engine = engine_of(clock, objective, **settings)
        requests = load(clock, 60.0, 1.2)
        answers = play(engine, clock, requests)
        engine.check()
        engine.close()
        m = engine.metrics
        assert not m.missed["server tpot"] and not m.missed["server ttft"] and m.classes["server"] == len(requests)
        found[objective] = answers, m.generated_tokens / m.steps, engine
    assert found["latency"][0] == found["energy"][0]
    assert found["energy"][1] > 1.2 * found["latency"][1]
    state = found["energy"][2].counted().pacing
    assert state is not None and state.held_seconds > 10 and state.reason == "calm"
    assert found["latency"][2].counted().pacing is None


@pytest.mark.slow
def test_steps_come_at_the_pace_that_is_told(clock: Clock) -> None:
    """Once it has come to its most, tokens come at that share of the promise, within a step's time."""
    engine = engine_of(clock, "energy")
    engine.submit(clock.ask([9] * 130, "long", max_tokens=1, ignore_eos=True))  # a step of 128 rows has been seen
    for name in "ab":
        engine.submit(clock.ask([9, 10], name, max_tokens=90_000, ignore_eos=True))
    times = []
    while clock.now < 1000 + REST + 60:
        if any(output.request_id == "a" for output in engine.step()):
            times.append(clock.now)
    gaps = [b - a for a, b in zip(times[-20:-1], times[-19:], strict=True)]
    assert gaps == pytest.approx([MOST * 0.08] * len(gaps), abs=1e-6)
    assert engine.limits().pacing == engine.counted().pacing
    state = engine.limits().pacing
    assert state is not None and state.pace == pytest.approx(MOST * 0.08) and state.promise == 0.08


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.slow
def test_news_ends_a_wait(clock: Clock, overlap: bool) -> None:
    """An abort and a newcomer are heard at once: no wait is longer than what is posted meanwhile lets it be."""
    engine = engine_of(clock, "energy", overlap=overlap)
    for name in "abc":
        engine.submit(clock.ask([9, 10], name, max_tokens=90_000, ignore_eos=True))
    engine.submit(clock.ask([9] * 130, "long", max_tokens=1, ignore_eos=True))
    while engine.limits().pacing is None or not engine.limits().pacing.pace or clock.now < 1000 + REST + 30:  # type: ignore[union-attr]
        engine.step()
    waits: list[float] = []

    def wait(seconds: float | None = None) -> None:
        assert not engine._inbox, "it waits though there is news"
        waits.append(seconds or 0.0)
        clock.now += 0.001  # somebody wakes it
        if len(waits) == 3:
            engine.abort("a")
        if len(waits) == 6:
            engine.submit(clock.ask([9, 11], "new", max_tokens=2, ignore_eos=True))

    engine._inbox.wait = wait
    ended, first = None, None
    while first is None:
        before = clock.now
        for output in engine.step():
            if output.request_id == "a" and output.finished:
                ended = len(waits)
            if output.request_id == "new":
                first = clock.now
        assert clock.now - before < 0.03
    assert ended == 3, "the abort is told in the turn after it came"
    assert len(waits) == 6, "a prompt is computed at once where nobody says that others come"


@pytest.mark.slow
def test_prompts_are_held_for_others_and_no_longer_than_they_may(clock: Clock) -> None:
    """Twelve requests a second: prompts share steps, and first tokens come well within their promise."""
    ttft: dict[str, float] = {}
    steps: dict[str, int] = {}
    for objective in ("latency", "throughput"):
        clock.now = 1000.0
        engine = engine_of(clock, objective)
        chunks = 0
        schedule = engine.scheduler.schedule

        def counting(schedule: Callable[[], Any] = schedule) -> Any:
            nonlocal chunks
            batch = schedule()
            chunks += bool(batch is not None and batch.chunks)
            return batch

        engine.scheduler.schedule = counting
        requests = load(clock, 50.0, 12.0)
        for request in requests:
            request.params = clock.ask([1], "x", max_tokens=10, ignore_eos=True).params
        play(engine, clock, requests)
        assert not engine.metrics.missed["server ttft"]
        ttft[objective], steps[objective] = engine.metrics.ttft.total, chunks
        state = engine.counted().pacing
        assert state is None or (state.prompt_seconds > 1 and not state.held_seconds)
    assert steps["throughput"] < 0.7 * steps["latency"] and ttft["throughput"] > ttft["latency"]


@pytest.mark.slow
def test_requests_without_a_promise_are_slowed_for_energy_alone(clock: Clock) -> None:
    totals = {}
    for name, settings in {"latency": {}, "throughput": {}, "energy": {"tpot_promise_ms": 200.0}}.items():
        clock.now = 1000.0
        engine = engine_of(clock, name, **settings)
        requests = load(clock, 50.0, 1.0, latency_class="batch")
        play(engine, clock, requests)
        totals[name] = engine.metrics.e2e.total, engine.metrics.ttft.total
        last = engine.metrics.tpot
        assert last.counts[sum(bound <= 0.3 for bound in last.bounds) :] == [0] * (len(last.counts) - 10)
    assert totals["latency"] == totals["throughput"]
    assert totals["energy"][0] > 1.3 * totals["latency"][0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"objective": "speed"}, "objective"),
        ({"tpot_promise_ms": 100.0}, "tpot_promise_ms"),
        ({"objective": "energy", "tpot_promise_ms": 0.0}, "tpot_promise_ms"),
        ({"objective": "energy", "tpot_promise_ms": float("nan")}, "tpot_promise_ms"),
        ({"hold_prompts": False}, "hold_prompts"),
        ({"max_degrees": 300}, "max_degrees"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineConfigError, match=named):
        EngineConfig(**settings)


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 1)
    nvml.put(0, nvml.DEGREES, 60)


def watched(**settings: Any) -> tuple[Engine, ThermalWatch]:
    engine = toy_engine(ToyModel(), **settings)
    engine.thermal = watch = ThermalWatch(lambda: [read_board("0", nvml)], 80, interval=None)
    engine._inbox.wait = lambda seconds=None: None
    return engine, watch


def steps(engine: Engine, count: int) -> set[str]:
    """Of those whose tokens came in so many steps, the ids."""
    return {output.request_id for _ in range(count) for output in engine.step() if output.outputs[0].tokens}


@pytest.mark.usefixtures("cards")
def test_batch_work_waits_while_it_is_hot(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    engine, watch = watched(max_seqs=4)
    given = {"max_tokens": 30, "ignore_eos": True}
    old, new, gone = (clock.ask([9, 10], name, **given) for name in ("old", "new", "gone"))
    for request in (old, new, gone):
        request.latency_class = "batch"
    engine.submit(old)
    assert steps(engine, 3) == {"old"}
    nvml.put(0, nvml.DEGREES, 85)
    watch.look()
    engine.submit(new)
    engine.submit(gone)
    late = clock.ask([9, 11], "late", **given)
    late.priority = 5  # batch work of a better priority does not stand in its way
    engine.submit(late)
    assert steps(engine, 5) == {"old", "late"}, "what runs is not cut off"
    thermal = engine.limits().thermal
    assert thermal is not None and thermal.hot and thermal.held == 2 and engine.metrics.waiting == 2
    engine.abort("gone")
    assert steps(engine, 100) == {"old", "late"} and engine.has_work()
    assert engine.limits().thermal == engine.counted().thermal and engine.scheduler.shed == 1
    nvml.put(0, nvml.DEGREES, 60)
    for _ in range(12):
        clock.now += 1
        watch.look()
    assert steps(engine, 100) == {"new"} and not engine.has_work()
    assert engine.scheduler.waiting == engine.scheduler.shed == 0
    engine.check()
    said = [record.message for record in caplog.records if record.name == thermal_module.__name__]
    assert said == [
        "hot: 85 degrees of 80; requests of class batch wait until it is cool",
        "cool: 60 degrees of 80, for 10 s; requests of class batch are served again",
    ]
    engine.close()


@pytest.mark.usefixtures("cards")
def test_a_hot_engine_hears_that_it_is_cool(clock: Clock) -> None:
    """With nothing but batch work it waits; the watch wakes it."""
    engine, watch = watched(max_seqs=4)
    woken: list[bool] = []
    watch.changed = lambda: woken.append(watch.hot)
    nvml.put(0, nvml.REASONS, 0x40)
    watch.look()
    watch.look()
    assert woken == [True]
    engine.close()


@pytest.mark.usefixtures("cards")
def test_a_watch_in_a_thread_of_its_own() -> None:
    heard = threading.Event()
    watch = ThermalWatch(lambda: [read_board("0", nvml)], 80, interval=0.001)
    watch.changed = heard.set
    nvml.put(0, nvml.DEGREES, 90)
    assert heard.wait(60) and watch.hot
    watch.close()


@pytest.mark.usefixtures("cards")
def test_degrees_that_cannot_be_read_are_refused() -> None:
    nvml.put(0, nvml.LOST, 1)
    with pytest.raises(EngineConfigError, match="max_degrees: NVML tells no temperature"):
        ThermalWatch(lambda: [read_board("0", nvml)], 80, interval=None)

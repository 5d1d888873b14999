"""Order, budgets and promises."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from torch import Tensor
from toy import ToyModel, ask, run, toy_answer, toy_engine

from hopwell.engine import engine as loop
from hopwell.engine import output_processor as outputs
from hopwell.engine import runner, scheduler
from hopwell.engine.request import FinishReason, Request
from hopwell.engine.sequence import Transcript
from hopwell.engine.step_time import StepTime
from hopwell.model.batch import ForwardBatch


class Clock:
    """Seconds that pass when told to, in place of the engine's `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def ask(self, *given: Any, **params: Any) -> Request:
        return replace(ask(*given, **params), arrival=self.now)


class Due(Future[Any]):
    """What is computed when it is waited for."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        super().__init__()
        self.compute = compute

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.set_result(self.compute())
        return super().result(timeout)


class Later:
    """In place of the runner's thread: the clock is at the same time in every run when the next step is planned."""

    def __init__(self, *_: object) -> None: ...

    def submit(self, function: Callable[..., Any], *given: Any) -> Due:
        return Due(partial(function, *given))

    def shutdown(self) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runner, "ThreadPoolExecutor", Later)
    for module in (loop, outputs, runner, scheduler):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Recorder(ToyModel):
    """Remembers the shape of every step, which takes its time by a clock if there is one."""

    def __init__(self, clock: Clock | None = None, fixed: float = 0.0, per_row: float = 0.0) -> None:
        super().__init__()
        self.shapes: list[list[int]] = []
        self.clock, self.fixed, self.per_row = clock or Clock(), fixed, per_row

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        self.shapes.append(list(batch.query_lens))
        self.clock.now += self.fixed + self.per_row * len(batch.tokens)
        return super().forward(batch, latent)


def finished_order(requests: list[Request], **settings: int) -> list[str]:
    engine = toy_engine(**settings)
    for request in requests:
        engine.submit(request)
    order = []
    while engine.has_work():
        order += [output.request_id for output in engine.step() if output.finished]
    return order


def test_prefill_is_cut_to_the_budget_and_mixed_with_decode() -> None:
    model = Recorder()
    engine = toy_engine(model, max_seqs=4, max_batch_tokens=100)
    engine.submit(ask([9] * 20, "a", max_tokens=10, ignore_eos=True))
    engine.step()
    engine.submit(ask([10] * 250, "b", max_tokens=3, ignore_eos=True))
    while engine.has_work():
        engine.step()
    assert model.shapes[:5] == [[20], [1, 99], [1, 99], [1, 52], [1, 1]]


def test_priority_comes_before_arrival_and_class() -> None:
    requests = [ask([9 + i] * 10, str(i), max_tokens=5, ignore_eos=True) for i in range(4)]
    for request, priority in zip(requests, (2, 1, 0, 1), strict=True):
        request.priority = priority
    assert finished_order(requests, max_seqs=1) == ["2", "1", "3", "0"]


def test_among_equals_the_earliest_deadline_comes_first() -> None:
    requests = [ask([9 + i] * 10, name, max_tokens=5, ignore_eos=True) for i, name in enumerate("bsi")]
    for request, name in zip(requests, ("batch", "server", "interactive"), strict=True):
        request.latency_class = name
    assert finished_order(requests, max_seqs=1) == ["i", "s", "b"]


def test_a_rank_with_pages_of_its_own_is_given_what_it_knows_unless_it_is_busy() -> None:
    """Prompts of two kinds; where nothing is known of one, it goes to the idler rank."""
    engine = toy_engine(pools=2, pages=200, max_seqs=16)
    kinds = [[kind] * 130 for kind in (9, 11)]
    places = []
    for name, kind in (("a", 0), ("b", 1), ("c", 1), ("d", 0), ("e", 1)):
        engine.submit(ask([*kinds[kind], 20 + len(places)], name, max_tokens=60, ignore_eos=True))
        for _ in range(3):
            engine.step()
        places.append(next(seq.pool for seq in engine.scheduler.decoding() if seq.request.request_id == name))
    assert places == [0, 1, 1, 0, 1] or places == [1, 0, 0, 1, 0]
    for number in range(5):
        engine.submit(ask([*kinds[1], 40 + number], str(number), max_tokens=60, ignore_eos=True))
        engine.step()
    at = [seq.pool for seq in engine.scheduler.seqs if seq is not None]
    assert at.count(places[0]) > 2, "who knows a prompt and has five more to do than the other does not get it"
    while engine.has_work():
        engine.step()
    engine.check()


def test_whoever_grows_takes_pages_of_its_own_rank_alone() -> None:
    """Two ranks of six pages: the one with more to write runs short, and the other one's sequence goes on."""
    model = Recorder()
    engine = toy_engine(model, pools=2, pages=12, max_seqs=3, prefix_cache=False)
    prompts = {"a": [9] * 60, "b": [10] * 60, "c": [11] * 60}
    done = run(engine, [ask(prompt, name, max_tokens=200, ignore_eos=True) for name, prompt in prompts.items()])
    assert engine.metrics.preemptions > 0
    for name, prompt in prompts.items():
        assert done[name].answers[0].tokens == toy_answer(model, prompt, 200)
    assert engine.model_len == 6 * 64, "a sequence's pages are of one rank"


def test_an_urgent_request_takes_the_place_of_one_that_can_wait() -> None:
    model = ToyModel()
    engine = toy_engine(model, max_seqs=1)
    slow = ask([9] * 100, "slow", max_tokens=40, ignore_eos=True)
    slow.priority = 5
    engine.submit(slow)
    outputs = [output for _ in range(10) for output in engine.step()]
    engine.submit(ask([10] * 10, "urgent", max_tokens=4, ignore_eos=True))
    while engine.has_work():
        outputs += engine.step()
    assert [output.request_id for output in outputs if output.finished] == ["urgent", "slow"]
    assert engine.metrics.preemptions == 1
    told = [token for output in outputs if output.request_id == "slow" for token in output.outputs[0].tokens]
    assert told == toy_answer(model, slow.prompt, 40), "what was told before is not told again"


def test_long_prompts_do_not_break_the_promise_to_those_who_decode(clock: Clock) -> None:
    """Steps of 2 ms and 0.1 ms a row: beside an interactive answer at 15 ms a token, chunks must stay near 120 rows."""
    model = Recorder(clock, fixed=0.002, per_row=0.0001)
    engine = toy_engine(model, pages=400, model_len=20_000, max_batch_tokens=2000)
    for length in (300, 30, 100):  # steps of several sizes, to learn the pace from
        run(engine, [clock.ask([9] * length, f"warm{length}", max_tokens=4, ignore_eos=True)])
    model.shapes.clear()
    fast = clock.ask([11] * 10, "fast", max_tokens=60, ignore_eos=True)
    fast.latency_class = "interactive"
    engine.submit(fast)
    engine.step()
    engine.submit(clock.ask([12] * 4000, "long", max_tokens=2))
    timings = {}
    while engine.has_work():
        timings |= {output.request_id: output.timing for output in engine.step() if output.finished}
    mixed = [shape[1] for shape in model.shapes if len(shape) == 2 and shape[1] > 1]
    assert mixed and max(mixed) < 300, "the whole budget would be 1,999 rows, 200 ms"
    assert timings["fast"].tpot < 0.03


@pytest.mark.parametrize("kind", ["server", "batch"])
def test_answers_that_were_faster_than_promised_wait_for_others_prompts(clock: Clock, kind: str) -> None:
    """Steps of 50 ms and 0.1 ms a row, 80 ms a token promised: 300 rows of prompts a step, but for the time that was
    saved before, or will be: a burst of 16 prompts is read in a few full steps, unless it was promised nothing, and
    every promise is kept all the same."""
    model = Recorder(clock, fixed=0.05, per_row=0.0001)
    engine = toy_engine(model, pages=400, max_seqs=24, max_batch_tokens=2000, overlap=True)
    for length, tokens in ((300, 60), (30, 60), (900, 60), (100, 60)):
        run(engine, [clock.ask([9] * length, f"warm{length}", max_tokens=tokens, ignore_eos=True)])
    first = [clock.ask([11 + i] * 20, f"first{i}", max_tokens=60, ignore_eos=True) for i in range(4)]
    timings = {}
    for request in first:
        engine.submit(request)
    for _ in range(20):
        engine.step()
    model.shapes.clear()
    for i in range(16):
        burst = clock.ask([12 + i] * 300, f"burst{i}", max_tokens=60, ignore_eos=True)
        burst.latency_class = kind
        engine.submit(burst)
    while engine.has_work():
        timings |= {output.request_id: output.timing for output in engine.step() if output.finished}
    chunks = [sum(rows for rows in shape if rows > 1) for shape in model.shapes]
    assert max(chunks) > 1200 if kind == "server" else 100 < max(chunks) < 400
    assert all(timing.met for timing in timings.values())
    assert len(timings) == 20


def test_an_urgent_prompt_does_not_wait_for_a_long_one_to_be_read() -> None:
    engine = toy_engine(pages=400, model_len=20_000, max_seqs=4, max_batch_tokens=64)
    long = ask([12] * 4000, "long", max_tokens=2, ignore_eos=True)
    long.latency_class = "batch"
    engine.submit(long)
    engine.step()
    urgent = ask([11] * 100, "urgent", max_tokens=2, ignore_eos=True)
    urgent.latency_class = "interactive"
    engine.submit(urgent)
    told = [output.request_id for _ in range(4) for output in engine.step()]
    assert told.count("urgent") == 2, "100 tokens are two steps, and two answers follow"
    while engine.has_work():
        told += [output.request_id for output in engine.step()]
    assert told.count("long") == 2


@pytest.mark.parametrize(("priority", "most"), [(0, 13), (-1, 24)])
def test_work_without_a_promise_is_held_back_for_one_that_has_it(clock: Clock, priority: int, most: int) -> None:
    """Steps of 2 ms and 1 ms a row: beside an interactive answer at 15 ms a token, 13 rows; a higher priority goes
    first all the same."""
    model = Recorder(clock, fixed=0.002, per_row=0.001)
    engine = toy_engine(model, pages=200, max_seqs=24, max_batch_tokens=64)
    for length in (30, 10, 50, 20):
        run(engine, [clock.ask([9] * length, f"warm{length}", max_tokens=4, ignore_eos=True)])
    model.shapes.clear()
    requests = [clock.ask([11 + i] * 2, str(i), max_tokens=20 if i else 40, ignore_eos=True) for i in range(24)]
    for request in requests:
        request.latency_class, request.priority = "batch", priority
    requests[0].latency_class, requests[0].priority = "interactive", 0
    for request in requests:
        engine.submit(request)
    told = [output.request_id for _ in iter(engine.has_work, False) for output in engine.step()]
    assert all(told.count(request.request_id) == request.params.max_tokens for request in requests)
    widest = max(len(shape) for shape in model.shapes)
    assert widest == 24 if most == 24 else 8 < widest <= most + 2


@pytest.mark.parametrize("priority", [0, -1])
def test_work_without_a_promise_is_set_aside_for_one_that_comes_later(clock: Clock, priority: int) -> None:
    """As above, with 24 at work when it comes: 11 go on beside it, all come back, and nothing is told twice."""
    model = Recorder(clock, fixed=0.002, per_row=0.001)
    engine = toy_engine(model, pages=400, max_seqs=32, max_batch_tokens=64)
    for length in (30, 10, 50, 20):
        run(engine, [clock.ask([9] * length, f"warm{length}", max_tokens=4, ignore_eos=True)])
    flood = [clock.ask([11 + i] * 70, str(i), max_tokens=150, ignore_eos=True) for i in range(24)]
    for request in flood:
        request.latency_class, request.priority = "batch", priority
        engine.submit(request)
    outputs = [output for _ in range(50) for output in engine.step()]
    assert engine.scheduler.running == 24
    fast = clock.ask([9] * 10, "fast", max_tokens=60, ignore_eos=True)
    fast.latency_class = "interactive"
    engine.submit(fast)
    while engine.has_work():
        outputs += engine.step()
    timing = next(output.timing for output in outputs if output.request_id == "fast" and output.finished)
    assert timing is not None and timing.tpot is not None
    assert timing.met == (priority == 0) and (timing.tpot > 0.02) == (priority < 0), "a higher priority goes first"
    assert (12 <= engine.metrics.preemptions <= 15) == (priority == 0)
    for request in flood:
        told = [t for o in outputs if o.request_id == request.request_id for t in o.outputs[0].tokens]
        assert told == toy_answer(model, request.prompt, 150)
    engine.check()


@pytest.mark.parametrize(("priority", "steps"), [(0, 3), (-1, 90)])
def test_who_was_promised_nothing_gives_its_place_to_who_was(priority: int, steps: int) -> None:
    engine = toy_engine(max_seqs=2)
    for name in "ab":
        slow = ask([9] * 10, name, max_tokens=100, ignore_eos=True)
        slow.latency_class, slow.priority = "batch", priority
        engine.submit(slow)
    outputs = [output for _ in range(5) for output in engine.step()]
    engine.submit(ask([10] * 10, "first", max_tokens=1, ignore_eos=True))
    after = 0
    while not any(output.request_id == "first" for output in outputs):
        outputs += engine.step()
        after += 1
    assert after <= 3 if steps == 3 else after >= steps
    while engine.has_work():
        outputs += engine.step()
    assert sum(len(o.outputs[0].tokens) for o in outputs if o.request_id in "ab") == 200


def test_a_promise_that_was_broken_is_reported(clock: Clock) -> None:
    engine = toy_engine(Recorder(clock, fixed=0.02))
    slow = clock.ask([9] * 10, "slow", max_tokens=5, ignore_eos=True)
    slow.latency_class = "interactive"
    fine = clock.ask([9] * 10, "fine", max_tokens=5, ignore_eos=True)
    done = run(engine, [slow, fine])
    assert done["slow"].timing is not None and not done["slow"].timing.met
    assert done["fine"].timing is not None and done["fine"].timing.met
    assert engine.metrics.missed["interactive tpot"] == 1
    assert engine.metrics.missed["interactive ttft"] == 0
    assert engine.metrics.missed["server tpot"] == 0
    assert engine.metrics.classes == {"interactive": 1, "server": 1}


def test_pace_learns_what_rows_take_and_what_prompts_add() -> None:
    """Of decoding rows at 0.1 ms and prompts' at 0.01 ms, which one line through both would take for the same."""
    pace = StepTime()
    assert pace.rows_within(0.01) == pace.prompt_rows_within(0.01, 1) == float("inf")
    for rows, prompt in ((1, 0), (8, 0), (50, 2000), (20, 0), (64, 0), (128, 0), (50, 0), (50, 500)) * 30:
        pace.observe(rows, prompt, 0.002 + 1e-4 * rows + 1e-5 * prompt)
    assert pace.rows_within(0.012) == pytest.approx(100)
    assert pace.rows_within(0.0148 * 2) == pytest.approx(256), "beyond what was seen rows are all that it costs"
    assert pace.rows_within(0.001) < 1
    assert pace.prompt_rows_within(0.012, 50) == pytest.approx(500, rel=0.1)
    assert pace.prompt_rows_within(0.001, 50) == 0
    mixed = StepTime()
    for rows, prompt in ((0, 400), (100, 60), (110, 40), (40, 90)) * 30:  # no step without prompts
        mixed.observe(rows, prompt, 0.002 + 1e-4 * rows + 1e-5 * prompt)
    assert mixed.rows_within(0.012) == pytest.approx(100, rel=0.05)
    for _ in range(5000):  # 25 s of one size
        pace.observe(30, 0, 0.005)
    assert pace.rows_within(0.012) == pytest.approx(100)
    assert pace.prompt_rows_within(0.012, 50) == pytest.approx(500, rel=0.1)


def test_a_machine_that_was_slow_for_a_while_keeps_its_promises_again(clock: Clock) -> None:
    """While a step of a single row takes longer than was promised nobody is held back; afterwards somebody is again."""
    model = Recorder(clock, fixed=0.002, per_row=0.001)
    engine = toy_engine(model, pages=800, max_seqs=32, max_batch_tokens=64, model_len=20_000)
    for i in range(40):
        flood = clock.ask([11 + i] * 4, str(i), max_tokens=1500, ignore_eos=True)
        flood.latency_class = "batch"
        engine.submit(flood)
    widths = []
    for number in range(60):
        slow = 15 <= number < 30
        model.fixed, model.per_row = (0.1, 0.003) if slow else (0.002, 0.001)
        fast = clock.ask([9] * 10, f"fast{number}", max_tokens=20, ignore_eos=True)
        fast.latency_class = "interactive"
        engine.submit(fast)
        model.shapes.clear()
        while not any(output.request_id == fast.request_id and output.finished for output in engine.step()):
            pass
        widths.append(len(model.shapes[-1]))
    assert max(widths[5:15]) <= 13 and max(widths[20:30]) == 32 and max(widths[-10:]) <= 13, widths


def test_metrics_after_all_is_done() -> None:
    engine = toy_engine()
    done = run(engine, [ask([9] * 100, str(i), max_tokens=10, ignore_eos=True) for i in range(3)])
    m = engine.metrics
    assert (m.running, m.waiting, m.prompt_tokens, m.generated_tokens) == (0, 0, 300, 30)
    assert m.finished == {FinishReason.LENGTH: 3}
    assert m.pages_free + m.pages_cached == m.pages_total
    assert m.ttft.count == m.e2e.count == m.queue_time.count == m.tpot.count == 3
    assert m.computed_tokens == sum(c.prompt_tokens - c.cached_tokens + 9 for c in done.values())


def test_a_prompt_is_held_once() -> None:
    engine = toy_engine(model_len=120_000, pages=2000)
    tracemalloc.start()
    prompt = [10 + i % 40 for i in range(100_000)]
    engine.submit(ask(prompt, n=128, max_tokens=1, ignore_eos=True))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 4 * 8 * len(prompt)  # 8 bytes a token in each list; the request's own, the caller's, ours


def test_a_transcript_reads_as_a_list() -> None:
    prompt, answer = list(range(10)), list(range(10, 17))
    transcript = Transcript(prompt)
    transcript += answer
    whole = prompt + answer
    assert len(transcript) == 17
    assert [transcript[i] for i in range(-17, 17)] == [whole[i] for i in range(-17, 17)]
    bounds = [None, *range(-20, 20)]
    assert all(transcript[a:b] == whole[a:b] for a in bounds for b in bounds)
    assert prompt == list(range(10))

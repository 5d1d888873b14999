"""The meter's arithmetic: seconds, bytes and FLOPs become shares of ceilings, and sums are the step's."""

from __future__ import annotations

import random

import pytest

from hopwell.limits.cost import OpCost
from hopwell.limits.history import HISTORY, RECENT, AtWork, History, Report, Row
from hopwell.limits.marks import Lengths, Recorder
from hopwell.limits.meter import LEAST, MOST, SHARE, Pace, Rates, Reading

RATES = Rates("test", bytes_per_s=1e9, flops_per_s={"": 1e12, "fp8": 2e12})


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_recorder_gives_each_op_the_time_since_the_one_before() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.batch(Lengths((1, 3), (9, 3)))
    for layer, op, took in ((None, "embedding", 2.0), (0, "qkv_a", 5.0), (0, "o", 1.0), (None, "logits", 4.0)):
        recorder.layer(layer)
        clock.now += took
        recorder.mark(op, 2 if op == "logits" else None)
    assert recorder.seconds() == [2.0, 5.0, 1.0, 4.0]
    assert [(mark.layer, mark.op) for mark in recorder.marks] == [
        (None, "embedding"), (0, "qkv_a"), (0, "o"), (None, "logits")]  # fmt: skip
    lengths = recorder.marks[0].lengths
    assert lengths is not None and lengths == ((1, 3), (9, 3)) and lengths.rows == 4
    assert recorder.marks[-1].rows == 2
    recorder.start()
    assert not recorder.marks and not recorder.seconds()


def test_what_a_tapes_marks_take_is_not_its_ops() -> None:
    """Of a captured step with marks, which runs longer than the one without by `extra`."""
    clock, tape_clock = Clock(), Clock(1001.0)
    recorder, tape = Recorder(clock), Recorder(tape_clock)
    for op, took in (("qkv_a", 5.0), ("o", 0.25), ("down", 3.0)):
        tape_clock.now += took
        tape.mark(op)
    recorder.play(tape, Lengths((1,), (9,)), extra=1.5)
    clock.now = tape_clock.now + 2.0
    recorder.mark("sampling")
    assert recorder.seconds() == [1.0, 4.5, 0.0, 2.5, 2.0]


def test_what_a_router_chose_is_its_own_layers() -> None:
    recorder = Recorder()
    recorder.layer(1)
    recorder.routed("ids")
    recorder.mark("experts")
    recorder.layer(2)
    recorder.mark("dense")
    assert [mark.chosen for mark in recorder.marks] == ["ids", None]


def row(report: Report, op: str) -> Row:
    return next(row for row in report.ops if row.op == op)


def test_rows_say_what_binds_and_how_near_it_is() -> None:
    history, reading = History(Clock()), Reading()
    reading.put(0, "o", 4e-3, OpCost(bytes=1_000_000, flops=500_000_000), RATES)  # memory 1 ms, math 0.5 ms
    reading.put(1, "o", 4e-3, OpCost(bytes=1_000_000, flops=3_000_000_000), RATES)  # memory 1 ms, math 3 ms
    reading.put(1, "up", 1e-3, OpCost(bytes=1000, flops=1_000_000_000, format="fp8"), RATES)
    reading.put(None, "sampling", 2e-3, None, RATES)
    history.measure(reading)
    report = history.fill(Report(on=True))
    first, second = (found for found in report.rows if found.op == "o")
    assert (first.layer, first.bound, first.percent, first.limit_us) == (
        0,
        "memory",
        pytest.approx(25),
        pytest.approx(1000),
    )
    assert (second.bound, second.percent) == ("math", pytest.approx(75))
    assert first.gb_per_s == pytest.approx(0.25) and first.tflop_per_s == pytest.approx(0.125)
    both = row(report, "o")
    assert (both.us, both.percent, both.bound) == (pytest.approx(8000), pytest.approx(50), "math")
    assert row(report, "up").percent == pytest.approx(50), "fp8 has a ceiling of its own"
    host = row(report, "sampling")
    assert (host.us, host.percent, host.bound, host.gb_per_s) == (pytest.approx(2000), None, None, None)
    assert report.measured_us == pytest.approx(sum(found.us for found in report.rows))


def test_means_are_of_the_last_seconds_and_points_of_minutes() -> None:
    clock, random_ = Clock(), random.Random(3)
    history = History(clock)
    steps: list[tuple[float, float]] = []
    for second in range(HISTORY + 30):
        clock.now = 5000.0 + second
        for _ in range(random_.randrange(1, 4)):
            seconds, host = random_.random(), random_.random() / 10
            history.step(seconds, host, 3, 2, AtWork(second, 1, 4, 10))
            if second >= HISTORY + 30 - RECENT:
                steps.append((seconds, host))
    report = history.fill(Report(on=True))
    assert report.steps == len(steps) and report.mean_rows == 3
    assert report.step_us == pytest.approx(1e6 * sum(step for step, _ in steps) / len(steps))
    assert report.host_us == pytest.approx(1e6 * sum(host for _, host in steps) / len(steps))
    assert len(report.history) == HISTORY and report.history[-1].at == 5000.0 + HISTORY + 29
    assert report.history[-1].running == HISTORY + 29 and report.history[-1].tokens == 2 * report.history[-1].steps
    assert row(report, "host").us == report.host_us


def test_seconds_without_steps_have_no_points() -> None:
    clock = Clock()
    history = History(clock)
    for now in (10.2, 10.9, 500.0):
        clock.now = now
        history.step(1.0, 0.0, 1, 1, AtWork(1, 0, 1, 2))
    assert [(point.at, point.steps) for point in history.fill(Report(on=True)).history] == [(10.0, 2), (500.0, 1)]


def test_totals_only_grow() -> None:
    clock = Clock()
    history = History(clock)
    for second in range(3 * RECENT):
        clock.now = float(second)
        reading = Reading()
        reading.put(0, "o", 1e-3, OpCost(1000, 0), RATES)
        reading.put(1, "o", 1e-3, OpCost(1000, 0), RATES)
        history.measure(reading)
    totals = history.totals()
    assert totals.measured == 3 * RECENT
    assert totals.ops["o"].seconds == pytest.approx(2e-3 * 3 * RECENT) and totals.ops["o"].bytes == 2000 * 3 * RECENT
    assert history.fill(Report(on=True)).measured == RECENT


@pytest.mark.parametrize(("step", "extra"), [(2e-3, 4e-4), (20e-3, 1e-3), (1e-3, 1e-1), (1.0, 1e-4)])
def test_measuring_takes_its_share_and_no_more(step: float, extra: float) -> None:
    """Played through: of all the time, what measured steps added is at most the share, where the bounds allow it."""
    pace, added, total, measured = Pace(), 0.0, 0.0, 0
    for number in range(50_000):
        if pace.due():
            measured += number >= 10_000
            added += extra if number >= 10_000 else 0.0
            pace.observe(step, extra)
        total += step if number >= 10_000 else 0.0
    assert LEAST <= pace.every <= MOST
    if LEAST < pace.every < MOST:
        assert 0.8 * SHARE < added / total <= 1.002 * SHARE
        assert pace.overhead == pytest.approx(added / total, rel=0.02)
    elif pace.every == LEAST:
        assert added / total <= SHARE
    assert measured >= 5


def test_a_step_that_was_interrupted_counts_for_nothing() -> None:
    """Else the meter would fall silent for thousands of steps, and learn late that it need not."""
    pace = Pace()
    for extra in (1e-3, 1e-3, 1e-3, 5.0, 1e-3):
        while not pace.due():
            pass
        pace.observe(20e-3, extra)
    assert pace.every == 17


def test_the_first_measured_step_is_not_held_against_the_others() -> None:
    pace = Pace()
    while not pace.due():
        pass
    pace.observe(1e-3, 10.0)
    assert pace.every == LEAST

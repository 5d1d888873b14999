"""The meter in the engine: it changes no token, its rows sum to the step, and what it says it touched was touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from hopwell.engine import defaults
from hopwell.engine.defaults import engine_config
from hopwell.engine.device_recorder import DeviceRecorder
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.meter import GAPS, StepMeter
from hopwell.engine.request import SamplingParams
from hopwell.limits.meter import Pace, Reading

QUESTIONS = ["What is 12 * 34?", "Sort 5, 3, 9, 1.", "Is 91 a prime number?", "Hello!"]
LAYER = {"input norm", "qkv_a", "q_b", "latent", "attention", "o", "post norm"}


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model(None, device="cpu")


@contextmanager
def measuring(loaded: LoadedModel, **settings: Any) -> Iterator[tuple[LLM, list[tuple[Reading, float]]]]:
    """An engine of which every step is measured, and the readings with each step's seconds."""
    llm, taken = LLM(loaded, **settings), list[tuple[Reading, float]]()
    meter = llm.engine.meter
    assert meter is not None
    meter.pace = Pace(share=1e9, least=1)
    end = meter.end

    def watched(seconds: float) -> None:
        end(seconds)
        taken.append((last[-1], seconds))

    last: list[Reading] = []
    measure = meter.history.measure
    meter.history.measure = lambda reading: (last.append(reading), measure(reading))[1]  # type: ignore[method-assign]
    meter.end = watched  # type: ignore[method-assign]
    yield llm, taken
    llm.engine.close()


def answers(llm: LLM, params: SamplingParams) -> list[list[int]]:
    return [done.answers[0].tokens for done in llm.generate(QUESTIONS, params)]


@pytest.mark.parametrize(
    ("settings", "temperature"),
    [
        ({"drafts": 0}, 0.0),
        ({"drafts": 2}, 1.0),
        ({"drafts": 0, "overlap": True}, 1.0),
        pytest.param({"drafts": 0}, 1.0, marks=pytest.mark.slow),
        pytest.param({"drafts": 2}, 0.0, marks=pytest.mark.slow),
        pytest.param({"drafts": 0, "overlap": True}, 0.0, marks=pytest.mark.slow),
    ],
)
def test_tokens_and_logprobs_are_the_same_bits_without_it(
    nano: LoadedModel, settings: dict[str, Any], temperature: float
) -> None:
    params = SamplingParams(temperature=temperature, max_tokens=16, ignore_eos=True, seed=7, logprobs=3)
    with measuring(nano, max_batch_tokens=32, max_seqs=4, **settings) as (llm, taken):
        measured = llm.generate(QUESTIONS, params)
    assert taken
    plain = LLM(nano, meter=False, max_batch_tokens=32, max_seqs=4, **settings)
    assert plain.engine.meter is None and not plain.engine.limits().on
    for with_it, without in zip(measured, plain.generate(QUESTIONS, params), strict=True):
        assert with_it.answers[0].tokens == without.answers[0].tokens
        assert with_it.answers[0].logprobs == without.answers[0].logprobs
    plain.engine.close()


def test_marks_that_are_thought_dearer_than_a_step_leave_it_its_ops(nano: LoadedModel) -> None:
    """Or a measured step would seem to cost thousands of others."""
    with measuring(nano, drafts=0, max_seqs=4) as (llm, taken):
        meter = llm.engine.meter
        assert meter is not None
        meter._a_mark = 1.0
        answers(llm, SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True))
    steps = [step for _, step in meter.pace._seen]
    assert len(steps) > 3 and min(steps) > 0.5 * min(seconds for _, seconds in taken)


def test_rows_sum_to_the_step_and_know_every_layer(nano: LoadedModel) -> None:
    c = nano.model.config
    with measuring(nano, drafts=1, max_seqs=4) as (llm, taken):
        answers(llm, SamplingParams(temperature=0.0, max_tokens=24, ignore_eos=True))
        report = llm.limits()
    assert len(taken) > 10
    for reading, seconds in taken:
        assert reading.seconds == pytest.approx(seconds, rel=1e-9)
        assert reading[None, GAPS].seconds < seconds
        for layer in range(c.num_hidden_layers + 1):
            kind = {"router", "experts"} if layer == c.num_hidden_layers or c.is_moe(layer) else {"dense"}
            more = {"plan", "projection", "final norm"} if layer == c.num_hidden_layers else set()
            assert {op for at, op in reading if at == layer} == LAYER | kind | more
        assert {"inputs", "sampling", "logits", "embedding"} <= {op for at, op in reading if at is None}
        assert all(sums.seconds >= 0 for sums in reading.values())
    assert report.on and report.layers == c.num_hidden_layers and report.every == 1
    assert report.measured == report.steps == len(taken)
    assert report.measured_us == pytest.approx(sum(row.us for row in report.rows))
    assert report.step_us == pytest.approx(report.measured_us), "every step was measured"
    assert sum(row.us for row in report.ops) == pytest.approx(report.measured_us + report.host_us)
    assert report.history[-1].pages_total == llm.engine.metrics.pages_total
    assert sum(point.tokens for point in report.history) == llm.engine.metrics.generated_tokens


def test_the_longer_the_cache_the_more_attention_moves(nano: LoadedModel) -> None:
    """Bytes of attention grow by a row of the cache a token and sequence; other ops' do not."""
    with measuring(nano, drafts=0, max_seqs=1) as (llm, taken):
        llm.generate(QUESTIONS[:1], SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True))
    decode = [reading for reading, _ in taken][1:]
    row = nano.model.config.latent_dim * nano.model.dtype.itemsize
    for before, after in pairwise(decode):
        assert after[0, "attention"].bytes - before[0, "attention"].bytes == row
        assert after[0, "o"].bytes == before[0, "o"].bytes


def test_one_in_so_many_steps_is_measured(nano: LoadedModel) -> None:
    llm = LLM(nano, drafts=0, max_seqs=4)
    meter = llm.engine.meter
    assert meter is not None
    meter.pace = Pace(share=1e9, least=8)
    answers(llm, SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True))
    totals = llm.engine.counted().meter
    assert totals is not None and totals.measured == llm.engine.metrics.steps // 8
    llm.engine.close()


def test_a_step_that_fails_leaves_the_meter_whole(nano: LoadedModel) -> None:
    """Its marks are forgotten with the next step that is measured."""
    with measuring(nano, drafts=0, max_seqs=4) as (llm, taken):
        runner, real = llm.engine.runner, llm.engine.runner._marked
        broken = replace(nano.model.marked(runner.meter.recorder), layers=[])  # type: ignore[union-attr]
        runner._marked = replace(broken, head=None)  # type: ignore[arg-type]
        failed = llm.generate(QUESTIONS[:1], SamplingParams(temperature=0.0, max_tokens=5))
        assert failed[0].answers[0].error and not taken
        runner._marked = real
        answers(llm, SamplingParams(temperature=0.0, max_tokens=5))
    for reading, seconds in taken:
        assert reading.seconds == pytest.approx(seconds, rel=1e-9)


@pytest.mark.slow
def test_over_ranks_exchanges_are_rows() -> None:
    loaded = load_model(device="cpu", dtype="float32", tp=2)
    try:
        with measuring(loaded, drafts=1, max_seqs=4) as (llm, taken):
            measured = answers(llm, SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True))
        assert taken
        for reading, seconds in taken:
            assert reading.seconds == pytest.approx(seconds, rel=1e-9)
            assert reading[0, "exchange"].seconds > 0 and reading[None, "exchange"].seconds > 0
            assert reading[0, "exchange"].floor == 0
        alone = LLM(loaded, meter=False, drafts=1, max_seqs=4)
        assert answers(alone, SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)) == measured
        alone.engine.close()
    finally:
        loaded.close()


def test_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_config({}, torch.device("cpu"), has_mtp=True).meter
    assert not engine_config({"meter": False}, torch.device("cpu"), has_mtp=True).meter
    monkeypatch.setattr(defaults, "has_kernels", lambda _: True)
    assert not engine_config({}, torch.device("cuda"), has_mtp=True).meter
    assert engine_config({"meter": True}, torch.device("cuda"), has_mtp=True).meter


def test_steps_that_are_given_ahead_are_measured_when_they_are_read(nano: LoadedModel) -> None:
    """As on a GPU: a step is launched before the last one's tokens are here, and its marks read after."""
    params = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
    plain = LLM(nano, meter=False, drafts=0, max_seqs=4)
    want = answers(plain, params)
    plain.engine.close()
    with measuring(nano, drafts=0, max_seqs=4, overlap=True) as (llm, taken):
        runner, meter = llm.engine.runner, llm.engine.meter
        assert runner._thread is not None and meter is not None
        runner._thread.shutdown()
        runner._thread, runner._runs_ahead = None, True
        meter.recorder = DeviceRecorder(nano.model.device, nano.model.config.n_routed_experts)
        meter.pace = Pace(share=1e9, least=2)  # one is read before the next begins
        runner._marked = nano.runnable(llm.engine.config).marked(meter.recorder)  # type: ignore[attr-defined]
        assert answers(llm, params) == want
    assert len(taken) > 10
    for reading, _ in taken:
        assert {"inputs", "sampling", "logits"} <= {op for at, op in reading if at is None}
        assert {op for at, op in reading if at == 1} == LAYER | {"router", "experts"}
        assert 0 < reading[1, "experts"].bytes < 16 * 3 * 384 * 128 * 2 + 10_000


def test_the_ceilings_are_measured_once_a_model(nano: LoadedModel) -> None:
    first, second = LLM(nano), LLM(nano)
    meters = [llm.engine.meter for llm in (first, second)]
    assert all(isinstance(meter, StepMeter) for meter in meters)
    assert meters[0].rates is meters[1].rates and meters[0].rates.bytes_per_s > 0  # type: ignore[union-attr]
    assert meters[0].history is not meters[1].history  # type: ignore[union-attr]
    for llm in (first, second):
        llm.engine.close()


def test_what_is_told_of_this_moment_is_not_the_last_step(nano: LoadedModel) -> None:
    """A request that is left ends without a step that would say so."""
    with measuring(nano, max_seqs=1) as (llm, _):
        stream = llm.stream(llm.render([{"role": "user", "content": QUESTIONS[0]}]), SamplingParams(max_tokens=50))
        next(stream)
        report = llm.limits()
        assert report.now is not None and report.now.running == 1 and report.now.pages_used > 0
        stream.close()
        report = llm.limits()
        assert report.history[-1].running == 1 and report.now is not None and report.now.running == 0
        assert report.now.steps == report.now.tokens == 0 and report.now.at >= report.history[-1].at

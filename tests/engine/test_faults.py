"""A fault ends the request that has it, with its pages returned, and no other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from toy import POISON, ToyModel, ask, run, toy_answer, toy_engine

from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.engine import Engine
from hopwell.engine.request import FinishReason, Request, RequestError, SamplingParams


@pytest.mark.parametrize("overlap", [False, True, "ahead"])
@pytest.mark.parametrize("drafts", [0, 2])
def test_nan_logits_end_one_request(drafts: int, overlap: bool | str) -> None:
    """NaN latents must not reach the next owner of the page, nor anyone through the prefix cache."""
    model = ToyModel()
    engine = toy_engine(model, pages=12, drafts=drafts, overlap=overlap)
    healthy = [ask([9 + i] * 70, f"ok{i}", max_tokens=90, ignore_eos=True) for i in range(4)]
    sick = ask([*[9] * 70, POISON, *[9] * 100], "sick", max_tokens=50)
    late = [ask([20 + i] * 100, f"late{i}", max_tokens=60, ignore_eos=True) for i in range(4)]
    done = run(engine, [*healthy, sick, *late])
    engine.close()
    assert done["sick"].answers[0].finish_reason is FinishReason.ERROR
    assert "NaN" in (done["sick"].answers[0].error or "")
    assert done["sick"].answers[0].tokens == []
    for request in [*healthy, *late]:
        answer = done[request.request_id].answers[0]
        assert answer.tokens == toy_answer(model, request.prompt, len(answer.tokens))
        assert answer.finish_reason is FinishReason.LENGTH
    assert engine.metrics.faults == {"nan_logits": 1}


def test_nan_in_the_middle_of_an_answer() -> None:
    model = ToyModel()
    sick = toy_answer(model, [30] * 10, 5)
    inner = model.logits

    def logits(hidden: Tensor) -> Tensor:
        scores = inner(hidden)
        target = inner(hidden).argmax(-1) == sick[4]
        return torch.where((target & model_is_armed[0]).unsqueeze(1), math.inf, scores)

    model_is_armed = [True]
    model.logits = logits  # type: ignore[method-assign]
    done = run(toy_engine(model), [ask([30] * 10, max_tokens=20, ignore_eos=True)])["r"].answers[0]
    assert done.finish_reason is FinishReason.ERROR
    assert done.tokens == sick[: sick.index(sick[4])], "what came before the fault was told"


def test_a_step_that_raises_ends_its_requests_and_the_engine_goes_on() -> None:
    model = ToyModel()
    engine = toy_engine(model)
    run(engine, [ask([9] * 20, "before", max_tokens=5)])
    forward = model.forward

    def broken(*_: Any) -> Tensor:
        model.forward = forward  # type: ignore[method-assign]
        raise RuntimeError("device lost")

    model.forward = broken  # type: ignore[method-assign]
    failed = run(engine, [ask([9] * 20, "during", max_tokens=5)])["during"].answers[0]
    assert failed.finish_reason is FinishReason.ERROR
    after = run(engine, [ask([9] * 20, "after", max_tokens=5, ignore_eos=True)])["after"].answers[0]
    assert after.tokens == toy_answer(model, [9] * 20, 5)


@pytest.mark.parametrize(
    ("change", "field", "kind"),
    [
        ({"prompt": [9] * 1000}, "prompt", "too_long"),
        ({"prompt": [9] * 990, "max_tokens": 11}, "max_tokens", "too_long"),
        ({"prompt": [262]}, "prompt", "invalid"),
        ({"prompt": [-1]}, "prompt", "invalid"),
        ({"logit_bias": {262: 1.0}}, "logit_bias", "invalid"),
        ({"stop_token_ids": [262]}, "stop_token_ids", "invalid"),
        ({"regex": "("}, "regex", "invalid"),
        ({"json_schema": {"type": "nonsense"}}, "json_schema", "invalid"),
        ({"json_schema": "{"}, "json_schema", "invalid"),
        ({"grammar": "start: missing"}, "grammar", "invalid"),
        ({"json_schema": {"type": "string"}, "ignore_eos": True}, "ignore_eos", "invalid"),
    ],
)
def test_what_cannot_be_served_is_refused_before_it_enters(change: dict[str, Any], field: str, kind: str) -> None:
    engine = toy_engine(ToyModel(vocab=262))
    with pytest.raises(RequestError) as caught:
        engine.submit(ask(change.pop("prompt", [9]), **change))
    assert (caught.value.field, caught.value.kind) == (field, kind)
    assert "\n" not in str(caught.value)
    assert not engine.has_work()
    assert run(engine, [ask([9], max_tokens=2, ignore_eos=True)])["r"].answers[0].tokens


def test_requests_beyond_the_queue_are_refused() -> None:
    engine = toy_engine(max_waiting=3)
    for i in range(3):
        engine.submit(ask([9], str(i), max_tokens=1))
    with pytest.raises(RequestError) as caught:
        engine.submit(ask([9], "late", max_tokens=1))
    assert caught.value.kind == "overloaded"
    while engine.has_work():
        engine.step()
    run(engine, [ask([9], "later", max_tokens=1)])


def test_an_id_in_use_is_refused_and_free_again_after() -> None:
    engine = toy_engine()
    engine.submit(ask([9], max_tokens=3))
    with pytest.raises(RequestError, match="in use"):
        engine.submit(ask([9], max_tokens=3))
    while engine.has_work():
        engine.step()
    run(engine, [ask([9], max_tokens=3)])


@pytest.mark.parametrize("overlap", [False, True, "ahead"])
def test_more_work_than_pages_is_done_by_preemption(overlap: bool | str) -> None:
    model = ToyModel()
    engine = toy_engine(model, pages=6, overlap=overlap)
    requests = [ask([9 + i] * 60, str(i), max_tokens=200, ignore_eos=True) for i in range(6)]
    done = run(engine, requests)
    engine.close()
    assert engine.metrics.preemptions > 0
    for request in requests:
        assert done[request.request_id].answers[0].tokens == toy_answer(model, request.prompt, 200)


def test_a_sequence_may_fill_the_whole_pool_but_not_more() -> None:
    engine = toy_engine(pages=3)
    done = run(engine, [ask([9] * 10, max_tokens=182, ignore_eos=True)])["r"].answers[0]
    assert len(done.tokens) == 182
    with pytest.raises(RequestError) as caught:
        engine.submit(ask([9] * 10, max_tokens=183))
    assert caught.value.kind == "too_long"


@pytest.mark.parametrize("overlap", [False, True, "ahead"])
def test_cancelling_at_any_moment_returns_the_pages(overlap: bool | str) -> None:
    for moment in range(12):
        engine = toy_engine(overlap=overlap, max_batch_tokens=64)
        engine.submit(ask([9] * 300, "gone", max_tokens=100, ignore_eos=True, n=2, temperature=1.0))
        engine.submit(ask([10] * 5, "stays", max_tokens=30, ignore_eos=True))
        outputs = []
        for _ in range(moment):
            outputs += engine.step()
        engine.abort("gone")
        engine.abort("never was")
        while engine.has_work():
            outputs += engine.step()
        engine.check()
        engine.close()
        assert sum(pool.free + pool.prefix.idle for pool in engine.pools) == engine.metrics.pages_total
        assert (engine.scheduler.waiting, engine.scheduler.running) == (0, 0)
        last = [o for o in outputs if o.request_id == "gone"][-1]
        assert last.finished and last.outputs[0].finish_reason is FinishReason.ABORT
        assert sum(len(o.outputs[0].tokens) for o in outputs if o.request_id == "stays") == 30


def test_a_leak_of_the_engine_is_counted_when_idle() -> None:
    engine = toy_engine()
    engine.pools[0].allocate(1)
    engine.wake()
    engine.wait_for_work()
    assert engine.metrics.faults == {"page_accounting": 1}


@pytest.mark.parametrize(
    "settings", [{"drafts": 4}, {"drafts": -1}, {"max_seqs": 0}, {"max_batch_tokens": 3}, {"forced_acceptance": 1.5}]
)
def test_a_bad_setting_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(EngineConfigError, match=next(iter(settings))):
        EngineConfig(**settings)


def test_drafts_without_an_mtp_layer_are_refused() -> None:
    model = ToyModel()
    model.has_mtp = False
    with pytest.raises(EngineConfigError, match="drafts is 1"):
        Engine(model, EngineConfig(drafts=1), model_len=100, num_pages=4, vocab_size=64)


def test_text_without_a_tokenizer_is_refused() -> None:
    engine = Engine(ToyModel(), EngineConfig(), model_len=100, num_pages=4, vocab_size=64)
    with pytest.raises(RequestError, match="stop needs a tokenizer"):
        engine.submit(ask([9], stop=["x"]))
    with pytest.raises(RequestError, match="needs a tokenizer"):
        engine.submit(ask([9], regex="a"))


def test_an_unknown_latency_class_or_an_empty_prompt_is_refused() -> None:
    with pytest.raises(RequestError, match="latency_class"):
        Request(request_id="r", prompt=[9], params=SamplingParams(), latency_class="fast")
    with pytest.raises(RequestError, match="prompt is empty"):
        Request(request_id="r", prompt=[], params=SamplingParams())

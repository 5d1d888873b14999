"""Random questions: what physics and money say of any of them. Six in a quick run, forty in a slow one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus
from hopwell.planner.flips import flips
from hopwell.planner.kernels import exchange, kernel
from hopwell.planner.memory import weight_bytes
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.question import Option, Question
from hopwell.planner.report import card, table
from hopwell.planner.search import Answer, search
from hopwell.planner.serving import Load, Serving
from hopwell.planner.step import Machine

PRICES = read_prices()
MODELS = [read_model(name) for name in ("deepseek-r1", "v2-lite", "kimi-k2")]
SAID = ("ms a token", "ms to first", "most tok/s a GPU", "$/h", "$/M tokens", "J a token")
GRID = 0.02
"""The most users that keep a promise are found to within a fiftieth, and so is the price."""
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Any model and load on some GPUs, with promises that most can keep."""
    load = Load(draw(st.integers(64, 20_000)), draw(st.integers(16, 4000)), draw(st.sampled_from([0.0, 0.0, 0.6])))
    demand = draw(st.sampled_from(["rate", "users", "none"]))
    return Question(
        model=draw(st.sampled_from(MODELS)),
        gpus=parse_gpus(draw(st.sampled_from(["h100,b200", "h200", "gb200,b300", "16xh100", "8xb200"]))),
        load=load,
        ttft_ms=20_000,
        tpot_ms=draw(st.floats(15, 200)),
        rate=draw(st.floats(0.05, 200)) if demand == "rate" else None,
        users=draw(st.integers(1, 5000)) if demand == "users" else None,
        sure=draw(st.sampled_from([0.5, 0.8])),
    )


def answered(question: Question) -> Answer | None:
    """The answer; none where none is possible, for a reason that is told."""
    try:
        return search(question, PRICES)
    except PlanError as error:
        told = ("reachable", "fits no layout", "at once", "do not carry")
        assert any(part in str(error) for part in told)
        return None


def cost(question: Question) -> float:
    """$ an hour of the best, or of a token of it where no load is asked for."""
    answer = answered(question)
    if answer is None:
        return float("inf")
    best = answer.options[0]
    loaded = question.rate is not None or question.users is not None
    return best.dollars_per_hour.p50 / (1 if loaded else best.tokens_per_s.p50)


def check(question: Question) -> None:
    """All that must hold of one question."""
    answer, base = answered(question), cost(question)
    if answer is not None:
        for option in answer.options:
            assert option.memory.weights + max(0.0, option.memory.cache) <= option.gpu.memory
            least = weight_bytes(question.model, option.precision, option.layout, option.drafts > 0)
            assert option.memory.weights >= least * (1 - 1e-9) and option.memory.tokens > 0
            assert option.point.admitted <= min(option.point.users, option.memory.tokens) + 1e-9
            assert option.tpot_ms.p50 <= question.tpot_ms and option.ttft_ms.p50 <= question.ttft_ms
            longer_is_slower(question, option.point.users, option)
            bandwidth_is_never_slower(question, option.point.users, option)
        false_decimals(answer)
        assert all(flip.tpot > 0 for flip in flips(answer.options[0], question))
    load, least = question.load, base * (1 - GRID)
    assert cost(replace(question, tpot_ms=question.tpot_ms / 1.5)) >= least
    assert cost(replace(question, load=replace(load, input=2 * load.input))) >= least
    assert cost(replace(question, sure=0.95)) >= least
    if question.rate is not None:
        assert cost(replace(question, rate=2 * question.rate)) >= least
    if question.users is not None:
        assert cost(replace(question, users=2 * question.users)) >= least
    faster = [replace(w, gpu=replace(w.gpu, bandwidth=1.5 * w.gpu.bandwidth)) for w in question.gpus]
    assert cost(replace(question, gpus=tuple(faster))) * (1 - GRID) <= base


def bandwidth_is_never_slower(question: Question, users: float, option: Option) -> None:
    """The same replica of GPUs with more of it."""
    gpu = replace(option.gpu, bandwidth=1.5 * option.gpu.bandwidth)
    machine = Machine(question.model, option.precision, option.layout, gpu, option.engine)
    colocated = option.prompts is None
    was, now = (Serving(each, question.load, option.drafts, colocated).at(users) for each in (option.machine, machine))
    assert now.tpot_ms <= was.tpot_ms * (1 + 1e-9) and now.decode_us <= was.decode_us * (1 + 1e-9)
    if colocated:  # else prompts' own GPUs decide
        assert now.requests_per_s >= was.requests_per_s * (1 - 1e-9)


def longer_is_slower(question: Question, users: float, option: Option) -> None:
    """The same replica with longer prompts: no fewer ms a token, no sooner a whole answer, no more requests. The first
    token alone may come sooner: who waits longer for the rest asks less often."""
    load, colocated = question.load, option.prompts is None
    longer = replace(load, input=1.3 * load.input)
    one, other = (Serving(option.machine, each, option.drafts, colocated) for each in (load, longer))
    if other.limit < 1:
        return
    was, now = one.at(users), other.at(users)
    if colocated:  # else prompts' own GPUs decide
        assert now.requests_per_s <= was.requests_per_s * (1 + 1e-9)
        assert now.ttft_ms + load.output * now.tpot_ms >= (was.ttft_ms + load.output * was.tpot_ms) * (1 - 1e-9)
    if other.limit >= users:
        assert now.tpot_ms >= was.tpot_ms * (1 - 1e-9)


def false_decimals(answer: Answer) -> None:
    """No figure of the table or the card claims more than two digits."""
    rows = table(answer, 12)
    lines = dict(card(answer, PRICES, "deepseek-r1"))
    texts = [row[name] for row in rows for name in SAID]
    texts += [lines[name].partition(";")[0] for name in ("ms a token", "ms to first", "power", "carbon", "price")]
    for text in texts:
        for number in NUMBER.findall(text):
            assert len(number.replace(",", "").replace(".", "").strip("0")) <= 2 or int_of(number) < 100, (number, text)


def int_of(number: str) -> float:
    return float(number.replace(",", ""))


def bounded(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=examples, deadline=None, phases=[Phase.explicit, Phase.generate])


@bounded(12)
@given(questions())
@pytest.mark.slow
def test_any_question(question: Question) -> None:
    check(question)
    kernel.cache_clear()
    exchange.cache_clear()

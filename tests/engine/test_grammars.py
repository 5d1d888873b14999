"""Constraints of strangers: what would end the process or never end is refused by name, and the next one is served."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from hostile_grammars import DEEP, ENDLESS, REFUSED, SLOW, chain
from tiny_tokenizer import EOS, byte_tokenizer
from toy import ToyModel, ask, toy_engine

from hopwell.engine.bounded_matcher import Allowance
from hopwell.engine.grammars import LIMITS, MAX_QUEUED, Grammars
from hopwell.engine.request import FAULTS, RequestError, SamplingParams

pytestmark = pytest.mark.usefixtures("own_children")

VOCAB = 262
PATIENT = 60.0
"""Seconds, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def grammars() -> Iterator[Grammars]:
    made = Grammars(byte_tokenizer().to_str(), VOCAB, EOS, replace(LIMITS, seconds=1.0))
    yield made
    made.close()


def takes(grammars: Grammars, text: str, **constraint: Any) -> bool:
    """Whether a constraint allows a text. A machine that stands still while it compiles gets another try."""
    tokens = [byte_tokenizer().token_to_id(c) for c in text]
    end = time.monotonic() + PATIENT
    while True:
        try:
            return grammars.compile(SamplingParams(**constraint)).try_consume_tokens(tokens) == len(tokens)
        except RequestError as error:
            if "s to compile" not in str(error) or time.monotonic() > end:
                raise


@pytest.fixture(scope="module")
def hurried() -> Iterator[Grammars]:
    """For what never ends: whatever the limit, it is waited for."""
    made = Grammars(byte_tokenizer().to_str(), VOCAB, EOS, replace(LIMITS, seconds=0.3))
    yield made
    made.close()


@pytest.mark.parametrize("name", [*DEEP, *REFUSED, *ENDLESS])
def test_hostile_constraints_are_refused_by_name(grammars: Grammars, hurried: Grammars, name: str) -> None:
    grammars = hurried if name in ENDLESS else grammars
    constraint = (DEEP | REFUSED | ENDLESS)[name]
    started = time.monotonic()
    for _ in range(2):  # the second time from memory, or again
        with pytest.raises(RequestError) as caught:
            grammars.compile(SamplingParams(**constraint))
        assert caught.value.field == next(iter(constraint)) and caught.value.kind == "invalid"
        assert str(caught.value).startswith(caught.value.field) and len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)
    assert time.monotonic() - started < PATIENT
    assert takes(grammars, "aa", regex="a+")


@pytest.mark.parametrize("depth", [10, 100])
def test_ordinary_depth_is_served(grammars: Grammars, depth: int) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth // 2):
        schema = {"type": "array", "items": schema}
    assert takes(grammars, "[" * (depth // 2) + "7" + "]" * (depth // 2), json_schema=schema)
    rules = "\n".join(f'r{i}: "(" r{i + 1} ")"' for i in range(depth))
    text = "(" * depth + "x" + ")" * depth
    assert takes(grammars, text, grammar=f'start: r0\n{rules}\nr{depth}: "x"')


def test_a_thousand_definitions_are_served(grammars: Grammars) -> None:
    assert takes(grammars, "17", json_schema=chain(1_000, lambda reference: reference))


def test_a_python_schema_nested_without_end(grammars: Grammars) -> None:
    schema: dict[str, Any] = {}
    schema["items"] = schema
    with pytest.raises(RequestError, match="json_schema is malformed"):
        grammars.compile(SamplingParams(json_schema=schema))


def test_whoever_leaves_takes_the_work_along() -> None:
    """Departed callers do not keep others waiting, not even their own tenant's; others never wait for a tenant."""
    endless = [SamplingParams(**ENDLESS["multiples"]), SamplingParams(**ENDLESS["patterns"])]

    async def main() -> None:
        grammars = Grammars(byte_tokenizer().to_str(), VOCAB, EOS, replace(LIMITS, seconds=600.0))
        tasks = [asyncio.create_task(grammars.compile_for(endless[i % 2], "hog")) for i in range(40)]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(PATIENT):
            await grammars.compile_for(SamplingParams(regex="b"), "other")
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(PATIENT):
            await grammars.compile_for(SamplingParams(regex="a"), "hog")
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        grammars.close()

    asyncio.run(main())


def test_a_tenant_queues_only_so_much() -> None:
    async def main() -> None:
        grammars = Grammars(byte_tokenizer().to_str(), VOCAB, EOS, replace(LIMITS, seconds=600.0))
        endless = SamplingParams(**ENDLESS["multiples"])
        tasks = [asyncio.create_task(grammars.compile_for(endless, "hog")) for _ in range(MAX_QUEUED)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as caught:
            await grammars.compile_for(endless, "hog")
        assert caught.value.kind == "overloaded"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        grammars.close()

    asyncio.run(main())


@pytest.mark.parametrize(("name", "drafts"), [*((name, 0) for name in SLOW), ("repetitions", 2)])
def test_slow_masks_end_their_request_alone(name: str, drafts: int) -> None:
    engine = toy_engine(ToyModel(vocab=VOCAB), drafts=drafts)
    engine.submit(ask([9], "slow", max_tokens=50, n=4, **SLOW[name]))
    for i in range(3):
        engine.submit(ask([30 + i], f"free{i}", max_tokens=40, ignore_eos=True))
    tokens, errors, steps = Counter[str](), [], []
    while engine.has_work():
        began = time.monotonic()
        for output in engine.step():
            tokens[output.request_id] += sum(len(part.tokens) for part in output.outputs)
            errors += [(output.request_id, part.error) for part in output.outputs if part.error]
        steps.append(time.monotonic() - began)
    assert [tokens[f"free{i}"] for i in range(3)] == [40] * 3
    assert errors == [("slow", FAULTS["too_complex"])] * 4
    # all four answers together have one allowance; a machine may stall now and then
    assert median(steps) < 1.0 and steps[-1] < PATIENT
    with pytest.raises(RequestError, match="too complex"):  # it is known from now on
        engine.submit(ask([9], "again", **SLOW[name]))
    engine.close()


def test_an_allowance_is_shared_and_comes_back_slowly() -> None:
    told: list[bool] = []
    allowance = Allowance(lambda: told.append(True))
    for _ in range(1000):
        allowance.charge(0.009, refill=0.01)
    assert not allowance.gone and allowance.left == pytest.approx(0.5)
    for _ in range(100):
        allowance.charge(0.02, refill=0.01)
    assert allowance.gone and told == [True]
    allowance.charge(0.0, refill=1.0)
    assert allowance.gone


def test_a_tenant_whose_grammar_was_slow_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.engine.grammars.PAUSE", 1.0)

    async def main() -> None:
        grammars = Grammars(byte_tokenizer().to_str(), VOCAB, EOS)
        slow = SamplingParams(**SLOW["repetitions"])
        (state,) = grammars.states(await grammars.compile_for(slow, "hog"), slow, "hog")
        for character in "bbb" + "a" * 1000:
            if not state.allowed().any():
                break
            state.push(byte_tokenizer().token_to_id(character))
        assert state.failed
        (paused,) = grammars._paused_until.values()
        await grammars.compile_for(SamplingParams(regex="b"), "other")
        assert not grammars._turns
        await grammars.compile_for(SamplingParams(regex="a"), "hog")
        assert time.monotonic() >= paused
        grammars.close()

    asyncio.run(main())

"""Several engines as one: who is given what, whatever one of them does."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from hopwell.engine.copies import EngineCopies, PrefixRouter, pages_of
from hopwell.engine.host import EngineHost
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.metrics import Histogram, Metrics, merged
from hopwell.engine.request import EngineDownError, Request, SamplingParams
from hopwell.limits.pacing import PacingState
from hopwell.limits.thermal import ThermalState
from hopwell.ops.sizes import PAGE
from hopwell.server.metrics import EngineCollector

GREEDY = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)


def test_a_prompt_goes_where_its_beginning_went() -> None:
    router = PrefixRouter(3)
    conversations = [pages_of(range(100 * i, 100 * i + 5 * PAGE), "") for i in range(6)]
    first = [router.choose(pages[:3], [0, 0, 0]) for pages in conversations]
    assert set(first) == {0, 1, 2}, "what is new is spread"
    for _ in range(3):
        assert [router.choose(pages, [2, 0, 1]) for pages in conversations] == first
    router.forget(first[0])
    assert router.choose(conversations[0], [1 - (copy != first[0]) for copy in range(3)]) != first[0]


def test_a_busy_copy_is_given_no_more() -> None:
    router = PrefixRouter(2)
    pages = pages_of(range(10 * PAGE), "")
    owner = router.choose(pages, [0, 0])
    loads = [0, 0]
    loads[owner] = 4
    assert router.choose(pages, loads) == owner
    loads[owner] = 5
    assert router.choose(pages, loads) == 1 - owner
    assert router.choose(pages, [3, 3]) in (0, 1), "both know it now"


def test_a_page_is_known_with_all_before_it_and_under_its_salt() -> None:
    one, other = pages_of([*range(PAGE), *[7] * PAGE], ""), pages_of([*range(1, PAGE + 1), *[7] * PAGE], "")
    assert len(one) == 2 and not {*one} & {*other}
    assert not {*one} & {*pages_of([*range(PAGE), *[7] * PAGE], "bob")}
    assert pages_of(range(PAGE - 1), "") == [] and pages_of([*range(PAGE), *[7] * PAGE, 1], "") == one


@given(st.data())
@pytest.mark.slow
def test_whoever_is_chosen_runs_and_is_not_too_busy(data: st.DataObject) -> None:
    copies = data.draw(st.integers(1, 5))
    router = PrefixRouter(copies, pages=8)
    for _ in range(20):
        loads = data.draw(st.lists(st.none() | st.integers(0, 50), min_size=copies, max_size=copies))
        if all(load is None for load in loads):
            continue
        pages = [data.draw(st.integers(0, 3)) + 10 * depth for depth in range(data.draw(st.integers(0, 4)))]
        chosen = loads[router.choose(pages, loads)]
        assert chosen is not None and chosen <= 1.25 * min(load for load in loads if load is not None) + 4
    assert len(router._given) <= 8


def test_conversations_find_their_pages_as_in_one_cache() -> None:
    """Turns of forty conversations, mixed: nearly all of a prompt's known pages are where it is sent."""
    r, router, turns = random.Random(4), PrefixRouter(4), [0] * 40
    held, found, known = [set[int]() for _ in range(4)], 0, 0
    for step in range(800):
        who = r.randrange(40)
        turns[who] += 1
        pages = pages_of([who * 1000 + i for i in range(turns[who] * PAGE)], "")
        copy = router.choose(pages, [step % 3, 1, 2, 1])
        found += len(held[copy] & {*pages})
        known += len(set[int]().union(*held) & {*pages})
        held[copy] |= {*pages}
    assert found > 0.95 * known


def test_counts_add_up() -> None:
    one, other = Metrics(steps=3, finished={"stop": 2}, accepted_at=[4, 1]), Metrics(steps=4, accepted_at=[2])
    other.finished = {"stop": 1, "length": 5}
    for metrics, value in ((one, 0.5), (other, 2.5)):
        metrics.ttft.observe(value)
    total = merged([one, other])
    assert (total.steps, total.finished, total.accepted_at) == (7, {"stop": 3, "length": 5}, [6, 1])
    assert isinstance(total.ttft, Histogram) and total.ttft.count == 2 and total.ttft.total == 3.0
    assert merged([one]) == one and total.pacing is total.thermal is None


def test_what_holds_several_engines_is_told_of_all() -> None:
    one = Metrics(pacing=PacingState("energy", pace=0.06, held_seconds=2.0), thermal=ThermalState(80, degrees=60))
    other = Metrics(pacing=PacingState("energy", held_seconds=3.0, prompt_seconds=1.0))
    other.thermal = ThermalState(80, hot=True, why="85 degrees of 80", degrees=85, times=2, held=4)
    total = merged([one, other])
    assert total.pacing == PacingState("energy", pace=0.06, held_seconds=5.0, prompt_seconds=1.0)
    assert total.thermal == other.thermal and merged([one]) == one


@pytest.mark.slow
def test_two_engines_answer_as_one_and_one_answers_for_both() -> None:
    loaded = load_model(device="cpu", dtype="float32")
    prompts = [[*range(5, 5 + length)] for length in (3, 70, 140, 9, 200, 33)]
    alone = LLM(loaded, max_seqs=4)
    wanted = [answer.answers[0].tokens for answer in alone.generate(prompts, GREEDY)]
    alone.close()
    hosts = [EngineHost(loaded.engine(loaded.config(max_seqs=4))) for _ in range(2)]

    async def answer(client: EngineCopies, name: str, prompt: list[int]) -> list[int]:
        tokens: list[int] = []
        async for output in client.generate(Request(request_id=name, prompt=prompt, params=GREEDY)):
            tokens += output.outputs[0].tokens
        return tokens

    async def run() -> None:
        client = EngineCopies(loaded.tokenizer, 2)
        for copy, host in enumerate(hosts):
            host.start()
            ours, theirs = socket.socketpair()
            await host.connect(theirs)
            await client.connect(ours, copy)
        asked: list[Coroutine[Any, Any, list[int]]] = [answer(client, f"a{i}", p) for i, p in enumerate(prompts)]
        assert await asyncio.gather(*asked) == wanted
        each = [await one.metrics() for one in client.clients]
        assert all(metrics.prompt_tokens for metrics in each), "both have worked"
        assert (await client.metrics()).generated_tokens == 12 * len(prompts)
        assert not client.trouble and client.info.vocab_size > 0 and (await client.limits()) is not None

        told = generate_latest(EngineCollector(await client.all_metrics(), "nano", label=True)).decode()
        lines = [line for line in told.splitlines() if line.startswith("hopwell_generated_tokens_total{")]
        assert len(lines) == 2 and {'engine="1"' in line for line in lines} == {True, False}
        assert sum(float(line.split()[-1]) for line in lines) == 12 * len(prompts)
        assert told.count("# TYPE hopwell_generated_tokens_total ") == 1
        second = await client.limits(1)
        assert (second.engine, second.engines, (await client.limits()).engine) == (2, 2, 1)

        await hosts[0].stop()
        while not client.clients[0].trouble:
            await asyncio.sleep(0.01)
        assert not client.trouble
        assert [await answer(client, f"b{i}", p) for i, p in enumerate(prompts)] == wanted
        assert await client.flush_cache() > 0
        await hosts[1].stop()
        while not client.trouble:
            await asyncio.sleep(0.01)
        with pytest.raises(EngineDownError, match="the engine is not running"):
            await answer(client, "c", prompts[0])
        await client.stop()

    asyncio.run(run())
    for host in hosts:
        host.engine.close()

"""Prompts computed in one engine and answers decoded in another: the same tokens as in one, whatever happens."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from toy import ToyModel, ask, toy_answer, toy_engine

from hopwell.cache.directory import DirectoryStore
from hopwell.engine.apart import EnginesApart
from hopwell.engine.host import EngineHost
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import EngineDownError, FinishReason, Request, RequestError, RequestOutput, SamplingParams
from hopwell.engine.tiering import Tiering

MODEL = ToyModel()
PROMPTS = [[8 + (i * j * j + j) % 56 for j in range(length)] for i, length in enumerate((300, 64, 65, 129, 30, 700))]


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what is known is waited for."""
    monkeypatch.setattr(Tiering, "observe", lambda self, rows, seconds: None)
    monkeypatch.setattr("hopwell.engine.tiering.UNKNOWN_WAIT", 60.0)


@asynccontextmanager
async def apart(hosts: list[EngineHost], decoding: int) -> AsyncIterator[EnginesApart]:
    client = EnginesApart(None, decoding, len(hosts) - decoding)
    for copy, host in enumerate(hosts):
        host.start()
        ours, theirs = socket.socketpair()
        await host.connect(theirs)
        await client.connect(ours, copy)
    yield client
    await client.stop()
    for host in hosts:
        await host.stop()
        assert host.engine.tiering is not None
        if host.ended and not host.trouble.startswith("its thread has ended: Runtime"):
            host.engine.check()
        host.engine.close()
        host.engine.tiering.tiers.host.check()


def toys(folder: Path, count: int, **settings: Any) -> list[EngineHost]:
    store = {"page_store": f"dir:{folder}", "page_store_gb": 400 * 528 / 1e9}
    return [EngineHost(toy_engine(MODEL, **store, **settings)) for _ in range(count)]


async def outputs(client: EnginesApart, request: Request) -> list[RequestOutput]:
    return [output async for output in client.generate(request)]


def tokens(found: list[RequestOutput]) -> list[int]:
    return [token for output in found for token in output.outputs[0].tokens]


@pytest.mark.parametrize("overlap", [False, True])
def test_the_one_computes_and_the_other_decodes(tmp_path: Path, overlap: bool) -> None:
    hosts = toys(tmp_path, 2, overlap=overlap)

    async def run() -> None:
        async with apart(hosts, 1) as client:
            asked = [outputs(client, ask(prompt, str(i), max_tokens=40)) for i, prompt in enumerate(PROMPTS)]
            for prompt, found in zip(PROMPTS, await asyncio.gather(*asked), strict=True):
                assert tokens(found) == toy_answer(MODEL, prompt, 40, eos=1)
                assert found[-1].cached_tokens == 0, "somebody has computed it"
            decode, compute = (host.engine.metrics for host in hosts)
            long = [prompt for prompt in PROMPTS if len(prompt) > 64]
            assert decode.tier_hit_tokens == {"store": sum((len(prompt) - 1) // 64 * 64 for prompt in long)}
            assert compute.generated_tokens == len(long) and compute.prompt_tokens == sum(map(len, long))
            again = await outputs(client, ask(PROMPTS[0], "again", max_tokens=40))
            assert again[-1].cached_tokens == 256 and compute.generated_tokens == len(long), "its pages are there"
            further = await outputs(client, ask(PROMPTS[0] + [9] * 200, "further", max_tokens=40))
            assert further[-1].cached_tokens == 256, "as many as were not computed by anybody"
            assert tokens(further) == toy_answer(MODEL, PROMPTS[0] + [9] * 200, 40, eos=1)
            assert not decode.tier_faults and not compute.tier_faults

    asyncio.run(run())


def test_what_the_request_asks_for_is_done_by_who_decodes(tmp_path: Path) -> None:
    """Several answers, log-probabilities of the prompt, tenants; and what cannot be served is refused as ever."""
    hosts = toys(tmp_path, 2)

    async def run() -> None:
        async with apart(hosts, 1) as client:
            several = await outputs(client, ask(PROMPTS[0], "n", max_tokens=5, n=3, temperature=1.0, seed=1))
            assert {answer.index for output in several for answer in output.outputs} == {0, 1, 2}
            scored = await outputs(client, ask(PROMPTS[3], "p", max_tokens=2, prompt_logprobs=1))
            assert any(len(output.prompt_logprobs or []) == len(PROMPTS[3]) for output in scored)
            bob = ask(PROMPTS[0], "bob", max_tokens=5)
            bob.cache_salt = "bob"
            assert (await outputs(client, bob))[-1].cached_tokens == 0
            with pytest.raises(RequestError, match="context"):
                await outputs(client, ask([8] * 100_000, "long", max_tokens=1))
            assert hosts[1].engine.metrics.generated_tokens == 2

    asyncio.run(run())


def test_prompts_are_computed_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine for prompts, with a store that has lost the pages, or hangs: the answer comes."""
    hosts = toys(tmp_path, 2)
    computing = hosts[1].engine.tiering
    assert computing is not None
    released = threading.Event()

    async def run() -> None:
        async with apart(hosts, 1) as client:
            with monkeypatch.context() as lost:
                lost.setattr(DirectoryStore, "find", lambda self, keys: 0)
                found = await outputs(client, ask(PROMPTS[0], "a", max_tokens=20))
                assert tokens(found) == toy_answer(MODEL, PROMPTS[0], 20, eos=1)
            assert not hosts[0].engine.metrics.tier_hit_tokens and hosts[1].engine.metrics.generated_tokens == 1
            with monkeypatch.context() as stuck:
                stuck.setattr(computing.tiers.store, "export_page", lambda *page: released.wait(60))
                stuck.setattr("hopwell.engine.host.HAND_OVER_SECONDS", 0.1)
                found = await outputs(client, ask(PROMPTS[3], "b", max_tokens=20))
                assert tokens(found) == toy_answer(MODEL, PROMPTS[3], 20, eos=1)
                released.set()
            await hosts[1].stop()
            while not client.clients[1].trouble:
                await asyncio.sleep(0.01)
            assert not client.trouble
            found = await outputs(client, ask(PROMPTS[5], "c", max_tokens=20))
            assert tokens(found) == toy_answer(MODEL, PROMPTS[5], 20, eos=1)
            await hosts[0].stop()
            while not client.trouble:
                await asyncio.sleep(0.01)
            with pytest.raises(EngineDownError, match="the engine is not running"):
                await outputs(client, ask(PROMPTS[5], "d", max_tokens=20))

    asyncio.run(run())


def test_cancelled_and_drained_while_the_prompt_is_computed(tmp_path: Path) -> None:
    hosts = toys(tmp_path, 2)
    held = threading.Event()

    async def run() -> None:
        async with apart(hosts, 1) as client:
            waiting = hosts[1].engine.call(lambda engine: held.wait(60))  # its thread is busy
            streams = [asyncio.create_task(outputs(client, ask(PROMPTS[i], str(i), max_tokens=20))) for i in (0, 3, 5)]
            while len(client._owners) < 3:
                await asyncio.sleep(0.01)
            client.abort("0")
            streams[1].cancel()
            stopping = asyncio.create_task(client.stop())
            await asyncio.sleep(0.05)
            with pytest.raises(RequestError, match="shutting down"):
                await outputs(client, ask(PROMPTS[1], "late", max_tokens=2))
            held.set()
            waiting.result()
            aborted, _, drained = await asyncio.gather(*streams, return_exceptions=True)
            assert isinstance(aborted, list) and aborted[-1].outputs[0].finish_reason is FinishReason.ABORT
            assert isinstance(drained, list) and tokens(drained) == toy_answer(MODEL, PROMPTS[5], 20, eos=1)
            await stopping
            assert not client._owners and not client._aborted and client._loads == [0, 0]

    asyncio.run(run())


@pytest.mark.slow
def test_nano_says_the_same_as_in_one_engine(tmp_path: Path) -> None:
    """In float32, two engines for answers and one for prompts, eight requests at once."""
    loaded = load_model(device="cpu", dtype="float32")
    r = random.Random(3)
    params = SamplingParams(temperature=0.0, max_tokens=24, ignore_eos=True)
    prompts = [[r.randrange(8, 500) for _ in range(r.randrange(20, 260))] for _ in range(8)]
    alone = LLM(loaded, max_seqs=4)
    wanted = [answer.answers[0].tokens for answer in alone.generate(prompts, params)]
    alone.close()
    settings: dict[str, Any] = {"max_seqs": 4, "page_store": f"dir:{tmp_path}", "page_store_gb": 1.0}
    hosts = [EngineHost(loaded.engine(loaded.config(**settings))) for _ in range(3)]
    assert len({host.engine.tiering.pages_of for host in hosts if host.engine.tiering}) == 1

    async def run() -> None:
        async with apart(hosts, 2) as client:
            requests = [Request(request_id=str(i), prompt=prompt, params=params) for i, prompt in enumerate(prompts)]
            found = await asyncio.gather(*(outputs(client, request) for request in requests))
            assert [tokens(one) for one in found] == wanted
            hits = sum(host.engine.metrics.tier_hit_tokens["store"] for host in hosts[:2])
            whole = sum(len(prompt) // 64 * 64 for prompt in prompts)
            assert hits > 0.8 * whole, "nearly all pages came from the engine for prompts"

    asyncio.run(run())

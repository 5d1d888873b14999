"""The asynchronous face: streams, cancellation, draining, and a fault of the engine itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from toy import ToyModel, ask, toy_answer, toy_engine

from hopwell.engine.async_engine import AsyncEngine
from hopwell.engine.core import FinishReason, Request, RequestError
from hopwell.engine.loop import Engine


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(toy_engine(**settings))
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop(drain=False)
        engine.engine.close()
        assert not engine.engine.scheduler.used_pages()
        engine.engine.check()


async def collect(engine: AsyncEngine, request: Request) -> tuple[list[int], FinishReason | None]:
    tokens, reason = [], None
    async for output in engine.generate(request):
        tokens += output.outputs[0].tokens
        reason = output.outputs[0].finish_reason
    return tokens, reason


@pytest.mark.parametrize("overlap", [False, True])
def test_many_streams_at_once(overlap: bool) -> None:
    async def main() -> None:
        model = ToyModel()
        async with running(model=model, overlap=overlap) as engine:
            requests = [ask([9 + i % 40] * (1 + i), str(i), max_tokens=20, ignore_eos=True) for i in range(60)]
            results = await asyncio.gather(*(collect(engine, request) for request in requests))
            for request, (tokens, reason) in zip(requests, results, strict=True):
                assert tokens == toy_answer(model, request.prompt, 20)
                assert reason is FinishReason.LENGTH
            assert engine.metrics.generated_tokens == 60 * 20

    asyncio.run(main())


def test_leaving_a_stream_early_cancels_its_request() -> None:
    async def main() -> None:
        async with running(model_len=3000) as engine:
            async with aclosing(engine.generate(ask([9], max_tokens=2500, ignore_eos=True))) as stream:
                async for _ in stream:
                    break
            reader = asyncio.create_task(collect(engine, ask([9], "task", max_tokens=2500, ignore_eos=True)))
            await asyncio.sleep(0.02)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            for _ in range(500):
                if engine.metrics.finished[FinishReason.ABORT] == 2:
                    break
                await asyncio.sleep(0.01)
            assert engine.metrics.finished == {FinishReason.ABORT: 2}
            assert engine.metrics.generated_tokens < 2000

    asyncio.run(main())


def test_abort_by_id_ends_the_stream() -> None:
    async def main() -> None:
        async with running(model_len=3000) as engine:
            reader = asyncio.create_task(collect(engine, ask([9], "x", max_tokens=2500, ignore_eos=True)))
            await asyncio.sleep(0.02)
            engine.abort("x")
            _, reason = await reader
            assert reason is FinishReason.ABORT

    asyncio.run(main())


def test_a_refused_request_raises_before_its_first_output() -> None:
    async def main() -> None:
        async with running(model=ToyModel(vocab=262)) as engine:
            for bad, field in ((ask([9] * 2000), "prompt"), (ask([9], regex="("), "regex")):
                with pytest.raises(RequestError) as caught:
                    await collect(engine, bad)
                assert caught.value.field == field
            tokens, _ = await collect(engine, ask([9], max_tokens=4, ignore_eos=True))
            assert len(tokens) == 4, "the same id serves again"

    asyncio.run(main())


def test_draining_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def main() -> None:
        engine = AsyncEngine(toy_engine())
        engine.start()
        reader = asyncio.create_task(collect(engine, ask([9], max_tokens=300, ignore_eos=True)))
        await asyncio.sleep(0.005)
        stopping = asyncio.create_task(engine.stop(drain=True))
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as caught:
            await collect(engine, ask([9], "late"))
        assert caught.value.kind == "overloaded"
        tokens, reason = await reader
        assert (len(tokens), reason) == (300, FinishReason.LENGTH)
        await stopping
        assert not engine.healthy

    asyncio.run(main())


def test_a_drain_that_takes_too_long_cancels() -> None:
    async def main() -> None:
        engine = AsyncEngine(toy_engine(model_len=3000))
        engine.start()
        reader = asyncio.create_task(collect(engine, ask([9], max_tokens=2900, ignore_eos=True)))
        await asyncio.sleep(0.005)
        await engine.stop(drain=True, timeout=0.05)
        assert (await reader)[1] is FinishReason.ABORT

    asyncio.run(main())


def test_calls_run_between_steps_in_the_engines_thread() -> None:
    async def main() -> None:
        async with running() as engine:
            await collect(engine, ask([9] * 200, max_tokens=2))
            assert await engine.call(Engine.flush_cache) == 3
            assert await engine.call(lambda _: threading.current_thread().name) == "hopwell-engine"
            with pytest.raises(ZeroDivisionError):
                await engine.call(lambda _: 1 / 0)

    asyncio.run(main())


def test_if_the_engine_dies_every_stream_hears_of_it() -> None:
    async def main() -> None:
        engine = AsyncEngine(toy_engine())

        def broken() -> None:
            raise MemoryError("out of memory")

        engine.engine.scheduler.schedule = broken  # type: ignore[method-assign]
        engine.start()
        with pytest.raises(RuntimeError, match="out of memory"):
            await collect(engine, ask([9]))
        assert not engine.healthy
        with pytest.raises(RuntimeError, match="not running"):
            await collect(engine, ask([9]))
        await engine.stop()

    asyncio.run(main())

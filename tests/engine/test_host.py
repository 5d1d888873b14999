"""Host and client, a socket between them: streams, cancellation, draining, and a fault of the engine itself."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hostile_grammars import ENDLESS
from torch import Tensor
from toy import ToyModel, ask, toy_answer, toy_engine

from hopwell.cache.pool import PagePool
from hopwell.engine.client import EngineClient
from hopwell.engine.engine import Engine
from hopwell.engine.host import EngineHost
from hopwell.engine.request import EngineDownError, FinishReason, Request, RequestError
from hopwell.model.batch import ForwardBatch
from hopwell.parallel.memory import RankLost


class Slow(ToyModel):
    """A step takes a millisecond at least, so that a test comes in time to stop a long answer."""

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        time.sleep(0.001)
        return super().forward(batch, latent)


class Held(ToyModel):
    """Says when its first step has begun, and goes on when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.going = threading.Event(), threading.Event()

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        self.begun.set()
        self.going.wait()
        return super().forward(batch, latent)


class Pair(EngineClient):
    """An engine's two faces, in one event loop."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.host, self.engine = EngineHost(engine), engine

    async def start(self) -> None:
        self.host.start()
        ours, theirs = socket.socketpair()
        await self.host.connect(theirs)
        await self.connect(ours)

    async def end(self, drain: bool = True, timeout: float | None = None) -> None:
        await self.stop(drain, timeout)
        await self.host.stop()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Pair]:
    engine = Pair(toy_engine(**settings))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.end(drain=False)
        engine.engine.close()
        assert sum(pool.free + pool.prefix.idle for pool in engine.engine.pools) == engine.engine.metrics.pages_total
        engine.engine.check()


async def collect(engine: EngineClient, request: Request) -> tuple[list[int], FinishReason | None]:
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
            assert engine.engine.metrics.generated_tokens == 60 * 20

    asyncio.run(main())


def test_leaving_a_stream_early_cancels_its_request() -> None:
    async def main() -> None:
        async with running(model=Slow(), model_len=20_000, pages=400) as engine:
            async with aclosing(engine.generate(ask([9], max_tokens=15_000, ignore_eos=True))) as stream:
                async for _ in stream:
                    break
            reader = asyncio.create_task(collect(engine, ask([9], "task", max_tokens=15_000, ignore_eos=True)))
            await asyncio.sleep(0.02)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            for _ in range(6000):
                if engine.engine.metrics.finished[FinishReason.ABORT] == 2:
                    break
                await asyncio.sleep(0.01)
            assert engine.engine.metrics.finished == {FinishReason.ABORT: 2}
            assert engine.engine.metrics.generated_tokens < 2 * 15_000

    asyncio.run(main())


def test_abort_by_id_ends_the_stream() -> None:
    async def main() -> None:
        async with running(model=Slow(), model_len=20_000, pages=400) as engine:
            reader = asyncio.create_task(collect(engine, ask([9], "x", max_tokens=15_000, ignore_eos=True)))
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


def test_a_request_that_cannot_be_sent_or_read_harms_no_other() -> None:
    async def main() -> None:
        async with running(model=Slow(vocab=262), model_len=20_000, pages=400) as engine:
            long = asyncio.create_task(collect(engine, ask([9], "long", max_tokens=300, ignore_eos=True)))
            bad = [{"seed": 1 << 70}, {"json_schema": True}, {"json_schema": {"enum": [1 << 70]}}, {"stop": ["\ud800"]}]
            for number, params in enumerate(bad):
                with pytest.raises(RequestError):
                    await collect(engine, ask([9], f"bad{number}", **params))
            assert len((await long)[0]) == 300 and not engine.trouble

    asyncio.run(main())


def test_draining_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def main() -> None:
        model = Held()
        engine = Pair(toy_engine(model))
        await engine.start()
        reader = asyncio.create_task(collect(engine, ask([9], max_tokens=300, ignore_eos=True)))
        await asyncio.to_thread(model.begun.wait)
        stopping = asyncio.create_task(engine.end(drain=True))
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as caught:
            await collect(engine, ask([9], "late"))
        assert caught.value.kind == "overloaded"
        model.going.set()
        tokens, reason = await reader
        assert (len(tokens), reason) == (300, FinishReason.LENGTH)
        await stopping
        assert engine.trouble

    asyncio.run(main())


def test_a_drain_that_takes_too_long_cancels() -> None:
    async def main() -> None:
        engine = Pair(toy_engine(Slow(), model_len=20_000, pages=400))
        await engine.start()
        reader = asyncio.create_task(collect(engine, ask([9], max_tokens=15_000, ignore_eos=True)))
        await asyncio.sleep(0.005)
        await engine.end(drain=True, timeout=0.05)
        assert (await reader)[1] is FinishReason.ABORT

    asyncio.run(main())


def test_calls_run_between_steps_in_the_engines_thread() -> None:
    async def main() -> None:
        async with running() as engine:
            await collect(engine, ask([9] * 200, max_tokens=2))
            assert await engine.flush_cache() == 3
            call = engine.host.engine.call
            assert await asyncio.wrap_future(call(lambda _: threading.current_thread().name)) == "hopwell-engine"
            with pytest.raises(ZeroDivisionError):
                await asyncio.wrap_future(call(lambda _: 1 / 0))

    asyncio.run(main())


def test_a_flush_that_fails_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(pool: PagePool) -> None:
        raise ValueError("out of order")

    async def main() -> None:
        async with running() as engine:
            monkeypatch.setattr(PagePool, "flush", broken)
            with pytest.raises(EngineDownError, match="out of order"):
                await asyncio.wait_for(engine.flush_cache(), 20)

    asyncio.run(main())


def test_if_the_engine_dies_every_stream_hears_of_it() -> None:
    async def main() -> None:
        engine = Pair(toy_engine())

        def broken() -> None:
            raise MemoryError("out of memory")

        engine.engine.scheduler.schedule = broken  # type: ignore[method-assign]
        await engine.start()
        with pytest.raises(RuntimeError, match="out of memory"):
            await collect(engine, ask([9]))
        assert engine.trouble
        with pytest.raises(RuntimeError, match="not running"):
            await collect(engine, ask([9]))
        await engine.end()

    asyncio.run(main())


def test_a_lost_rank_is_told_in_its_own_words() -> None:
    async def main() -> None:
        engine = Pair(toy_engine())
        await engine.start()
        engine.engine.fail(RankLost("rank 1 (process 7) has died: signal 9"))
        with pytest.raises(EngineDownError, match=r"ended: rank 1 \(process 7\) has died: signal 9$"):
            await collect(engine, ask([9]))
        await engine.end()

    asyncio.run(main())


def test_a_dead_engine_is_logged_and_fails_what_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        engine = Pair(toy_engine())
        begun, ready = threading.Event(), threading.Event()

        def broken() -> None:
            begun.set()
            ready.wait()
            raise MemoryError("out of memory")

        engine.engine.scheduler.schedule = broken  # type: ignore[method-assign]
        await engine.start()
        stream = asyncio.create_task(collect(engine, ask([9])))
        await asyncio.to_thread(begun.wait)  # the step is under way, so the call waits for the next
        call = asyncio.create_task(engine.flush_cache())
        await asyncio.sleep(0)
        ready.set()
        async with asyncio.timeout(120):
            for waiting in (stream, call):
                with pytest.raises(EngineDownError, match="out of memory"):
                    await waiting
            with pytest.raises(EngineDownError, match="out of memory"):
                await engine.flush_cache()
            await engine.end()
        assert engine.host.ended

    asyncio.run(main())
    (record,) = (r for r in caplog.records if r.exc_info)
    assert "thread has died" in record.message and "in broken" in (record.exc_text or caplog.text)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_step_that_hangs_is_told_and_may_end_after_all(overlap: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        model = Held()
        async with running(model=model, step_timeout=0.5, overlap=overlap) as engine:
            try:
                requests = [ask([9], str(i), max_tokens=3, ignore_eos=True) for i in range(2)]
                streams = [asyncio.create_task(collect(engine, request)) for request in requests]
                await asyncio.to_thread(model.begun.wait)
                while overlap and engine.engine.scheduler.fewest.max() < 3:  # before the next step is planned it calls
                    await asyncio.sleep(0.005)
                call = asyncio.create_task(engine.flush_cache())
                async with asyncio.timeout(120):
                    for waiting in (*streams, call):
                        with pytest.raises(EngineDownError, match="longer than the step_timeout"):
                            await waiting
                    assert engine.trouble
                    with pytest.raises(EngineDownError, match="step_timeout"):
                        await collect(engine, ask([9], "late"))
                    engine.engine.config = replace(engine.engine.config, step_timeout=60.0)  # a busy machine's steps
                    model.going.set()
                    while engine.trouble:
                        await asyncio.sleep(0.01)
                    assert len((await collect(engine, ask([9], "after", max_tokens=3, ignore_eos=True)))[0]) == 3
            finally:  # or closing the engine would wait for ever
                model.going.set()

    asyncio.run(main())
    assert "longer than the step_timeout" in caplog.text


def test_a_process_that_falls_silent_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped by a signal, or stuck in a driver, can tell nobody that it hangs."""
    monkeypatch.setattr("hopwell.engine.client.SILENCE", 0.2)
    monkeypatch.setattr("hopwell.engine.client.LOOK_SECONDS", 0.05)

    async def main() -> None:
        model = Held()
        async with running(model=model, step_timeout=0.5) as engine:
            try:
                assert engine.host._watch is not None
                engine.host._watch.cancel()  # it beats no more
                stream = asyncio.create_task(collect(engine, ask([9], "a", max_tokens=3, ignore_eos=True)))
                await asyncio.to_thread(model.begun.wait)
                call = asyncio.create_task(engine.flush_cache())
                async with asyncio.timeout(120):
                    for waiting in (stream, call):
                        with pytest.raises(EngineDownError, match="has not said anything"):
                            await waiting
                    model.going.set()
                    engine.host._watch = asyncio.create_task(engine.host._watch_steps())
                    while engine.trouble:
                        await asyncio.sleep(0.01)
                    assert len((await collect(engine, ask([9], "after", max_tokens=3, ignore_eos=True)))[0]) == 3
            finally:
                model.going.set()

    asyncio.run(main())


def test_stopping_does_not_wait_for_a_step_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.engine.host.JOIN_SECONDS", 0.2)
    monkeypatch.setattr("hopwell.engine.client.CANCEL_SECONDS", 0.2)

    async def main() -> None:
        model = Held()
        engine = Pair(toy_engine(model))
        await engine.start()
        stream = asyncio.create_task(collect(engine, ask([9])))
        await asyncio.to_thread(model.begun.wait)
        async with asyncio.timeout(120):
            await engine.end(drain=True, timeout=0.1)
            with pytest.raises(EngineDownError):
                await stream
        assert not engine.host.ended
        model.going.set()

    asyncio.run(main())


def test_leaving_while_a_grammar_compiles_submits_nothing() -> None:
    async def main() -> None:
        async with running(model=ToyModel(vocab=262)) as engine:
            endless = ENDLESS["multiples"]
            streams = [asyncio.create_task(collect(engine, ask([9], str(i), **endless))) for i in range(20)]
            await asyncio.sleep(0.2)
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
            async with asyncio.timeout(300):
                assert (await collect(engine, ask([9], regex="a{3}")))[1] is FinishReason.STOP
            assert engine.engine.metrics.prompt_tokens == 1

    asyncio.run(main())


def test_a_request_that_is_cancelled_while_its_grammar_compiles_ends() -> None:
    """Its stream is waited for, as by a server that drains and is told to hurry."""

    async def main() -> None:
        async with running(model=ToyModel(vocab=262)) as engine:
            stream = asyncio.create_task(collect(engine, ask([9], "x", **ENDLESS["multiples"])))
            await asyncio.sleep(0.2)
            engine.abort_all()
            async with asyncio.timeout(3):
                with pytest.raises(RequestError, match="cancelled"):
                    await stream

    asyncio.run(main())

"""How answers come back: outputs of requests side by side, faults as statuses, usage, a line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from hopwell.engine.copies import AnyEngine
from hopwell.engine.request import EngineDownError, FinishReason, Request, RequestError, RequestOutput, SequenceOutput
from hopwell.limits.energy import Factors, Joules
from hopwell.server.errors import ApiError
from hopwell.server.protocol.common import CompletionDetails, Energy, PromptDetails, Usage
from hopwell.server.service import Service

log = logging.getLogger("hopwell.server")


async def outputs_of(
    service: Service, requests: Sequence[Request], names: Mapping[str, str] | None = None
) -> AsyncGenerator[tuple[int, RequestOutput], None]:
    """Outputs of requests that run side by side, each with its request's place; leaving early cancels them all.

    Args:
        names: fields that they call otherwise than the engine does, for errors.

    Raises:
        ApiError: one of them cannot be served; none goes on.
    """
    answers = [_Done() for _ in requests]
    try:
        async with aclosing(_side_by_side(service.engine, requests)) as stream:
            async for place, output in stream:
                answers[place].add(output)
                if output.finished:
                    answers[place].log(requests[place], output, service.settings.factors)
                for answer in output.outputs:
                    _check_fault(answer)
                yield place, output
    except RequestError as error:
        raise ApiError.of(error, names) from None
    except EngineDownError as error:
        raise ApiError(503, str(error), None, "engine") from error


async def _side_by_side(
    engine: AnyEngine, requests: Sequence[Request]
) -> AsyncGenerator[tuple[int, RequestOutput], None]:
    """Outputs of requests with their places, as they come."""
    if len(requests) == 1:  # as most: without a task and a queue between
        async with aclosing(engine.generate(requests[0])) as stream:
            async for output in stream:
                yield 0, output
        return
    queue: asyncio.Queue[tuple[int, RequestOutput | Exception]] = asyncio.Queue()

    async def read(place: int, request: Request) -> None:
        try:
            async with aclosing(engine.generate(request)) as stream:
                async for output in stream:
                    queue.put_nowait((place, output))
        except Exception as error:
            queue.put_nowait((place, error))

    tasks = [asyncio.create_task(read(place, request)) for place, request in enumerate(requests)]
    left = len(tasks)
    try:
        while left:
            place, output = await queue.get()
            if isinstance(output, Exception):
                raise output
            left -= output.finished
            yield place, output
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Done:
    """What a request has come to so far, for its line in the log."""

    tokens: int = 0
    ends: list[str] = field(default_factory=list)

    def add(self, output: RequestOutput) -> None:
        for answer in output.outputs:
            self.tokens += len(answer.tokens)
            if answer.finish_reason is not None:
                self.ends.append(answer.finish_reason)

    def log(self, request: Request, last: RequestOutput, factors: Factors) -> None:
        """Says what the engine did, and whether the latency class was honoured."""
        timing = last.timing
        assert timing is not None
        energy = {} if last.joules is None else factors.of(last.joules)
        times = {"queued_ms": timing.queued, "ttft_ms": timing.ttft, "tpot_ms": timing.tpot}
        log.info(
            {
                "event": "answer",
                "request_id": request.request_id,
                "finish": self.ends,
                "prompt_tokens": len(request.prompt),
                "cached_tokens": last.cached_tokens,
                "tokens": self.tokens,
                **{name: None if value is None else round(value * 1e3, 1) for name, value in times.items()},
                "latency_class": request.latency_class,
                "met": timing.met,
                **{name: float(f"{value:.6g}") for name, value in energy.items()},
            }
        )


def _check_fault(answer: SequenceOutput) -> None:
    if answer.finish_reason is FinishReason.ERROR:
        asked_for = answer.fault in ("unsatisfiable", "too_complex")
        status, code = (400, answer.fault) if asked_for else (500, "request_failed")
        raise ApiError(status, answer.error or "this request has failed", None, code)
    if answer.finish_reason is FinishReason.ABORT:
        raise ApiError(503, "the server is shutting down; try again", None, "overloaded")


@dataclass
class Count:
    """Tokens of a request, for its usage."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    factors: Factors | None = None
    """Set where the caller wants to know of joules."""
    joules: Joules | None = None
    """Of the requests that have ended."""

    def end(self, output: RequestOutput) -> None:
        """Takes in what a request that has ended used."""
        if output.joules is not None:
            self.joules = Joules() if self.joules is None else self.joules
            self.joules.prompt += output.joules.prompt
            self.joules.decode += output.joules.decode

    def usage(self) -> Usage:
        more: dict[str, Any] = {}
        if self.factors is not None and self.joules is not None:
            more["energy"] = Energy(**self.factors.of(self.joules))
        return Usage(
            **more,
            prompt_tokens=self.prompt,
            completion_tokens=self.completion,
            total_tokens=self.prompt + self.completion,
            prompt_tokens_details=PromptDetails(cached_tokens=self.cached),
            completion_tokens_details=CompletionDetails(reasoning_tokens=self.reasoning),
            prompt_cache_hit_tokens=self.cached,
            prompt_cache_miss_tokens=self.prompt - self.cached,
        )

"""Requests and what is seen of their answers from outside, by one process or several."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from hopwell.engine.request import LATENCY_CLASSES

TEXTS = ("text", "content", "reasoning_content", "reasoning", "tool_calls")
"""Where chunks have what the model said."""


@dataclass(slots=True)
class Sample:
    """One request, seen from outside. Times in seconds."""

    sent: float
    first: float | None = None
    last: float = 0.0
    gaps: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    output_tokens: int = 0
    error: str | None = None

    @property
    def ttft(self) -> float:
        return (self.first or self.last) - self.sent

    @property
    def tpot(self) -> float | None:
        return (self.last - self.first) / (self.output_tokens - 1) if self.first and self.output_tokens > 1 else None

    @property
    def e2e(self) -> float:
        return self.last - self.sent

    def meets(self, name: str) -> bool:
        """Whether it kept the limits of a latency class."""
        limit = LATENCY_CLASSES[name]
        late = limit.ttft is not None and self.ttft > limit.ttft
        return not (late or (limit.tpot is not None and (self.tpot or 0.0) > limit.tpot))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests to a server, and how they come."""

    url: str
    key: str | None
    kind: str
    """"concurrency": a closed loop of `level` callers; "rate": Poisson arrivals, `level` a second."""
    level: float
    bodies: list[dict[str, Any]]
    chat: bool = False
    seed: int = 0
    """Of the arrivals."""

    def shares(self, clients: int) -> list[Traffic]:
        """For so many processes, or as many of them as have something to send."""
        if self.kind == "concurrency":
            callers = int(self.level)
            clients = min(clients, callers)
            levels: list[float] = [callers // clients + (index < callers % clients) for index in range(clients)]
        else:
            levels = [self.level / clients] * clients
        return [
            replace(self, level=level, bodies=bodies, seed=self.seed + index)
            for index, level in enumerate(levels)
            if (bodies := self.bodies[index::clients])
        ]


Ask = Callable[[Traffic, Callable[[], None]], list[Sample]]
"""As `ask_all`, by one process or several."""


@contextmanager
def clients_of(count: int) -> Iterator[Ask]:
    """So many processes that ask, where more than one, so that it is not the client that is measured."""
    if count == 1:
        yield ask_all
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.1] * count))  # all are there, and have read this module, before the first asks

        def spread(traffic: Traffic, told: Callable[[], None]) -> list[Sample]:
            asked = [pool.submit(ask_all, share) for share in traffic.shares(count)]
            samples = [sample for future in asked for sample in future.result()]
            for _ in samples:
                told()
            return samples

        yield spread


def ask_all(traffic: Traffic, told: Callable[[], None] = lambda: None) -> list[Sample]:
    """Sends all.

    Args:
        told: called after each answer.
    """

    async def ask() -> list[Sample]:
        headers = {"authorization": f"Bearer {traffic.key}"} if traffic.key else {}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=traffic.url, headers=headers, timeout=None, limits=limits) as http:
            if traffic.kind == "concurrency":
                return await _closed(http, traffic, told)
            return await _poisson(http, traffic, told)

    return asyncio.run(ask())


async def _ask(http: httpx.AsyncClient, body: dict[str, Any], chat: bool) -> Sample:
    sample = Sample(time.perf_counter())
    try:
        async with http.stream("POST", "/v1/chat/completions" if chat else "/v1/completions", json=body) as reply:
            if reply.status_code != 200:
                sample.error = f"HTTP {reply.status_code}: {(await reply.aread()).decode(errors='replace')[:200]}"
            else:
                async for line in reply.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        _take(sample, json.loads(line[6:]))
    except (httpx.HTTPError, ValueError) as error:
        sample.error = f"{type(error).__name__}: {error}"
    if sample.first is None and sample.error is None:
        sample.error = "the stream held no text"
    sample.last = sample.last or time.perf_counter()
    return sample


def _take(sample: Sample, chunk: dict[str, Any]) -> None:
    """Adds a chunk of a stream."""
    if "error" in chunk:
        sample.error = str(chunk["error"])
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or choice
        # a completion's chunk is a token even while it has no text yet; a chat's may be the role alone
        if "delta" not in choice or any(delta.get(name) for name in TEXTS):
            now = time.perf_counter()
            if sample.first is None:
                sample.first = now
            else:
                sample.gaps.append(now - sample.last)
            sample.last = now
    if usage := chunk.get("usage"):
        sample.prompt_tokens, sample.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]


async def _closed(http: httpx.AsyncClient, traffic: Traffic, told: Callable[[], None]) -> list[Sample]:
    waiting = list(reversed(traffic.bodies))
    samples: list[Sample] = []

    async def caller() -> None:
        while waiting:
            samples.append(await _ask(http, waiting.pop(), traffic.chat))
            told()

    await asyncio.gather(*(caller() for _ in range(int(traffic.level))))
    return samples


async def _poisson(http: httpx.AsyncClient, traffic: Traffic, told: Callable[[], None]) -> list[Sample]:
    rng, tasks = random.Random(traffic.seed), []
    due = time.perf_counter()
    for body in traffic.bodies:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(http, body, traffic.chat)))
        tasks[-1].add_done_callback(lambda _: told())
        due += rng.expovariate(traffic.level)
    return list(await asyncio.gather(*tasks))

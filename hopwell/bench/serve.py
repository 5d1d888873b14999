"""`hopwell bench serve`: latency and throughput of any OpenAI-compatible server, over a sweep of load.

TTFT is the time to the first chunk with text, TPOT the mean time a token after it, ITL the gap between chunks (not the
same where a chunk carries several tokens), E2E the whole request. Every prompt is different, so that no prefix cache
helps by accident. Lengths are counted by the server (`usage`), and their realised means are part of every row.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from hopwell.engine.request import LATENCY_CLASSES
from hopwell.errors import HopwellError

WORDS = "add the digits of each number then carry one to the left and write down what remains below the line"
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent: requests of about `input_words` words that ask for `output_tokens` tokens each."""

    input_words: int = 128
    output_tokens: int = 64
    spread: float = 0.2
    """Lengths are drawn from length * (1 - spread) to length * (1 + spread)."""
    chat: bool = False
    ignore_eos: bool = True
    """Ask for answers of full length; vLLM's name for it, which servers of other origin may refuse."""
    seed: int = 0
    """0: a fresh one each run, so that no cache remembers the last."""


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


def bench_serve(
    url: str,
    load: Load,
    *,
    concurrency: Sequence[int] = (),
    rates: Sequence[float] = (),
    requests: int = 64,
    model: str | None = None,
    key: str | None = None,
    gpus: int = 1,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """One row a level of load: closed loops of `concurrency` callers, then Poisson arrivals of `rates` a second.

    Args:
        requests: of each level; at least twice the concurrency is sent.
        model: None: the first that the server lists.
        gpus: behind the server, for the tokens a second of each.
        progress: told how many requests are answered, how many there are, and of which level.

    Raises:
        HopwellError: the server cannot be reached, or refuses the first request.
    """
    root = url.rstrip("/").removesuffix("/v1")
    rows = asyncio.run(_sweep(root, load, concurrency, rates, requests, model, key, say, progress))
    return [{**row, "gpus": gpus, "output_tokens_per_s_per_gpu": row["output_tokens_per_s"] / gpus} for row in rows]


async def _sweep(
    url: str,
    load: Load,
    concurrency: Sequence[int],
    rates: Sequence[float],
    requests: int,
    model: str | None,
    key: str | None,
    say: Callable[[str], None],
    progress: Callable[[int, int, str], None],
) -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=None, limits=limits) as http:
        model = model or await _first_model(http)
        rng = random.Random(load.seed or time.time_ns())
        warm = await _ask(http, _body(load, model, rng), load.chat)
        if warm.error:
            raise HopwellError(f"{url} refuses the warm-up request: {warm.error}")
        rows = []
        levels: list[tuple[str, float]] = [("concurrency", float(n)) for n in concurrency] + [
            ("rate", r) for r in rates
        ]
        counts = [max(requests, 2 * int(level)) if kind == "concurrency" else requests for kind, level in levels]
        answered = itertools.count(1)
        for (kind, level), count in zip(levels, counts, strict=True):

            def told(level: str = f"{kind} {level:g}") -> None:
                progress(next(answered), sum(counts), level)

            bodies = [_body(load, model, rng) for _ in range(count)]
            started = time.perf_counter()
            if kind == "concurrency":
                samples = await _closed(http, bodies, int(level), load.chat, told)
            else:
                samples = await _poisson(http, bodies, level, load.chat, rng, told)
            rows.append(summary(samples, time.perf_counter() - started, **{kind: level}))
            say(_line(kind, level, rows[-1]))
        return rows


async def _first_model(http: httpx.AsyncClient) -> str:
    try:
        reply = await http.get("/v1/models", timeout=30)
        reply.raise_for_status()
        return reply.json()["data"][0]["id"]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise HopwellError(f"{http.base_url}v1/models: {error}; is a server running there?") from None


def _body(load: Load, model: str, rng: random.Random) -> dict[str, Any]:
    def length(mean: int) -> int:
        return max(1, round(mean * rng.uniform(1 - load.spread, 1 + load.spread)))

    text = f"{rng.getrandbits(64):x} " + " ".join(rng.choices(WORDS.split(), k=length(load.input_words)))
    prompt = {"messages": [{"role": "user", "content": text}]} if load.chat else {"prompt": text}
    more = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
    if load.ignore_eos:
        more["ignore_eos"] = True
    return {"model": model, **prompt, "max_tokens": length(load.output_tokens), **more}


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
        if any(delta.get(name) for name in ("text", "content", "reasoning_content", "reasoning", "tool_calls")):
            now = time.perf_counter()
            if sample.first is None:
                sample.first = now
            else:
                sample.gaps.append(now - sample.last)
            sample.last = now
    if usage := chunk.get("usage"):
        sample.prompt_tokens, sample.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]


async def _closed(
    http: httpx.AsyncClient, bodies: list[dict[str, Any]], callers: int, chat: bool, told: Callable[[], None]
) -> list[Sample]:
    waiting = list(reversed(bodies))
    samples: list[Sample] = []

    async def caller() -> None:
        while waiting:
            samples.append(await _ask(http, waiting.pop(), chat))
            told()

    await asyncio.gather(*(caller() for _ in range(callers)))
    return samples


async def _poisson(
    http: httpx.AsyncClient,
    bodies: list[dict[str, Any]],
    rate: float,
    chat: bool,
    rng: random.Random,
    told: Callable[[], None],
) -> list[Sample]:
    tasks = []
    due = time.perf_counter()
    for body in bodies:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(http, body, chat)))
        tasks[-1].add_done_callback(lambda _: told())
        due += rng.expovariate(rate)
    return list(await asyncio.gather(*tasks))


def summary(samples: Sequence[Sample], seconds: float, **level: float) -> dict[str, Any]:
    """A row of the result: percentiles in milliseconds, rates a second, goodput as a share of all requests and
    as requests a second that kept the class's limits."""
    good = [s for s in samples if s.error is None]
    row: dict[str, Any] = {"concurrency": None, "rate": None, **level, "requests": len(samples)}
    row["failed"] = len(samples) - len(good)
    row["first_error"] = next((s.error for s in samples if s.error), None)
    row["seconds"] = round(seconds, 3)
    row["mean_isl"] = _mean([s.prompt_tokens for s in good])
    row["mean_osl"] = _mean([s.output_tokens for s in good])
    row["output_tokens_per_s"] = round(sum(s.output_tokens for s in good) / seconds, 1)
    row["requests_per_s"] = round(len(good) / seconds, 3)
    tpots = [s.tpot for s in good if s.tpot is not None]
    for name, values in (
        ("ttft", [s.ttft for s in good]),
        ("tpot", tpots),
        ("itl", [gap for s in good for gap in s.gaps]),
        ("e2e", [s.e2e for s in good]),
    ):
        for percent in PERCENTILES:
            row[f"{name}_p{percent}_ms"] = round(percentile(values, percent) * 1e3, 2) if values else None
    row["tokens_per_s_per_user"] = round(1 / percentile(tpots, 50), 1) if tpots and percentile(tpots, 50) > 0 else None
    for name, limit in LATENCY_CLASSES.items():
        if limit.ttft is not None:
            met = sum(s.meets(name) for s in good)
            row[f"goodput_{name}"] = round(met / len(samples), 4)
            row[f"goodput_{name}_per_s"] = round(met / seconds, 3)
    return row


def percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest of the sorted values, of which there is at least one."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


def _line(kind: str, level: float, row: dict[str, Any]) -> str:
    return (
        f"{kind} {level:g}: {row['output_tokens_per_s']} tokens/s, TTFT p50 {row['ttft_p50_ms']} ms, TPOT p50"
        f" {row['tpot_p50_ms']} ms, realised ISL {row['mean_isl']} OSL {row['mean_osl']}, failed {row['failed']}"
    )

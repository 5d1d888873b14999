"""`hopwell bench serve`: latency and throughput of any OpenAI-compatible server, over a sweep of load.

TTFT is the time to the first chunk (of a chat, with text), TPOT the mean time a token after it, ITL the gap between
chunks (not the same where a chunk carries several tokens), E2E the whole request. Every prompt is different, so that no
prefix cache helps by accident. Lengths are counted by the server (`usage`), and their realised means are part of every
row.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx
import numpy as np

from hopwell.bench.asking import Sample, Traffic, ask_all, clients_of
from hopwell.engine.request import LATENCY_CLASSES
from hopwell.errors import HopwellError
from hopwell.limits.power import Counter

WORDS = "add the digits of each number then carry one to the left and write down what remains below the line"
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent: requests of about `input_words` words that ask for `output_tokens` tokens each."""

    input_words: int = 128
    vocabulary: int | None = None
    """Prompts are so many random ids below this, in place of words; not for a chat."""
    output_tokens: int = 64
    spread: float = 0.2
    """Lengths are drawn from length * (1 - spread) to length * (1 + spread)."""
    chat: bool = False
    ignore_eos: bool = True
    """Ask for answers of full length; vLLM's name for it, which servers of other origin may refuse."""
    seed: int = 0
    """0: a fresh one each run, so that no cache remembers the last."""


def bench_serve(
    url: str,
    load: Load,
    *,
    concurrency: Sequence[int] = (),
    rates: Sequence[float] = (),
    requests: int = 64,
    turns: int = 2,
    model: str | None = None,
    key: str | None = None,
    gpus: int = 1,
    clients: int = 1,
    joules: Counter | None = None,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """One row a level of load: closed loops of `concurrency` callers, then Poisson arrivals of `rates` a second.

    Args:
        requests: of each level; at least `turns` times the concurrency is sent.
        clients: processes that ask; one is busy throughout from some thousand tokens a second on.
        model: None: the first that the server lists.
        gpus: behind the server, for the tokens a second of each.
        joules: a counter of theirs, read before and after each level: idle power is in it, and whatever else runs.
        progress: told how many requests are answered, how many there are, and of which level.

    Raises:
        HopwellError: the server cannot be reached, or refuses the first request.
    """
    url = base_of(url)
    model = model or str(listed_model(url, key)["id"])
    rng = random.Random(load.seed or time.time_ns())
    (warm,) = ask_all(Traffic(url, key, "concurrency", 1, [_body(load, model, rng)], load.chat))
    if warm.error:
        raise HopwellError(f"{url} refuses the warm-up request: {warm.error}")
    levels = [("concurrency", float(n)) for n in concurrency] + [("rate", r) for r in rates]
    counts = [max(requests, turns * int(level)) if kind == "concurrency" else requests for kind, level in levels]
    answered, rows = itertools.count(1), []
    with clients_of(clients) as ask:
        for (kind, level), count in zip(levels, counts, strict=True):

            def told(level: str = f"{kind} {level:g}") -> None:
                progress(next(answered), sum(counts), level)

            bodies = [_body(load, model, rng) for _ in range(count)]
            before = joules() if joules else None
            samples = ask(Traffic(url, key, kind, level, bodies, load.chat, rng.getrandbits(32)), told)
            used = joules() - before if joules and before is not None else None
            seconds = max(sample.last for sample in samples) - min(sample.sent for sample in samples)
            row: dict[str, Any] = {**summary(samples, seconds, **{kind: level}), **_energy(used, samples)}
            rows.append({**row, "gpus": gpus, "output_tokens_per_s_per_gpu": row["output_tokens_per_s"] / gpus})
            say(_line(kind, level, rows[-1]))
    return rows


def _energy(joules: float | None, samples: Sequence[Sample]) -> dict[str, float | None]:
    """Joules of a level, and of each token that was written: prompts are paid for by answers."""
    tokens = sum(sample.output_tokens for sample in samples if sample.error is None)
    per_token = round(joules / tokens, 4) if joules is not None and tokens else None
    return {"joules": None if joules is None else round(joules, 1), "joules_per_output_token": per_token}


def listed_model(url: str, key: str | None) -> dict[str, Any]:
    """What a server tells of its first model.

    Raises:
        HopwellError: nothing answers there as an OpenAI-compatible server does.
    """
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        reply = httpx.get(f"{base_of(url)}/v1/models", headers=headers, timeout=30)
        reply.raise_for_status()
        model = reply.json()["data"][0]
        return {**model, "id": model["id"]}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise HopwellError(f"{url}: {error}; is an OpenAI-compatible server running there?") from None


def base_of(url: str) -> str:
    """Where a server's routes begin."""
    return url.rstrip("/").removesuffix("/v1")


def _body(load: Load, model: str, rng: random.Random) -> dict[str, Any]:
    def length(mean: int) -> int:
        return max(1, round(mean * rng.uniform(1 - load.spread, 1 + load.spread)))

    prompt: dict[str, Any]
    if load.vocabulary is not None:
        prompt = {"prompt": [rng.randrange(10, load.vocabulary) for _ in range(length(load.input_words))]}
    else:
        text = f"{rng.getrandbits(64):x} " + " ".join(rng.choices(WORDS.split(), k=length(load.input_words)))
        prompt = {"messages": [{"role": "user", "content": text}]} if load.chat else {"prompt": text}
    more = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
    if load.ignore_eos:
        more["ignore_eos"] = True
    return {"model": model, **prompt, "max_tokens": length(load.output_tokens), **more}


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
            row[f"{name}_p{percent}_ms"] = round(1e3 * float(np.percentile(values, percent)), 2) if values else None
    usual = median(tpots) if tpots else 0.0
    row["tokens_per_s_per_user"] = round(1 / usual, 1) if usual else None
    for name, limit in LATENCY_CLASSES.items():
        if limit.ttft is not None:
            met = sum(s.meets(name) for s in good)
            row[f"goodput_{name}"] = round(met / len(samples), 4)
            row[f"goodput_{name}_per_s"] = round(met / seconds, 3)
    return row


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


def _line(kind: str, level: float, row: dict[str, Any]) -> str:
    return (
        f"{kind} {level:g}: {row['output_tokens_per_s']} tokens/s, TTFT p50 {row['ttft_p50_ms']} ms, TPOT p50"
        f" {row['tpot_p50_ms']} ms, realised ISL {row['mean_isl']} OSL {row['mean_osl']}, failed {row['failed']}"
    )

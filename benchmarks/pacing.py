"""A server of nano with one objective, then with another, under the same Poisson arrivals: answers, promises, steps."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import script
from benchmarks.serving import served
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.request import LATENCY_CLASSES

COUNTED = (
    "hopwell_steps_total", "hopwell_generated_tokens_total", "hopwell_computed_tokens_total",
    "hopwell_step_seconds_sum", "hopwell_held_seconds_total",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, and when it comes."""

    at: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What its caller saw: seconds."""

    text: str
    ttft: float
    tpot: float


def arrivals(rate: float, count: int, tokens: int, latency_class: str, seed: int) -> list[Arrival]:
    """Requests at random, `rate` a second: prompts of 20 to 120 tokens, answers of half to one and a half `tokens`."""
    rng, at, found = random.Random(seed), 0.0, list[Arrival]()
    for _ in range(count):
        at += rng.expovariate(rate)
        prompt = [5 + rng.randrange(90) for _ in range(rng.randrange(20, 120))]
        answer = rng.randrange(tokens // 2, 3 * tokens // 2)
        body = {"prompt": prompt, "max_tokens": answer, "latency_class": latency_class}
        found.append(Arrival(at, {**body, "temperature": 0, "ignore_eos": True, "stream": True}))
    return found


async def ask(client: httpx.AsyncClient, url: str, arrival: Arrival, began: float) -> Seen:
    """Sends a request when it is due, and reads its stream."""
    await asyncio.sleep(max(0.0, began + arrival.at - time.perf_counter()))
    sent, first, last, text = time.perf_counter(), 0.0, 0.0, ""
    async with client.stream("POST", f"{url}/v1/completions", json=arrival.body) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                last = time.perf_counter()
                first = first or last
                text += json.loads(line[6:])["choices"][0]["text"]
    return Seen(text, first - sent, (last - first) / (arrival.body["max_tokens"] - 1))


async def play(url: str, load: list[Arrival]) -> list[Seen]:
    """Asks for everything, each when it is due."""
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None)) as client:
        began = time.perf_counter()
        return await asyncio.gather(*(ask(client, url, arrival, began) for arrival in load))


def counts(url: str) -> dict[str, float]:
    """Of a server's counters, what is told here; those with labels by what they have."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).text)
    found = [(sample.name, sample) for family in families for sample in family.samples if sample.name in COUNTED]
    return {f"{name} {sample.labels.get('what', '')}".strip(): sample.value for name, sample in found}


def row(objective: str, seen: list[Seen], counted: dict[str, float], seconds: float, promise: float) -> dict[str, Any]:
    """What one side came to."""
    tpot, ttft = sorted(each.tpot for each in seen), sorted(each.ttft for each in seen)
    steps = counted["hopwell_steps_total"]
    return {
        "objective": objective,
        "requests": len(seen),
        "seconds": round(seconds, 1),
        "tokens": int(counted["hopwell_generated_tokens_total"]),
        "steps": int(steps),
        "rows_a_step": round(counted["hopwell_computed_tokens_total"] / steps, 3),
        "tokens_a_step": round(counted["hopwell_generated_tokens_total"] / steps, 3),
        "step_seconds": round(counted["hopwell_step_seconds_sum"], 1),
        "held_seconds": round(counted.get("hopwell_held_seconds_total steps", 0.0), 1),
        "tpot_p50_ms": round(1e3 * tpot[len(tpot) // 2], 1),
        "tpot_max_ms": round(1e3 * tpot[-1], 1),
        "ttft_max_ms": round(1e3 * ttft[-1]),
        "missed": sum(each.tpot > promise for each in seen),
    }


def main(
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 0.3,
    requests: Annotated[int, typer.Option(min=8)] = 60,
    tokens: Annotated[int, typer.Option(min=8, help="Of an answer, in the mean.")] = 128,
    promise_ms: Annotated[float, typer.Option(help="That the paced server keeps for class batch.")] = 500.0,
    max_seqs: Annotated[int, typer.Option()] = 128,
    objective: Annotated[str, typer.Option(help="Beside latency.")] = "energy",
    seed: Annotated[int, typer.Option()] = 0,
    out: Out = None,
) -> None:
    """Nano with pacing and without, one after the other. Exit 1 if answers differ, or a promise was broken.

    The promise is the server's own for requests of class batch, since a CPU's full step is too slow for the classes'.
    """
    load = arrivals(rate, requests, tokens, "batch", seed)
    assert LATENCY_CLASSES["batch"].tpot is None
    rows, texts = [], []
    for name in ("latency", objective):
        more = ["--tpot-promise-ms", str(promise_ms)] if name == "energy" else []
        options = ("--api-workers", "1", "--drafts", "0", "--max-seqs", str(max_seqs), "--objective", name, *more)
        with served(*options) as (_, url):
            began = time.perf_counter()
            seen = asyncio.run(play(url, load))
            rows.append(row(name, seen, counts(url), time.perf_counter() - began, promise_ms / 1e3))
            texts.append([each.text for each in seen])
        print_rows(rows[-1:])
    same = texts[0] == texts[1]
    typer.echo(f"answers are {'the same' if same else 'NOT the same'}")
    if out is not None:
        write_result(out, "pacing", rows, same_answers=same, rate=rate, promise_ms=promise_ms, max_seqs=max_seqs)
    if not same or any(each["missed"] for each in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

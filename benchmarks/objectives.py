"""What `--objective energy` saves: two servers of one model on one GPU, the same arrivals, joules by NVML's counter.

    hopwell synth r1-tp8 X --layers 16 --at-load
    python -m benchmarks.objectives X --rate 1 --rate 2 --rate 4 --out objectives.json

Both servers stay up throughout, one for each objective; a level of load is played to one and then to the other, so that
the idle power of what both hold is in the joules of each. Before the first level both answer for as long as pacing
rests after a start (docs/limits.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from benchmarks import script
from benchmarks.pacing import Arrival, Seen, arrivals, counts, play
from benchmarks.serving import served
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.request import LATENCY_CLASSES, LatencyClass
from hopwell.errors import HopwellError
from hopwell.limits.power import Counter, gpu_counter

OBJECTIVES = ("latency", "energy")


async def _warm(urls: Sequence[str], load: list[Arrival], rows: int) -> None:
    """Answers for as long as pacing rests, and shows it steps as full as any can be, prompts of so many rows."""
    body = {**load[0].body, "prompt": [5 + i % 90 for i in range(rows)], "max_tokens": 2}
    full = [Arrival(2.0 * i, {**body, "prompt": [5 + i, *body["prompt"][1:]]}) for i in range(8)]
    await asyncio.gather(*(play(url, [*load, *full]) for url in urls))


def _why(url: str) -> str | None:
    """Of a server that paces: at what it aims, or why it holds nothing."""
    pacing = httpx.get(f"{url}/v1/limits", timeout=60).json().get("pacing")
    return pacing and pacing["why"]


def level(url: str, load: list[Arrival], seconds: float, joules: Counter, promise: LatencyClass) -> dict[str, Any]:
    """Plays a load to a server: what its callers saw; joules, tokens and steps while as many come as go.

    That is from a fifth of `seconds` on, in which requests arrive, to their end: slower answers begin later to end, and
    what a server does after the last arrival is no steady load.
    """

    async def both() -> tuple[list[Seen], float, dict[str, float], float]:
        async def window() -> tuple[float, dict[str, float], float]:
            found = []
            for wait in (seconds / 5, seconds - seconds / 5):
                await asyncio.sleep(wait)
                found.append((joules(), await asyncio.to_thread(counts, url), time.perf_counter()))
            (used, before, began), (used_then, after, ended) = found
            return used_then - used, {k: v - before.get(k, 0.0) for k, v in after.items()}, ended - began

        seen, measured = await asyncio.gather(play(url, load), window())
        return seen, *measured

    seen, used, counted, took = asyncio.run(both())
    tokens, steps = counted["hopwell_generated_tokens_total"], counted["hopwell_steps_total"]
    return {
        "requests": len(load),
        "seconds": round(took, 1),
        "tokens": int(tokens),
        "joules": round(used, 1),
        "joules_a_token": round(used / tokens, 4),
        "watts": round(used / took, 1),
        "tokens_a_step": round(tokens / steps, 2),
        "held_seconds": round(counted.get("hopwell_held_seconds_total steps", 0.0), 1),
        "why": _why(url),
        "goodput": round(sum(_kept(each, promise) for each in seen) / len(seen), 4),
        **_percentiles("tpot", [each.tpot for each in seen]),
        **_percentiles("ttft", [each.ttft for each in seen]),
    }


def _kept(seen: Seen, promise: LatencyClass) -> bool:
    assert promise.ttft is not None and promise.tpot is not None
    return seen.ttft <= promise.ttft and seen.tpot <= promise.tpot


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p{p}_ms": round(1e3 * float(np.percentile(seconds, p)), 2) for p in (50, 99)}


def main(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder.")],
    rate: Annotated[list[float] | None, typer.Option(help="Requests a second; repeatable. Default: 1, 2, 4.")] = None,
    latency_class: Annotated[
        list[str] | None,
        typer.Option(help="Of the requests; repeatable, strictest last. Default: server, interactive."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of a level.")] = 30.0,
    warm_seconds: Annotated[float, typer.Option(min=1, help="Before the first level.")] = 45.0,
    tokens: Annotated[int, typer.Option(min=8, help="Of an answer, in the mean.")] = 128,
    max_seqs: Annotated[int, typer.Option(min=1)] = 256,
    cache_tokens: Annotated[int, typer.Option(min=64, help="Of each server.")] = 262_144,
    seed: Annotated[int, typer.Option()] = 0,
    out: Out = None,
) -> None:
    """Joules a token and goodput under --objective latency and energy. Exit 1 if energy keeps fewer promises."""
    classes = latency_class or ["server", "interactive"]
    if unknown := [name for name in classes if not getattr(LATENCY_CLASSES.get(name), "promises", False)]:
        raise HopwellError(f"latency class {unknown[0]!r} promises nothing, or is unknown: server or interactive")
    if (joules := gpu_counter(0)) is None:
        raise HopwellError("NVML counts no joules of a GPU here")
    common = (model, "--drafts", "0", "--max-seqs", str(max_seqs), "--cache-tokens", str(cache_tokens))
    rows = list[dict[str, Any]]()
    with ExitStack() as servers:
        # one after the other: the second finds all kernels compiled
        urls = {
            name: servers.enter_context(served(*common, "--objective", name, device="cuda"))[1] for name in OBJECTIVES
        }
        rates = sorted(rate or [1.0, 2.0, 4.0])
        warm = arrivals(rates[0], max(4, round(rates[0] * warm_seconds)), tokens, classes[0], seed + 1)
        asyncio.run(_warm(list(urls.values()), warm, max_seqs))
        for name in classes:
            for each in rates:
                load = arrivals(each, max(4, round(each * seconds)), tokens, name, seed + 2 + len(rows))
                pair = [
                    {"class": name, "rate": each, "objective": objective}
                    | level(url, load, seconds, joules, LATENCY_CLASSES[name])
                    for objective, url in urls.items()
                ]
                # the same answers in the long run; which of them lie in the window differs a little
                pair[1]["saved"] = round(1 - pair[1]["watts"] / pair[0]["watts"], 4)
                print_rows([{key: value for key, value in row.items() if key != "why"} for row in pair])
                typer.echo(f"{pair[1]['why']}; saved {pair[1]['saved']:.1%}")
                rows += pair
                if out is not None:  # what is there, should a later level be cut off
                    write_result(out, "objectives", rows, model=model, max_seqs=max_seqs, seed=seed)
    if any(paced["goodput"] < plain["goodput"] for plain, paced in zip(rows[::2], rows[1::2], strict=True)):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

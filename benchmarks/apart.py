"""Streams that decode while long prompts come: in one engine, in two alike, with one of the two for prompts alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import script
from benchmarks.options import Checkpoint
from hopwell.bench.asking import Sample, Traffic, ask_all
from hopwell.bench.served import server
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError

SYSTEMS: dict[str, tuple[list[str], dict[str, str]]] = {
    "one engine, 1 thread": ([], {}),
    "one engine, 2 threads": ([], {"OMP_NUM_THREADS": "2"}),
    "two alike": (["--dp", "2"], {}),
    "one for prompts": (["--prefill-engines", "1"], {}),
}
"""Options and the environment; a model as small as nano has one thread an engine unless told otherwise."""
SHORT, ANSWER = 40, 8
"""Tokens of a stream's prompt, and of the answer to a long prompt."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of each system."""

    streams: int
    tokens: int
    prompts: int
    length: int


def bodies(count: int, prompt: int, answer: int, rng: random.Random) -> list[dict[str, Any]]:
    """Requests whose prompts nobody has asked before."""
    fixed = {"temperature": 0, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    prompts = [[5 + rng.randrange(400) for _ in range(prompt)] for _ in range(count)]
    return [{"prompt": tokens, "max_tokens": answer, **fixed} for tokens in prompts]


def measure(url: str, load: Load, rate: float, turn: int) -> tuple[list[Sample], list[Sample]]:
    """What callers of both kinds see, who begin at the same time.

    Args:
        rate: long prompts a second; 0: none.
        turn: of the same load on the same server; each has prompts of its own.
    """
    rng = random.Random(f"{rate} {turn}")
    streams = bodies(2 * load.streams, SHORT, load.tokens, rng)
    decoding = Traffic(url, None, "concurrency", load.streams, streams)
    with ThreadPoolExecutor(1) as beside:
        answers = beside.submit(ask_all, decoding)
        long = bodies(load.prompts, load.length, ANSWER, rng) if rate else []
        found = ask_all(Traffic(url, None, "rate", rate, long)) if rate else []
        return answers.result(), found


def row(system: str, rate: float, decoding: list[Sample], long: list[Sample]) -> dict[str, Any]:
    """One system under one load."""
    if wrong := [sample.error for sample in decoding + long if sample.error is not None]:
        raise HopwellError(f"{system}: {len(wrong)} requests failed: {wrong[0]}")
    gaps = [1e3 * gap for sample in decoding for gap in sample.gaps]
    seconds = max(sample.last for sample in decoding) - min(sample.sent for sample in decoding)
    ttft = [1e3 * sample.ttft for sample in long]
    return {
        "system": system,
        "prompts_per_s": rate,
        "streams_tokens_per_s": round(sum(sample.output_tokens for sample in decoding) / seconds, 1),
        **{f"gap_p{percent}_ms": round(float(np.percentile(gaps, percent)), 1) for percent in (50, 99)},
        **{
            f"prompt_ttft_p{percent}_ms": round(float(np.percentile(ttft, percent))) if ttft else None
            for percent in (50, 99)
        },
    }


def middle(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each column over turns."""
    columns = [name for name, value in rows[0].items() if isinstance(value, int | float)]
    return rows[0] | {name: round(median(row[name] for row in rows), 1) for name in columns}


def main(
    model: Checkpoint = None,
    streams: Annotated[int, typer.Option(min=1, help="Callers whose answers are long.")] = 3,
    tokens: Annotated[int, typer.Option(min=2, help="Of such an answer.")] = 150,
    rate: Annotated[list[float] | None, typer.Option(help="Long prompts a second; may be repeated; 0: none.")] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Long prompts at each rate.")] = 6,
    length: Annotated[int, typer.Option(min=65, help="Tokens of a long prompt.")] = 512,
    turns: Annotated[int, typer.Option(min=1, help="Systems take turns so often; the median counts.")] = 3,
    out: Out = None,
) -> None:
    """Gaps between the tokens of streams, and time to the first token of long prompts, by who computes the prompts."""
    load = Load(streams, tokens, prompts, length)
    serve = ["-m", "hopwell", "serve", *([model] if model else []), "--dtype", "float32"]
    found: dict[tuple[str, float], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        urls = {
            system: stack.enter_context(server([*serve, *options], "hopwell serve", "/ready", environment))
            for system, (options, environment) in SYSTEMS.items()
        }
        for turn in range(turns + 1):  # the first of each is for what the first prompts take more than others
            for each in rate or [0.0, 0.3]:
                for system, url in urls.items():
                    one = row(system, each, *measure(url, load, each, turn))
                    found.setdefault((system, each), []).append(one)
    rows = [middle(each[1:]) for each in found.values()]
    print_rows(rows)
    if out is not None:
        write_result(out, "apart", rows, turns=turns, **asdict(load))


if __name__ == "__main__":
    script(main)

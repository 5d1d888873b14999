"""Streams that decode while long prompts come: in one engine, in two alike, with one of the two for prompts alone."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.options import Checkpoint
from hopwell.bench.asking import Sample, Traffic, ask_all
from hopwell.bench.serve import percentile
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


def bodies(count: int, prompt: int, answer: int, rng: random.Random) -> list[dict[str, Any]]:
    """Requests whose prompts nobody has asked before."""
    fixed = {"temperature": 0, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    prompts = [[5 + rng.randrange(400) for _ in range(prompt)] for _ in range(count)]
    return [{"prompt": tokens, "max_tokens": answer, **fixed} for tokens in prompts]


def measure(
    url: str, streams: int, tokens: int, rate: float, prompts: int, length: int
) -> tuple[list[Sample], list[Sample]]:
    """What callers of both kinds see, who begin at the same time.

    Args:
        streams: callers in a closed loop, twice as many requests of `tokens` each.
        rate: long prompts a second; 0: none.
    """
    rng = random.Random(rate)  # at no rate a prompt of another's
    decoding = Traffic(url, None, "concurrency", streams, bodies(2 * streams, SHORT, tokens, rng))
    with ThreadPoolExecutor(2) as both:
        answers = both.submit(ask_all, decoding)
        long = [] if not rate else ask_all(Traffic(url, None, "rate", rate, bodies(prompts, length, ANSWER, rng)))
        return answers.result(), long


def row(system: str, rate: float, decoding: list[Sample], long: list[Sample]) -> dict[str, Any]:
    """One system under one load."""
    if wrong := [sample.error for sample in decoding + long if sample.error is not None]:
        raise HopwellError(f"{system}: {len(wrong)} requests failed: {wrong[0]}")
    gaps = [1e3 * gap for sample in decoding for gap in sample.gaps]
    seconds = max(sample.last for sample in decoding) - min(sample.sent for sample in decoding)
    found = {
        "system": system,
        "prompts_per_s": rate,
        "streams_tokens_per_s": round(sum(sample.output_tokens for sample in decoding) / seconds, 1),
        "gap_p50_ms": round(percentile(gaps, 50), 1),
        "gap_p99_ms": round(percentile(gaps, 99), 1),
        "gap_max_ms": round(max(gaps), 1),
    }
    ttft = [1e3 * sample.ttft for sample in long]
    for percent in (50, 99):
        found[f"prompt_ttft_p{percent}_ms"] = round(percentile(ttft, percent)) if ttft else None
    return found


def main(
    model: Checkpoint = None,
    streams: Annotated[int, typer.Option(min=1, help="Callers whose answers are long.")] = 4,
    tokens: Annotated[int, typer.Option(min=2, help="Of such an answer.")] = 400,
    rate: Annotated[list[float] | None, typer.Option(help="Long prompts a second; may be repeated; 0: none.")] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Long prompts at each rate.")] = 12,
    length: Annotated[int, typer.Option(min=65, help="Tokens of a long prompt.")] = 1024,
    out: Out = None,
) -> None:
    """Gaps between the tokens of streams, and time to the first token of long prompts, by who computes the prompts."""
    rows: list[dict[str, Any]] = []
    serve = ["-m", "hopwell", "serve", *([model] if model else []), "--dtype", "float32"]
    for system, (options, environment) in SYSTEMS.items():
        with server([*serve, *options], "hopwell serve", "/ready", environment) as url:
            measure(url, streams, 8, 10.0, 2, length)  # what the first prompt takes more than others
            for each in rate or [0.0, 0.5, 1.0]:
                rows.append(row(system, each, *measure(url, streams, tokens, each, prompts, length)))
    print_rows(rows)
    if out is not None:
        write_result(out, "apart", rows, streams=streams, tokens=tokens, prompts=prompts, prompt_tokens=length)


if __name__ == "__main__":
    script(main)

"""A prompt's second visit, its pages from the pool, from host memory and from disk, beside computing them."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks import script
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.engine import Engine
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import Request, SamplingParams
from hopwell.ops.sizes import PAGE

SETTLE_SECONDS = 0.5
"""For pages to be checked, and written, between two visits."""


def visit(engine: Engine, prompt: list[int]) -> tuple[float, int, list[int]]:
    """Milliseconds to the first token, prompt tokens that were not computed, and the answer."""
    params = SamplingParams(temperature=0.0, max_tokens=4, ignore_eos=True)
    engine.submit(Request(request_id="r", prompt=prompt, params=params, cache_tokens=len(prompt)))
    tokens: list[int] = []
    ms, cached = 0.0, 0
    while engine.has_work():
        for output in engine.step():
            tokens += output.outputs[0].tokens
            if output.finished:
                assert output.timing is not None and output.timing.ttft is not None
                ms, cached = output.timing.ttft * 1e3, output.cached_tokens
    return ms, cached, tokens


def bench_tiers(loaded: LoadedModel, tokens: int, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Times visits of new prompts, and each again from everywhere it may be; answers from pages must be the same."""
    r = random.Random(0)
    vocab = range(10, loaded.model.config.vocab_size)
    settings: dict[str, Any] = {"max_seqs": 2, "cache_tokens": tokens + 4 * PAGE, "host_cache_gb": 2.0}
    settings |= {"disk_cache": str(folder), "disk_cache_gb": 4.0}
    prompts = [r.choices(vocab, k=tokens) for _ in range(repeats)]
    found: dict[str, list[tuple[float, int]]] = {"computed": [], "pool": [], "host": [], "disk": []}
    answers: list[list[int]] = []
    config = loaded.config(**settings)
    engine = loaded.engine(config)
    visit(engine, r.choices(vocab, k=tokens))  # what the first prompt takes more than others
    for prompt in prompts:
        ms, cached, answer = visit(engine, prompt)
        found["computed"].append((ms, cached))
        ms, cached, again = visit(engine, prompt)
        found["pool"].append((ms, cached))
        # else a prompt's rows are rounded by how many are computed at once, and with random weights that is heard
        assert again == answer or not config.batch_invariant, "the pool's pages gave another answer"
        answers.append(again)
    for place in ("host", "disk"):
        for prompt, answer in zip(prompts, answers, strict=True):
            time.sleep(SETTLE_SECONDS)
            engine.pools[0].flush()
            before = engine.metrics.tier_hit_tokens[place]
            ms, cached, again = visit(engine, prompt)
            brought = engine.metrics.tier_hit_tokens[place] - before
            assert brought == cached, f"{brought} tokens came from {place} of {cached}"
            # what the engine found sooner computed than fetched is rounded as computed
            whole = cached == (tokens - 1) // PAGE * PAGE
            assert again == answer or not (whole or config.batch_invariant), f"pages from {place} gave another answer"
            found[place].append((ms, cached))
        if place == "host":
            engine.close()
            engine = loaded.engine(config)
    engine.close()
    computed = median(ms for ms, _ in found["computed"])
    return [
        {
            "tokens": tokens,
            "from": place,
            "cached_tokens": round(median(cached for _, cached in visits)),
            "ttft_ms": round(median(ms for ms, _ in visits), 2),
            "of_computing": round(median(ms for ms, _ in visits) / computed, 3),
        }
        for place, visits in found.items()
    ]


def main(
    model: Annotated[Path | None, typer.Argument(help="Checkpoint folder; default: the embedded nano.")] = None,
    tokens: Annotated[list[int] | None, typer.Option(help="Of a prompt; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Prompts of each length; the median counts.")] = 5,
    folder: Annotated[Path | None, typer.Option(help="On the disk to be measured; default: a temporary one.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Out = None,
) -> None:
    """Time to the first token of a prompt that was asked before, by where its pages are."""
    loaded = load_model(model, device)
    rows: list[dict[str, Any]] = []
    for count in tokens or [1024, 2048]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            rows += bench_tiers(loaded, count, Path(place), repeats)
    print_rows(rows)
    if out is not None:
        write_result(out, "tiers", rows, model=loaded.name, repeats=repeats)


if __name__ == "__main__":
    script(main)

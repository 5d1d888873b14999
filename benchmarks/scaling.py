"""Tokens a second of the whole engine beside those of the bare forward pass, at several batch sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.options import Checkpoint, Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.llm import LLM
from hopwell.engine.request import SamplingParams
from hopwell.model.batch import ForwardBatch
from hopwell.ops.sizes import PAGE


def bench_scaling(
    llm: LLM, batches: tuple[int, ...] = (1, 16), tokens: int = 128, repeats: int = 3
) -> list[dict[str, Any]]:
    """Tokens a second of the whole engine beside those of the bare forward pass, at several batch sizes.

    The forward pass of the same rows, positions and cache is the limit: what the engine adds to it is its own cost.
    """
    rows: list[dict[str, Any]] = []
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    for batch in batches:
        prompts = [llm.tokenizer.encode(f"What is {1000 + i} * {2000 - i}?") for i in range(batch)]
        engine = _best(repeats, lambda prompts=prompts: llm.generate(prompts, params))
        bare = _best(repeats, _forward_steps(llm, prompts, tokens))
        rows.append(
            {
                "batch": batch,
                "engine_tokens_per_s": round(batch * tokens / engine, 1),
                "forward_tokens_per_s": round(batch * tokens / bare, 1),
                "engine_share_percent": round(100 * bare / engine, 1),
            }
        )
    for row in rows:
        for name in ("engine", "forward"):
            row[f"{name}_speedup"] = round(row[f"{name}_tokens_per_s"] / rows[0][f"{name}_tokens_per_s"], 2)
    return rows


def _best(repeats: int, run: Callable[[], object]) -> float:
    """The shortest of several runs in seconds, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _forward_steps(llm: LLM, prompts: list[list[int]], tokens: int) -> Callable[[], None]:
    """The model alone: one prefill of all prompts, then a step a token, logits and argmax included."""
    model = llm.loaded.model
    length = max(map(len, prompts)) + tokens
    pages = -(-length // PAGE)
    latent = model.new_latent(pages * len(prompts))
    table = torch.arange(pages * len(prompts), dtype=torch.int32).view(len(prompts), pages)

    @torch.inference_mode()
    def run() -> None:
        lens = [len(prompt) for prompt in prompts]
        new, query = torch.tensor([token for prompt in prompts for token in prompt]), lens
        positions = torch.cat([torch.arange(n) for n in lens])
        for _ in range(tokens):
            hidden = model.forward(ForwardBatch(new, positions, query, lens, table), latent)
            ends = torch.tensor(query).cumsum(0) - 1
            new = model.logits(hidden[ends]).argmax(-1)
            positions, query = torch.tensor(lens), [1] * len(prompts)
            lens = [n + 1 for n in lens]

    return run


def main(
    model: Checkpoint = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Answers at once; repeatable.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Of each answer.")] = 128,
    device: Device = "auto",
    wanted: Annotated[float, typer.Option(help="Speed-up of the last batch size over the first.")] = 4.0,
    out: Out = None,
) -> None:
    """Throughput at several batch sizes, beside the bare forward pass, which is its limit. Exits 1 if the speed-up is
    neither what is wanted nor nine tenths of the forward pass's own."""
    sizes = tuple(batch or (1, 2, 4, 8, 16))
    rows = bench_scaling(LLM(model, device=device, max_seqs=max(sizes), drafts=0), sizes, tokens)
    print_rows(rows)
    if out is not None:
        write_result(out, "scaling", rows, tokens=tokens)
    if rows[-1]["engine_speedup"] < min(wanted, 0.9 * rows[-1]["forward_speedup"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

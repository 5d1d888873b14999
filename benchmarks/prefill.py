"""Prompts through a whole model at real sizes: tokens a second beside the least time that their costs take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated

import torch
import typer

from benchmarks import script
from hopwell.bench.engine import step_costs
from hopwell.bench.models import bench_config
from hopwell.cli.bench_against import prompt_shape
from hopwell.cli.bench_gpu import Layers, Model, measured_ceilings, show
from hopwell.cli.result import Out
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.power import all_joules
from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.ops.sizes import PAGE

SHAPES = ((8, 2048), (1, 16384))
"""Prompts at once, and tokens of each."""
CHUNK = 16384
"""Rows of one step."""


@dataclass(frozen=True)
class PrefillRow:
    """Some prompts, measured."""

    model: str
    layers: int
    prompts: int
    tokens: int
    ms: float
    tokens_per_s: float
    tflops: float
    limit_ms: float
    percent_of_limit: float
    millijoules_per_token: float | None


def prefill_rows(
    name: str,
    ceilings: Ceilings,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    layers: int | None = None,
    device: str = "cuda",
) -> Iterator[PrefillRow]:
    """Times `prompts` new prompts of `tokens` each in one step, the first token's logits included.

    Args:
        layers: cut the model to this depth.
    """
    config = bench_config(name, layers)
    model = random_transformer(config, device)
    fused = FusedTransformer(model)
    for prompts, tokens in shapes:
        pages = -(-tokens // PAGE)
        latent = model.new_latent(prompts * pages)
        table = torch.arange(prompts * pages, dtype=torch.int32, device=device).view(prompts, pages)
        ids = torch.randint(config.vocab_size, (prompts * tokens,), device=device)
        positions = torch.arange(tokens, device=device).repeat(prompts)
        batch = ForwardBatch(ids, positions, [tokens] * prompts, [tokens] * prompts, table)
        last = torch.arange(1, prompts + 1, device=device) * tokens - 1
        seconds, joules = _timed(fused, batch, latent, last)
        touched = min(config.n_routed_experts, prompts * tokens * config.router.top_k)
        costs = step_costs(config, batch.query_lens, batch.seq_lens, touched, drawn=prompts)
        limit, total = ceilings.floor_of(costs), prompts * tokens
        yield PrefillRow(
            name, config.num_hidden_layers, prompts, tokens, 1e3 * seconds, total / seconds,
            sum(c.flops for c in costs) / seconds / 1e12, 1e3 * limit, 100 * limit / seconds,
            None if joules is None else 1e3 * joules / total,
        )  # fmt: skip
        del latent


def _timed(
    fused: FusedTransformer, batch: ForwardBatch, latent: torch.Tensor, last: torch.Tensor, rounds: int = 5
) -> tuple[float, float | None]:
    """Seconds, the median, and joules of a step over at least two seconds."""

    def step() -> None:
        fused.model.logits(fused.forward_long(batch, latent)[last])

    def timed(count: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(count):
            step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / count

    timed(2)
    seconds = median(timed(1) for _ in range(rounds))
    count = max(1, round(2.0 / seconds))
    before = all_joules(1)
    timed(count)
    after = all_joules(1)
    return seconds, None if before is None or after is None else (after - before) / count


def main(
    model: Model = "r1-tp8",
    prompts: Annotated[list[str] | None, typer.Option(help="As 8x2048; may be repeated.")] = None,
    layers: Layers = None,
    out: Out = None,
) -> None:
    """Tokens a second and percent of the limit of prompts through a whole model, random weights."""
    shapes = [prompt_shape(text) for text in prompts or ("8x2048", "1x16384")]
    limit = measured_ceilings()
    rows = [asdict(row) for row in prefill_rows(model, limit, shapes, layers)]
    show(rows, "prefill", out, None, ceilings=asdict(limit))


if __name__ == "__main__":
    script(main)

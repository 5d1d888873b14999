"""What the engine itself costs a step, with a model that computes nothing."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks import script
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.engine.request import Request, SamplingParams
from hopwell.model.batch import ForwardBatch


class NullModel:
    """A model's interface and nothing behind it: every logit is zero."""

    has_mtp = True
    device = torch.device("cpu")
    vocab_size = 32

    def new_latent(self, num_pages: int) -> Tensor:
        return torch.zeros(1, num_pages, 1, 1)

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        """No page holds anything."""

    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden = torch.zeros(len(batch.tokens), 1)
        return hidden, self.logits(hidden if rows is None else rows)

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.zeros(len(hidden), self.vocab_size)

    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        return hidden


def bench_scheduler(
    running: int = 256, steps: int = 1000, prompt: int = 100, drafts: int = 0, stream: bool = True
) -> dict[str, Any]:
    """Times the parts of a step while `running` requests decode.

    Args:
        stream: every request tells of every token, as a server's would.

    Returns:
        Microseconds a step: the median of scheduling, of the runner (arrays in, null model, draw), of finishing (stops,
        outputs, pages), of scheduling and finishing together, which is the scheduler's cost, and its 99th percentile.
    """
    config = EngineConfig(max_seqs=running, max_batch_tokens=running * (1 + drafts) + 8192, drafts=drafts)
    length = prompt + (steps + 50) * (1 + drafts)
    engine = Engine(
        NullModel(),
        config,
        model_len=length + 64,
        num_pages=running * (length // 64 + 2),
        vocab_size=NullModel.vocab_size,
    )
    params = SamplingParams(temperature=0.0, max_tokens=length - prompt, ignore_eos=True)
    for i in range(running):
        engine.submit(Request(request_id=str(i), prompt=[i % 32] * prompt, params=params, stream=stream))
    while engine.scheduler.running < running or engine.scheduler.prefilling:
        engine.step()
    parts: dict[str, list[float]] = {"schedule": [], "run": [], "finish": []}
    timed(engine.scheduler, "schedule", parts["schedule"])
    timed(engine.runner, "launch", parts["run"])
    timed(engine, "_finish", parts["finish"])
    for _ in range(steps):
        engine.step()
    assert engine.scheduler.running == running, "requests ended during the measurement"
    cost = [a + b for a, b in zip(parts["schedule"], parts["finish"], strict=True)]
    row = {"running": running, "drafts": drafts, "steps": steps}
    row |= {f"{name}_us": round(median(values) * 1e6, 1) for name, values in parts.items()}
    row |= {
        "scheduler_us": round(median(cost) * 1e6, 1),
        "scheduler_p99_us": round(quantiles(cost, n=100)[-1] * 1e6, 1),
    }
    return row


def timed(owner: Any, name: str, into: list[float]) -> None:
    """Replaces a method of one object by itself, timed."""
    inner = getattr(owner, name)

    def wrapper(*args: Any) -> Any:
        started = time.perf_counter()
        try:
            return inner(*args)
        finally:
            into.append(time.perf_counter() - started)

    setattr(owner, name, wrapper)


def main(
    running: Annotated[int, typer.Option(min=1, help="Requests that decode at once.")] = 256,
    steps: Annotated[int, typer.Option(min=100, help="Steps to time.")] = 1000,
    limit_us: Annotated[float, typer.Option(help="Exit 1 if the median is above.")] = 300.0,
    out: Out = None,
) -> None:
    """What scheduling and finishing a step cost, with a model that computes nothing."""
    rows = [bench_scheduler(running, steps, drafts=drafts) for drafts in (0, 1, 3)]
    print_rows(rows)
    if out is not None:
        write_result(out, "scheduler", rows)
    if rows[0]["scheduler_us"] > limit_us:
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

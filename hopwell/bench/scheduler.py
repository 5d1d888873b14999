"""What the engine itself costs a step, with a model that computes nothing."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from hopwell.engine.config import EngineConfig
from hopwell.engine.core import Request, SamplingParams
from hopwell.engine.loop import Engine
from hopwell.model.batch import ForwardBatch


class NullModel:
    """A model's interface and nothing behind it: every logit is zero."""

    has_mtp = True
    device = torch.device("cpu")
    vocab_size = 32

    def new_latent(self, num_pages: int) -> Tensor:
        return torch.zeros(1, num_pages, 1, 1)

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        return torch.zeros(len(batch.tokens), 1)

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

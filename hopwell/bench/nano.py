"""How good nano is: fresh held-out problems through the public `LLM`, draft acceptance, and the routers' balance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hopwell.bench.nano_tasks import ARITHMETIC, TASKS, Problem, held_out_problems
from hopwell.bench.nano_tasks.render import tool_messages
from hopwell.bench.nano_tasks.tools import calculator, called_expression
from hopwell.engine.core import SamplingParams
from hopwell.engine.llm import LLM
from hopwell.model.batch import ForwardBatch
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.attention import PAGE
from hopwell.ops.router import route

MAX_TOKENS = 640
REQUIRED_ARITHMETIC, REQUIRED_OTHER = 0.95, 0.85


@dataclass(frozen=True)
class TaskRow:
    """One task's accuracy, greedy, with Wilson's 95 % interval."""

    task: str
    problems: int
    right: int
    accuracy: float
    low: float
    high: float
    required: float

    @property
    def met(self) -> bool:
        return self.accuracy >= self.required


@dataclass(frozen=True)
class Wrong:
    """A problem that was not solved, and what was written instead."""

    problem: Problem
    text: str


@dataclass(frozen=True)
class NanoReport:
    """What one run measured."""

    seed: int
    rows: list[TaskRow]
    wrong: list[Wrong]
    mtp_acceptance: float | None
    """Share of first drafts that the model agreed with; None without an MTP layer."""
    tokens: int
    """Generated, in all."""
    imbalance: list[float]
    """Of each MoE layer: the busiest expert's load over the mean load; empty if it was not counted."""


def measure(
    llm: LLM, problems: int, seed: int, tasks: Sequence[str] = tuple(TASKS), balance: bool = True
) -> NanoReport:
    """Solves `problems` held-out problems of each task, greedily, all at once.

    Args:
        balance: count the experts' loads too, by running what was written through the model once more, op by op.

    Raises:
        ValueError: a task is unknown.
    """
    asked = [p for task in tasks for p in held_out_problems(task, problems, seed)]
    texts, sequences, tokens = _solve(llm, asked)
    rights = {task: 0 for task in tasks}
    wrong = []
    for problem, text in zip(asked, texts, strict=True):
        if problem.check(text):
            rights[problem.task] += 1
        else:
            wrong.append(Wrong(problem, text))
    metrics = llm.engine.metrics
    accepted = metrics.accepted_at[0] / metrics.draft_steps if metrics.draft_steps else None
    some = sequences[:: max(1, len(sequences) // 200)]
    loads = expert_loads(llm.loaded.model, some) if balance else []
    return NanoReport(
        seed=seed,
        rows=[_row(task, rights[task], problems) for task in tasks],
        wrong=wrong,
        mtp_acceptance=accepted,
        tokens=tokens,
        imbalance=[float(load.max() * len(load) / load.sum()) for load in loads],
    )


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927)."""
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _row(task: str, right: int, count: int) -> TaskRow:
    required = REQUIRED_ARITHMETIC if task in ARITHMETIC else REQUIRED_OTHER
    return TaskRow(task, count, right, right / count, *wilson(right, count), required)


def _solve(llm: LLM, problems: Sequence[Problem]) -> tuple[list[str], list[list[int]], int]:
    """Answers, with calculator calls carried out on the way.

    Returns:
        Each problem's last text, all token sequences, and the number of generated tokens.
    """
    params = SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS)
    prompts = [llm.render(p.messages, p.tools) for p in problems]
    done = llm.generate(prompts, params)
    texts = [completion.text for completion in done]
    calls: dict[int, list[int]] = {}
    for index, problem in enumerate(problems):
        expression = called_expression(texts[index]) if problem.tools else None
        if problem.call is not None and expression is not None:
            turns = [*problem.messages, *tool_messages(expression, calculator(expression))]
            calls[index] = llm.render(turns, problem.tools)
        elif problem.call is not None:
            texts[index] = ""  # an answer without the call that was due
    for index, completion in zip(calls, llm.generate(list(calls.values()), params) if calls else [], strict=True):
        texts[index] = completion.text
        done.append(completion)
    sequences = [p + c.answers[0].tokens for p, c in zip([*prompts, *calls.values()], done, strict=True)]
    return texts, sequences, sum(len(c.answers[0].tokens) for c in done)


class _Counted:
    """A MoE network that counts how many tokens each expert gets."""

    def __init__(self, network: MoE) -> None:
        self.network = network
        self.load = torch.zeros(network.gate.shape[0], dtype=torch.int64)

    def __call__(self, x: Tensor) -> Tensor:
        expert_ids, _ = route(x, self.network.gate, self.network.bias, self.network.router)
        self.load += torch.bincount(expert_ids.flatten().cpu(), minlength=len(self.load))
        return self.network(x)


def expert_loads(model: Transformer, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Tokens that each expert gets when these sequences run through the model: int64 [experts] for each MoE layer."""
    layers = [replace(x, network=_Counted(x.network)) if isinstance(x.network, MoE) else x for x in model.layers]
    counted = replace(model, layers=layers)
    for tokens in sequences:
        size = len(tokens)
        pages = -(-size // PAGE)
        batch = ForwardBatch(
            tokens=torch.tensor(list(tokens), device=model.device),
            positions=torch.arange(size, device=model.device),
            query_lens=[size],
            seq_lens=[size],
            page_table=torch.arange(pages, dtype=torch.int32, device=model.device).unsqueeze(0),
        )
        counted.forward(batch, counted.new_latent(pages))
    return [layer.network.load for layer in layers if isinstance(layer.network, _Counted)]

"""How good nano is: fresh held-out problems through the public `LLM`, draft acceptance, and the routers' balance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hopwell.cli.calculator import calculator
from hopwell.engine.llm import LLM
from hopwell.engine.request import SamplingParams
from hopwell.model.batch import ForwardBatch
from hopwell.model.routed import remembering
from hopwell.model.transformer import Transformer
from hopwell.ops.sizes import PAGE
from training.nano.tasks import ARITHMETIC, TASKS, Problem, held_out_problems, outside_problems, unseen_problems
from training.nano.tasks.render import tool_messages
from training.nano.tasks.tools import called_expression

MAX_TOKENS = 640
TOP_P = 0.95
REQUIRED_ARITHMETIC, REQUIRED_OTHER = 0.95, 0.85
REQUIRED_UNSEEN, REQUIRED_OUTSIDE = 0.90, 0.98
KNOWN, UNSEEN, OUTSIDE = "known", "unseen", "outside"
"""Wordings that training may have seen, those that it has not, and questions that must be declined."""


@dataclass(frozen=True)
class TaskRow:
    """One task's accuracy in one kind of wording, with Wilson's 95 % interval."""

    task: str
    wording: str
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
class Written:
    """What a model wrote after some prompts."""

    texts: list[str]
    tokens: list[list[int]]
    """Of each text."""
    accepted: int
    """First drafts that the model agreed with."""
    drafted: int
    """First drafts."""

    def __add__(self, other: Written) -> Written:
        return Written(
            self.texts + other.texts,
            self.tokens + other.tokens,
            self.accepted + other.accepted,
            self.drafted + other.drafted,
        )


Write = Callable[[list[list[int]], SamplingParams], Written]
"""Answers prompts, given as tokens, in their order."""


@dataclass(frozen=True)
class NanoReport:
    """What one run measured."""

    seed: int
    temperature: float
    rows: list[TaskRow]
    wrong: list[Wrong]
    mtp_acceptance: float | None
    """Share of first drafts that the model agreed with; None without an MTP layer."""
    tokens: int
    """Generated, in all."""
    imbalance: list[float]
    """Of each MoE layer: the busiest expert's load over the mean load; empty if it was not counted."""


def measure(
    llm: LLM,
    problems: int,
    seed: int,
    tasks: Sequence[str] = tuple(TASKS),
    balance: bool = True,
    unseen: int = 0,
    outside: int = 0,
    temperature: float = 0.0,
    write: Write | None = None,
) -> NanoReport:
    """Solves held-out problems, all at once.

    Args:
        problems: so many of each task, in wordings that training may have seen.
        balance: count the experts' loads too, by running what was written through the model once more, op by op.
        unseen: so many of each task besides, in wordings that training never saw.
        outside: questions that the model must decline without any number.
        temperature: 0 is greedy; sampling keeps the likeliest tokens that together reach 0.95.
        write: answers in place of `llm`, which then renders the prompts and counts loads alone.

    Raises:
        ValueError: a task is unknown.
    """
    asked = [(KNOWN, p) for task in tasks for p in held_out_problems(task, problems, seed)]
    asked += [(UNSEEN, p) for task in tasks for p in unseen_problems(task, unseen, seed)]
    asked += [(OUTSIDE, p) for p in outside_problems(outside, seed)]
    params = SamplingParams(temperature=temperature, top_p=TOP_P, seed=seed, max_tokens=MAX_TOKENS)
    prompts, texts, written = _solve(llm, [p for _, p in asked], params, write or partial(written_by, llm))
    rights: dict[tuple[str, str], list[bool]] = {}
    wrong = []
    for (wording, problem), text in zip(asked, texts, strict=True):
        right = problem.check(text)
        rights.setdefault((problem.task, wording), []).append(right)
        if not right:
            wrong.append(Wrong(problem, text))
    sequences = [prompt + tokens for prompt, tokens in zip(prompts, written.tokens, strict=True)]
    some = sequences[:: max(1, len(sequences) // 200)]
    loads = expert_loads(llm.loaded.model, some) if balance else []
    return NanoReport(
        seed=seed,
        temperature=temperature,
        rows=[_row(task, wording, sum(found), len(found)) for (task, wording), found in rights.items()],
        wrong=wrong,
        mtp_acceptance=written.accepted / written.drafted if written.drafted else None,
        tokens=sum(map(len, written.tokens)),
        imbalance=[float(load.max() * len(load) / load.sum()) for load in loads],
    )


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927)."""
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _row(task: str, wording: str, right: int, count: int) -> TaskRow:
    required = {UNSEEN: REQUIRED_UNSEEN, OUTSIDE: REQUIRED_OUTSIDE}.get(
        wording, REQUIRED_ARITHMETIC if task in ARITHMETIC else REQUIRED_OTHER
    )
    return TaskRow(task, wording, count, right, right / count, *wilson(right, count), required)


def written_by(llm: LLM, prompts: list[list[int]], params: SamplingParams) -> Written:
    """What a model writes after prompts, given as tokens, all at once."""
    metrics = llm.engine.metrics
    accepted, drafted = metrics.accepted_at[0], metrics.draft_steps
    done = llm.generate(prompts, params)
    return Written(
        [completion.text for completion in done],
        [completion.answers[0].tokens for completion in done],
        metrics.accepted_at[0] - accepted,
        metrics.draft_steps - drafted,
    )


def _solve(
    llm: LLM, problems: Sequence[Problem], params: SamplingParams, write: Write
) -> tuple[list[list[int]], list[str], Written]:
    """Answers, with calculator calls carried out on the way.

    Returns:
        All prompts; each problem's last text; what was written after each prompt.
    """
    prompts = [llm.render(p.messages, p.tools) for p in problems]
    written = write(prompts, params)
    texts = list(written.texts)
    calls: dict[int, list[int]] = {}
    for index, problem in enumerate(problems):
        expression = called_expression(texts[index]) if problem.tools else None
        if problem.call is not None and expression is not None:
            turns = [*problem.messages, *tool_messages(expression, calculator(expression))]
            calls[index] = llm.render(turns, problem.tools)
        elif problem.call is not None:
            texts[index] = ""  # an answer without the call that was due
    if calls:
        prompts += calls.values()
        last = write(list(calls.values()), params)
        for index, text in zip(calls, last.texts, strict=True):
            texts[index] = text
        written += last
    return prompts, texts, written


def expert_loads(model: Transformer, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Tokens that each expert gets when these sequences run through the model: int64 [experts] for each MoE layer."""
    model, routers = remembering(model)
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
        model.forward(batch, model.new_latent(pages))
    count = model.config.n_routed_experts
    return [torch.cat([ids.flatten() for ids in each.chosen]).cpu().bincount(minlength=count) for each in routers]

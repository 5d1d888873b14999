"""The tasks nano is trained on and judged by: generators of problems with worked answers. No torch here.

Problems come from spaces too large to memorise, and a hash of each decides whether training may see it.
"""

from __future__ import annotations

import random
from dataclasses import replace

from hopwell.bench.nano_tasks.arithmetic import addition, division, multiplication, subtraction
from hopwell.bench.nano_tasks.countdown import countdown
from hopwell.bench.nano_tasks.dates import date_arithmetic
from hopwell.bench.nano_tasks.decimals import decimal_sum, percentage
from hopwell.bench.nano_tasks.equations import equation
from hopwell.bench.nano_tasks.expressions import expression
from hopwell.bench.nano_tasks.followups import Generator, follow_up, later_turn, tool_turn
from hopwell.bench.nano_tasks.ordering import comparison, sorting
from hopwell.bench.nano_tasks.problem import Problem
from hopwell.bench.nano_tasks.smalltalk import smalltalk
from hopwell.bench.nano_tasks.stories import story
from hopwell.bench.nano_tasks.tools import calculator_schema, tool_call
from hopwell.bench.nano_tasks.units import unit_conversion

__all__ = ["ARITHMETIC", "TASKS", "TRAINING_MIX", "Problem", "held_out_problems", "training_problem", "unlike_held_out"]

SINGLE: dict[str, Generator] = {
    "addition": addition,
    "subtraction": subtraction,
    "multiplication": multiplication,
    "division": division,
    "expression": expression,
    "decimal": decimal_sum,
    "percentage": percentage,
    "story": story,
    "comparison": comparison,
    "sorting": sorting,
    "equation": equation,
    "countdown": countdown,
    "date": date_arithmetic,
    "unit": unit_conversion,
}
ARITHMETIC = ("addition", "subtraction", "multiplication", "division")
"""Tasks held to the higher standard: at least 95 % right; the others 85 %."""
BY_HAND = ("story", "comparison", "sorting", "equation", "countdown", "date", "unit")
"""Tasks that are worked by hand even where a calculator is on offer."""


def _follow_up(rng: random.Random) -> Problem:
    return follow_up(rng, list(SINGLE.values()))


def _later_turn(rng: random.Random) -> Problem:
    return later_turn(rng, [*SINGLE.values(), smalltalk])


TASKS: dict[str, Generator] = {**SINGLE, "tool_call": tool_call, "follow_up": _follow_up}
"""What `hopwell bench nano` measures."""

TRAINING_MIX: dict[str, tuple[Generator, float]] = {
    "addition": (addition, 6),
    "subtraction": (subtraction, 10),
    "multiplication": (multiplication, 14),
    "division": (division, 20),
    "expression": (expression, 11),
    "decimal": (decimal_sum, 7),
    "percentage": (percentage, 5),
    "story": (story, 11),
    "comparison": (comparison, 6),
    "sorting": (sorting, 10),
    "equation": (equation, 11),
    "countdown": (countdown, 12),
    "date": (date_arithmetic, 11),
    "unit": (unit_conversion, 9),
    "tool_call": (tool_call, 6),
    "follow_up": (_follow_up, 5),
    "later_turn": (_later_turn, 5),
    "tool_turn": (tool_turn, 2),
    "smalltalk": (smalltalk, 3),
}
"""Generators and how often each is drawn: harder tasks more often."""


def held_out_problems(task: str, count: int, seed: int) -> list[Problem]:
    """`count` different problems of one task that training never saw.

    Raises:
        ValueError: there is no such task.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; known: {', '.join(TASKS)}")
    rng = random.Random(f"{task}/{seed}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        problem = TASKS[task](rng)
        if problem.held_out:
            found.setdefault(problem.key, problem)
    return list(found.values())


def unlike_held_out(task: str, rng: random.Random) -> Problem:
    """One problem of a task, never a held-out one."""
    while (problem := TASKS[task](rng)).held_out:
        pass
    return problem


def training_problem(rng: random.Random) -> Problem:
    """One problem of the training mix, never a held-out one; small talk is not split."""
    names = list(TRAINING_MIX)
    task = rng.choices(names, [weight for _, weight in TRAINING_MIX.values()])[0]
    while True:
        problem = TRAINING_MIX[task][0](rng)
        if problem.task == "smalltalk" or not problem.held_out:
            break
    if problem.task in BY_HAND and rng.random() < 0.04:
        return replace(problem, tools=[calculator_schema(rng)])
    return problem

"""The tasks nano is trained on and judged by: generators of problems with worked answers. No torch here.

Problems come from spaces too large to memorise, and a hash of each decides whether training may see it.
"""

from __future__ import annotations

from dataclasses import replace

from training.nano.tasks.arithmetic import addition, division, multiplication, subtraction
from training.nano.tasks.chains import chain
from training.nano.tasks.countdown import countdown
from training.nano.tasks.dates import date_arithmetic
from training.nano.tasks.decimals import decimal_sum
from training.nano.tasks.equations import equation
from training.nano.tasks.expressions import expression
from training.nano.tasks.followups import Generator, follow_up, later_turn, tool_turn
from training.nano.tasks.letters import letters
from training.nano.tasks.ordering import comparison, sorting
from training.nano.tasks.outside import outside
from training.nano.tasks.percentages import percentage
from training.nano.tasks.powers import power, root
from training.nano.tasks.problem import REFUSE, Problem
from training.nano.tasks.quadratics import quadratic
from training.nano.tasks.remainders import average, quotient, remainder
from training.nano.tasks.signed import signed
from training.nano.tasks.smalltalk import smalltalk
from training.nano.tasks.stories import story
from training.nano.tasks.tools import calculator_schema, tool_call
from training.nano.tasks.units import unit_conversion
from training.nano.tasks.wording import Draws, unseen_draws

__all__ = [
    "ARITHMETIC", "REFUSE", "TASKS", "TRAINING_MIX", "Draws", "Problem", "held_out_problems", "outside_problems",
    "training_problem", "unlike_held_out", "unseen_problems",
]  # fmt: skip


def _expression(rng: Draws) -> Problem:
    """In signs or in words."""
    return chain(rng) if rng.random() < 0.5 else expression(rng)


SINGLE: dict[str, Generator] = {
    "addition": addition,
    "subtraction": subtraction,
    "multiplication": multiplication,
    "division": division,
    "expression": _expression,
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
NEWER: dict[str, Generator] = {
    "signed": signed,
    "power": power,
    "root": root,
    "quadratic": quadratic,
    "remainder": remainder,
    "average": average,
    "quotient": quotient,
    "letters": letters,
}
ARITHMETIC = ("addition", "subtraction", "multiplication", "division", "signed")
"""Tasks held to the higher standard: at least 95 % right; the others 85 %."""
BY_HAND = ("story", "comparison", "sorting", "equation", "countdown", "date", "unit", *NEWER)
"""Tasks that are worked by hand even where a calculator is on offer."""
ALONE = [*SINGLE.values(), *NEWER.values()]


def _follow_up(rng: Draws) -> Problem:
    return follow_up(rng, ALONE)


def _later_turn(rng: Draws) -> Problem:
    return later_turn(rng, [*ALONE, outside, smalltalk])


TASKS: dict[str, Generator] = {**SINGLE, "tool_call": tool_call, "follow_up": _follow_up, **NEWER}
"""What `python -m benchmarks.nano` measures, and beside these the questions of `outside_problems`."""

TRAINING_MIX: dict[str, tuple[Generator, float]] = {
    "addition": (addition, 6),
    "subtraction": (subtraction, 10),
    "multiplication": (multiplication, 9),
    "division": (division, 26),
    "expression": (_expression, 22),
    "decimal": (decimal_sum, 11),
    "percentage": (percentage, 38),
    "story": (story, 110),
    "comparison": (comparison, 10),
    "sorting": (sorting, 9),
    "equation": (equation, 20),
    "countdown": (countdown, 8),
    "date": (date_arithmetic, 14),
    "unit": (unit_conversion, 9),
    "signed": (signed, 10),
    "power": (power, 9),
    "root": (root, 11),
    "quadratic": (quadratic, 9),
    "remainder": (remainder, 32),
    "average": (average, 7),
    "quotient": (quotient, 9),
    "letters": (letters, 9),
    "outside": (outside, 88),
    "tool_call": (tool_call, 6),
    "follow_up": (_follow_up, 20),
    "later_turn": (_later_turn, 8),
    "tool_turn": (tool_turn, 2),
    "smalltalk": (smalltalk, 4),
}
"""Generators and how often each is drawn: harder tasks more often."""


def held_out_problems(task: str, count: int, seed: int) -> list[Problem]:
    """`count` different problems of one task that training never saw, in wordings that it may have seen.

    Raises:
        ValueError: there is no such task.
    """
    return _found(task, count, Draws(f"{task}/{seed}"))


def unseen_problems(task: str, count: int, seed: int) -> list[Problem]:
    """`count` different held-out problems of one task in wordings that training never saw.

    Raises:
        ValueError: there is no such task.
    """
    return _found(task, count, unseen_draws(f"unseen {task}/{seed}"))


def _found(task: str, count: int, rng: Draws) -> list[Problem]:
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; known: {', '.join(TASKS)}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        before = rng.news
        problem = TASKS[task](rng)
        if problem.held_out and (rng.news > before or not rng.unseen):
            found.setdefault(problem.key, problem)
    return list(found.values())


def outside_problems(count: int, seed: int) -> list[Problem]:
    """`count` different questions that nano must decline, in wordings that training never saw."""
    rng = unseen_draws(f"outside/{seed}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        before = rng.news
        problem = outside(rng)
        if rng.news > before:
            found.setdefault(problem.key, problem)
    return list(found.values())


def unlike_held_out(task: str, rng: Draws) -> Problem:
    """One problem of a task, never a held-out one."""
    while (problem := TASKS[task](rng)).held_out:
        pass
    return problem


def training_problem(rng: Draws) -> Problem:
    """One problem of the training mix, never a held-out one; what is declined is split by its wording alone."""
    names = list(TRAINING_MIX)
    task = rng.choices(names, [weight for _, weight in TRAINING_MIX.values()])[0]
    while True:
        problem = TRAINING_MIX[task][0](rng)
        if problem.task in ("smalltalk", "outside") or not problem.held_out:
            break
    if problem.task in BY_HAND and rng.random() < 0.04:
        return replace(problem, tools=[calculator_schema(rng)])
    return problem

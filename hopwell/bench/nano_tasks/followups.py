"""Conversations of several turns: a new problem after others, or one that starts from the last answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from hopwell.bench.nano_tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from hopwell.bench.nano_tasks.problem import Problem, boxed, sized
from hopwell.bench.nano_tasks.render import tool_messages
from hopwell.bench.nano_tasks.tools import tool_call

Generator = Callable[[random.Random], Problem]

CHANGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("+", ("Add {n}.", "Now add {n}.", "plus {n}", "Add {n} to that.", "And plus {n}?", "+{n}", "Increase it by {n}.")),
    ("-", ("Subtract {n}.", "Now subtract {n}.", "minus {n}", "Take away {n}.", "And minus {n}?", "-{n}",
           "Subtract {n} from that.", "Decrease it by {n}.")),
    ("*", ("Multiply by {n}.", "Now multiply that by {n}.", "times {n}", "And times {n}?", "*{n}", "Now times {n}.")),
    ("/", ("Divide by {n}.", "Now divide that by {n}.", "divided by {n}", "And divided by {n}?", "/{n}")),
    ("*2", ("Double it.", "Now double that.", "double", "Twice that?")),
    ("/2", ("Halve it.", "Half of that?", "Now halve that.")),
)  # fmt: skip


def history(rng: random.Random, others: Sequence[Generator], turns: int) -> list[dict[str, str]]:
    """Earlier turns, as a client sends them: questions and visible answers, without the thinking."""
    messages: list[dict[str, str]] = []
    while len(messages) < 2 * turns:
        problem = rng.choice(others)(rng)
        if problem.tools is None and not problem.held_out:
            messages += [problem.messages[-1], {"role": "assistant", "content": problem.reply}]
    return messages


def later_turn(rng: random.Random, others: Sequence[Generator]) -> Problem:
    """A problem that has nothing to do with the turns before it."""
    problem = rng.choice(others)(rng)
    return replace(problem, messages=[*history(rng, others, rng.choice((1, 1, 2, 3, 4))), problem.messages[-1]])


def tool_turn(rng: random.Random) -> Problem:
    """A problem for the calculator after others that it has solved."""
    problem = tool_call(rng)
    messages = [m for m in problem.messages if m["role"] == "system"]
    for _ in range(rng.choice((1, 1, 2))):
        earlier = tool_call(rng)
        assert earlier.call is not None
        answer = {"role": "assistant", "content": earlier.reply}
        messages += [earlier.messages[-1], *tool_messages(earlier.call, earlier.answer), answer]
    return replace(problem, messages=[*messages, problem.messages[-1]])


def follow_up(rng: random.Random, others: Sequence[Generator]) -> Problem:
    """A change to the last answer: `now add 15`."""
    while True:
        earlier = history(rng, others, rng.choice((1, 1, 1, 2, 3)))
        last = earlier[-1]["content"].rpartition("\\boxed{")[2].partition("}")[0]
        if last.isascii() and last.isdigit() and len(last) <= 4:
            break
    value = int(last)
    change, wordings = rng.choice(CHANGES)
    n = int(change[1:]) if change[1:] else max(1, sized(rng, rng.choice((1, 2, 2, 3))))
    sign = change[0]
    if sign == "-" and n > value and rng.random() < 0.7:
        n = rng.randrange(value + 1)
    if sign == "/" and not change[1:]:
        n = rng.randrange(2, 13)
    answer: str
    if sign == "+":
        columns, answer = add_columns(value, n), str(value + n)
    elif sign == "-":
        columns, answer = subtract_columns(value, n), str(value - n)
    elif sign == "*":
        columns, answer = multiply_columns(value, n), str(value * n)
    else:
        columns, rest = divide_columns(value, n), value % n
        answer = f"{value // n} remainder {rest}" if rest else str(value // n)
    return Problem(
        "follow_up",
        f"{min(value, n)}{sign}{max(value, n)}" if sign in "+*" else f"{value}{sign}{n}",
        [*earlier, {"role": "user", "content": rng.choice(wordings).format(n=n)}],
        f"The last answer was {value}, so {value} {sign} {n}.\n{columns}",
        f"{value} {sign} {n} = {boxed(answer)}",
        answer,
    )

"""The four operations on whole numbers of up to four digits."""

from __future__ import annotations

import random

from hopwell.bench.nano_tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from hopwell.bench.nano_tasks.problem import ASKS, Problem, ask, boxed, sized

ADD = (("{a}+{b}", 6), ("{a} + {b}", 6), ("{a} plus {b}", 3), ("the sum of {a} and {b}", 1), ("{a} and {b} added", 1))
SUBTRACT = (
    ("{a}-{b}", 6), ("{a} - {b}", 6), ("{a} minus {b}", 3), ("the difference {a} - {b}", 1), ("{a} take away {b}", 1),
    ("{b} subtracted from {a}", 1),
)  # fmt: skip
MULTIPLY = (
    ("{a}*{b}", 6), ("{a} * {b}", 6), ("{a} times {b}", 3), ("{a} x {b}", 3), ("{a} × {b}", 3), ("{a}x{b}", 1),
    ("the product of {a} and {b}", 1), ("{a} multiplied by {b}", 1),
)  # fmt: skip
DIVIDE = (
    ("{a}/{b}", 6), ("{a} / {b}", 6), ("{a} divided by {b}", 3), ("{a} ÷ {b}", 3), ("{a} over {b}", 1),
    ("the quotient of {a} and {b}", 1), ("{a} : {b}", 1),
)  # fmt: skip


def phrase(rng: random.Random, wordings: tuple[tuple[str, int], ...], a: object, b: object) -> str:
    """An expression in one of its wordings, the common ones more often, inside a question."""
    words = rng.choices([w for w, _ in wordings], [n for _, n in wordings])[0].format(a=a, b=b)
    question = rng.choice(ASKS).format(words)
    return question[0].upper() + question[1:] if rng.random() < 0.5 else question


def length(rng: random.Random) -> int:
    """Digits of an operand: long ones more often."""
    return rng.choices((1, 2, 3, 4), (2, 3, 4, 5))[0]


def addition(rng: random.Random) -> Problem:
    """a + b, up to four digits each."""
    a, b = sized(rng, length(rng)), sized(rng, length(rng))
    return add_problem(a, b, phrase(rng, ADD, a, b), rng)


def add_problem(a: int, b: int, question: str, rng: random.Random) -> Problem:
    return Problem(
        "addition",
        f"{min(a, b)}+{max(a, b)}",
        ask(rng, question),
        f"Add the columns from the right.\n{add_columns(a, b)}",
        f"{a} + {b} = {boxed(a + b)}",
        str(a + b),
    )


def subtraction(rng: random.Random) -> Problem:
    """a - b, up to four digits each; negative one time in five or so."""
    a, b = sized(rng, length(rng)), sized(rng, length(rng))
    if a < b and rng.random() < 0.6:
        a, b = b, a
    return Problem(
        "subtraction",
        f"{a}-{b}",
        ask(rng, phrase(rng, SUBTRACT, a, b)),
        f"Subtract the columns from the right.\n{subtract_columns(a, b)}",
        f"{a} - {b} = {boxed(a - b)}",
        str(a - b),
    )


def multiplication(rng: random.Random) -> Problem:
    """a x b, up to four digits each."""
    a, b = sized(rng, length(rng)), sized(rng, length(rng))
    return Problem(
        "multiplication",
        f"{min(a, b)}*{max(a, b)}",
        ask(rng, phrase(rng, MULTIPLY, a, b)),
        f"Multiply digit by digit.\n{multiply_columns(a, b)}",
        f"{a} * {b} = {boxed(a * b)}",
        str(a * b),
    )


def division(rng: random.Random) -> Problem:
    """a / b of up to four digits, half of them exact; otherwise the answer is `quotient remainder rest`."""
    b = max(1, sized(rng, rng.choices((1, 2, 3, 4), (6, 7, 4, 1))[0]))
    a = max(b, sized(rng, rng.choices((2, 3, 4), (2, 4, 6))[0])) if rng.random() < 0.95 else sized(rng, length(rng))
    if rng.random() < 0.5:
        a -= a % b
    quotient, rest = divmod(a, b)
    answer = f"{quotient} remainder {rest}" if rest else str(quotient)
    question = phrase(rng, DIVIDE, a, b)
    if rng.random() < 0.15:
        question = rng.choice(("Divide {a} by {b}.", "How many times does {b} go into {a}?")).format(a=a, b=b)
        if rng.random() < 0.5:
            question += " Give the quotient and the remainder."
    return Problem(
        "division",
        f"{a}/{b}",
        ask(rng, question),
        f"Long division.\n{divide_columns(a, b)}",
        f"{a} / {b} = {boxed(answer)}",
        answer,
    )

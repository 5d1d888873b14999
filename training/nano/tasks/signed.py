"""Whole numbers with signs: the rules of signs, then columns."""

from __future__ import annotations

from training.nano.tasks.arithmetic import ADD, DIVIDE, MULTIPLY, SUBTRACT, length, phrase
from training.nano.tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.problem import Problem, ask, boxed, sized
from training.nano.tasks.wording import Draws


def add_signed(a: int, b: int) -> str:
    """The trace of a + b with any signs."""
    if a >= 0 and b >= 0:
        return f"Both are positive: {a}+{b}\n{add_columns(a, b)}"
    if a < 0 and b < 0:
        return f"Both are negative: {-a}+{-b}, then minus.\n{add_columns(-a, -b)}\nSo {a + b}"
    high, low = (a, -b) if b < 0 else (b, -a)
    return f"One is negative: {high}-{low}\n{subtract_columns(high, low)}"


def subtract_signed(a: int, b: int) -> str:
    """The trace of a - b with any signs: the opposite is added."""
    return f"Minus {b} is plus {-b}.\n{add_signed(a, -b)}"


def sign_rule(a: int, b: int) -> str:
    """The sign of a product or quotient: `One is negative, so the result is negative.`"""
    if a < 0 and b < 0:
        return "Both are negative, so the result is positive."
    return "One is negative, so the result is negative."


def multiply_signed(a: int, b: int) -> str:
    """The trace of a * b of which one factor at least is negative."""
    return f"{sign_rule(a, b)}\n{multiply_columns(abs(a), abs(b))}\nWith the sign: {a * b}"


def divide_signed(a: int, b: int) -> str:
    """The trace of an exact a / b of which one number at least is negative."""
    return f"{sign_rule(a, b)}\n{divide_columns(abs(a), abs(b))}\nWith the sign: {a // b}"


def shown(rng: Draws, n: int, first: bool = False) -> str:
    """A number as people type it: a negative one in brackets or in words at times."""
    if n >= 0:
        return str(n)
    return rng.choice((f"-{-n}", f"-{-n}", f"-{-n}" if first else f"(-{-n})", f"(-{-n})", f"minus {-n}",
                       f"negative {-n}"))  # fmt: skip


def signed(rng: Draws) -> Problem:
    """One of the four operations with a negative number at least; quotients are whole."""
    sign = rng.choice("++--**/")
    a, b = (max(1, sized(rng, min(length(rng), 3 if sign in "*/" else 4))) for _ in range(2))
    if sign == "/":
        b = rng.randrange(1, rng.choice((10, 13, 100)))
        a = b * rng.randrange(1, rng.choice((13, 100)))
    a, b = rng.choice(((-a, b), (-a, b), (a, -b), (-a, -b)))
    tables = {"+": ADD, "-": SUBTRACT, "*": MULTIPLY, "/": DIVIDE}
    traces = {"+": add_signed, "-": subtract_signed, "*": multiply_signed, "/": divide_signed}
    result = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]
    question = phrase(rng, tables[sign], shown(rng, a, True), shown(rng, b))
    second = f"({b})" if b < 0 else str(b)
    return Problem(
        "signed",
        f"{a}{sign}{b}",
        ask(rng, question),
        f"{a} {sign} {second}\n{traces[sign](a, b)}",
        f"{a} {sign} {second} = {boxed(result)}",
        str(result),
    )

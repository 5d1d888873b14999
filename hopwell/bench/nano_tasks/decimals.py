"""Sums and differences of decimals, and percentages."""

from __future__ import annotations

import random
from fractions import Fraction

from hopwell.bench.nano_tasks.arithmetic import ADD, SUBTRACT, phrase
from hopwell.bench.nano_tasks.columns import add_columns, multiply_columns, subtract_columns
from hopwell.bench.nano_tasks.problem import Problem, ask, boxed, sized

PERCENT = ("What is {p}% of {n}?", "{p}% of {n}", "Calculate {p}% of {n}.", "How much is {p}% of {n}?",
           "what is {p} percent of {n}?", "Find {p}% of {n}.", "Take {p} % of {n}.")  # fmt: skip


def decimal(value: Fraction) -> str:
    """A decimal without trailing zeros."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")


def decimal_sum(rng: random.Random) -> Problem:
    """a + b or a - b with up to two decimals: without the points, then the point put back."""
    places = rng.choice((1, 1, 2))
    a, b = (sized(rng, rng.randrange(places, 5)) for _ in range(2))
    if rng.random() < 0.3:
        b -= b % 10**places  # a whole number
    subtract = rng.random() < 0.5
    if subtract and a < b and rng.random() < 0.7:
        a, b = b, a
    scale = 10**places
    x, y = decimal(Fraction(a, scale)), decimal(Fraction(b, scale))
    sign, result = ("-", a - b) if subtract else ("+", a + b)
    value = decimal(Fraction(result, scale))
    columns = subtract_columns(a, b) if subtract else add_columns(a, b)
    point = f"{'-' if result < 0 else ''}{abs(result) // scale}.{abs(result) % scale:0{places}}"
    return Problem(
        "decimal",
        f"{x}{sign}{y}",
        ask(rng, phrase(rng, SUBTRACT if subtract else ADD, x, y)),
        f"{places} place{'s' if places > 1 else ''}: {a / scale:.{places}f}{sign}{b / scale:.{places}f}. "
        f"Without the point: {a}{sign}{b}\n{columns}\nWith the point: {point}, that is {value}",
        f"{x} {sign} {y} = {boxed(value)}",
        value,
    )


def percentage(rng: random.Random) -> Problem:
    """p % of n: multiply, then move the point two places."""
    p, n = rng.choice((rng.randrange(1, 100), 5 * rng.randrange(1, 21))), sized(rng, rng.randrange(1, 5))
    product = p * n
    value = decimal(Fraction(product, 100))
    return Problem(
        "percentage",
        f"{p}%{n}",
        ask(rng, rng.choice(PERCENT).format(p=p, n=n)),
        f"{p}*{n}, then divide by 100.\n{multiply_columns(p, n)}\n"
        f"Two places: {product // 100}.{product % 100:02}, that is {value}",
        boxed(value),
        value,
    )

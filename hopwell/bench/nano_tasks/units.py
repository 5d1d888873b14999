"""Conversion between units, both ways."""

from __future__ import annotations

import random
from fractions import Fraction

from hopwell.bench.nano_tasks.columns import divide_columns, multiply_columns
from hopwell.bench.nano_tasks.decimals import decimal
from hopwell.bench.nano_tasks.problem import Problem, ask, boxed

TENS = (
    ("km", "m", 1000), ("kilometers", "meters", 1000), ("m", "cm", 100), ("meters", "centimeters", 100),
    ("cm", "mm", 10), ("m", "mm", 1000), ("kg", "g", 1000), ("kilograms", "grams", 1000), ("tons", "kg", 1000),
    ("l", "ml", 1000), ("liters", "milliliters", 1000), ("dollars", "cents", 100), ("euros", "cents", 100),
    ("g", "mg", 1000),
)  # fmt: skip
OTHERS = (
    ("hours", "minutes", 60), ("minutes", "seconds", 60), ("days", "hours", 24), ("weeks", "days", 7),
    ("feet", "inches", 12), ("yards", "feet", 3), ("pounds", "ounces", 16), ("years", "months", 12),
    ("dozen", "pieces", 12), ("gallons", "quarts", 4),
)  # fmt: skip
WORDINGS = ("Convert {n} {a} to {b}.", "How many {b} are {n} {a}?", "{n} {a} in {b}", "How many {b} is {n} {a}?",
            "What is {n} {a} in {b}?", "{n} {a} to {b}", "Express {n} {a} in {b}.",
            "convert {n} {a} into {b}")  # fmt: skip
MIXED = ("Convert {n} {b} to {a} and {b}.", "How many {a} and {b} are {n} {b}?", "{n} {b} in {a} and {b}",
         "Express {n} {b} in {a} and {b}.")  # fmt: skip


def unit_conversion(rng: random.Random) -> Problem:
    """Powers of ten with decimals; others up, down, and into two units."""
    return rng.choice((_tens, _up, _down, _mixed))(rng)


def _unit_problem(
    rng: random.Random, wordings: tuple[str, ...], n: object, a: str, b: str, steps: str, answer: str, unit: str
) -> Problem:
    question = rng.choice(wordings).format(n=n, a=a, b=b)
    return Problem("unit", f"{n} {a}>{b}", ask(rng, question), steps, f"{boxed(answer)} {unit}".strip(), answer)


def _tens(rng: random.Random) -> Problem:
    """The decimal point moves."""
    big, small, factor = rng.choice(TENS)
    zeros = len(str(factor)) - 1
    places = f"{zeros} place{'s' if zeros > 1 else ''}"
    if rng.random() < 0.5:
        value = Fraction(rng.randrange(1, 10 ** rng.randrange(1, 4)), 10 ** rng.choice((0, 0, 1, 2)))
        given, answer, a, b = decimal(value), decimal(value * factor), big, small
        step = f"Multiply by {factor}: move the point {places} to the right."
    else:
        value = Fraction(rng.randrange(1, 10 ** rng.randrange(1, 6)))
        if rng.random() < 0.5:
            value *= factor
        value = min(value, Fraction(999999))
        given, answer, a, b = decimal(value), decimal(value / factor), small, big
        step = f"Divide by {factor}: move the point {places} to the left."
    steps = f"1 {big} = {factor} {small}. {step}\n{_shifted(given, zeros if a == big else -zeros)}, that is {answer}"
    return _unit_problem(rng, WORDINGS, given, a, b, steps, answer, b)


def _shifted(number: str, places: int) -> str:
    """Digits with zeros filled in and the point put in its new place."""
    whole, _, part = number.partition(".")
    if places >= 0:
        part = part.ljust(places, "0")
        return f"{whole} {part[:places]}" + (f".{part[places:]}" if part[places:] else "")
    whole = whole.rjust(-places + 1, "0")
    return f"{whole[:places]}.{whole[places:]}{part}"


def _up(rng: random.Random) -> Problem:
    """Large unit to small, by long multiplication."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(2, 10 ** rng.choice((1, 2, 2, 3)))
    steps = f"1 {big} = {factor} {small}. Multiply by {factor}.\n{multiply_columns(n, factor)}"
    return _unit_problem(rng, WORDINGS, n, big, small, steps, str(n * factor), small)


def _down(rng: random.Random) -> Problem:
    """Small unit to large, when it divides, by long division."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(1, 10 ** rng.choice((1, 2, 2))) * factor
    steps = f"1 {big} = {factor} {small}. Divide by {factor}.\n{divide_columns(n, factor)}"
    return _unit_problem(rng, WORDINGS, n, small, big, steps, str(n // factor), big)


def _mixed(rng: random.Random) -> Problem:
    """Small unit to large and small."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(factor, factor * 40)
    steps = f"1 {big} = {factor} {small}. Divide by {factor}.\n{divide_columns(n, factor)}"
    answer = f"{n // factor} {big} {n % factor} {small}"
    return _unit_problem(rng, MIXED, n, big, small, steps, answer, "")

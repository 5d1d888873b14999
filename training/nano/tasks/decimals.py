"""Sums, differences, products and quotients of decimals."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.arithmetic import ADD, DIVIDE, MULTIPLY, SUBTRACT, measured, phrase
from training.nano.tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.problem import Problem, ask, boxed, sized
from training.nano.tasks.signed import add_signed, subtract_signed
from training.nano.tasks.wording import Draws


def decimal(value: Fraction | int, parts: int = 1) -> str:
    """The decimal of `value / parts`, at most six places, without trailing zeros."""
    return f"{float(Fraction(value, parts)):.6f}".rstrip("0").rstrip(".")


def decimal_sum(rng: Draws) -> Problem:
    """a + b, a - b, a * b or a / b with decimals: without the points, then the point put back."""
    return rng.choices((_sum, _product, _quotient), (6, 2, 1.5))[0](rng)


def _sum(rng: Draws) -> Problem:
    places = rng.choice((1, 1, 1, 2, 2, 3))
    most = 6 if rng.random() < 0.2 else 5
    a, b = (sized(rng, rng.randrange(places, most)) for _ in range(2))
    if rng.random() < 0.3:
        b -= b % 10**places  # a whole number
    elif rng.random() < 0.15:
        a -= a % 10**places
    subtract = rng.random() < 0.5
    if subtract and a < b and rng.random() < 0.7:
        a, b = b, a
    plain = rng.random() < 0.85
    if not plain:
        a, b = rng.choice(((-a, b), (a, -b), (-a, -b)))
    scale = 10**places
    x, y = decimal(Fraction(a, scale)), decimal(Fraction(b, scale))
    sign, result = ("-", a - b) if subtract else ("+", a + b)
    value = decimal(Fraction(result, scale))
    if plain:
        columns = subtract_columns(a, b) if subtract else add_columns(a, b)
    else:
        columns = subtract_signed(a, b) if subtract else add_signed(a, b)
    second = f"({y})" if b < 0 else y
    asked = second if b < 0 and rng.random() < 0.5 else y
    first, asked = measured(rng, sign, x, asked) if plain else (x, asked)
    if plain and rng.random() < 0.05:
        first, asked = (str(n).removeprefix("0") if str(n).startswith("0.") else n for n in (first, asked))
    return Problem(
        "decimal",
        f"{x}{sign}{y}",
        ask(rng, phrase(rng, SUBTRACT if subtract else ADD, first, asked)),
        f"{places} place{'s' if places > 1 else ''}: {a / scale:.{places}f} {sign} {b / scale:.{places}f}. "
        f"Without the point: {a} {sign} {b}\n{columns}\nWith the point: {pointed(result, places)}, that is {value}",
        f"{x} {sign} {second} = {boxed(value)}",
        value,
    )


def pointed(n: int, places: int) -> str:
    """n with a point before its last `places` digits."""
    scale = 10**places
    return f"{'-' if n < 0 else ''}{abs(n) // scale}.{abs(n) % scale:0{places}}"


def _product(rng: Draws) -> Problem:
    """The factors' places add up."""
    while True:
        p, q = rng.choice(((1, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1), (0, 2)))
        a, b = (max(1, sized(rng, rng.choice((1, 2, 2, 3)))) for _ in range(2))
        x, y = decimal(Fraction(a, 10**p)), decimal(Fraction(b, 10**q))
        if (not p or a % 10) and (not q or b % 10):
            break
    value = decimal(Fraction(a * b, 10 ** (p + q)))
    return Problem(
        "decimal",
        f"{min((x, y))}*{max((x, y))}",
        ask(rng, phrase(rng, MULTIPLY, x, y)),
        f"Without the points: {a} * {b}\n{multiply_columns(a, b)}\n"
        f"{p} and {q} places are {p + q}: {pointed(a * b, p + q)}, that is {value}",
        f"{x} * {y} = {boxed(value)}",
        value,
    )


def _quotient(rng: Draws) -> Problem:
    """Both times the same power of ten, so that the divisor is whole; what does not end is never asked."""
    while True:
        places = rng.choice((1, 1, 1, 2))
        scale = 10**places
        b = sized(rng, rng.choice((1, 1, 2, 2, 3))) or 5
        value = rng.choice((sized(rng, rng.choice((1, 2))) * 100, sized(rng, rng.choice((1, 2, 3))) * 10))
        a = b * value // 100
        if a and b * value % 100 == 0 and a <= 9999 and (a % scale or b % scale):
            break
    x, y, answer = decimal(a, scale), decimal(b, scale), decimal(value, 100)
    return Problem(
        "decimal",
        f"{x}/{y}",
        ask(rng, phrase(rng, DIVIDE, x, y)),
        f"Both times {scale}: {a} / {b}. Two places: {a}00/{b}\n{divide_columns(a * 100, b)}\n"
        f"With the point: {pointed(value, 2)}, that is {answer}",
        f"{x} / {y} = {boxed(answer)}",
        answer,
    )

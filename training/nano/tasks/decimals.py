"""Sums, differences and products of decimals, and percentages."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.arithmetic import ADD, MULTIPLY, SUBTRACT, phrase
from training.nano.tasks.columns import add_columns, multiply_columns, subtract_columns
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.signed import add_signed, subtract_signed
from training.nano.tasks.wording import Draws

PERCENT = (
    "{p}% of {n}", "{p} percent of {n}", "{p} % of {n}", "{p} per cent of {n}", "{p} pct of {n}", "{p}% from {n}",
    "{p} hundredths of {n}",
)  # fmt: skip
PERCENT_SENTENCES = (
    "How much is {p}% of {n}?", "Take {p}% of {n}.", "If I take {p}% of {n}, what do I get?",
    "How much do I save with {p}% off {n} (dollars|euros)?", "What is a {p}% (tip|discount) on {n} (dollars|)?",
    "{n} (people|students|apples|dollars): how (many|much) (are|is) {p}%(| of them)?",
    "(A|The) (shirt|book|bike|phone) costs {n} (dollars|euros). How much is {p}% (of that|off)?",
    "{p}% of {n} is what( number|)?", "{p} percent of {n} (is|are) how (many|much)?",
    "(Can|Could) you take {p} percent of {n}( for me|)?", "How many are {p}% of {n}( people| students| books|)?",
    "what's {p} percent of {n}", "What (amount|number) is {p}% of {n}?",
    "Of {n} (people|students|cars), {p}% are (red|late|here|new). How many is that?",
    "(The tax|The fee|The tip) is {p}% of {n} dollars. How much is (it|that)?",
    "There are {n} (students|people|apples|cars). {p}% (are|of them are) (ill|red|new|late). How many (is "
    "that|are that|are these)?",
    "I have {n} (dollars|apples|books) and (give away|lose|sell) {p}%. How many is that?", "From {n} take {p}%.",
    "{n} and {p}%: how much is that?", "{n}, and of that {p}%?",
    "{n} (students|people|books). {p}% of them (read|sleep|are old). How many (are they|is that)?",
    "{n} people: {p} percent of them are how many?",
)  # fmt: skip


def decimal(value: Fraction) -> str:
    """A decimal without trailing zeros."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")


def decimal_sum(rng: Draws) -> Problem:
    """a + b, a - b or a * b with decimals: without the points, then the point put back."""
    return _product(rng) if rng.random() < 0.25 else _sum(rng)


def _sum(rng: Draws) -> Problem:
    places = rng.choice((1, 1, 1, 2, 2, 3))
    a, b = (sized(rng, rng.randrange(places, 5)) for _ in range(2))
    if rng.random() < 0.3:
        b -= b % 10**places  # a whole number
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
    return Problem(
        "decimal",
        f"{x}{sign}{y}",
        ask(rng, phrase(rng, SUBTRACT if subtract else ADD, x, asked)),
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


def percentage(rng: Draws) -> Problem:
    """p % of n: multiply, then move the point two places."""
    p, n = rng.choice((rng.randrange(1, 100), 5 * rng.randrange(1, 21))), sized(rng, rng.randrange(1, 5))
    steps, value = percent_steps(p, n)
    question = rng.wording(PERCENT_SENTENCES) if rng.random() < 0.4 else rng.wording(ASKS).format(rng.wording(PERCENT))
    return Problem("percentage", f"{p}%{n}", ask(rng, question.format(p=p, n=n)), steps, boxed(value), value)


def percent_steps(p: int, n: int) -> tuple[str, str]:
    """The trace of p % of n, and its value."""
    product = p * n
    value = decimal(Fraction(product, 100))
    point = f"Two places: {product // 100}.{product % 100:02}, that is {value}"
    return f"{p}*{n}, then divide by 100.\n{multiply_columns(p, n)}\n{point}", value

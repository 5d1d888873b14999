"""Near misses: what nano does, with numbers too long for it, no whole result, or one unknown too many."""

from __future__ import annotations

from training.nano.tasks import outside_wordings as words
from training.nano.tasks.arithmetic import ADD, DIVIDE, MULTIPLY, SUBTRACT, phrase
from training.nano.tasks.chains import SUMS
from training.nano.tasks.columns import divide_columns
from training.nano.tasks.countdown import WORDINGS as COUNTDOWN
from training.nano.tasks.formula_stories import filled, long_story
from training.nano.tasks.ordering import ASCENDING, DESCENDING, LARGER, SMALLER
from training.nano.tasks.percent_wordings import FRACTIONS, LOWERED, PART, PERCENT, RAISED, RATIO
from training.nano.tasks.powers import CUBE, ROOT, SQUARE
from training.nano.tasks.problem import ASKS, Problem, ask
from training.nano.tasks.refusals import refusal
from training.nano.tasks.remainder_wordings import AVERAGE, DIVISIBLE, QUOTIENT, REMAINDER_SENTENCES, ROUND, WHOLES
from training.nano.tasks.signed import shown, sign_rule
from training.nano.tasks.tools import calculator_schema
from training.nano.tasks.wording import Draws, listed


def declined(rng: Draws, question: str, thinking: str, reason: str, exact: bool = False, tools: float = 0.0) -> Problem:
    """Args: tools: how often a calculator is on offer, which would not help."""
    offered = [calculator_schema(rng)] if rng.random() < tools else None
    return refusal("outside", question.lower(), ask(rng, question, exact), thinking, reason, tools=offered)


def _long(rng: Draws) -> int:
    """A number of five to nine digits, round ones and those near the border among them."""
    roll = rng.random()
    if roll < 0.25:
        return rng.randrange(10000, 20000)
    if roll < 0.35:
        return rng.randrange(1, 10) * 10 ** rng.randrange(4, 8)
    digits = rng.choice((5, 5, 5, 6, 6, 7, 8, 9))
    return rng.randrange(10 ** (digits - 1), 10**digits)


def small(rng: Draws) -> int:
    return rng.randrange(2, 10 ** rng.choice((1, 2, 2, 3)))


def _long_sum(rng: Draws, long: int) -> str:
    numbers = [long, *(small(rng) for _ in range(rng.choice((2, 2, 3))))]
    rng.shuffle(numbers)
    return rng.wording(SUMS).format(l=listed(rng, numbers))


def _long_part(rng: Draws, long: int) -> str:
    return rng.wording(PART).format(f=rng.choice(rng.choice(FRACTIONS)[2]), n=long)


def _long_change(rng: Draws, long: int) -> str:
    return rng.wording(rng.choice((LOWERED, RAISED))).format(p=rng.randrange(1, 100), n=long)


def _long_ratio(rng: Draws, long: int) -> str:
    return rng.wording(RATIO).format(a=small(rng), b=long)


def _long_round(rng: Draws, long: int) -> str:
    return rng.wording(ROUND).format(a=long, k=rng.choice(rng.choice(WHOLES)[1]))


KINDS_OF_LONG = {
    14: _long_sum, 15: _long_part, 16: _long_change, 17: _long_ratio, 18: _long_round, 19: long_story,
}  # fmt: skip


def too_long(rng: Draws) -> Problem:
    """Everything that nano does, with a number of more than four digits."""
    long, other = _long(rng), _long(rng) if rng.random() < 0.4 else rng.randrange(1, 10 ** rng.randrange(1, 5))
    a, b = (long, other) if rng.random() < 0.6 else (other, long)
    kind = rng.randrange(20)
    if kind < 6:
        a, b = (-a if rng.random() < 0.08 else a), (-b if rng.random() < 0.08 else b)
        operation = (ADD, ADD, SUBTRACT, MULTIPLY, MULTIPLY, DIVIDE)[kind]
        question = phrase(rng, operation, shown(rng, a, True), shown(rng, b))
    elif kind == 6:
        question = rng.wording(ASKS).format(rng.wording(PERCENT).format(p=rng.randrange(1, 100), n=long))
    elif kind == 7:
        question = filled(
            rng, rng.wording(rng.choice((REMAINDER_SENTENCES, DIVISIBLE))), a=long, b=rng.randrange(2, 30)
        )
    elif kind == 8:
        numbers = [long, *(_long(rng) if rng.random() < 0.6 else small(rng) for _ in range(rng.randrange(1, 4)))]
        rng.shuffle(numbers)
        question = (
            rng.wording(rng.choice((AVERAGE, ASCENDING, DESCENDING))).replace("{l}", "{}").format(listed(rng, numbers))
        )
    elif kind == 9:
        question = rng.wording(LARGER if rng.random() < 0.5 else SMALLER).format(a=a, b=b)
    elif kind == 10:
        question = rng.wording(ASKS).format(rng.wording(rng.choice((SQUARE, CUBE))).format(a=long))
    elif kind == 11:
        question = rng.wording(ASKS).format(rng.wording(ROOT).format(n=long))
    elif kind == 12:
        signs = rng.choice("+-*"), rng.choice("+-*")
        question = rng.wording(ASKS).format(rng.choice((
            "{a}{s}{b}{t}{c}", "({a}{s}{b}){t}{c}", "{a} {s} {b} {t} {c}",
        )).format(
            a=a, b=b, c=small(rng), s=signs[0], t=signs[1]))  # fmt: skip
    elif kind in KINDS_OF_LONG:
        question = KINDS_OF_LONG[kind](rng, long)
    else:
        x = f"{rng.randrange(100)}.{rng.randrange(10000, 10 ** rng.randrange(5, 8))}"
        return declined(
            rng,
            phrase(rng, rng.choice((ADD, SUBTRACT, MULTIPLY)), x, small(rng)),
            f"{x} has more than four digits.",
            "size",
        )
    first = next(n for n in (a, b, long) if abs(n) > 9999 and str(abs(n)) in question)
    if rng.random() < 0.06:
        question = question.replace(str(long), f"{long:,}")
    return declined(rng, question, f"{abs(first)} has more than four digits.", "size")


def polynomial(rng: Draws, degree: int) -> str:
    terms, sign = [], ""
    for n in range(degree, -1, -1):
        k = rng.randrange(-12, 13) if n < degree else rng.choice((1, 1, 1, 1, rng.randrange(2, 7)))
        if not k or (n not in (0, degree) and rng.random() < 0.35):
            continue
        size = "" if abs(k) == 1 and n else str(abs(k))
        sign = ("-" if k < 0 else "+") if terms else ("-" if k < 0 else "")
        terms.append(sign + size + ("x" if n else "") + (f"^{n}" if n > 1 else ""))
    return "".join(terms)


def _spaced(rng: Draws, text: str) -> str:
    return (
        text if rng.random() < 0.3 else text[0] + text[1:].replace("+", " + ").replace("-", " - ").replace("=", " = ")
    )


def other_equations(rng: Draws) -> Problem:
    """Cubic and higher ones, systems, inequalities, roots and fractions of the unknown."""
    a, b, c, d = (rng.randrange(2, 30) for _ in range(4))
    kind = rng.randrange(8)
    if kind < 4:
        degree = rng.choice((3, 3, 3, 3, 4, 5))
        text = f"{polynomial(rng, degree)}={rng.choice((0, 0, 0, a, rng.randrange(2, 11) ** 3))}"
        if rng.random() < 0.25:
            text = f"x^{degree}={rng.choice((rng.randrange(2, 11) ** degree, a))}"
        return declined(
            rng,
            rng.wording(words.EQUATIONS).format(e=_spaced(rng, text)),
            f"The unknown has the power {degree}.",
            "equation",
        )
    if kind < 6:
        text = rng.choice(
            (
                "x+y={a}, x-y={b}",
                "x + y = {a} and x - y = {b}",
                "{c}x+{d}y={a}, x-y={b}",
                "x + y = {a}; {c}x - y = {b}",
                "y = {c}x + {a}, y = {d}x - {b}",
                "x+y={a}",
                "{c}x + {d}y = {a}",
                "x*y={a}, x+y={b}",
                "a + b = {a}, b + c = {b}, a + c = {c}",
            )
        )
        thinking = "There is more than one unknown."
    elif kind == 6:
        text, thinking = (
            rng.choice(
                (
                    "{c}x + {a} > {b}",
                    "x < {a} - {c}x",
                    "{c}x - {a} >= {b}",
                    "x^2 > {a}",
                    "|x| = {a}",
                    "|x - {a}| = {b}",
                    "x <= {a}/{c}",
                )
            ),
            "That is no equation of the kinds I know.",
        )
    else:
        text, thinking = (
            rng.choice(
                (
                    "sqrt(x) = {c}",
                    "1/x = {a}",
                    "{c}^x = {a}",
                    "log(x) = {c}",
                    "sin(x) = 0.{a}",
                    "{c}/(x+{a}) = {b}",
                    "x^x = {a}",
                    "e^x = {a}",
                    "2^x = {a}",
                    "x! = {a}",
                    "sqrt(x + {a}) = {c}",
                    "x^0.5 = {c}",
                )
            ),
            "That is no equation of the kinds I know.",
        )
    question = rng.wording(words.EQUATIONS).format(e=text.format(a=a, b=b, c=c, d=d))
    return declined(rng, question, thinking, "equation")


def by_zero(rng: Draws) -> Problem:
    """Division by zero."""
    a = rng.randrange(0, 10 ** rng.choice((1, 2, 3)))
    roll = rng.random()
    if roll < 0.7:
        question = phrase(rng, DIVIDE, a, rng.choice((0, 0, 0, "zero")))
    elif roll < 0.85:
        question = filled(rng, rng.wording(REMAINDER_SENTENCES), a=a, b=0)
    else:
        question = rng.wording(ASKS).format(rng.wording(QUOTIENT).format(a=a, b=0))
    return declined(rng, question, f"{a} / 0: the divisor is zero.", "zero")


def negative_remainder(rng: Draws) -> Problem:
    """A quotient with a sign that is not whole."""
    b = rng.randrange(2, 13)
    a = -rng.choice([n for n in range(1, 100) if n % b])
    thinking = f"{a} / {b}\n{sign_rule(a, b)}\n{divide_columns(-a, b)}\nA remainder of a negative number."
    return declined(rng, phrase(rng, DIVIDE, shown(rng, a, True), b), thinking, "whole")


def long_countdown(rng: Draws) -> Problem:
    """Countdown with more than three numbers."""
    numbers = [rng.randrange(1, 101) for _ in range(rng.choice((4, 4, 5, 6)))]
    question = rng.wording(COUNTDOWN).format(n=listed(rng, numbers), t=rng.randrange(10, 1000))
    return declined(rng, question, "There are more than three numbers.", "unreachable")

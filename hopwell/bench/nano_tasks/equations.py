"""Linear equations in one unknown, with whole solutions."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hopwell.bench.nano_tasks.problem import Problem, ask, boxed

WORDINGS = ("Solve {e}.", "Solve for {v}: {e}", "Solve {e} for {v}.", "Find {v} if {e}.", "{e}", "{e}, {v}=?",
            "What is {v} if {e}?", "Solve the equation {e}", "If {e}, what is {v}?", "{e} find {v}")  # fmt: skip
UNKNOWNS = "xxxxxynztakmpw"


@dataclass(frozen=True)
class Equation:
    """Two sides, the steps that solve it, and the solution."""

    left: str
    right: str
    steps: list[str]
    solution: int


def equation(rng: random.Random) -> Problem:
    """One of eight shapes, from x+a=b to ax+b=cx+d, solved one transformation a line."""
    v = rng.choice(UNKNOWNS)
    made = rng.choice(SHAPES)(rng, v)
    text = f"{made.left}={made.right}"
    shown = text if rng.random() < 0.3 else f"{_spaced(made.left)} = {_spaced(made.right)}"
    return Problem(
        "equation",
        text.replace(v, "x"),
        ask(rng, rng.choice(WORDINGS).format(e=shown, v=v)),
        "\n".join([text, *made.steps]),
        f"{v} = {boxed(made.solution)}",
        str(made.solution),
        accepts=lambda given: given.replace(" ", "").rpartition("=")[2] == str(made.solution),
    )


def _spaced(side: str) -> str:
    """Spaces around the operators, but not after a leading sign."""
    return side[0] + side[1:].replace("+", " + ").replace("-", " - ")


def _signed(n: int) -> str:
    return f"+{n}" if n >= 0 else str(n)


def _solution(rng: random.Random) -> int:
    return rng.randrange(-12, 31)


def _offset(rng: random.Random, limit: int) -> int:
    return rng.choice((-1, 1)) * rng.randrange(1, limit)


def _shift(rng: random.Random, v: str) -> Equation:
    """x + n = b."""
    x, n = _solution(rng), _offset(rng, 100)
    return Equation(f"{v}{_signed(n)}", f"{x + n}", [f"{v}={x + n}{_signed(-n)}={x}"], x)


def _from(rng: random.Random, v: str) -> Equation:
    """n - x = b."""
    x, n = _solution(rng), rng.randrange(1, 100)
    return Equation(f"{n}-{v}", f"{n - x}", [f"{v}={n}{_signed(x - n)}={x}"], x)


def _scale(rng: random.Random, v: str) -> Equation:
    """a x = b."""
    x, a = _solution(rng), rng.randrange(2, 13)
    return Equation(f"{a}{v}", f"{a * x}", [f"{v}={a * x}/{a}={x}"], x)


def _share(rng: random.Random, v: str) -> Equation:
    """x / a = b."""
    quotient, a = rng.randrange(-6, 21), rng.randrange(2, 10)
    return Equation(f"{v}/{a}", f"{quotient}", [f"{v}={quotient}*{a}={quotient * a}"], quotient * a)


def _line(rng: random.Random, v: str) -> Equation:
    """a x + n = b."""
    x, a, n = _solution(rng), rng.randrange(2, 13), _offset(rng, 50)
    b = a * x + n
    return Equation(f"{a}{v}{_signed(n)}", f"{b}", [f"{a}{v}={b}{_signed(-n)}={b - n}", f"{v}={b - n}/{a}={x}"], x)


def _bracket(rng: random.Random, v: str) -> Equation:
    """a (x + n) = b."""
    x, a, n = _solution(rng), rng.randrange(2, 10), _offset(rng, 13)
    inner = x + n
    steps = [f"{v}{_signed(n)}={a * inner}/{a}={inner}", f"{v}={inner}{_signed(-n)}={x}"]
    return Equation(f"{a}({v}{_signed(n)})", f"{a * inner}", steps, x)


def _share_shift(rng: random.Random, v: str) -> Equation:
    """x / a + n = b."""
    quotient, a, n = rng.randrange(-6, 21), rng.randrange(2, 10), _offset(rng, 30)
    b = quotient + n
    steps = [f"{v}/{a}={b}{_signed(-n)}={quotient}", f"{v}={quotient}*{a}={quotient * a}"]
    return Equation(f"{v}/{a}{_signed(n)}", f"{b}", steps, quotient * a)


def _both(rng: random.Random, v: str) -> Equation:
    """a x + n = c x + d, a > c."""
    x, c = _solution(rng), rng.randrange(2, 9)
    a, n = c + rng.randrange(1, 9), _offset(rng, 40)
    d = (a - c) * x + n
    steps = [
        f"{a}{v}-{c}{v}={d}{_signed(-n)}",
        f"{a - c}{v}={d - n}",
        f"{v}={d - n}/{a - c}={x}",
    ]
    return Equation(f"{a}{v}{_signed(n)}", f"{c}{v}{_signed(d)}", steps, x)


SHAPES = (_shift, _from, _scale, _share, _line, _line, _bracket, _share_shift, _both, _both)

"""Quadratic equations in one unknown with whole solutions, by roots and by factors."""

from __future__ import annotations

from training.nano.tasks.equations import UNKNOWNS, WORDINGS
from training.nano.tasks.powers import square_root
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws

QUADRATIC = (
    "Solve {e}.", "Find the (roots|zeros|solutions) of {p}.",
    "(What are|What's|Find) the (roots|solutions|zeros) of {e}?", "Solve the quadratic (equation |){e}",
    "(Which|What) numbers? (solve|satisfy|fulfil) {e}?", "(Find|Give me) all {v} (with|such that|for which) {e}.",
    "quadratic: {e}", "Factor and solve {e}.", "For which {v} is {e}?",
    "(When|Where) is {p} (zero|equal to zero|= 0)?", "What (is|are) {v} (if|when) {e}?", "roots of {p}",
    "zeros of {p}",
)  # fmt: skip


def quadratic(rng: Draws) -> Problem:
    """x^2 = c, a x^2 = c, x^2 + c = d, x^2 + b x + c = 0 and its like; without whole solutions it is refused."""
    v = rng.choice(UNKNOWNS)
    left, right, steps, solutions = rng.choice((_square, _square, _scaled, _factors, _factors, _factors, _product))(
        rng, v
    )
    shown = f"{left}={right}" if rng.random() < 0.25 else f"{_spaced(left)} = {_spaced(right)}"
    polynomial = right == "0" and rng.random() < 0.4
    table = QUADRATIC if polynomial or rng.random() < 0.5 else WORDINGS
    while "{p}" in (question := rng.wording(table)) and right != "0":
        pass
    question = question.format(e=shown, v=v, p=_spaced(left))
    if rng.random() < 0.2:
        question = question.replace("^2", rng.choice(("²", "²", " squared ")))
    key, messages = f"{left}={right}".replace(v, "x"), ask(rng, question)
    trace = "\n".join([f"{left}={right}", *steps])
    if not solutions:
        return refusal("quadratic", key, messages, trace, "solution")
    answer = ", ".join(map(str, sorted(set(solutions))))
    reply = f"{'The solutions are' if ',' in answer else 'The solution is'} {boxed(answer)}."
    return Problem("quadratic", key, messages, trace, reply, answer, accepts=lambda given: same_set(given, answer))


def same_set(given: str, answer: str) -> bool:
    """Whether two lists name the same solutions, in any order."""
    parts = given.replace("or", ",").replace("and", ",").replace(" ", "").split(",")
    return sorted(p.rpartition("=")[2] for p in parts if p) == sorted(answer.replace(" ", "").split(","))


def _spaced(side: str) -> str:
    return side[0] + side[1:].replace("+", " + ").replace("-", " - ") if "(" not in side else side


def _signed(n: int) -> str:
    return f"+{n}" if n >= 0 else str(n)


Made = tuple[str, str, list[str], list[int]]
"""Two sides, the steps, and the solutions: none if they are not whole."""


def _roots(c: int, v: str) -> tuple[list[str], list[int]]:
    """The steps and solutions of v^2 = c."""
    if c < 0:
        return [f"{v}^2={c} is negative: no solution."], []
    trace, root = square_root(c)
    if root is None:
        return [f"{v}^2={c}", trace, "No whole solution."], []
    if root == 0:
        return [f"{v}^2=0", trace, f"{v}=0"], [0]
    return [f"{v}^2={c}", trace, f"{v}={root} or {v}=-{root}"], [-root, root]


def _whole_square(rng: Draws) -> int:
    roll = rng.random()
    if roll < 0.82:
        return rng.randrange(0, rng.choice((13, 13, 31))) ** 2
    return rng.randrange(2, 200) if roll < 0.95 else -rng.randrange(1, 100)


def _square(rng: Draws, v: str) -> Made:
    """v^2 = c, or v^2 + n = c + n."""
    c = _whole_square(rng)
    if rng.random() < 0.5:
        steps, solutions = _roots(c, v)
        return f"{v}^2", str(c), steps, solutions
    n = rng.choice((-1, 1)) * rng.randrange(1, 50)
    if rng.random() < 0.4:
        n = -c if c else n
    steps, solutions = _roots(c, v)
    return f"{v}^2{_signed(n)}", str(c + n), [f"{v}^2={c + n}{_signed(-n)}={c}", *steps], solutions


def _scaled(rng: Draws, v: str) -> Made:
    """a v^2 = b, or a v^2 + n = b + n."""
    a, c = rng.randrange(2, 10), _whole_square(rng)
    n = rng.choice((0, 0, rng.randrange(-30, 31)))
    steps, solutions = _roots(c, v)
    steps = [f"{v}^2={a * c}/{a}={c}", *steps]
    if n:
        steps = [f"{a}{v}^2={a * c + n}{_signed(-n)}={a * c}", *steps]
    return f"{a}{v}^2{_signed(n) if n else ''}", str(a * c + n), steps, solutions


def _factors(rng: Draws, v: str) -> Made:
    """v^2 + b v + c = 0, also with terms on the right: two numbers with product c and sum b."""
    p, q = (rng.randrange(-12, 13) for _ in range(2))
    b, c = p + q, p * q
    if rng.random() < 0.15:
        b, c = rng.randrange(-12, 13), rng.randrange(-40, 41)
    if not b:
        b, c = 1, -6
    middle = "+" + v if b == 1 else "-" + v if b == -1 else f"{_signed(b)}{v}"
    steps, solutions = factors(b, c, v)
    plain = f"{v}^2{middle}{_signed(c) if c else ''}"
    roll = rng.random()
    if roll < 0.75 or not c:
        return plain, "0", steps, solutions
    if roll < 0.88:
        return f"{v}^2{middle}", str(-c), [f"{plain}=0", *steps], solutions
    moved = v if b == -1 else f"-{v}" if b == 1 else f"{-b}{v}"
    return f"{v}^2", f"{moved}{_signed(-c)}", [f"{plain}=0", *steps], solutions


def factors(b: int, c: int, v: str) -> tuple[list[str], list[int]]:
    """The steps and solutions of v^2 + b v + c = 0."""
    if c == 0:
        return [f"{v}({v}{_signed(b)})=0", f"{v}=0 or {v}={-b}"], [0, -b]
    lines = [f"Product {c}, sum {b}: " + ("like signs, so add" if c > 0 else "unlike signs, so subtract")]
    for small in range(1, abs(c) + 1):
        large, rest = divmod(abs(c), small)
        if small > large:
            break
        if rest:
            continue
        total = large + small if c > 0 else large - small
        lines.append(f"{small}*{large}: {large}{'+' if c > 0 else '-'}{small}={total}")
        if total == abs(b):
            first = large if b > 0 else -large
            second = (small if b > 0 else -small) if c > 0 else (-small if b > 0 else small)
            lines += [f"Numbers {first} and {second}", f"{v}={-first} or {v}={-second}"]
            return lines, [-first, -second]
    return [*lines, "No pair fits: no whole solution."], []


def _product(rng: Draws, v: str) -> Made:
    """(v + p)(v + q) = 0."""
    p, q = (rng.choice((-1, 1)) * rng.randrange(1, 13) for _ in range(2))
    steps = [f"{v}{_signed(p)}=0 or {v}{_signed(q)}=0", f"{v}={-p} or {v}={-q}"]
    return f"({v}{_signed(p)})({v}{_signed(q)})", "0", steps, [-p, -q]

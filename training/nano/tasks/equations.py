"""Linear equations in one unknown, with whole solutions."""

from __future__ import annotations

from dataclasses import dataclass

from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws

WORDINGS = (
    "Solve {e}.", "(Solve|solve) for {v}: {e}", "Solve {e} for {v}.", "Find {v} if {e}.", "{e}",
    "{e}, {v}(=?|?| = ?)", "What is {v} (if|when|in) {e}?", "(Solve|solve) the equation {e}(.|)",
    "If {e}, (what is {v}|find {v}|how much is {v}|then {v} is)?", "{e} (find|solve for|solve) {v}",
    "(Can|Could) you (please |)solve {e}( for {v}| for me|)?",
    "(Find|Give me|Tell me) (the value of |){v}(:| when| for| if) {e}", "For which {v} is {e}?",
    "{e}. (What is|Find|How much is) {v}?", "(What|Which) (value of |){v} (solves|satisfies|makes) {e}?",
    "(Equation|equation): {e}", "(I need|I want to know) {v}: {e}",
    "(Given|Suppose|Let) {e}. (What is|Find) {v}(?|.)", "Determine {v} from {e}.", "(Help me|help me) solve {e}",
    "(How do I|how to) solve {e}(?|)", "(Work out|Calculate|Compute) {v}: {e}", "(When|If) {e}, {v} equals what?",
    "What must {v} be (so that|if) {e}?", "Solve this: {e}", "(What's|Whats|what's) {v} in {e}(?|)",
    "Get {v} from {e}.",
)  # fmt: skip
PLUS = (
    "What number plus {n} (is|equals|makes|gives) {b}?",
    "I think of a number and add {n}. (I get|The result is|It gives) {b}. (What is the number|Which number is "
    "it|What number do I think of)?",
    "(Which|What) number do I (have to |need to |)add to {n} to get {b}?",
    "{n} plus (what|which number|how much) (is|equals|makes|gives) {b}?", "{n} + ? = {b}", "? + {n} = {b}",
    "What do I add to {n} to (get|make|reach) {b}?",
    "(A|Some) number (increased by|plus) {n} is {b}. (What is it|Find the number|Which one)?",
    "How much must I add to {n} to get {b}?", "___ + {n} = {b}",
    "{n} more than a number is {b}. What is (it|the number)?",
)  # fmt: skip
MINUS = (
    "What number minus {n} (is|equals|makes|gives) {b}?",
    "I think of a number and (subtract|take away) {n}. (I get|The result is|It gives) {b}. (What is the "
    "number|Which number is it|What number do I think of)?",
    "? - {n} = {b}", "{n} less than (a|which|what) number is {b}?",
    "From which number (do|must) I (subtract|take) {n} to get {b}?",
    "(A|Some) number (decreased by|minus) {n} is {b}. (What is it|Find the number)?", "___ - {n} = {b}",
    "Which number is {b} after I take away {n}?",
)  # fmt: skip
TIMES = (
    "What number times {n} (is|equals|makes|gives) {b}?",
    "I think of a number and multiply it by {n}. (I get|The result is|It gives) {b}. (What is the number|Which "
    "number is it|What number do I think of)?",
    "{n} times (what|which number) (is|equals|makes|gives) {b}?", "{n} * ? = {b}", "? * {n} = {b}", "{n} x ? = {b}",
    "(A|Some) number (multiplied by|times) {n} is {b}. (What is it|Find the number)?",
    "(By what|With what) do I (have to |)multiply {n} to get {b}?", "___ * {n} = {b}",
    "Which number do I multiply by {n} to get {b}?",
)  # fmt: skip
DOUBLED = (
    "(Twice|Two times) a number plus {n} is {b}. (What is the number|Find it|Which number is it)?",
    "I double a number and add {n}. (I get|The result is) {b}. (What is the number|Which number is it)?",
    "(Double|Twice) a number and {n} more (is|makes) {b}. What is (it|the number)?",
    "I think of a number, double it, add {n} and get {b}. (What is it|What is my number)?",
    "If you double a number and then add {n}, you get {b}. (Which|What) number is it?",
)  # fmt: skip
UNKNOWNS = "xxxxxynztakmpw"


@dataclass(frozen=True)
class Equation:
    """Two sides, the steps that solve it, and the solution."""

    left: str
    right: str
    steps: list[str]
    solution: int


def equation(rng: Draws) -> Problem:
    """One of eight shapes, from x+a=b to ax+b=cx+d, solved one transformation a line; or the same in words."""
    v = rng.choice(UNKNOWNS)
    roll = rng.random()
    if roll < 0.15:
        return _in_words(rng)
    if roll < 0.2:
        return _fraction(rng, v)
    made = rng.choice(SHAPES)(rng, v)
    text = f"{made.left}={made.right}"
    shown = text if rng.random() < 0.3 else f"{_spaced(made.left)} = {_spaced(made.right)}"
    return _equation_problem(rng, made, v, rng.wording(WORDINGS).format(e=shown, v=v))


def _equation_problem(rng: Draws, made: Equation, v: str, question: str) -> Problem:
    text = f"{made.left}={made.right}"
    return Problem(
        "equation",
        text.replace(v, "x"),
        ask(rng, question),
        "\n".join([text, *made.steps]),
        f"{v} = {boxed(made.solution)}",
        str(made.solution),
        accepts=lambda given: given.replace(" ", "").rpartition("=")[2] == str(made.solution),
    )


def _in_words(rng: Draws) -> Problem:
    """A number that somebody thinks of; the trace writes the equation first."""
    x, n = _solution(rng), rng.randrange(1, 100)
    if x < 0 and rng.random() < 0.8:
        x = -x
    kind = rng.randrange(4)
    if kind < 2:
        n = n if kind == 0 else -n
        made = Equation(f"x{_signed(n)}", f"{x + n}", [f"x={x + n}{_signed(-n)}={x}"], x)
        question = rng.wording(PLUS if kind == 0 else MINUS).format(n=abs(n), b=x + n)
    elif kind == 2:
        n = rng.randrange(2, 13)
        made = Equation(f"{n}x", f"{n * x}", [f"x={n * x}/{n}={x}"], x)
        question = rng.wording(TIMES).format(n=n, b=n * x)
    else:
        n, b = n % 50 + 1, 2 * x + n % 50 + 1
        made = Equation(f"2x+{n}", f"{b}", [f"2x={b}-{n}={b - n}", f"x={b - n}/2={x}"], x)
        question = rng.wording(DOUBLED).format(n=n, b=b)
    return _equation_problem(rng, made, "x", question)


def _fraction(rng: Draws, v: str) -> Problem:
    """a x = b or a x + n = b whose solution is not whole: refused."""
    a, n = rng.randrange(2, 13), rng.choice((0, _offset(rng, 50)))
    right = rng.choice([b for b in range(-60, 145) if b % a])
    left, steps = f"{a}{v}{_signed(n) if n else ''}", [f"{v}={right}/{a} no"]
    if n:
        steps = [f"{a}{v}={right + n}{_signed(-n)}={right}", *steps]
    text = f"{left}={right + n}"
    shown = text if rng.random() < 0.3 else f"{_spaced(left)} = {right + n}"
    messages = ask(rng, rng.wording(WORDINGS).format(e=shown, v=v))
    return refusal("equation", text.replace(v, "x"), messages, "\n".join([text, *steps]), "solution")


def _spaced(side: str) -> str:
    """Spaces around the operators, but not after a leading sign."""
    return side[0] + side[1:].replace("+", " + ").replace("-", " - ")


def _signed(n: int) -> str:
    return f"+{n}" if n >= 0 else str(n)


def _solution(rng: Draws) -> int:
    return rng.randrange(-12, 31)


def _offset(rng: Draws, limit: int) -> int:
    return rng.choice((-1, 1)) * rng.randrange(1, limit)


def _shift(rng: Draws, v: str) -> Equation:
    """x + n = b."""
    x, n = _solution(rng), _offset(rng, 100)
    return Equation(f"{v}{_signed(n)}", f"{x + n}", [f"{v}={x + n}{_signed(-n)}={x}"], x)


def _from(rng: Draws, v: str) -> Equation:
    """n - x = b."""
    x, n = _solution(rng), rng.randrange(1, 100)
    return Equation(f"{n}-{v}", f"{n - x}", [f"{v}={n}{_signed(x - n)}={x}"], x)


def _scale(rng: Draws, v: str) -> Equation:
    """a x = b."""
    x, a = _solution(rng), rng.randrange(2, 13)
    return Equation(f"{a}{v}", f"{a * x}", [f"{v}={a * x}/{a}={x}"], x)


def _share(rng: Draws, v: str) -> Equation:
    """x / a = b."""
    quotient, a = rng.randrange(-6, 21), rng.randrange(2, 10)
    return Equation(f"{v}/{a}", f"{quotient}", [f"{v}={quotient}*{a}={quotient * a}"], quotient * a)


def _line(rng: Draws, v: str) -> Equation:
    """a x + n = b."""
    x, a, n = _solution(rng), rng.randrange(2, 13), _offset(rng, 50)
    b = a * x + n
    return Equation(f"{a}{v}{_signed(n)}", f"{b}", [f"{a}{v}={b}{_signed(-n)}={b - n}", f"{v}={b - n}/{a}={x}"], x)


def _bracket(rng: Draws, v: str) -> Equation:
    """a (x + n) = b."""
    x, a, n = _solution(rng), rng.randrange(2, 10), _offset(rng, 13)
    inner = x + n
    steps = [f"{v}{_signed(n)}={a * inner}/{a}={inner}", f"{v}={inner}{_signed(-n)}={x}"]
    return Equation(f"{a}({v}{_signed(n)})", f"{a * inner}", steps, x)


def _share_shift(rng: Draws, v: str) -> Equation:
    """x / a + n = b."""
    quotient, a, n = rng.randrange(-6, 21), rng.randrange(2, 10), _offset(rng, 30)
    b = quotient + n
    steps = [f"{v}/{a}={b}{_signed(-n)}={quotient}", f"{v}={quotient}*{a}={quotient * a}"]
    return Equation(f"{v}/{a}{_signed(n)}", f"{b}", steps, quotient * a)


def _both(rng: Draws, v: str) -> Equation:
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

"""Powers and whole roots of small integers; what does not come out is refused."""

from __future__ import annotations

from training.nano.tasks.columns import compare_digits, multiply_columns, multiply_row
from training.nano.tasks.problem import ASKS, Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, in_words

LARGEST = 9999
"""Powers up to this, but for those of ten."""
POWER = (
    "{a}^{n}", "{a}**{n}", "{a} to the power of {n}", "{a} to the power {n}", "{a} to the {o} power",
    "{a} to the {o}", "{a} raised to (the power (of |)|){n}", "{a} ^ {n}", "the {o} power of {a}",
    "{a} (multiplied by itself|times itself), {n} factors", "power({a}, {n})", "pow({a}, {n})",
)  # fmt: skip
SQUARE = (
    "{a}^2", "{a} squared", "{a}²", "the square of {a}", "{a} to the power of 2", "{a} times itself",
    "{a} to the second power", "{a}**2", "{a} ^ 2", "{a} multiplied by itself", "{a} to the 2nd", "{a} square",
    "square({a})",
)  # fmt: skip
CUBE = (
    "{a}^3", "{a} cubed", "{a}³", "the cube of {a}", "{a} to the power of 3", "{a} to the third power", "{a}**3",
    "{a} ^ 3", "{a} to the 3rd",
)  # fmt: skip
SQUARE_SENTENCES = (
    "Square {a}.", "What (do|will) you get (when|if) you square {a}?", "(Can|Could) you square {a}( for me|)?",
    "Multiply {a} by itself.", "What is {a} when (it is|) squared?", "If I square {a}, what do I get?",
    "Take the square of {a}.",
)  # fmt: skip
CUBE_SENTENCES = (
    "Cube {a}.", "What (do|will) you get (when|if) you cube {a}?", "(Can|Could) you cube {a}( for me|)?",
    "If I cube {a}, what do I get?", "Take the cube of {a}.",
)  # fmt: skip
POWER_SENTENCES = (
    "Raise {a} to the power of {n}.", "Raise {a} to the {o} power.",
    "What (do|will) you get (when|if) you raise {a} to the power of {n}?",
    "(Can|Could) you raise {a} to the {o} power( for me|)?", "Take {a} to the power of {n}.",
)  # fmt: skip
ROOT = (
    "sqrt({n})", "the square root of {n}", "√{n}", "sqrt {n}", "the root of {n}", "the (second|2nd) root of {n}",
    "root {n}", "square root of {n}", "√({n})", "square root {n}", "sqrt of {n}", "squareroot of {n}",
    "{n}'s square root", "root of {n}", "the sq root of {n}", "sq root of {n}", "second root of {n}",
)  # fmt: skip
CUBE_ROOT = (
    "the cube root of {n}", "cbrt({n})", "∛{n}", "the third root of {n}", "cube root of {n}", "the 3rd root of {n}",
    "cuberoot({n})", "cube root {n}",
)  # fmt: skip
ROOT_SENTENCES = (
    "Take the square root of {n}.", "What number (squared|times itself) (is|gives|makes|equals) {n}?",
    "Which number has {n} as its square?", "Find the square root of {n}.", "The square of what (number |)is {n}?",
    "(Can|Could) you (find|take|give me) the (square |)root of {n}?",
    "Which number must I (square|multiply by itself) to get {n}?", "Extract the square root of {n}.",
)  # fmt: skip
CUBE_ROOT_SENTENCES = (
    "Take the cube root of {n}.", "What number cubed (is|gives|makes|equals) {n}?", "Find the cube root of {n}.",
    "Which number has {n} as its cube?", "(Can|Could) you (find|take|give me) the cube root of {n}?",
    "The cube of what (number |)is {n}?",
)  # fmt: skip
ENDINGS = {1: "st", 2: "nd", 3: "rd"}
ORDINALS = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
)  # fmt: skip


def power(rng: Draws) -> Problem:
    """A power of up to four digits, or of ten; one that grows too large is refused, once it has."""
    return power_problem(rng, too_large=rng.random() < 0.1)


def power_problem(rng: Draws, too_large: bool = False) -> Problem:
    """A power that fits, or one that does not."""
    while True:
        base = rng.choice(
            (2, 2, 3, 10, rng.randrange(1, 11), rng.randrange(2, 21), rng.randrange(2, 100), rng.randrange(0, 200))
        )
        n = rng.choice(
            (
                2,
                2,
                3,
                rng.randrange(0, 5),
                rng.randrange(2, 8),
                rng.randrange(2, 14),
                rng.randrange(2, 101 if too_large else 10),
            )
        )
        if rng.random() < 0.15:
            base = -base
        fits = (
            (abs(base) in (0, 1) and n < 11)
            or (abs(base) == 10 and n < 10)
            or (abs(base) > 1 and n < 14 and abs(base) ** n <= LARGEST)
        )
        if fits != too_large and not (too_large and abs(base) in (0, 1, 10)) and (base or n):
            break
    trace, value = raise_power(base, n)
    question = _power_question(rng, base, n)
    key = f"{base}^{n}"
    if value is None:
        return refusal("power", key, ask(rng, question), trace, "power")
    shown = f"({base})^{n}" if base < 0 else f"{base}^{n}"
    return Problem("power", key, ask(rng, question), trace, f"{shown} = {boxed(value)}", str(value))


def _power_question(rng: Draws, base: int, n: int) -> str:
    a = f"({base})" if base < 0 else str(base)
    ordinal = (
        ORDINALS[n]
        if n < len(ORDINALS) and rng.random() < 0.6
        else f"{n}{ENDINGS.get(n % 10, 'th') if n not in (11, 12, 13) else 'th'}"
    )
    nouns, sentences = (POWER, POWER_SENTENCES)
    if n in (2, 3) and rng.random() < 0.7:
        nouns, sentences = (SQUARE, SQUARE_SENTENCES) if n == 2 else (CUBE, CUBE_SENTENCES)
    if rng.random() < 0.25 and base >= 0:
        return rng.wording(sentences).format(a=a, n=n, o=ordinal)
    noun = rng.choice(nouns[:3]) if rng.random() < 0.5 else rng.wording(nouns)
    return rng.wording(ASKS).format(noun.format(a=a, n=n, o=ordinal))


def raise_power(base: int, n: int) -> tuple[str, int | None]:
    """The trace of base^n by repeated multiplication, and the value: None once it has more than four digits."""
    shown, size = (f"({base})^{n}" if base < 0 else f"{base}^{n}"), abs(base)
    if n == 0:
        return f"{shown}: the power zero gives 1", 1
    lines = [f"{shown}: {n} factor{'s' if n > 1 else ''} of {base}"]
    if size == 10:
        lines.append(f"A 1 and {in_words(n)} zeros: 1{' 0' * n}")
    else:
        value = size
        for i in range(2, n + 1):
            lines.append(f"{i}: {_times(value, size)}")
            value *= size
            if value > LARGEST:
                return "\n".join([*lines, "More than four digits: too large."]), None
    result = size**n
    if base < 0:
        lines.append(
            f"{n} is {'odd' if n % 2 else 'even'}, so the result is {'negative' if n % 2 else 'positive'}: {base**n}"
        )
    else:
        lines.append(f"So {result}")
    return "\n".join(lines), base**n


def _times(a: int, b: int) -> str:
    """A product: at a glance if small, else in columns."""
    high, low = max(a, b), min(a, b)
    if low < 10 and high < 21:
        return f"{a}*{b}={a * b}"
    if low < 10:
        return f"{a}*{b}: {multiply_row(high, low)[3:]}"
    return f"{a}*{b}\n{multiply_columns(a, b)}\n{a}*{b}={a * b}"


def root(rng: Draws) -> Problem:
    """The square root of a square up to 99 * 99, or the cube root of a cube up to 1000; other numbers are refused."""
    cube, whole = rng.random() < 0.25, rng.random() < 0.8
    if cube:
        n = rng.randrange(0, 11) ** 3 if whole else rng.randrange(2, 1001)
        trace, found = cube_root(n)
        nouns, sentences = CUBE_ROOT, CUBE_ROOT_SENTENCES
    else:
        limit = rng.choice((13, 21, 31, 100))
        n = rng.randrange(0, limit) ** 2 if whole else rng.randrange(2, limit * limit)
        trace, found = square_root(n)
        nouns, sentences = ROOT, ROOT_SENTENCES
    question = (
        rng.wording(sentences)
        if rng.random() < 0.3
        else rng.wording(ASKS).format(rng.choice(nouns[:3]) if rng.random() < 0.5 else rng.wording(nouns))
    )
    key = f"{'cbrt' if cube else 'sqrt'}({n})"
    messages = ask(rng, question.format(n=n))
    if found is None:
        return refusal("root", key, messages, trace, "root")
    return Problem("root", key, messages, trace, f"{key} = {boxed(found)}", str(found))


def square_root(n: int) -> tuple[str, int | None]:
    """The trace of a square root of up to four digits: the tens by their squares, the ones by the last digit."""
    tens = max(t for t in range(0, 10) if 100 * t * t <= n)
    low, high = 10 * tens, 10 * tens + 10
    lines = [f"{low}*{low}={low * low}, {high}*{high}={high * high}: {n} is between."]
    ends = [d for d in range(10) if d * d % 10 == n % 10]
    if not ends:
        return "\n".join([*lines, f"No square ends in {n % 10}."]), None
    lines.append(f"It ends in {n % 10}: {' or '.join(str(low + d) for d in ends)}")
    for d in ends:
        tried = low + d
        square = tried * tried
        lines.append(f"{_times(tried, tried)}\n{n} and {square}: {_same(n, square)}")
        if square == n:
            return "\n".join(lines), tried
    return "\n".join([*lines, f"{n} is no square."]), None


def _same(n: int, found: int) -> str:
    """Whether two numbers are the same, digit by digit."""
    width = max(len(str(n)), len(str(found)))
    return f"{compare_digits(f'{n:0{width}}', f'{found:0{width}}')} {'yes' if n == found else 'no'}"


def cube_root(n: int) -> tuple[str, int | None]:
    """The trace of a cube root up to 1000, by listing cubes."""
    last = next(i for i in range(11) if i**3 >= n)
    lines = ["Cubes: " + " ".join(f"{i}:{i**3}" for i in range(last + 1)), f"{n} and {last**3}: {_same(n, last**3)}"]
    if last**3 != n:
        return "\n".join([*lines, f"{n} is no cube."]), None
    return "\n".join([*lines, f"{n} is the cube of {last}"]), last

"""Conversion between units, both ways."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import divide_columns, multiply_columns
from training.nano.tasks.decimals import decimal
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

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
WORDINGS = (
    "Convert {n} {a} to {b}.", "How many {b} are {n} {a}?", "{n} {a} in {b}", "How many {b} is {n} {a}?",
    "What is {n} {a} in {b}?", "{n} {a} to {b}", "Express {n} {a} in {b}.", "convert {n} {a} into {b}",
    "How many {b} are (there |)in {n} {a}?", "How many {b} (do|does) {n} {a} (have|make|make up)?",
    "(Change|Turn) {n} {a} (to|into) {b}.", "{n} {a} is how many {b}?", "{n} {a} = ? {b}",
    "(I have|There are) {n} {a}. How many {b} (is|are) that?",
    "(Can|Could) you (convert|change) {n} {a} (to|into) {b}?", "Give {n} {a} in {b}.",
    "What (do|does) {n} {a} make in {b}?", "how much is {n} {a} in {b}", "(Write|State) {n} {a} (as|in) {b}.",
    "{n} {a} (are|equal|equals) how many {b}?",
    "(It takes|It lasts|I need) {n} {a}. (How many|What is that in) {b}( is that|)?", "{n} {a}, in {b}(?|)",
    "What are {n} {a} in {b}?", "Tell me how many {b} {n} {a} are.",
    "{n} {a} (equals|is|makes|gives) ? {b}", "? {b} = {n} {a}", "{n} {a} -> {b}", "{n} {a} as {b}",
    "how many {b} for {n} {a}", "{b} from {n} {a}?", "I need {n} {a} in {b}.", "Measured in {b}, what is {n} {a}?",
    "Put {n} {a} into {b}.", "(Translate|Transfer|Recalculate) {n} {a} (to|into) {b}.", "{n} {a}: how many {b}?",
    "{n} {a} corresponds to how many {b}?", "in {b}, {n} {a} is?",
)  # fmt: skip
MIXED = (
    "Convert {n} {b} to {a} and {b}.", "How many {a} and {b} are {n} {b}?", "{n} {b} in {a} and {b}",
    "Express {n} {b} in {a} and {b}.", "What is {n} {b} in {a} and {b}?", "{n} {b} to {a} and {b}",
    "(Change|Turn) {n} {b} into {a} and {b}.", "How many {a} and {b} is {n} {b}?", "Write {n} {b} as {a} and {b}.",
    "(Can|Could) you convert {n} {b} (to|into) {a} and {b}?", "{n} {b} is how many {a} and {b}?",
    "(I have|It takes) {n} {b}. (What is that|How much is that) in {a} and {b}?", "Give {n} {b} in {a} and {b}.",
    "Split {n} {b} into {a} and {b}.",
    "{n} {b} as {a} and {b}", "In {a} and {b}, what is {n} {b}?", "Break {n} {b} up into {a} and {b}.",
    "{n} {b}: how many {a} and {b}?", "Put {n} {b} in {a} plus {b}.", "{n} {b} makes how many {a} and {b}?",
)  # fmt: skip


ONE = (
    ("hour", "minutes", 60), ("minute", "seconds", 60), ("day", "hours", 24), ("week", "days", 7), ("year", "months",
        12),
    ("foot", "inches", 12), ("yard", "feet", 3), ("pound", "ounces", 16), ("dozen", "pieces", 12), ("gallon", "quarts",
        4),
    ("kilometer", "meters", 1000), ("meter", "centimeters", 100), ("kilogram", "grams", 1000), ("liter", "milliliters",
        1000),
    ("dollar", "cents", 100), ("euro", "cents", 100), ("ton", "kilograms", 1000), ("km", "m", 1000), ("m", "cm", 100),
        ("kg", "g", 1000),
)  # fmt: skip
SINGLE = (
    "How many {b} are (there |)in {n} {a}?", "How many {b} (are|is) {n} {a}?", "{n} {a} has how many {b}?",
    "{n} {a} in {b}(?|)",
    "How many {b} does {n} {a} have?", "how many {b} in {n} {a}", "What is {n} {a} in {b}?",
    "How many {b} make {n} {a}?", "Convert {n} {a} to {b}.",
    "{n} {a} is how many {b}?", "Tell me how many {b} are in {n} {a}.", "{n} {a} equals how many {b}?",
    "{b} in {n} {a}?", "How many {b} has {n} {a}?",
)  # fmt: skip


TOGETHER = (
    "{n} {a} {m} {c} in {b}", "{n} {a} and {m} {c} in {b}", "How many {b} are {n} {a} (and |){m} {c}?",
    "Convert {n} {a} (and |){m} {c} to {b}.", "What is {n} {a} (and |){m} {c} in {b}?",
    "{n} {a} {m} {c} to {b}", "{n} {a} (and |){m} {c} is how many {b}?", "Turn {n} {a} and {m} {c} into {b}.",
    "how many {b} in {n} {a} and {m} {c}", "{n} {a}, {m} {c}: how many {b}?",
    "Express {n} {a} (and |){m} {c} in {b}.", "It takes {n} {a} and {m} {c}. How many {b} is that?",
    "Give {n} {a} {m} {c} in {b} only.",
    "{n} {a} plus {m} {c} in {b}", "What do {n} {a} and {m} {c} make in {b}?",
    "In {b}, how much are {n} {a} and {m} {c}?", "{n} {a} {m} {c}, (in|as) {b}",
    "How many {b} do {n} {a} with {m} {c} make?", "{b} in {n} {a} and {m} {c}?",
    "I have {n} {a} and {m} {c}. What is it in {b}?", "{n} {a} and {m} {c} make how many {b}?",
)  # fmt: skip


def unit_conversion(rng: Draws) -> Problem:
    """Powers of ten with decimals; others up, down, and into two units."""
    return rng.choices((_tens, _up, _down, _mixed, _one, _together), (4, 4, 4, 4, 2, 2))[0](rng)


def _unit_problem(
    rng: Draws, wordings: tuple[str, ...], n: object, a: str, b: str, steps: str, answer: str, unit: str
) -> Problem:
    question = rng.wording(wordings).format(n=n, a=a, b=b)
    return Problem("unit", f"{n} {a}>{b}", ask(rng, question), steps, f"{boxed(answer)} {unit}".strip(), answer)


def _one(rng: Draws) -> Problem:
    """One of the larger unit."""
    big, small, factor = rng.choice(ONE)
    article = "an" if big[0] in "aeio" or big == "hour" else "a"
    n = rng.choice((article, article, "one"))
    steps = f"1 {big} = {factor} {small}."
    question = rng.wording(SINGLE).format(n=n, a=big, b=small)
    return Problem("unit", f"1 {big}>{small}", ask(rng, question), steps, f"{boxed(factor)} {small}", str(factor))


def _together(rng: Draws) -> Problem:
    """Two units into the smaller one."""
    big, small, factor = rng.choice([row for row in OTHERS if row[0] != "dozen"])
    n, m = rng.randrange(1, rng.choice((10, 10, 60))), rng.randrange(1, factor)
    total = n * factor + m
    steps = f"1 {big} = {factor} {small}. {n} {big}:\n{multiply_columns(n, factor)}\nThen {n * factor}+{m}={total}"
    singular = {"feet": "foot", "inches": "inch"}
    a, b = (singular.get(u, u.removesuffix("s")) if k == 1 else u for k, u in ((n, big), (m, small)))
    question = rng.wording(TOGETHER).format(n=n, m=m, a=a, c=b, b=small)
    key = f"{n}{big}{m}>{small}"
    return Problem("unit", key, ask(rng, question), steps, f"{boxed(total)} {small}", str(total))


def _tens(rng: Draws) -> Problem:
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


def _up(rng: Draws) -> Problem:
    """Large unit to small, by long multiplication."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(2, 10 ** rng.choice((1, 2, 2, 3)))
    steps = f"1 {big} = {factor} {small}. Multiply by {factor}.\n{multiply_columns(n, factor)}"
    return _unit_problem(rng, WORDINGS, n, big, small, steps, str(n * factor), small)


def _down(rng: Draws) -> Problem:
    """Small unit to large, when it divides, by long division."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(1, 10 ** rng.choice((1, 2, 2))) * factor
    steps = f"1 {big} = {factor} {small}. Divide by {factor}.\n{divide_columns(n, factor)}"
    return _unit_problem(rng, WORDINGS, n, small, big, steps, str(n // factor), big)


def _mixed(rng: Draws) -> Problem:
    """Small unit to large and small."""
    big, small, factor = rng.choice(OTHERS)
    n = rng.randrange(factor, factor * 40)
    steps = f"1 {big} = {factor} {small}. Divide by {factor}.\n{divide_columns(n, factor)}"
    answer = f"{n // factor} {big} {n % factor} {small}"
    return _unit_problem(rng, MIXED, n, big, small, steps, answer, "")

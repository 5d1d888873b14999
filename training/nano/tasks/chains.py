"""Several operations said in words: `take 20, subtract 4 and divide by 2`, `12 plus 4 times 3`, the sum of a list."""

from __future__ import annotations

from collections.abc import Callable

from training.nano.tasks.expressions import Tree, bare, spaced, step_text, worked
from training.nano.tasks.problem import ASKS, Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, listed

SAID = {
    "+": (" plus ", " plus ", " and ", " added to "),
    "-": (" minus ", " minus ", " less "),
    "*": (" times ", " times ", " multiplied by ", " x "),
    "/": (" divided by ", " divided by ", " over "),
}
BEGIN = {
    "+": ("Add {a} and {b}", "Add {b} to {a}", "Sum {a} and {b}"),
    "-": ("Subtract {b} from {a}", "Take {b} from {a}", "Take {b} away from {a}", "Subtract {b} off {a}"),
    "*": ("Multiply {a} by {b}", "Multiply {a} and {b}", "{a} times {b}"),
    "/": ("Divide {a} by {b}", "{a} divided by {b}"),
}
"""The first operation of a chain."""
START = ("Take {a}", "Start with {a}", "Begin with {a}", "I have {a}", "From {a}", "I start at {a}", "Think of {a}",
         "Let us start with {a}", "With {a}")  # fmt: skip
THEN = {
    "+": ("add {n}", "add {n}", "plus {n}", "add {n} to it", "add another {n}", "increase it by {n}", "add {n} more"),
    "-": ("subtract {n}", "subtract {n}", "minus {n}", "take away {n}", "take {n} off", "decrease it by {n}"),
    "*": ("multiply by {n}", "multiply by {n}", "multiply it by {n}", "multiply the result by {n}"),
    "/": ("divide by {n}", "divide by {n}", "divide it by {n}", "divide the result by {n}"),
}
"""Each further one: verbs before products, since `12 plus 4, times 3` without its comma is another problem."""
JOINS = (" and ", ", then ", " and then ", ", ", " then ", ", and ", ". Then ", "; then ", ", and then ")
ENDS = (".", "", "?", ". What do I get?", ", what is it?", ". What is the result?", ". How much is that?", " please",
        ". Result?", " and tell me the result.", ". What number is it?")  # fmt: skip
SUMS = (
    "(the |)sum of {l}", "Add {l}.", "(Add|add) up {l}(.|)", "What is the sum of {l}?", "{l} added together",
    "{l} in total",
    "(What|How much) (do|are) {l} (make|together|add up to)?", "(the |)total of {l}", "Add (these|the) numbers: {l}",
    "Sum up {l}.", "(Sum|Total) of {l}(?|)", "What is the total of {l}?",
    "How much is {l} (together|altogether|in all)?",
    "Find the sum of {l}.", "I have {l}. What is the sum?", "sum: {l}", "Can you add {l}?", "sum({l})",
    "Add together {l}",
    "What do you get if you add {l}?", "Give me the (sum|total) of {l}.",
)  # fmt: skip
PRODUCTS = (
    "(the |)product of {l}", "Multiply {l}.", "What is the product of {l}?", "multiply {l} together",
    "Find the product of {l}.",
    "What do {l} make multiplied?", "What do you get if you multiply {l}?", "How much is {l} multiplied together?",
)  # fmt: skip
GROUPED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("*", "+", ("{n} times the sum of {a} and {b}", "the sum of {a} and {b}, times {n}",
        "the sum of {a} and {b} multiplied by {n}",
                "{n} multiplied by the sum of {a} and {b}", "{n} times, in brackets, {a} plus {b}",
                "{a} plus {b} in brackets, times {n}")),
    ("*", "-", ("{n} times the difference of {a} and {b}", "the difference of {a} and {b}, times {n}",
                "the difference between {a} and {b} multiplied by {n}",
                "{n} multiplied by the difference of {a} and {b}")),
    ("/", "+", ("the sum of {a} and {b} divided by {n}", "the sum of {a} and {b}, divided by {n}",
                "a {n}th of the sum of {a} and {b}", "{a} plus {b}, all divided by {n}")),
    ("/", "-", ("the difference of {a} and {b} divided by {n}", "{a} minus {b}, all divided by {n}",
                "the difference between {a} and {b}, divided by {n}")),
    ("+", "*", ("{n} plus the product of {a} and {b}", "the product of {a} and {b} plus {n}",
        "{n} more than {a} times {b}",
                "the product of {a} and {b}, increased by {n}", "{n} more than the product of {a} and {b}",
                "add {n} to the product of {a} and {b}")),
    ("-", "*", ("the product of {a} and {b} minus {n}", "{n} less than {a} times {b}",
        "the product of {a} and {b}, less {n}",
                "{n} less than the product of {a} and {b}", "subtract {n} from the product of {a} and {b}")),
)  # fmt: skip
"""Outer operation, inner operation, and how the two are said."""
SQUARES = ("{a}^2", "{a} squared", "{a}²", "the square of {a}", "{a}^2")
ROOTS = ("sqrt({n})", "the square root of {n}", "√{n}", "sqrt {n}", "sqrt({n})")

CHECKS = (
    "Is {e} = {c}?", "Is {e} {c}?", "Does {e} (equal|make|give) {c}?",
    "{e} = {c}, (right|true or false|yes or no|correct)?", "{e} is {c}, (right|isn't it|correct)?",
    "Is it (true|right|correct) that {e} (is|equals|=) {c}?",
    "(Check|Verify) (if|that|whether) {e} (is|equals|=) {c}.", "(True or false|Yes or no): {e} = {c}",
    "{e}={c}?", "{e} = {c}?", "I got {c} for {e}. Is that right?", "My answer to {e} is {c}. Is it correct?",
    "Do I get {c} if I do {e}?", "Am I right that {e} is {c}?",
    "is {e} the same as {c}", "Could {e} be {c}?", "does {e} come out as {c}",
)  # fmt: skip


def chain(rng: Draws) -> Problem:
    """One of the kinds."""
    return rng.choice(KINDS)(rng)


def _number(rng: Draws) -> int:
    return rng.randrange(1, rng.choice((11, 21, 100)))


def _tree(make: Callable[[], Tree], reason: str = "") -> Tree:
    """The first tree whose value is a whole number, or that has none for a `reason` as `worked` gives them."""
    while worked(tree := make())[2] != reason:
        pass
    return tree


def _infix(rng: Draws) -> Problem:
    """Words for signs; products go first."""

    def drawn() -> Tree:
        signs, numbers = rng.choices("+-*", k=rng.choice((2, 2, 2, 3))), [_number(rng) for _ in range(4)]
        terms: list[Tree] = [numbers[0]]
        between: list[str] = []
        for sign, n in zip(signs, numbers[1:], strict=False):
            if sign == "*":
                terms[-1] = ("*", terms[-1], n)
            else:
                terms.append(n)
                between.append(sign)
        tree = terms[0]
        for sign, term in zip(between, terms[1:], strict=True):
            tree = (sign, tree, term)
        return tree

    tree = _tree(drawn)
    words = {sign: rng.choice(said[:2] if sign == "+" else said) for sign, said in SAID.items()}
    text = "".join(words.get(sign, sign) for sign in bare(tree))
    return _problem(rng, tree, rng.wording(ASKS).format(text))


def _steps(rng: Draws) -> Problem:
    """One operation after another, each on the result of the one before."""
    uneven = rng.random() < 0.05
    signs = [*rng.choices("+-*", k=rng.choice((1, 2))), "/"] if uneven else []
    signs = signs or rng.choices("+-*/", (4, 4, 4, 3), k=rng.choice((2, 2, 2, 3)))

    def drawn() -> Tree:
        tree: Tree = _number(rng)
        for sign in signs:
            tree = (sign, tree, rng.randrange(2, 13) if sign in "*/" else _number(rng))
        return tree

    tree = _tree(drawn, "whole" if uneven else "")
    numbers: list[int] = []
    inner = tree
    while isinstance(inner, tuple):
        assert isinstance(inner[2], int)
        numbers.insert(0, inner[2])
        inner = inner[1]
    if rng.random() < 0.55:
        text = rng.choice(BEGIN[signs[0]]).format(a=inner, b=numbers[0])
        rest = list(zip(signs, numbers, strict=True))[1:]
    else:
        text, rest = rng.choice(START).format(a=inner), list(zip(signs, numbers, strict=True))
    join = rng.choice(JOINS)
    for sign, n in rest:
        text += (join if rng.random() < 0.7 else rng.choice(JOINS)) + rng.choice(THEN[sign]).format(n=n)
    text += rng.choice(ENDS)
    return _problem(rng, tree, text if rng.random() < 0.6 else text[0].lower() + text[1:])


def _list(rng: Draws) -> Problem:
    """The sum of three to six numbers, or the product of three."""
    sign = "+" if rng.random() < 0.75 else "*"

    def drawn() -> list[int]:
        return [_number(rng) for _ in range(rng.choice((3, 3, 3, 4, 4, 5, 6)) if sign == "+" else 3)]

    while worked(nested(sign, numbers := drawn()))[1] is None:
        pass
    question = rng.wording(SUMS if sign == "+" else PRODUCTS).format(l=listed(rng, numbers))
    return _problem(rng, nested(sign, numbers), question)


def nested(sign: str, numbers: list[int]) -> Tree:
    """One operation over all numbers, from the left."""
    tree: Tree = numbers[0]
    for n in numbers[1:]:
        tree = (sign, tree, n)
    return tree


def _grouped(rng: Draws) -> Problem:
    """An operation on the sum, difference or product of two numbers."""
    outer, inner, lines = rng.choice(GROUPED)
    while True:
        a, b, n = _number(rng), _number(rng), rng.randrange(2, 13)
        tree: Tree = (outer, (inner, a, b), n)
        text = rng.wording(lines).format(a=a, b=b, n=n)
        if worked(tree)[1] is not None and (n > 3 or "th of" not in text) and (inner != "-" or a > b):
            break
    return _problem(rng, tree, rng.wording(ASKS).format(text))


def _squared(rng: Draws) -> Problem:
    """A square or a whole root, and one operation more."""
    a, sign, n = rng.randrange(1, 21), rng.choice("++-*"), rng.randrange(1, 30)
    root = rng.random() < 0.45
    if root:
        first, begin, value = rng.choice(ROOTS).format(n=a * a), f"sqrt({a * a}) is {a}", a
    else:
        first, value = rng.choice(SQUARES).format(a=a), a * a
        begin = step_text("*", a, a, value)
    second, other = n, ""
    if not root and sign != "*" and rng.random() < 0.3:
        m = rng.randrange(1, 13)
        second, other = m * m, rng.choice(SQUARES[:3]).format(a=m)
        begin += "\n" + step_text("*", m, m, second)
    signed = rng.choice((f" {sign} ", sign, rng.choice(SAID[sign][:2])))
    steps, answer, _ = worked((sign, value, second))
    trace = "\n".join(["Powers and roots first.", f"{begin}, so {value}{sign}{second}", *steps])
    text = f"{f'sqrt({a * a})' if root else f'{a}^2'} {sign} {f'{m}^2' if other else n}"
    question = rng.wording(ASKS).format(first + signed + (other or str(n)))
    return Problem(
        "expression", text.replace(" ", ""), ask(rng, question), trace, f"{text} = {boxed(answer)}", str(answer)
    )


def _checked(rng: Draws) -> Problem:
    """Whether a result is right."""
    a, b, sign = _number(rng), _number(rng), rng.choice("+-*")
    steps, value, _ = worked((sign, a, b))
    assert value is not None
    said = value if rng.random() < 0.5 else value + rng.choice((-10, -2, -1, 1, 2, 10))
    answer = "yes" if said == value else "no"
    written = rng.choice((f"{a}{sign}{b}", f"{a} {sign} {b}", f"{a}{rng.choice(SAID[sign][:2])}{b}"))
    trace = "\n".join([f"Is {a}{sign}{b} the same as {said}?", *steps, f"{value} and {said}: {answer}"])
    question = rng.wording(CHECKS).format(e=written, c=said)
    return Problem("expression", f"{a}{sign}{b}?{said}", ask(rng, question), trace, boxed(answer), answer)


def _problem(rng: Draws, tree: Tree, question: str) -> Problem:
    steps, value, reason = worked(tree)
    text = bare(tree)
    trace = "\n".join([f"In signs: {text}", "One operation at a time, brackets first.", *steps])
    if value is None:
        return refusal("expression", text, ask(rng, question), trace, reason)
    return Problem("expression", text, ask(rng, question), trace, f"{spaced(text)} = {boxed(value)}", str(value))


KINDS = (_infix, _infix, _steps, _steps, _steps, _list, _list, _grouped, _squared, _checked)

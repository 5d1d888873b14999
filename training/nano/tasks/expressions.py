"""Expressions of two to six operations with brackets and signs, one operation at a time."""

from __future__ import annotations

import re

from training.nano.tasks.columns import add_columns, multiply_columns, subtract_columns
from training.nano.tasks.problem import ASKS, Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.signed import add_signed, multiply_signed, subtract_signed
from training.nano.tasks.wording import Draws

EXPRESSIONS = (
    "(Evaluate|Compute|Calculate|Work out|Simplify) (the expression |){}(.|)",
    "What is the (value|result) of (the expression |){}?", "(Solve|Do) {} step by step.",
    "What does (the expression |){} (come to|evaluate to|equal)?", "(Expression|expression): {}",
    "(Mind|Watch) the brackets: {}", "In the right order: {}",
    "{} (What is the result|What do you get|How much is it)?", "How much is {} (in total|altogether)?",
    "evaluate {} (please|for me)", "Use the order of operations: {}",
)  # fmt: skip
Tree = int | tuple[str, "Tree", "Tree"]
"""A number, or an operation on two trees."""
SIGN = re.compile(r"(?<=[\d)])([-+*/])")
RANK = {"+": 1, "-": 1, "*": 2, "/": 2}
LARGEST = 9999
GLANCE = 40
"""Sums and differences of numbers up to this are written down without columns."""


def expression(rng: Draws) -> Problem:
    """Whole numbers of up to three digits; a division that is not whole, or by zero, is refused where it is met."""
    limit, refused = rng.choice((10, 10, 31, 100, 1000)), rng.random() < 0.06
    while True:
        tree = _tree(rng, 2 if refused else rng.choice((2, 2, 3, 3, 4) if limit > 31 else (2, 3, 4, 5, 6)), limit)
        steps, value, reason = worked(tree)
        if reason in ("whole", "zero") if refused else value is not None:
            break
    text = bare(tree)
    written = text if rng.random() < 0.5 else spaced(text)
    for sign, others in (("*", "×x·"), ("/", "÷:")):
        written = written.replace(sign, rng.choice(others)) if rng.random() < 0.12 else written
    table = ASKS if rng.random() < 0.5 else EXPRESSIONS
    messages = ask(rng, rng.wording(table).format(written))
    thinking = "One operation at a time, brackets first.\n" + "\n".join(steps)
    if value is None:
        return refusal("expression", text, messages, thinking, reason)
    return Problem("expression", text, messages, thinking, f"{spaced(text)} = {boxed(value)}", str(value))


def worked(tree: Tree) -> tuple[list[str], int | None, str]:
    """The steps of an expression, and its value, or None with why there is none: `whole`, `zero` or `size`."""
    steps: list[str] = []
    while isinstance(tree, tuple):
        operator, left, right = _next(tree)
        if value_of((operator, left, right)) is None:
            failed = operator == "/" and abs(left) <= 144 and abs(right) <= 12
            reason = "size" if not failed or (right and left % right == 0) else "whole" if right else "zero"
            return [*steps, f"{left}/{bare(right, 2, True)} no"], None, reason
        tree, step = _reduce(tree)
        steps.append(f"{step}, so {bare(tree)}")
    return steps, tree, ""


def _next(tree: Tree) -> tuple[str, int, int]:
    """The leftmost of the deepest operations."""
    assert isinstance(tree, tuple)
    operator, left, right = tree
    if isinstance(left, tuple):
        return _next(left)
    return _next(right) if isinstance(right, tuple) else (operator, left, right)


def _tree(rng: Draws, operations: int, limit: int) -> Tree:
    if operations == 0:
        n = rng.randrange(1, 10) if rng.random() < 0.4 else rng.randrange(1, limit)
        return -n if rng.random() < 0.06 else n
    left = rng.randrange(operations)
    return (rng.choice("+++---**/"), _tree(rng, left, limit), _tree(rng, operations - 1 - left, limit))


def value_of(tree: Tree) -> int | None:
    """The value, or None where a step is too large or not whole."""
    if isinstance(tree, int):
        return tree
    operator, left, right = tree[0], value_of(tree[1]), value_of(tree[2])
    if left is None or right is None:
        return None
    if operator == "*":
        return left * right if abs(left * right) <= LARGEST else None
    if operator == "/":
        return left // right if small_division(left, right) else None
    value = left + right if operator == "+" else left - right
    return value if abs(value) <= LARGEST else None


def small_division(left: int, right: int) -> bool:
    """Whether a division comes out and can be done at a glance."""
    return 2 <= abs(right) <= 12 and left % right == 0 and abs(left) <= 144


def step_text(operator: str, left: int, right: int, value: int) -> str:
    """A step: at a glance if small, else in columns."""
    high, low = max(abs(left), abs(right)), min(abs(left), abs(right))
    small = low < 10 and high < 21 if operator == "*" else operator == "/" or high <= GLANCE
    asked = f"{left}{operator}{bare(right, 2, True)}"
    if small:
        return f"{asked}={value}"
    plain = {"+": add_columns, "-": subtract_columns, "*": multiply_columns}
    with_signs = {"+": add_signed, "-": subtract_signed, "*": multiply_signed}
    columns = (with_signs if left < 0 or right < 0 else plain)[operator](left, right)
    return f"{asked}:\n{columns}\n{asked}={value}"


def bare(tree: Tree, above: int = 0, right: bool = False) -> str:
    """An expression as text, without spaces."""
    if isinstance(tree, int):
        return f"({tree})" if tree < 0 and right else str(tree)
    rank = RANK[tree[0]]
    text = f"{bare(tree[1], rank)}{tree[0]}{bare(tree[2], rank, True)}"
    return f"({text})" if rank < above or (right and rank == above) else text


def spaced(text: str) -> str:
    """Spaces around operators, none after a sign."""
    return SIGN.sub(r" \1 ", text)


def _reduce(tree: Tree) -> tuple[Tree, str]:
    """Does the leftmost of the deepest operations; returns the smaller tree and the step."""
    assert isinstance(tree, tuple)
    operator, left, right = tree
    if isinstance(left, tuple):
        left, step = _reduce(left)
    elif isinstance(right, tuple):
        right, step = _reduce(right)
    else:
        value = value_of(tree)
        assert value is not None
        return value, step_text(operator, left, right, value)
    return (operator, left, right), step

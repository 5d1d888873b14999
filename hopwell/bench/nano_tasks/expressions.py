"""Expressions of two to four operations with brackets, one operation at a time."""

from __future__ import annotations

import random

from hopwell.bench.nano_tasks.columns import add_columns, multiply_columns, subtract_columns
from hopwell.bench.nano_tasks.problem import ASKS, Problem, ask, boxed

Tree = int | tuple[str, "Tree", "Tree"]
"""A number, or an operation on two trees."""
RANK = {"+": 1, "-": 1, "*": 2, "/": 2}
LARGEST = 9999
GLANCE = 40
"""Sums and differences of numbers up to this are written down without columns."""


def expression(rng: random.Random) -> Problem:
    """Whole numbers of up to three digits; every intermediate value is whole and small enough for columns."""
    limit = rng.choice((10, 10, 31, 100, 1000))
    while True:
        tree = _tree(rng, rng.choice((2, 2, 3, 3, 4)), limit)
        value = _value(tree)
        if value is not None:
            break
    text = _text(tree)
    steps = []
    while isinstance(tree, tuple):
        tree, step = _reduce(tree)
        steps.append(f"{step}, so {_text(tree)}")
    return Problem(
        "expression",
        text,
        ask(rng, rng.choice(ASKS).format(text if rng.random() < 0.5 else _spaced(text))),
        "One operation at a time, brackets first.\n" + "\n".join(steps),
        f"{_spaced(text)} = {boxed(value)}",
        str(value),
    )


def _tree(rng: random.Random, operations: int, limit: int) -> Tree:
    if operations == 0:
        return rng.randrange(1, 10) if rng.random() < 0.4 else rng.randrange(1, limit)
    left = rng.randrange(operations)
    return (rng.choice("+++---**/"), _tree(rng, left, limit), _tree(rng, operations - 1 - left, limit))


def _value(tree: Tree) -> int | None:
    """The value, or None where a step is too large, not whole, or starts from a negative number."""
    if isinstance(tree, int):
        return tree
    operator, left, right = tree[0], _value(tree[1]), _value(tree[2])
    if left is None or right is None or left < 0 or right < 0:
        return None
    if operator == "*":
        return left * right if left * right <= LARGEST else None
    if operator == "/":
        return left // right if 2 <= right <= 12 and left % right == 0 and left <= 144 else None
    value = left + right if operator == "+" else left - right
    return value if value <= LARGEST else None


def _work(operator: str, left: int, right: int, value: int) -> str:
    """A step: at a glance if small, else in columns."""
    high, low = max(left, right), min(left, right)
    small = low < 10 and high < 21 if operator == "*" else operator == "/" or high <= GLANCE
    step = f"{left}{operator}{right}={value}"
    if small:
        return step
    columns = {"+": add_columns, "-": subtract_columns, "*": multiply_columns}[operator](left, right)
    return f"{left}{operator}{right}:\n{columns}\n{step}"


def _text(tree: Tree, above: int = 0, right: bool = False) -> str:
    if isinstance(tree, int):
        return str(tree)
    rank = RANK[tree[0]]
    text = f"{_text(tree[1], rank)}{tree[0]}{_text(tree[2], rank, True)}"
    return f"({text})" if rank < above or (right and rank == above) else text


def _spaced(text: str) -> str:
    for sign in RANK:
        text = text.replace(sign, f" {sign} ")
    return text


def _reduce(tree: Tree) -> tuple[Tree, str]:
    """Does the leftmost of the deepest operations; returns the smaller tree and the step."""
    assert isinstance(tree, tuple)
    operator, left, right = tree
    if isinstance(left, tuple):
        left, step = _reduce(left)
    elif isinstance(right, tuple):
        right, step = _reduce(right)
    else:
        value = _value(tree)
        assert value is not None
        return value, _work(operator, left, right, value)
    return (operator, left, right), step

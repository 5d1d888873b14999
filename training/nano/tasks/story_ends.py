"""Divisions at the end of a story that do not come out whole: which may end in decimals, and their steps."""

from __future__ import annotations

import ast
import re
from functools import cache

from hopwell.cli.calculator import evaluate
from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal, pointed

TO_TWO = (
    "Round to two places.", "Round it to cents.", "To two decimals, please.", "Give two decimals.",
    "Rounded to two places.", "(Round|Please round) to two digits after the point.", "I need it to the cent.",
    "Two places after the point are enough.", "Round the result to hundredths.", "About, to two decimals.",
)  # fmt: skip
MEASURE = re.compile(r"\{a\} (dollars|euros|km|kg|grams|g|liters|m|cm|minutes)\b")
ASKED_FOR = re.compile(
    r"[Hh]ow much|[Ww]hat|[Hh]ow (fast|high|tall|deep|wide|big)|[Hh]ow long is|pays\?|^cost of"
    r"|[Hh]ow many (km|kg|grams|g|m|liters|minutes|dollars)\b"
)
NOT_MEASURED = re.compile(r"[Hh]ow long (until|does)|time |enough|\{t\} per|many \{t\}|goes up")
ROUNDED = re.compile(
    r"\b(fit|fill|need|needed|box|boxes|bags?|bus|buses|vans?|weeks?|days?|hours?|minutes?|months?|long|buy|packs?|pieces"
    r"|tables|rows?|trips|trucks?|groups?|teams?|plates?|bottles?|last|far|afford|enough|often|times|sets|tickets|rides)\b|@box"
)
"""How many are full, or needed for all, is asked elsewhere where it is not even: see story_rounding.py."""


def may_end(value: str, line: str) -> bool:
    """Whether the last step is a division and its result is measured, so that it may have decimals; no third ends."""
    last = ast.parse(value, mode="eval").body
    ends = isinstance(last, ast.BinOp) and isinstance(last.op, ast.Div)
    return ends and measured(line) and not value.endswith("/3")


def may_be_left(value: str, line: str) -> bool:
    """Whether things are shared that nobody cuts, so that it may be impossible."""
    return "/" in value and not value.endswith("/2") and not MEASURE.search(line) and not ROUNDED.search(line)


@cache
def measured(line: str) -> bool:
    """Whether a story asks for money, a length, a weight or a speed."""
    return bool(MEASURE.search(line) and ASKED_FOR.search(line)) and not NOT_MEASURED.search(line)


def divided(value: str, numbers: dict[str, int]) -> tuple[int, int]:
    """What is divided last, and by what."""
    last = ast.parse(value, mode="eval").body
    assert isinstance(last, ast.BinOp)
    top, bottom = (evaluate(filled_in(ast.unparse(side), numbers)) for side in (last.left, last.right))
    return int(top), int(bottom)


def to_three(a: int, b: int) -> tuple[str, str | None]:
    """The trace of a / b to three places and its value, or None if it does not end there."""
    steps = f"{a}/{b}, three places: {a}000/{b}\n{divide_columns(a * 1000, b)}"
    if a * 1000 % b:
        return f"{steps}\nIt does not end.", None
    value = decimal(a, b)
    return f"{steps}\nWith the point: {pointed(a * 1000 // b, 3)}, that is {value}", value


def to_two(a: int, b: int) -> tuple[str, str]:
    """The trace of a / b rounded to two places: the third decides."""
    more = a * 1000 // b
    kept, last = divmod(more, 10)
    value = kept + (last >= 5)
    step = f"up: {kept}+1={value}" if last >= 5 else f"down: {value}"
    return (
        f"{a}/{b}, three places: {a}000/{b}\n{divide_columns(a * 1000, b)}\n"
        f"The last digit of {more} is {last}, so {step}\nWith the point: {pointed(value, 2)}"
    ), pointed(value, 2)


def filled_in(value: str, numbers: dict[str, int]) -> str:
    """A calculation with its numbers."""
    return re.sub("[a-d]", lambda name: str(numbers[name[0]]), value)

"""The calculator: the one tool that `hopwell chat` carries out itself, and that nano was trained to call."""

from __future__ import annotations

import ast
import operator
from fractions import Fraction
from typing import Any

CALCULATOR: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}
"""As an OpenAI request has it."""
OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression of numbers, + - * / and brackets.

    Raises:
        ValueError: it holds anything else, or is not an expression.
        ZeroDivisionError: as it says.
    """

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.BinOp(left, op, right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(operand))
            case ast.Constant(int() | float() as number) if not isinstance(number, bool):
                return Fraction(str(number))
        raise ValueError(f"not an arithmetic expression: {expression!r}")

    if len(expression) > 200:
        raise ValueError("expression longer than 200 characters")
    try:
        return value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an arithmetic expression: {expression!r}") from error


def calculator(expression: str) -> str:
    """What the tool answers: a whole number or a decimal of at most six places, or a line that starts with `error`."""
    try:
        digits = str(round(evaluate(expression) * 10**6))  # exact: a float would end before some quotients do
    except (ValueError, ZeroDivisionError) as error:
        return f"error: {error}"
    sign, digits = ("-" if digits[0] == "-" else ""), digits.removeprefix("-").zfill(7)
    return f"{sign}{digits[:-6]}.{digits[-6:]}".rstrip("0").rstrip(".")

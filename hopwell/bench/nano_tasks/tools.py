"""Calls of a calculator, for what is too large to do by hand."""

from __future__ import annotations

import ast
import json
import operator
import random
import re
from fractions import Fraction
from typing import Any

from hopwell.bench.nano_tasks.problem import ASKS, Problem, ask, boxed, sized

CALCULATOR: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}
DESCRIPTIONS = (
    "Evaluate an arithmetic expression.", "A calculator.", "Computes the value of an expression.",
    "Evaluates a mathematical expression.", "Use this for arithmetic.",
)  # fmt: skip
THOUGHTS = ("The calculator can do this: {}", "I will call the calculator with {}", "Use the calculator: {}")
WORDS = {"+": " plus ", "-": " minus ", "*": " times ", "/": " divided by "}

CALL = re.compile(r"calculator\n```json\n(.*?)\n```", re.DOTALL)

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
        result = evaluate(expression)
    except (ValueError, ZeroDivisionError) as error:
        return f"error: {error}"
    if result.denominator == 1:
        return str(result.numerator)
    return f"{float(result):.6f}".rstrip("0").rstrip(".")


def called_expression(text: str) -> str | None:
    """The expression of the last calculator call in R1's format, or None if there is none or it is malformed."""
    try:
        return str(json.loads(CALL.findall(text)[-1])["expression"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def calculator_schema(rng: random.Random) -> dict[str, Any]:
    """The calculator as different clients may describe it."""
    tool = json.loads(json.dumps(CALCULATOR))
    tool["function"]["description"] = rng.choice(DESCRIPTIONS)
    if rng.random() < 0.3:
        tool["function"]["parameters"]["properties"]["expression"]["description"] = "The expression to evaluate."
    return tool


def tool_call(rng: random.Random) -> Problem:
    """An expression of numbers of up to six digits, with the calculator on offer."""
    expression = _expression(rng)
    words = expression
    roll = rng.random()
    if roll < 0.5:
        for sign in "+-*/":
            words = words.replace(sign, f" {sign} ")
    elif roll < 0.65:
        for sign, word in WORDS.items():
            words = words.replace(sign, word)
    question = rng.choice(ASKS).format(words)
    if rng.random() < 0.15:
        question = rng.choice(
            ("Use the calculator: {}", "Use the calculator to compute {}.", "With the calculator: {}")
        )
        question = question.format(words)
    result = calculator(expression)
    return Problem(
        "tool_call",
        expression,
        ask(rng, question),
        rng.choice(THOUGHTS).format(expression),
        f"{expression} = {boxed(result)}",
        result,
        tools=[calculator_schema(rng)],
        call=expression,
    )


def _expression(rng: random.Random) -> str:
    a, b, c = (sized(rng, rng.randrange(1, 7)) for _ in range(3))
    signs = rng.choice(("+", "-", "*", "*", "/")), rng.choice("+-*")
    b = b or 7
    shape = rng.random()
    if shape < 0.6:
        return f"{a}{signs[0]}{b}"
    if shape < 0.8:
        return f"{a}{signs[0]}{b}{signs[1]}{c}"
    return rng.choice((f"({a}{signs[1]}{b})*{c}", f"{a}*({b}+{c})", f"({a}+{b})-{c}"))

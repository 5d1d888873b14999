"""Calls of a calculator, for what is too large to do by hand."""

from __future__ import annotations

import json
import re
from typing import Any

from hopwell.cli.calculator import CALCULATOR, calculator
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.wording import Draws

DESCRIPTIONS = (
    "Evaluate an arithmetic expression.", "A calculator.", "Computes the value of an expression.",
    "Evaluates a mathematical expression.", "Use this for arithmetic.",
)  # fmt: skip
THOUGHTS = ("The calculator can do this: {}", "I will call the calculator with {}", "Use the calculator: {}")
USE = (
    "Use the calculator: {}", "Use the calculator to (compute|find|get) {}.", "With the calculator: {}",
    "(Please |)(use|call) the (calculator|tool) for {}.", "Calculate {} with (the|your) calculator.",
    "(Can|Could) you use the calculator (for|to compute) {}?", "calculator: {}", "Ask the calculator for {}.",
)  # fmt: skip
WORDS = {"+": " plus ", "-": " minus ", "*": " times ", "/": " divided by "}

CALL = re.compile(r"calculator\n```json\n(.*?)\n```", re.DOTALL)


def called_expression(text: str) -> str | None:
    """The expression of the last calculator call in R1's format, or None if there is none or it is malformed."""
    try:
        return str(json.loads(CALL.findall(text)[-1])["expression"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def calculator_schema(rng: Draws) -> dict[str, Any]:
    """The calculator as different clients may describe it."""
    tool = json.loads(json.dumps(CALCULATOR))
    tool["function"]["description"] = rng.choice(DESCRIPTIONS)
    if rng.random() < 0.3:
        tool["function"]["parameters"]["properties"]["expression"]["description"] = "The expression to evaluate."
    return tool


def tool_call(rng: Draws) -> Problem:
    """An expression of numbers of up to six digits, with the calculator on offer."""
    expression = _expression(rng)
    words = expression
    roll = rng.random()
    if roll < 0.5:
        words = re.sub(r"(?<=[\d)])([-+*/])", r" \1 ", words)
    elif roll < 0.65:
        words = re.sub(r"(?<=[\d)])([-+*/])", lambda sign: WORDS[sign[1]], words)
    question = rng.wording(USE if rng.random() < 0.15 else ASKS).format(words)
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


def _expression(rng: Draws) -> str:
    a, b, c = (str(sized(rng, rng.randrange(1, 8))) for _ in range(3))
    signs = rng.choice(("+", "-", "*", "*", "/")), rng.choice("+-*")
    b = "7" if b == "0" else b
    roll = rng.random()
    if roll < 0.08:
        a = f"{a}.{rng.randrange(1, 100)}"
    elif roll < 0.16:
        a = f"-{a}"
    shape = rng.random()
    if shape < 0.6:
        return f"{a}{signs[0]}{b}"
    if shape < 0.8:
        return f"{a}{signs[0]}{b}{signs[1]}{c}"
    return rng.choice((f"({a}{signs[1]}{b})*{c}", f"{a}*({b}+{c})", f"({a}+{b})-{c}"))

"""Conversations of several turns: a new problem after others, or one that starts from the last answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from training.nano.tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.ellipses import ellipsis
from training.nano.tasks.percentages import part_steps, percent_steps
from training.nano.tasks.powers import square_root
from training.nano.tasks.problem import Problem, boxed, sized
from training.nano.tasks.refusals import refusal
from training.nano.tasks.render import tool_messages
from training.nano.tasks.signed import add_signed, divide_signed, multiply_signed, sign_rule, subtract_signed
from training.nano.tasks.tools import tool_call
from training.nano.tasks.wording import Draws

Generator = Callable[[Draws], Problem]
WHOLE = re.compile(r"-?\d{1,8}")

CHANGES: dict[str, tuple[str, ...]] = {
    "+": (
        "Add {n}.", "(Now|now|Then|And) add {n}( to it| to that|)(.|)", "plus {n}",
        "Add {n} to (that|it|the result).", "(And|and) plus {n}(?|)", "+{n}", "+ {n}", "Increase (it|that) by {n}.",
        "(What is|What's|whats) (that|it) plus {n}?", "(And|Now) {n} more(?|.)", "What if I add {n}?",
        "(Can you|Could you|Please) add {n}( to that| now|)", "{n} more", "Make it {n} larger.", "Put {n} on top.",
        "add {n}", "Add {n}", "add {n} please", "add {n} to that", "now add {n}", "and {n} more",
        "(Ok|Great|Thanks), (now |)add {n}(.|)",
        "(What|what) is (it|that|this) if you add {n}?", "Add another {n}(.|)", "Plus {n}(.|?)",
        "I get {n} more. How much now?",
        "(What's|What is|How much is) the (result|answer) plus {n}?", "Sum that with {n}.", "Take that and add {n}.",
        "and if I add {n}?",
    ),
    "-": (
        "Subtract {n}.", "(Now|now|Then|And) (subtract|take away) {n}( from it| from that|)(.|)", "minus {n}",
        "Take away {n}.", "(And|and) minus {n}(?|)", "-{n}", "- {n}", "Subtract {n} from (that|it|the result).",
        "Decrease (it|that) by {n}.", "(What is|What's) (that|it) minus {n}?", "(And|Now) {n} less(?|.)",
        "What if I subtract {n}?", "Take {n} off.", "{n} less", "Make it {n} smaller.",
        "subtract {n}", "take away {n}", "Minus {n}(.|?)", "now subtract {n}", "Remove {n}.", "subtract {n} from that",
        "and take away {n}",
        "(Ok|Great|Thanks), (now |)subtract {n}(.|)", "Take that and subtract {n}.",
        "(What's|What is|How much is) the (result|answer) minus {n}?",
        "(Now take|Take) {n} away( from that| from it|).", "and if I take {n} away?", "Lower (it|that) by {n}.",
        "Reduce that by {n}.",
    ),
    "*": (
        "Multiply by {n}.", "(Now|now|Then|And) multiply (that|it) by {n}(.|)", "times {n}",
        "(And|and) times {n}(?|)", "*{n}", "* {n}", "Now times {n}.", "(What is|What's) (that|it) times {n}?",
        "x {n}", "What if I multiply (it|that) by {n}?", "Multiply (it|that|the result) (by|with) {n}.",
        "{n} times that(?|)", "Take it {n} times.",
        "multiply by {n}", "multiply that by {n}", "now multiply by {n}", "Times {n}(.|?)", "now times {n}", "×{n}",
        "× {n}",
        "(Ok|Great|Thanks), (now |)multiply (it |that |)by {n}(.|)", "Take that and multiply (it |)by {n}.",
        "and multiplied by {n}?",
        "(What's|What is|How much is) the (result|answer) times {n}?", "How much (are|is) {n} of (those|them|that)?",
    ),
    "/": (
        "Divide by {n}.", "(Now|now|Then|And) divide (that|it) by {n}(.|)", "divided by {n}",
        "(And|and) divided by {n}(?|)", "/{n}", "/ {n}", "(What is|What's) (that|it) divided by {n}?",
        "Divide (it|that|the result) by {n}.", "Split (it|that) into {n} (equal |)parts.",
        "What if I divide (it|that) by {n}?", "Share that among {n}.",
        "divide by {n}", "divide that by {n}", "now divide by {n}", "Divided by {n}(.|?)", "now divide it by {n}",
        "÷ {n}",
        "(Ok|Great|Thanks), (now |)divide (it |that |)by {n}(.|)", "Take that and divide (it |)by {n}.",
        "(Split|Share) it {n} ways.",
        "(What's|What is|How much is) the (result|answer) divided by {n}?", "and over {n}?",
    ),
    "*2": (
        "Double it.", "(Now|now|And) double (that|it)(.|)", "double", "Twice that(?|)",
        "(And|What is) (the double|twice that|double that)?", "Two times that?", "What if I double it?",
        "double it", "double that", "now double it", "twice as much?", "twice that", "and twice as many?",
        "(Ok|Thanks), double it.", "times two",
        "Now make it double.", "and doubled?",
    ),
    "/2": (
        "Halve it.", "Half of (that|it)(?|)", "(Now|And) halve (that|it)(.|)", "(And|What is) half of (that|it)?",
        "What if I halve it?", "And the half?",
        "halve it", "half of that", "now halve it", "half of it", "and half of that?", "Take half.", "Cut it in half.",
        "Now half of that.",
        "(Ok|Thanks), (now |)half of (it|that).", "and halved?", "What's half of that?",
    ),
    "n-": (
        "Subtract (it|that) from {n}.", "(And|Now) {n} minus that(?|)", "{n} minus (it|that)",
        "(What is|What's) {n} minus that?", "Take (it|that) (away |)from {n}.",
        "(Now|And) subtract (it|that) from {n}(.|)", "How much is left of {n} without it?",
        "subtract that from {n}", "take that from {n}", "{n} less that", "Now take it (away |)from {n}.",
        "What is left of {n} if I take that away?",
        "How much is {n} minus (it|that|the result)?", "and {n} minus it?",
    ),
    "^2": (
        "Square it.", "(Now|now|And) square (it|that)(.|)", "squared", "(And|What is) (that|it) squared?",
        "(What is|And) the square of (that|it)?", "Multiply it by itself.", "What if I square it?", "times itself",
        "square it", "square that", "now square it", "^2", "and squared?", "Now take the square.",
        "(Ok|Thanks), square it.", "to the power of 2",
    ),
    "%": (
        "What is {n}% of (that|it)?", "(And|Now) {n}% of (that|it)(?|)", "{n} percent of (that|it)",
        "Take {n}% of (that|it).", "How much is {n}% of (that|it|the result)?", "{n}% of that",
        "and {n}% of that?", "take {n}% of it", "now {n} percent of that", "What's {n}% of (that|it)?",
        "How much is {n} percent of that?",
        "and {n} percent of it?", "(Now take|Now|Then) {n}% of (it|that).", "Calculate {n}% of (that|it|the result).",
    ),
    "sqrt": (
        "(And|Now|What is|What's) the square root( of that| of it|)?", "Take the (square |)root( of it| of that|).",
        "sqrt of that", "(Now|And) the root of (it|that)(.|?)", "square root?",
        "square root of that", "take the square root", "and its square root?", "now the square root",
        "What is its (square |)root?",
    ),
}  # fmt: skip
"""What a user says to change the last answer, by what it does to it."""
JOINS = ("And ", "and ", "Now ", "Next: ", "Then ", "Ok. ", "ok, ", "Thanks. ", "What about this: ", "Another one: ")


def history(rng: Draws, others: Sequence[Generator], turns: int) -> list[dict[str, str]]:
    """Earlier turns, as a client sends them: questions and visible answers, without the thinking."""
    messages: list[dict[str, str]] = []
    while len(messages) < 2 * turns:
        problem = rng.choice(others)(rng)
        if problem.tools is None and not problem.held_out:
            messages += [problem.messages[-1], {"role": "assistant", "content": problem.reply}]
    return messages


def later_turn(rng: Draws, others: Sequence[Generator]) -> Problem:
    """A problem that has nothing to do with the turns before it."""
    problem = rng.choice(others)(rng)
    last = problem.messages[-1]
    if rng.random() < 0.3:
        last = {"role": "user", "content": rng.choice(JOINS) + last["content"]}
    return replace(problem, messages=[*history(rng, others, rng.choice((1, 1, 2, 3, 4))), last])


def tool_turn(rng: Draws) -> Problem:
    """A problem for the calculator after others that it has solved."""
    problem = tool_call(rng)
    messages = [m for m in problem.messages if m["role"] == "system"]
    for _ in range(rng.choice((1, 1, 2))):
        earlier = tool_call(rng)
        assert earlier.call is not None
        answer = {"role": "assistant", "content": earlier.reply}
        messages += [earlier.messages[-1], *tool_messages(earlier.call, earlier.answer), answer]
    return replace(problem, messages=[*messages, problem.messages[-1]])


def follow_up(rng: Draws, others: Sequence[Generator]) -> Problem:
    """A question that leans on the one before: a change to the last answer, or the same again for other numbers."""
    if rng.random() < 0.35:
        return ellipsis(rng)
    while True:
        earlier = history(rng, others, rng.choice((1, 1, 1, 2, 3)))
        last = earlier[-1]["content"].rpartition("\\boxed{")[2].partition("}")[0]
        if WHOLE.fullmatch(last):
            break
    value, change = int(last), rng.choice(tuple(CHANGES))
    if change == "sqrt" and (value < 0 or rng.random() < 0.5):
        change = "+"
    n = max(1, sized(rng, rng.choice((1, 2, 2, 3))))
    if change == "-" and n > value > 0 and rng.random() < 0.7:
        n = rng.randrange(value + 1)
    if change in ("/", "/2"):
        n = 2 if change == "/2" else rng.randrange(2, 13)
    if change == "*2":
        n = 2
    if change == "%":
        n = rng.randrange(1, 100)
    turns = [*earlier, {"role": "user", "content": rng.wording(CHANGES[change]).format(n=n)}]
    return changed(turns, value, change, n)


def changed(turns: list[dict[str, Any]], value: int, change: str, n: int) -> Problem:
    """The problem that a change of the last answer poses."""
    if abs(value) > 9999:
        return refusal(
            "follow_up", f"{value}{change}{n}", turns, f"The last answer was {value}. More than four digits.", "size"
        )
    if change == "/2" and value > 0:
        steps, half = part_steps(1, 2, value)
        assert half is not None
        thinking = f"The last answer was {value}, so {value} / 2.\n{steps}"
        return Problem("follow_up", f"{value}/2 half", turns, thinking, f"{value} / 2 = {boxed(half)}", half)
    if change == "sqrt":
        trace, root = square_root(value)
        thinking, key = f"The last answer was {value}, so sqrt({value}).\n{trace}", f"sqrt({value})"
        if root is None:
            return refusal("follow_up", key, turns, thinking, "root")
        return Problem("follow_up", key, turns, thinking, f"{key} = {boxed(root)}", str(root))
    if change == "%":
        if value < 0:
            return refusal("follow_up", f"{n}%{value}", turns, f"The last answer was {value}: negative.", "mathematics")
        steps, answer = percent_steps(n, value)
        return Problem(
            "follow_up", f"{n}%{value}", turns, f"The last answer was {value}.\n{steps}", boxed(answer), answer
        )
    a, b, sign = (n, value, "-") if change == "n-" else (value, value, "*") if change == "^2" else (value, n, change[0])
    second = f"({b})" if b < 0 else str(b)
    thinking = f"The last answer was {value}, so {a} {sign} {second}."
    key = f"{min(a, b)}{sign}{max(a, b)}" if sign in "+*" else f"{a}{sign}{b}"
    if sign == "/" and a < 0 and a % b:
        return refusal(
            "follow_up",
            key,
            turns,
            f"{thinking}\n{sign_rule(a, b)}\n{divide_columns(-a, b)}\nA remainder of a negative number.",
            "whole",
        )
    columns, answer = columns_of(a, b, sign)
    return Problem("follow_up", key, turns, f"{thinking}\n{columns}", f"{a} {sign} {second} = {boxed(answer)}", answer)


def columns_of(a: int, b: int, sign: str) -> tuple[str, str]:
    """The trace and answer of an operation, signs or not."""
    if sign == "/":
        answer = f"{a // b} remainder {a % b}" if a % b else str(a // b)
        return (divide_columns if a >= 0 else divide_signed)(a, b), answer
    signs = a < 0 or b < 0
    if sign == "+":
        return (add_signed if signs else add_columns)(a, b), str(a + b)
    if sign == "-":
        return (subtract_signed if signs else subtract_columns)(a, b), str(a - b)
    return (multiply_signed if signs else multiply_columns)(a, b), str(a * b)

"""What nano says when it cannot answer: a few sentences, none with a number, and what it can do instead."""

from __future__ import annotations

from typing import Any

from training.nano.tasks.problem import REFUSE, Problem

ABILITIES = (
    "I can add, subtract, multiply and divide numbers of up to four digits, take powers and roots, find remainders and "
    "averages, solve equations and word problems, compare and sort, count letters, play countdown, and calculate with "
    "dates and units."
)
REASONS = {
    "arithmetic": "I only know arithmetic.",
    "mathematics": "That kind of mathematics is beyond me.",
    "size": "That number is too long for me to calculate with by hand.",
    "power": "That power is too large for me.",
    "root": "That root is not a whole number, and I only know whole ones.",
    "whole": "That does not come out whole, and I only know whole results there.",
    "endless": "That division does not end within three places. Ask me to round it.",
    "solution": "That equation has no whole solution, and I only know whole ones.",
    "equation": "I only solve linear and quadratic equations in one unknown.",
    "zero": "Nothing can be divided by zero.",
    "unit": "I do not know how to convert that.",
    "date": "I cannot calculate that date.",
    "missing": "A number is missing there, so I cannot work it out.",
    "story": "That story does not work out.",
    "unreachable": "I found no way to make that.",
    "english": "I only understand English.",
    "code": "I cannot write code or text. I only know arithmetic.",
}
"""Why nano declines, by kind."""


def refusal(task: str, key: str, messages: list[dict[str, Any]], thinking: str, reason: str, **more: Any) -> Problem:
    """A problem whose right answer is to decline, for one of the REASONS."""
    return Problem(task, key, messages, thinking, f"{REASONS[reason]} {ABILITIES}", REFUSE, **more)

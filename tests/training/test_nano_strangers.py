"""Strangers' and visitors' questions: which replies count as right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.nano.strangers import judged, row
from training.nano.visitors import verdict

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("boxed", "answer", "right"),
    [
        ("1591", "1591", True),
        ("14.70", "14.7", True),
        ("72 + 10", "82", False),
        ("1,3, 5", "1, 3, 5", True),
        ("5, 3, 1", "1, 3, 5", False),
        ("7 + 3*5", "5 * 3 + 7", True),
        ("22", "5 * 3 + 7", False),
        ("7 + 7 + 5 + 3", "5 * 3 + 7", False),
        ("Thursday", "thursday", True),
        ("1 / 0", "5", False),
        ("7", "refuse", False),
    ],
)
def test_a_boxed_answer_is_judged(boxed: str, answer: str, right: bool) -> None:
    assert judged(f"It is \\boxed{{{boxed}}}.", answer) == ("right" if right else "WRONG")


def test_a_reply_without_a_number_declines() -> None:
    assert judged("I only know arithmetic.", "refuse") == "right"
    assert judged("I only know arithmetic.", "7") == "declined"
    assert judged("It may be 7.", "refuse") == judged("It may be 7.", "7") == "WRONG"
    assert verdict("It may be 7.", None) == "WRONG" and verdict("I only know arithmetic.", None) == "right"


@pytest.mark.parametrize(
    ("boxed", "answer", "right"),
    [
        ("$1,639", "1639", True),
        ("12.5 %", ["7.5", "12.5"], True),
        ("24 boxes", "24", True),
        ("14 remainder 2", "142", False),
        ("14 remainder 2", ["14.3", "14 remainder 2"], True),
        ("March 6, 2024", "2024-03-06", True),
        ("March 7, 2024", "2024-03-06", False),
        ("899,980,1020", "899, 980, 1020", True),
    ],
)
def test_a_visitors_answer_may_have_units_and_commas(boxed: str, answer: str | list[str], right: bool) -> None:
    assert verdict(f"It is \\boxed{{{boxed}}}.", answer) == ("right" if right else "WRONG")


def test_a_question_keeps_its_signs_in_a_table() -> None:
    assert row("2 * 3", "a|b\nc") == r"| 2 \* 3 | a\|b c |"


def test_every_visitor_has_a_kind_and_may_be_answered_or_must_be_declined() -> None:
    asked = json.loads((ROOT / "training/nano/visitors.json").read_text(encoding="utf-8"))
    assert len(asked) == 240 == len({entry["question"] for entry in asked})
    for entry in asked:
        assert (entry["answer"] is None) == entry["kind"].startswith("decline: ")
        answers = [entry["answer"]] if isinstance(entry["answer"], str) else entry["answer"] or []
        for answer in answers:
            assert verdict(f"\\boxed{{{answer}}}", entry["answer"]) == "right", entry["question"]

"""What training sees and what it does not: wordings, typing, and questions that are declined."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from training.nano.tasks import REFUSE, TASKS, Draws, outside_problems, unseen_problems
from training.nano.tasks.formula_stories import rearranged
from training.nano.tasks.outside import outside
from training.nano.tasks.percent_contexts import LESS, MORE
from training.nano.tasks.percentages import changed_scene
from training.nano.tasks.refusals import ABILITIES, REASONS
from training.nano.tasks.remainder_wordings import AVERAGE
from training.nano.tasks.story_synonyms import varied
from training.nano.tasks.wording import abbreviated, framed, grouped, in_words, mistyped, split, spoken, unseen_draws

ROOT = Path(__file__).parents[2]


def test_what_is_declined_says_why_and_what_else_without_a_number() -> None:
    rng = Draws(4)
    for problem in (outside(rng) for _ in range(400)):
        assert problem.answer == REFUSE and problem.reply.endswith(ABILITIES) and not re.search(r"\d", problem.reply)
        assert any(problem.reply.startswith(reason) for reason in REASONS.values())


def test_unseen_wordings_are_whole_lines_that_training_never_draws() -> None:
    known, unseen = split(AVERAGE)
    assert set(known) | set(unseen) == set(AVERAGE) and AVERAGE[:3] == known[:3] and len(unseen) >= 3
    rng, other = Draws(3), unseen_draws("3")
    drawn = {rng.wording(AVERAGE) for _ in range(1000)}
    assert not drawn & {other.wording(AVERAGE) for _ in range(1000)}
    assert other.news == 1000 and rng.news == 0


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_problems_in_unseen_wordings(task: str) -> None:
    some = unseen_problems(task, 8, seed=5)
    assert len({p.key for p in some}) == 8 and all(p.held_out and p.task == task for p in some)
    assert unseen_problems(task, 8, seed=5) == some != unseen_problems(task, 8, seed=6)


def test_outside_problems_are_different_and_all_declined() -> None:
    some = outside_problems(60, seed=2)
    assert len({p.key for p in some}) == 60 and all(p.answer == REFUSE for p in some)


def test_typing_keeps_numbers() -> None:
    rng, question = Draws(8), "How much is 123 times 45, please?"
    for _ in range(300):
        assert re.findall(r"\d+", mistyped(rng, question)) == ["123", "45"]
    for kept in ("2+2", "What is 17 % 5?", "Solve 2x = 8", "50000 less 5", "7 days after March 3, 2024", "sort 5 30 2"):
        assert spoken(rng, kept) == kept
    assert {spoken(Draws(seed), "What is 20% of 123?") for seed in range(99)} >= {
        "What is twenty percent of one hundred twenty-three?", "What is 20% of one hundred and twenty-three?",
    }  # fmt: skip
    assert [in_words(n) for n in (0, 13, 40, 99)] == ["zero", "thirteen", "forty", "ninety-nine"]
    assert in_words(3005, link=" and ") == "three thousand and five" and in_words(1200) == "one thousand two hundred"
    assert len({in_words(n) for n in range(10000)}) == 10000


def test_commas_and_short_units_keep_what_is_asked() -> None:
    assert (
        grouped("1234+567") == "1,234+567" and grouped("Is 4821 larger than 1000.5?") == "Is 4,821 larger than 1000.5?"
    )
    for kept in ("sort 1200, 3400", "10 days after May 1 2024", "x1234", "0123"):
        assert grouped(kept) == kept
    shorter = {abbreviated(Draws(seed), "I pay 2.50 dollars and 3 euros") for seed in range(50)}
    assert "I pay $2.50 and 3 euros" in shorter and "I pay 2.50 dollars and €3" in shorter


def test_a_frame_leaves_the_question_whole() -> None:
    rng, question = Draws(9), "What is 12 + 30?"
    assert all(framed(rng, question).lower().endswith(question.lower()) for _ in range(300))
    assert len({framed(rng, question) for _ in range(300)}) > 100


def test_a_story_told_in_another_order_or_other_words_keeps_its_numbers() -> None:
    text = "Ben buys 3 boxes of 12 pens. He gives away 5 of them. How many are left?"
    told = {rearranged(Draws(seed), text, often=1.0) for seed in range(200)} | {
        varied(Draws(seed), text, often=1.0) for seed in range(200)
    }
    assert len(told) > 40 and all(re.findall(r"\d+", each) == ["3", "12", "5"] for each in told)
    assert "How many are left if Ben buys 3 boxes of 12 pens and he gives away 5 of them?" in told
    assert "Ben orders 3 boxes of 12 pens. He gives away 5 of them. How many are left?" in told


def test_what_a_percentage_is_taken_of_is_said_by_the_question() -> None:
    """A situation goes with both questions, so the part and the result differ in it alone."""
    rng = Draws(6)
    for situations, results, parts in (*LESS, *MORE):
        assert not set(results) & set(parts)
        assert all("{n}" in line and "{p}" in line for line in situations)
        assert not any(re.search(r"\{|\d", line) for line in (*results, *parts))
    asked = [changed_scene(rng, less=True) for _ in range(300)]
    assert all("{n}" in each and "{p}" in each and "{v}" not in each for each in asked)


def test_strangers_are_a_hundred_each_with_an_answer() -> None:
    asked = json.loads((ROOT / "training/nano/strangers.json").read_text(encoding="utf-8"))
    assert len(asked) == 100 == len({" / ".join(entry["turns"]) for entry in asked})
    assert all(entry["answer"] and entry["turns"] for entry in asked)

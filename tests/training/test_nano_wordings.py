"""What training sees and what it does not: wordings, typing, and questions that are declined."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from training.nano.tasks import REFUSE, TASKS, Draws, outside_problems, unseen_problems
from training.nano.tasks.outside import outside
from training.nano.tasks.refusals import ABILITIES, REASONS
from training.nano.tasks.remainders import AVERAGE
from training.nano.tasks.wording import in_words, mistyped, split, spoken, unseen_draws

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
    assert spoken(rng, "2+2") == "2+2" and spoken(rng, "What is 123 less 5?") == "What is 123 less 5?"
    assert [in_words(n) for n in (0, 13, 40, 99)] == ["zero", "thirteen", "forty", "ninety-nine"]


def test_strangers_are_a_hundred_each_with_an_answer() -> None:
    asked = json.loads((ROOT / "training/nano/strangers.json").read_text(encoding="utf-8"))
    assert len(asked) == 100 == len({" / ".join(entry["turns"]) for entry in asked})
    assert all(entry["answer"] and entry["turns"] for entry in asked)

"""The borders of what nano can do: what is declined there differs from what is answered, and in what."""

from __future__ import annotations

import re

import pytest

from training.nano.tasks import REFUSE, Draws, outside_borders, outside_gaps, problem
from training.nano.tasks.near_misses import long_number
from training.nano.tasks.outside_stories import ASIDE, fact_left_out, other_question
from training.nano.tasks.wording import split, unseen_draws

TABLES = {
    f"{module.__name__.rpartition('.')[2]} {name}": table
    for module in (outside_borders, outside_gaps)
    for name, table in vars(module).items()
    if isinstance(table, tuple)
}


@pytest.fixture(autouse=True)
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions as they stand in the tables."""
    monkeypatch.setattr(problem, "typed", lambda rng, question, exact=False: question)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_nothing_twice_and_keeps_some_lines_back(name: str) -> None:
    table = TABLES[name]
    known, unseen = split(table)
    assert len({line.lower().rstrip(".?! ") for line in table}) == len(table) == len(known) + len(unseen)
    assert 0 < len(unseen) < len(known)
    rng = Draws(name)
    assert not any(re.search(r"[|@]", rng.resolved(line)) for line in table)


def test_a_question_about_something_else_is_about_what_the_story_does_not_name() -> None:
    rng, seen = Draws(5), set[str]()
    for _ in range(300):
        each = other_question(rng)
        text = each.messages[-1]["content"]
        assert each.answer == REFUSE and re.search(r"\d", text)
        for words, _, questions in ASIDE:
            asked = {
                re.sub(r"[^a-z]+", " ", rng.resolved(line).lower()).strip() for line in questions for _ in "123456"
            }
            told, _, question = re.sub(r"(?<=[.?!]) (?=[A-Z])", "\n", text).rpartition("\n")
            if re.sub(r"[^a-z]+", " ", question.lower()).strip() in asked:
                assert not re.search(words, told, re.IGNORECASE), text
                seen.add(words)
    assert len(seen) == len(ASIDE)


def test_a_story_without_a_fact_has_one_number() -> None:
    rng, other = Draws(6), unseen_draws("6")
    for each in (*(fact_left_out(rng) for _ in range(300)), *(fact_left_out(other) for _ in range(50))):
        text = each.messages[-1]["content"]
        assert each.answer == REFUSE and len(re.findall(r"\d+", text)) == 1 and "?" in text, text


def test_long_numbers_have_five_to_nine_digits() -> None:
    rng = Draws(7)
    assert {len(str(long_number(rng))) for _ in range(900)} == {5, 6, 7, 8, 9}
    assert all("{L}" in line for line in outside_gaps.LONG)

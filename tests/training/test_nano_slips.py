"""Typing errors: often, of every kind, inside and outside alike, and never where they change what is asked."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from training.nano.tasks import Draws, problem, slips, training_problem
from training.nano.tasks.slips import KEPT, MEANT, NEIGHBOURS, may_slip, mistyped, slip
from training.nano.tasks.wording import SLIPS, typed

QUESTION = "What is 25 plus 13 km, please? Solve 2x + sqrt(9) = 12 for Felix."


def distance(a: str, b: str) -> int:
    """Letters to put in, take out, change, or swap with the next to make b of a."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        rows.append([i])
        for j, y in enumerate(b, 1):
            best = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                best = min(best, rows[i - 2][j - 2] + 1)
            rows[i].append(best)
    return rows[-1][-1]


def test_numbers_variables_symbols_names_and_signs_in_words_stay() -> None:
    rng, words = Draws(1), Counter()
    for _ in range(600):
        text = mistyped(rng, QUESTION)
        assert re.search(r" 25 plus 13 km, .* 2x \+ sqrt\(9\) = 12 for Felix\.$", text), text
        changed = [(x, y) for x, y in zip(QUESTION.split(), text.split(), strict=True) if x != y]
        assert 1 <= len(changed) <= 3 and all(distance(x, y) == 1 for x, y in changed)
        words.update(x for x, _ in changed)
    assert set(words) == {"What", "please?", "Solve"}


@pytest.mark.parametrize("word", ["calculate", "divide", "multiply", "please", "solve", "what", "many", "can", "you"])
def test_a_word_slips_in_every_way_into_no_word_that_matters(word: str) -> None:
    rng = Draws(word)
    found = {slip(rng, word) for _ in range(900)} - {word}
    assert not found & MEANT and all(distance(word, each) == 1 for each in found)
    assert any(sorted(each) == sorted(word) for each in found)
    assert any(len(each) == len(word) + 1 for each in found)
    if len(word) > 3:
        assert any(len(each) == len(word) - 1 for each in found)
        near = [each for each in found if len(each) == len(word) and sorted(each) != sorted(word)]
        assert near
        for each in near:
            i = next(i for i, (x, y) in enumerate(zip(word, each, strict=True)) if x != y)
            assert each[i] in NEIGHBOURS[word[i]] and word[i] in NEIGHBOURS[each[i]]


def test_words_that_decide_do_not_slip() -> None:
    rng = Draws(2)
    assert KEPT <= MEANT and not any(
        may_slip(word) for word in ("times", "minus", "Felix", "March", "twenty", "less", "twelfth")
    )
    for text in ("5 plus 3", "x minus 4", "Twelve less five", "12:30 - 5", "two times four", "March 3 minus ten"):
        assert mistyped(rng, text) == text


def test_slips_are_as_frequent_outside_as_inside_and_never_where_letters_count(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[bool, str]] = []
    exacts: list[bool] = []

    def noted(rng: Draws, question: str, exact: bool = False) -> str:
        exacts.append(exact)
        return typed(rng, question, exact)

    monkeypatch.setattr(problem, "typed", noted)
    monkeypatch.setattr("training.nano.tasks.wording.mistyped", lambda rng, question: f"SLIP {question}")
    rng = Draws(3)
    for _ in range(6000):
        exacts.clear()
        each = training_problem(rng)
        text = each.messages[-1]["content"]
        if each.task == "letters":
            assert "slip" not in text.lower()
        elif each.messages[-1]["role"] == "user" and exacts and not exacts[-1]:
            drawn.append((each.task == "outside", text))
    for outside in (True, False):
        some = [text for out, text in drawn if out is outside]
        assert len(some) > 500
        assert sum("slip " in text.lower() for text in some) / len(some) == pytest.approx(SLIPS, abs=0.035)
    assert slips.mistyped is mistyped

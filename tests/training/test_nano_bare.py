"""Bare sums of small numbers are never declined, as typed or as they stand in the tables."""

from __future__ import annotations

import re

import pytest

from training.nano.tasks import Draws, problem
from training.nano.tasks.arithmetic import addition, multiplication, subtraction
from training.nano.tasks.outside import outside
from training.nano.tasks.problem import asking
from training.nano.tasks.wording import unended, unseen_draws

BARE = re.compile(
    r"(what is|whats|what's|calculate|compute|how much is|what would|please)? ?"
    r"\d{1,4} ?([-+*x×]|plus|minus|times) ?\d{1,4}( be)?[ =?.!]*",
    re.IGNORECASE,
)


PLAIN_ASKS = ("What is {}?", "what is {}", "Compute {}.", "Calculate {}", "{}", "{}=", "{} = ?")


@pytest.mark.parametrize("plainly", [True, False])
def test_no_bare_sum_is_declined(plainly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line whose marks may be left out would say that some of them are beyond nano."""
    assert all(BARE.fullmatch(text) for text in ("2+2", "What is 7 + 8?", "7 times 8 =", "calculate 3*4"))
    if plainly:
        monkeypatch.setattr(problem, "typed", lambda rng, question, exact=False: question)
    for rng in (Draws("bare"), unseen_draws("bare")):
        asked = [outside(rng).messages[-1]["content"] for _ in range(9000)]
        assert not [text for text in asked if BARE.fullmatch(text)]


def test_a_factorial_keeps_its_mark() -> None:
    asked = ("Compute 5!", "5!?", "Add 3 and 4.", "Go!?", "x?!")
    assert [unended(text) for text in asked] == ["Compute 5!", "5!", "Add 3 and 4", "Go", "x"]


def test_bare_sums_are_asked_often_in_the_plainest_words() -> None:
    """Most people type just the sum: a tenth or more of the four operations' questions are that and no more."""
    rng = Draws("plain")
    for generator in (addition, subtraction, multiplication):
        asked = [generator(rng).messages[-1]["content"] for _ in range(1500)]
        assert sum(bool(BARE.fullmatch(text)) for text in asked) > 150
    assert not any(asking(unseen_draws(str(seed))) in PLAIN_ASKS for seed in range(60))

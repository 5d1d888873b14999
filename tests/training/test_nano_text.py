"""The text that ships with nano is what its tasks make, and conversions take it without them."""

from __future__ import annotations

import json

import pytest

from hopwell.cli.texts import TOKENS, nanos_problems, sequences_of
from hopwell.model import NANO
from training.nano.text import SHIPPED, shipped_texts, worked_problems


@pytest.mark.parametrize(("name", "held_out", "seed"), SHIPPED)
def test_shipped_text_is_what_the_tasks_make(name: str, held_out: bool, seed: int) -> None:
    assert json.loads((NANO / "text" / name).read_text(encoding="utf-8")) == shipped_texts(held_out, seed)
    assert sequences_of(NANO, None, seed=7, fresh=held_out) == worked_problems(NANO, TOKENS, held_out, seed, mix=False)


def test_text_to_judge_by_was_not_calibrated_on() -> None:
    assert not set(nanos_problems(fresh=True)) & set(nanos_problems(fresh=False))

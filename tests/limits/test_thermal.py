"""The thermal guard on simulated cards: what makes it hot, how long it stays so, and what it makes of lost sensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import simulated_nvml as nvml

from hopwell.limits.board import REASONS, Board, read_board
from hopwell.limits.governor import ALARMS
from hopwell.limits.thermal import CALM, COOLER, Guard

BITS = {words: bit for bit, words in REASONS.items()}
LIMIT = 80


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, at 60 degrees."""
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 2)
    for card in (0, 1):
        nvml.put(card, nvml.DEGREES, 60)


def boards() -> list[Board | None]:
    return [read_board(str(card), nvml) for card in (0, 1)]


def test_degrees_make_it_hot_and_it_must_cool_for_a_while() -> None:
    guard = Guard(LIMIT)
    assert not guard.look(0.0, boards()) and not guard.state.hot and guard.state.degrees == 60
    nvml.put(1, nvml.DEGREES, LIMIT)
    assert guard.look(1.0, boards()) and guard.state.hot and guard.state.why == "80 degrees of 80"
    nvml.put(1, nvml.DEGREES, LIMIT - COOLER)
    assert not guard.look(2.0, boards()) and not guard.look(100.0, boards()), "not cool enough, however long"
    nvml.put(1, nvml.DEGREES, LIMIT - COOLER - 1)
    assert not guard.look(101.0, boards()) and not guard.look(101.0 + CALM - 0.1, boards())
    assert guard.look(101.0 + CALM, boards()) and not guard.state.hot
    nvml.put(1, nvml.DEGREES, LIMIT - 1)
    assert not guard.look(120.0, boards()), "below the limit, and it was not hot"


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_card_that_slows_itself_makes_it_hot(alarm: str) -> None:
    guard = Guard(LIMIT)
    nvml.put(0, nvml.REASONS, BITS[alarm] | BITS["power cap"])
    assert guard.look(0.0, boards()) and guard.state.why == f"60 degrees of 80; a GPU slows itself: {alarm}"
    nvml.put(0, nvml.REASONS, 0)
    guard.look(1.0, boards())
    nvml.put(0, nvml.REASONS, BITS[alarm])
    assert not guard.look(1.0 + CALM, boards()) and guard.state.hot, "it was not calm throughout"
    nvml.put(0, nvml.REASONS, 0)
    guard.look(50.0, boards())
    assert guard.look(50.0 + CALM, boards()) and guard.state.times == 1


def test_a_power_cap_is_no_heat() -> None:
    guard = Guard(LIMIT)
    nvml.put(0, nvml.REASONS, BITS["power cap"] | BITS["clocks set by an administrator"])
    assert not guard.look(0.0, boards()) and not guard.state.hot


@pytest.mark.parametrize("hot", [False, True])
def test_a_card_that_is_lost_changes_nothing(hot: bool) -> None:
    guard = Guard(LIMIT)
    nvml.put(0, nvml.DEGREES, 90 if hot else 60)
    guard.look(0.0, boards())
    nvml.put(0, nvml.LOST, 1)
    for second in range(1, 100):
        assert not guard.look(float(second), boards())
    assert guard.state.hot == hot

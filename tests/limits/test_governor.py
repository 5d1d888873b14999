"""The governor on simulated cards: no promise broken that would have been kept, no clock outside the whitelist."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import simulated_nvml as nvml
from simulated_engine import FASTEST, Ask, Engine, trace

from hopwell.limits.clocks import Locks
from hopwell.limits.governor import ALARMS, FAST, HOLD, LOWER, RAISE, SLOW, STEP, Gaps, Governor, Load
from hopwell.limits.saving import LEAST, PAIRS, WINDOW, Trial

SECONDS = 120.0
DRAG = 1.05
"""A promise would have been kept if it is without the governor, and would be too if each step took 5 % longer: others
hang on a coincidence, such as two milliseconds of two seconds."""
CALM = Load(gap=0.02, promise=0.08)


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 2)
    return tmp_path / "cards"


def play(asks: list[Ask], governor: Governor | None = None, **settings: float) -> Engine:
    locks = Locks(nvml, [0]) if governor else None
    engine = Engine(deepcopy(asks), governor=governor, locks=locks, **settings)  # type: ignore[arg-type]
    engine.run()
    return engine


def compare(seeds: range, cards: Path) -> None:
    """Plays traces with the governor and without, and holds it to what it promises."""
    judged = late = slow_late = went_low = 0
    joules = [0.0, 0.0]
    for seed in seeds:
        random = Random(seed)
        asks = trace(random, SECONDS)
        settings = {"slower": random.choice([0.4, 0.6, 1, 1.5]), "pages": int(10 ** random.uniform(4.5, 6))}
        free, slow = play(asks, **settings), play(asks, drag=DRAG, **settings)
        governed = play(asks, Governor(Locks(nvml, [0]).clocks), **settings)
        for a, b, c in zip(free.asks, slow.asks, governed.asks, strict=True):
            if a.spare() >= 0:
                judged += b.spare() >= 0
                slow_late += b.spare() < 0
                late += c.spare() < 0
                assert b.spare() < 0 or c.spare() >= 0, (seed, a, c)
        assert governed.tokens == free.tokens
        went_low += governed.low_seconds > 1
        joules[0] += free.joules
        joules[1] += governed.joules
    allowed = range(Locks(nvml, [0]).clocks[0], FASTEST)
    for line in nvml.locks_of(cards).read_text().splitlines():
        _, low, high = map(int, line.split())
        assert low in allowed and high in allowed and high % nvml.GRID == 0
    print(f"{judged=} {late=} {slow_late=} {went_low=} {joules=}")
    assert judged > 50 * len(seeds)
    assert late < max(1, slow_late), "what hangs on a coincidence it breaks less often than steps 5 % slower do"
    assert went_low > len(seeds) / 3 and joules[1] < 0.99 * joules[0]


def test_no_promise_is_broken_that_would_have_been_kept(cards: Path) -> None:
    compare(range(40), cards)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(40, 520), range(520, 1000)], ids=["first", "second"])
def test_no_promise_is_broken_on_a_thousand_traces(seeds: range, cards: Path) -> None:
    compare(seeds, cards)


def settle(governor: Governor, load: Load, seconds: float, now: float = 0.0) -> float:
    """Lets the governor look at the same load for a while; the time then."""
    for _ in range(int(seconds / FAST)):
        now += FAST
        governor.decide(now, load)
    return now


def lowered() -> tuple[Governor, float]:
    """A governor that has come to 1,620 MHz, and when."""
    governor = Governor(range(1200, FASTEST + 1, nvml.GRID))
    now = settle(governor, CALM, 4 * SLOW + 1)
    assert governor.clock == FASTEST - 4 * STEP
    return governor, now


def test_it_lowers_step_by_step_and_never_below_its_list() -> None:
    governor = Governor([1200, 1290, 1380, 1980])
    settle(governor, CALM, 100)
    assert governor.clock == FASTEST, "a card without clocks in between is not taken down at one stroke"
    governor = Governor(range(1200, FASTEST + 1, nvml.GRID))
    settle(governor, CALM, 20 * SLOW)
    assert governor.settled == 1200
    downs = [(at, clock) for at, clock, why in governor.log if why == "decoding"]
    for (before, high), (after, low) in pairwise(downs[: (FASTEST - 1200) // STEP]):
        assert after - before >= SLOW - FAST and 0 < high - low <= STEP


def test_a_step_down_cannot_bring_a_promise_near() -> None:
    assert LOWER * (1 + STEP / (1000 - STEP)) < RAISE


@pytest.mark.parametrize(
    "load",
    [
        Load(gap=0.075, promise=0.08),
        Load(gap=0.02, promise=0.015),
        Load(gap=0.02, promise=0.08, cache=0.6),
    ],
)
def test_it_raises_at_once_and_holds(load: Load) -> None:
    governor, now = lowered()
    assert governor.decide(now + 0.001, load) == FASTEST
    now = settle(governor, CALM, HOLD - 1, now)
    assert governor.clock == FASTEST
    settle(governor, CALM, 3 * SLOW, now)
    assert governor.clock < FASTEST


@pytest.mark.parametrize("load", [Load(0.02, 0.08, waiting=1), Load(0.02, 0.08, prefilling=True)])
def test_prompts_run_at_the_top_and_decoding_goes_on_as_it_was(load: Load) -> None:
    governor, now = lowered()
    assert governor.decide(now + 0.001, load) == FASTEST
    settled = governor.settled
    settle(governor, CALM, 1, now)
    assert governor.clock == settled < FASTEST


@pytest.mark.parametrize("load", [Load(None, None), Load(0.02, None), Load(None, 0.08), Load(0.07, 0.08)])
def test_nothing_is_lowered_where_nothing_says_how_slow_it_may_be(load: Load) -> None:
    governor = Governor(range(1200, FASTEST + 1, nvml.GRID))
    settle(governor, load, 100)
    assert governor.clock == FASTEST and not governor.log


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_card_that_slows_itself_ends_it_for_good(alarm: str) -> None:
    governor, now = lowered()
    assert governor.decide(now + 0.001, Load(0.02, 0.08, slowed_by=["power cap", alarm])) == FASTEST
    assert governor.off and alarm in governor.off
    settle(governor, CALM, 200, now)
    assert governor.clock == FASTEST


def test_a_card_that_does_not_follow_ends_it() -> None:
    governor, now = lowered()
    governor.decide(now + 0.1, Load(0.02, 0.08, clocks=[governor.clock, 345]))
    assert governor.off is None, "lower is what an idle card does"
    governor.decide(now + 2, Load(0.02, 0.08, clocks=[governor.clock, FASTEST]))
    assert governor.off and str(FASTEST) in governor.off and governor.clock == FASTEST


@pytest.mark.parametrize(("curve", "pays"), [(1.0, True), (0.0, False)])
def test_it_turns_itself_off_where_it_saves_nothing(cards: Path, curve: float, pays: bool) -> None:
    """One long conversation after another, on cards as measured and on one whose power does not follow its clock."""
    asks = [Ask(at, 20, 4000, "server") for at in range(0, 200, 10)]
    governor = Governor(Locks(nvml, [0]).clocks)
    engine = play(asks, governor, curve=curve)
    assert governor.trial.last is not None and governor.trial.last.pairs >= PAIRS
    assert governor.trial.last.pays == pays == (governor.off is None)
    if not pays:
        assert governor.trial.last.share < LEAST and "not worth it" in str(governor.off)
        assert engine.locks is not None and nvml.get(0, nvml.HIGH) == 0
    else:
        assert engine.joules < 0.95 * play(asks).joules


@pytest.mark.parametrize("saved", [0.0, 0.029, 0.031, 0.2, -0.1])
def test_a_trial_finds_what_is_saved(saved: float) -> None:
    random, trial, now, joules, tokens, found = Random(3), Trial(), 0.0, 0.0, 0, None
    while found is None:
        now += FAST
        made = random.randrange(95, 106)
        tokens += made
        joules += made * 2.0 * (1 if trial.unlocked else 1 - saved)
        found = trial.look(now, joules, tokens, 4, True)
    assert found.share == pytest.approx(saved, abs=1e-9) and found.pays == (saved > LEAST)
    assert now >= 2 * PAIRS * WINDOW and not trial.running
    assert trial.look(now + FAST, joules, tokens, 4, True) is None and not trial.running, "the next is later"


def test_turns_with_other_loads_are_not_compared() -> None:
    trial, now, joules, tokens = Trial(), 0.0, 0.0, 0
    for _ in range(2000):
        now += FAST
        tokens += 100 if trial.unlocked else 10
        joules += 10
        assert trial.look(now, joules, tokens, 10 if trial.unlocked else 1, True) is None


def test_gaps_are_those_of_the_last_seconds() -> None:
    gaps = Gaps()
    assert gaps.p95(0.0) is None
    gaps.tell(0.0, 9.0)
    gaps.tell(5.0, 0.01, 94)
    gaps.tell(5.0, 0.5, 4)
    gaps.tell(5.0, 0.7, 2)
    assert gaps.p95(5.0) == 0.5
    gaps.tell(5.0, 0.01, 10)
    assert gaps.p95(5.0) == 0.5 and gaps.p95(100.0) is None

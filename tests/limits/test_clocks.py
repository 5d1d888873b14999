"""Cards' clocks on a simulated NVML: a whitelist that holds, and locks that end with whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import simulated_nvml as nvml

from hopwell.limits.clock_helper import ClockHelper
from hopwell.limits.clocks import ClockError, Locks, import_nvml, read_cards, whitelist

TESTS = Path(__file__).parents[1]
PATIENCE = 60.0
ENGINE = """
import sys, time
from hopwell.limits.clock_helper import ClockHelper
helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=HEARTBEAT)
print(*helper.pids, flush=True)
while True:
    helper.want(1500)
    time.sleep(0.05)
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three cards, of which this process's children know too."""
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 3)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", ""))))
    return tmp_path / "cards"


def locked() -> list[int]:
    return [nvml.get(card, nvml.HIGH) for card in range(3)]


def until(holds: Callable[[], bool], helper: ClockHelper | None = None, want: int = 1500) -> None:
    """Waits for something, and beats meanwhile."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        if helper is not None:
            helper.want(want)
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_cards_are_read(cards: Path) -> None:
    nvml.put(1, nvml.MILLIJOULES, 5000)
    nvml.put(1, nvml.REASONS, 0x20)
    nvml.put(1, nvml.HIGH, 1500)
    first, second = read_cards(nvml, [0, 1])
    assert (first.sm_mhz, first.max_mhz, first.joules, first.watts, first.slowed_by) == (1980, 1980, 0.0, None, ())
    assert second.joules == 5.0 and second.sm_mhz == 1500
    assert second.slowed_by == ("temperature", "clocks set by an administrator")
    assert len(read_cards(nvml)) == 3
    with pytest.raises(ClockError, match="Invalid Argument"):
        read_cards(nvml, [7])


def test_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_NVML", "")
    with pytest.raises(ClockError, match="NVML finds no GPU here: Driver Not Loaded"):
        import_nvml("simulated_nvml")
    with pytest.raises(ClockError, match="no nvml_of_nobody here"):
        import_nvml("nvml_of_nobody")


def test_the_whitelist_holds(cards: Path) -> None:
    locks = Locks(nvml, [0, 1, 2])
    assert locks.clocks == list(range(1200, 1981, 15)) == whitelist(nvml, [0])
    locks.lock(1500)
    assert locked() == [1500] * 3
    for wrong in (1185, 1501, 1995, 0, -15, 345):
        with pytest.raises(ClockError, match="not in the whitelist"):
            locks.lock(wrong)
    assert locked() == [1500] * 3
    locks.lock(1980)
    assert locked() == [0] * 3, "the top is no lock"
    with pytest.raises(ClockError, match="give 1000 or more"):
        Locks(nvml, [0], low=990)
    with pytest.raises(ClockError, match="share no clock"):
        Locks(nvml, [0], low=2000)


def test_all_cards_are_locked_or_none(cards: Path) -> None:
    locks = Locks(nvml, [0, 1, 2])
    nvml.put(2, nvml.REFUSES, 1)
    with pytest.raises(ClockError, match="a card refuses 1500 MHz: Insufficient Permissions; all are unlocked"):
        locks.lock(1500)
    assert locked() == [0] * 3


def test_real_cards_are_not_locked(monkeypatch: pytest.MonkeyPatch, cards: Path) -> None:
    monkeypatch.setattr(nvml, "__name__", "pynvml")
    with pytest.raises(ClockError, match="it observes and advises"):
        Locks(nvml, [0])


def test_the_helper_locks_and_unlocks(cards: Path) -> None:
    nvml.put(1, nvml.HIGH, 1300)  # of somebody who was killed
    helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=60)
    assert locked() == [0] * 3 and helper.clocks[0] == 1200
    until(lambda: helper.mhz == 1500, helper)
    assert locked() == [1500] * 3
    until(lambda: helper.mhz == 1980, helper, 1980)
    assert locked() == [0] * 3
    until(lambda: helper.mhz == 1500, helper)
    helper.close()
    assert locked() == [0] * 3
    until(lambda: all(map(gone, helper.pids)))


def test_the_helper_ends_on_what_is_not_whitelisted(cards: Path) -> None:
    helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=60)
    until(lambda: helper.mhz == 1500, helper)
    until(lambda: helper.lost is not None, helper, 1100)
    assert "1100 MHz is not in the whitelist" in str(helper.lost) and locked() == [0] * 3
    helper.close()
    assert all(high == "1500" for _, _, high in map(str.split, nvml.locks_of(cards).read_text().splitlines()))


def test_a_helper_that_cannot_start_says_why(cards: Path) -> None:
    with pytest.raises(ClockError, match="give 1000 or more"):
        ClockHelper("simulated_nvml", [0], low=500)
    with pytest.raises(ClockError, match="no nvml_of_nobody here"):
        ClockHelper("nvml_of_nobody", [0])


def test_a_helper_that_nobody_speaks_to_unlocks(cards: Path) -> None:
    helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=0.3)
    until(lambda: locked() == [1500] * 3 or helper.lost is not None, helper)
    until(lambda: locked() == [0] * 3)
    helper.close()
    until(lambda: helper.lost is not None, helper)  # its last word is heard by a thread, which may not have run yet
    assert helper.lost is not None and locked() == [0] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unlocks(cards: Path, number: int) -> None:
    helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=60)
    until(lambda: helper.mhz == 1500, helper)
    os.kill(helper.pids[0], number)
    until(lambda: helper.lost is not None, helper)
    until(lambda: locked() == [0] * 3)
    helper.close()


@pytest.mark.parametrize("victim", ["engine", "helper", "guard"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.slow
def test_whoever_is_killed_or_stopped_clocks_are_reset(cards: Path, victim: str, number: int) -> None:
    """All processes in turn: what is governed, the helper, its guard. Stopped, nobody's line ends: the beat does."""
    if number == signal.SIGSTOP and victim == "guard":
        pytest.skip("a guard that stands still does no harm while the helper runs")
    heartbeat = "60" if number == signal.SIGKILL else "3"
    command = [sys.executable, "-c", ENGINE.replace("HEARTBEAT", heartbeat)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as engine:
        assert engine.stdout is not None
        pids = [engine.pid, *map(int, engine.stdout.readline().split())]
        try:
            until(lambda: locked() == [1500] * 3)
            os.kill(pids[["engine", "helper", "guard"].index(victim)], number)
            until(lambda: locked() == [0] * 3)
            until(lambda: all(map(gone, pids[1:])) if victim != "guard" else gone(pids[1]))
            assert locked() == [0] * 3
        finally:
            engine.kill()


def test_all_killed_at_once_the_next_helper_begins_with_a_reset(cards: Path) -> None:
    helper = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=60)
    until(lambda: helper.mhz == 1500, helper)
    for pid in reversed(helper.pids):  # stopped first, so that none sees another go
        os.kill(pid, signal.SIGSTOP)
    for pid in helper.pids:
        os.kill(pid, signal.SIGKILL)
    helper.close()
    assert locked() == [1500] * 3, "nobody was left to do it"
    after = ClockHelper("simulated_nvml", [0, 1, 2], heartbeat=60)
    assert locked() == [0] * 3
    after.close()

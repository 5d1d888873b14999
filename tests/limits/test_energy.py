"""Joules told apart: whatever a counter does and whenever it is read, nothing is lost and nothing is made."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
import simulated_nvml as nvml

from hopwell.limits.energy import SPREAD, Account, Factors, Joules
from hopwell.limits.power import all_joules, cpu_counter, gpu_counter, own_gpus


@pytest.mark.parametrize("seed", range(20))
def test_what_is_paid_idle_and_owed_sum_to_the_counter(seed: int) -> None:
    random, now, joules, paid = Random(seed), 100.0, 5000.0, 0.0
    account = Account(now, joules)
    given: list[float] = []
    for _ in range(400):
        for _ in range(random.randrange(3)):
            account.begin(now)
            given.append(now)
        now += random.choice([0.0, random.expovariate(20), random.expovariate(2)])
        if random.random() < 0.3:
            now, joules = now + 0.001, joules + random.expovariate(0.02)
            account.sample(now, joules)
            assert account.idle + paid + account.owed == pytest.approx(joules - 5000)
            assert account.paid == pytest.approx(paid)
        now += random.choice([0.0, random.expovariate(5)])
        for began in given[: random.randrange(4)]:
            given.remove(began)
            match random.randrange(10):
                case 0:
                    account.fail(now)
                case 1:
                    account.refund(account.pay(now, random.uniform(0.0, now - began)))
                case _:
                    paid += account.pay(now, random.uniform(0.0, now - began))


def test_steady_power_is_told_apart_exactly() -> None:
    """300 W in steps, 100 between them: once both were seen, requests pay 300."""
    account, now, joules = Account(0.0, 0.0), 0.0, 0.0
    for _ in range(4):
        now, joules = now + 1, joules + 100
        account.sample(now, joules)
    assert account.idle == pytest.approx(400) and account.watts == pytest.approx(100)
    paid = [0.0, 0.0]
    for half in range(2):
        for _ in range(100):
            for place in range(5):
                account.begin(now + place * 0.1)
                paid[half] += account.pay(now + (place + 1) * 0.1, 0.1)
            now, joules = now + 1, joules + 200  # half of the time
            account.sample(now, joules)
    assert account.watts == pytest.approx(300)
    assert account.idle == pytest.approx(400 + 200 * 50)
    assert paid[1] == pytest.approx(100 * 150, rel=1e-6) and abs(account.owed) < 1e-3 * joules
    assert SPREAD == 1.0


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_step_longer_than_the_time_between_samples_is_not_idle(ahead: int) -> None:
    """100 W idle, 300 in steps of ten samples each: none of them is taken for idle time, and each is paid alike."""
    account = Account(0.0, 0.0)
    account.sample(1.0, 100.0)
    now, joules, paid = 1.0, 100.0, []
    for _ in range(ahead):
        account.begin(now)
    for _ in range(20):
        for _ in range(10):
            now, joules = now + 0.25, joules + 75
            account.sample(now, joules)
        paid.append(account.pay(now, 2.5))
        account.begin(now)
    assert account.idle == pytest.approx(100) and account.watts == pytest.approx(300)
    assert paid == pytest.approx([750] * 20)


def test_a_counter_that_stands_still_or_goes_back_harms_nothing() -> None:
    account = Account(0.0, 100.0)
    account.begin(0.0)
    account.sample(0.0, 150.0)
    account.sample(1.0, 90.0)
    assert account.idle == 0.0 and account.watts is None and account.pay(1.0, 1.0) == 0.0
    account.begin(1.0)
    account.sample(2.0, 100.0)
    assert account.idle == 0.0 and account.pay(2.0, 1.0) == 0.0


def test_factors() -> None:
    joules = Joules(prompt=1.8e6, decode=1.8e6)
    assert Factors().of(joules) == {"joules": 3.6e6, "prompt_joules": 1.8e6, "decode_joules": 1.8e6}
    told = Factors(grams=380.0, price=0.25).of(joules)
    assert told["grams_co2"] == pytest.approx(380) and told["price"] == pytest.approx(0.25)


def test_a_cpus_counter(tmp_path: Path) -> None:
    def zone(name: str, kind: str, now: int) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        for file, text in (("name", kind), ("energy_uj", now), ("max_energy_range_uj", 10_000_000)):
            (place / file).write_text(f"{text}\n")
        return place

    assert cpu_counter(tmp_path) is None and cpu_counter(tmp_path / "none") is None
    zone("intel-rapl:0", "package-0", 9_000_000)
    zone("intel-rapl:1", "package-1", 1_000_000)
    zone("intel-rapl:0:0", "core", 5)
    zone("intel-rapl:2", "psys", 7)
    counter = cpu_counter(tmp_path)
    assert counter is not None and counter() == 0.0
    zone("intel-rapl:0", "package-0", 500_000)  # it has gone round
    zone("intel-rapl:1", "package-1", 1_250_000)
    assert counter() == pytest.approx(1.75) and counter() == pytest.approx(1.75)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").unlink()
    assert cpu_counter(tmp_path) is None


def test_counters_of_several_gpus_are_one_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_NVML", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpu_counter(0) is None and all_joules(1) is None, "there is no driver"
    nvml.make(tmp_path / "cards", 2)
    counter = gpu_counter(0, 1)
    assert counter is not None and counter() == 0.0
    nvml.put(0, nvml.MILLIJOULES, 1_500)
    nvml.put(1, nvml.MILLIJOULES, 3_000)
    assert counter() == all_joules(2) == 4.5 and all_joules(1) == 1.5
    assert gpu_counter(0, 2) is None, "there are but two"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert all_joules(1) == 3.0, "a process that sees the second alone"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0b6a, 0")
    assert own_gpus(2) == ["GPU-0b6a", 0]

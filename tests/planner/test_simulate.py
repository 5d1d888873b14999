"""The simulation against queues whose waits are known, against the steady state, and over traces."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.question import Question
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.simulate import Arrival, Server, poisson, simulate, tails
from hopwell.planner.trace import means, rate_of, read_trace

US = 1000.0
"""Of a prompt; one fits a step."""
ONE_BY_ONE = Server(
    lambda batch, rows: 100.0 * batch, lambda tokens: 10 * tokens, lambda tokens: 10 * tokens, 1e12, 9, 100
)
QUESTION = Question(read_model("deepseek-r1"), parse_gpus("8xh200"), Load(1000, 500), 2000, 50, rate=3,
                    engines=("sglang",), precisions=("fp8",), disaggregated=False)  # fmt: skip


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_waits_of_equal_prompts_are_those_of_an_m_d_1_queue(busy: float) -> None:
    """Answers of one token: a prompt is all there is. Mean wait busy / (2 (1 - busy)) of a service."""
    arrivals = poisson(busy * 1e6 / US, Load(100, 1), 60_000, spread=0.0)
    waits = [seen.ttft - US for seen in simulate(arrivals, ONE_BY_ONE)]
    assert mean(waits) == pytest.approx(US * busy / (2 * (1 - busy)), rel=0.1)
    wait, last = 0.0, arrivals[0].us  # Lindley's recursion has each of them exactly
    for seen, arrival in zip(waits, arrivals, strict=True):
        wait, last = max(0.0, wait + US * (arrival is not arrivals[0]) - (arrival.us - last)), arrival.us
        assert seen == pytest.approx(wait, abs=1e-3)


def test_waits_of_exponential_answers_are_those_of_an_m_m_1_queue() -> None:
    """One sequence at a time: mean wait busy / (1 - busy) of a service."""
    rng, busy, service = random.Random(1), 0.6, 20_000.0
    alone = replace(ONE_BY_ONE, sequences=1, share=lambda _: 0.0, alone=lambda _: 0.0)
    at, arrivals = 0.0, []
    for _ in range(60_000):
        at += rng.expovariate(busy / service)
        arrivals.append(Arrival(at, 1.0, 2.0 + rng.expovariate(100 / service)))
    waits = mean(seen.ttft for seen in simulate(arrivals, alone))
    assert waits == pytest.approx(service * busy / (1 - busy), rel=0.1)


def test_what_runs_together_shares_steps_and_room() -> None:
    two = [Arrival(0.0, 100, 11), Arrival(0.0, 100, 11)]
    first, second = simulate(two, ONE_BY_ONE)
    assert (first.ttft, second.ttft) == (1000, 2100) and first.tpot == pytest.approx((1100 + 9 * 200) / 10)
    apart = simulate(two, replace(ONE_BY_ONE, tokens=150))
    assert apart[1].ttft == 1000 + 10 * 100 + 1000 and apart[0].tpot == apart[1].tpot == 100
    assert simulate(two, replace(ONE_BY_ONE, accepted=2.0, sequences=1))[0].tpot == 50
    assert simulate([Arrival(5.0, 1e9, 2)], ONE_BY_ONE)[0].tpot == 100, "alone even what is longer than the cache runs"


def test_it_agrees_with_the_steady_state() -> None:
    option = search(QUESTION, read_prices()).options[0]
    found = tails(option, QUESTION)
    assert found is not None and found.requests == 3600
    assert found.tpot_ms[0] == pytest.approx(option.tpot_ms.p50, rel=0.12)
    assert found.ttft_ms[0] == pytest.approx(option.ttft_ms.p50, rel=0.3)
    assert found.tpot_ms[0] <= found.tpot_ms[1] <= found.tpot_ms[2] and found.kept > 0.95
    crowded = tails(option, replace(QUESTION, rate=100.0))
    assert crowded is not None and crowded.kept < 0.1 and crowded.ttft_ms[2] > 10 * found.ttft_ms[2]
    assert tails(option, replace(QUESTION, rate=None)) is None


def test_bursts_are_worse_than_poisson() -> None:
    option = search(QUESTION, read_prices()).options[0]
    bursts = [Arrival(1e6 * (30.0 * (i // 90)), 1000, 500) for i in range(1800)]
    even, burst = tails(option, QUESTION), tails(option, QUESTION, bursts)
    assert even and burst and rate_of(bursts) == pytest.approx(3, rel=0.1)
    assert burst.ttft_ms[2] > 2 * even.ttft_ms[2]


MOONCAKE = '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0]}\n\n' \
           '{"timestamp": 3000, "input_length": 242, "output_length": 100, "hash_ids": []}\n'  # fmt: skip
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:48.6805900,396,109
"""


def test_traces_are_read(tmp_path: Path) -> None:
    mooncake, azure = tmp_path / "m.jsonl", tmp_path / "a.csv"
    mooncake.write_text(MOONCAKE, encoding="utf-8")
    azure.write_text(AZURE, encoding="utf-8")
    assert read_trace(mooncake) == [Arrival(0.0, 6758, 500), Arrival(3e6, 242, 100)]
    assert means(read_trace(mooncake)) == {"input": "3500", "output": "300"}
    assert [round(each.us) for each in read_trace(azure)] == [0, 2_000_000]
    assert rate_of(read_trace(azure, rate=4.0)) == pytest.approx(4.0)


def test_no_hour_is_lost_or_comes_twice_where_summer_time_begins_or_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    trace = tmp_path / "a.csv"
    trace.write_text(AZURE.replace("11-16 18:15:46", "10-29 01:30:00").replace("11-16 18:15:48", "10-29 03:30:00"))
    assert [round(each.us / 3.6e9) for each in read_trace(trace)] == [0, 2]
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}\n", "line 1 has no timestamp"),
        (MOONCAKE + "no json\n", "line 4 has no timestamp"),
        ('{"timestamp": 0, "input_length": 0, "output_length": 5}', "line 1"),
        ("[]", "line 1"),
        ('{"timestamp": 1%s, "input_length": 5, "output_length": 5}' % ("0" * 400), "line 1"),  # beyond any float
        ("[" * 100_000, "line 1"),
        ("", "holds no two requests"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=message):
        read_trace(path)
    with pytest.raises(PlanError, match="cannot be read"):
        read_trace(tmp_path / "none.jsonl")

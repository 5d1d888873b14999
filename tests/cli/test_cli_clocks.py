"""`hopwell clocks`: a real server on simulated cards; refusals; a machine without any."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import simulated_nvml as nvml
from commands import hopwell, refused
from prometheus_client import CollectorRegistry, generate_latest
from server_fixture import server

from hopwell.engine.metrics import Metrics
from hopwell.limits.advice import Seen, advise
from hopwell.limits.clocks import Card
from hopwell.server.metrics import EngineCollector

clocks = importlib.import_module("hopwell.cli.clocks")
"""The file; of that name the package has the command."""
CARD = Card("H200", 1980, 1980, 450.0, 1000.0, ())
SEEN = Seen(10.0, 500, 0.025, 0, 0.2, [[CARD, CARD], [replace(CARD, joules=3500.0), replace(CARD, joules=3000.0)]])
CLOCKS = range(1200, 1981, 15)


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two simulated cards where pynvml would be."""
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 2)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    yield


def test_advice_follows_from_what_was_seen() -> None:
    advice = advise(SEEN, CLOCKS, 0.08)
    assert advice.mhz == 1200 and SEEN.joules == 4500.0 and SEEN.joules_per_token == 9.0
    text = "\n".join(advice.evidence)
    assert "25.0 ms of 80 promised" in text and "4,500 J" in text and "450 W" in text and "9 J a token" in text
    assert "at most 41.2 ms" in text and "arXiv 2605.11999" in text and "3 %" in text
    closer = advise(replace(SEEN, gap=0.05), CLOCKS, 0.08)
    assert closer.mhz == 1650 and 0.05 * 1980 / 1635 > 0.06, "the whole step may slow with the clock"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gap": 0.07}, "no lower clock keeps its distance"),
        ({"gap": None}, "look again under load"),
        ({"tokens": 0}, "look again under load"),
        ({"waiting": 3}, "3 sequences waited"),
        ({"cache": 0.7}, "70 % of the cache is used"),
        ({"cards": [[replace(CARD, slowed_by=("temperature",))]]}, "slows itself (temperature)"),
    ],
)
def test_clocks_are_left_where_it_is_not_sure(change: dict[str, object], why: str) -> None:
    advice = advise(replace(SEEN, **change), CLOCKS, 0.08)  # type: ignore[arg-type]
    assert advice.mhz is None and why in advice.why


@pytest.mark.slow
def test_a_server_is_looked_at(cards: None) -> None:
    with server(max_seqs=4) as running:
        done = threading.Event()

        def load() -> None:
            body = {"prompt": "1+1=", "max_tokens": 64, "ignore_eos": True, "temperature": 0}
            while not done.is_set():
                httpx.post(f"{running.url}/v1/completions", json=body, timeout=300).raise_for_status()
                nvml.put(1, nvml.MILLIJOULES, nvml.get(1, nvml.MILLIJOULES) + 64_000)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            told = json.loads(hopwell("clocks", running.url, "--json", "--seconds", "4").out)
            shown = hopwell("clocks", running.url, "--seconds", "2", "--gpus", "1", "--mode", "observe")
        finally:
            done.set()
            thread.join()
    seen, advice = told["seen"], told["advice"]
    assert seen["tokens"] > 0 and seen["gap"] > 0 and len(seen["cards"][0]) == 2
    assert any("tokens in" in line for line in advice["evidence"]) and any(
        "J by" in line for line in advice["evidence"]
    )
    assert shown.code == 0 and "GPU 1, Simulated H200: 1980 of 1980 MHz" in shown.out and "tokens in" in shown.out
    assert not nvml.locks_of(Path(nvml._state.path)).read_text(), "nothing is set"


def test_steps_count_where_a_server_holds_them(cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gaps are long on purpose: what a step takes says how low clocks may go."""
    told = {"hopwell_pages_total": 9.0, "hopwell_pages_free": 9.0, "hopwell_pages_cached": 0.0, "hopwell_waiting": 0.0}
    looks = 0

    def scrape(*_: object) -> dict[str, float]:
        nonlocal looks
        looks += 1
        buckets = {f"{clocks.GAPS} {bound}": 100.0 * looks * (bound > 0.06) for bound in (0.025, 0.08, float("inf"))}
        buckets |= {f"{clocks.STEPS} {bound}": 100.0 * looks for bound in (0.025, 0.08, float("inf"))}
        return told | buckets | {"hopwell_generated_tokens_total": 100.0 * looks, "hopwell_pace_seconds": 0.06}

    monkeypatch.setattr(clocks, "scrape", scrape)
    seen = clocks.look(nvml, [0, 1], "", None, 1.1)
    assert seen.paced and seen.gap == 0.025
    advice = advise(seen, CLOCKS, 0.08)
    assert advice.mhz == 1200 and any("which the server holds to a pace" in line for line in advice.evidence)


def test_all_engines_of_a_server_count(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {1: Metrics(waiting=3, generated_tokens=100, pages_total=8), 2: Metrics(generated_tokens=50)}
    for each in metrics.values():
        each.itl.observe(0.03)
    registry = CollectorRegistry()
    registry.register(EngineCollector(metrics, "nano", label=True))
    reply = httpx.Response(200, content=generate_latest(registry))
    monkeypatch.setattr(httpx, "get", lambda *_, **__: reply)
    found = clocks.scrape("http://127.0.0.1:8000", None)
    assert found["hopwell_waiting"] == 3 and found["hopwell_generated_tokens_total"] == 150
    assert found["hopwell_pages_total"] == 8 and found[f"{clocks.GAPS} +Inf"] == 2


def test_what_it_refuses(cards: None) -> None:
    assert "this version sets no clock of a real card; give observe or advise" in refused("clocks", "--mode", "act")
    assert "--mode dance is unknown" in refused("clocks", "--mode", "dance")
    assert "give interactive or server" in refused("clocks", "--promise", "batch")
    assert "give interactive or server" in refused("clocks", "--promise", "soon")
    assert "--gpus 'a' is no list" in refused("clocks", "--gpus", "a")
    assert "Invalid Argument" in refused("clocks", "--gpus", "7")
    assert "give 1000 or more" in refused("clocks", "--low", "345")
    assert "is `hopwell serve` running there?" in refused("clocks", "http://127.0.0.1:9")


def test_without_nvml_it_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "no pynvml here" in refused("clocks")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("SIMULATED_NVML", "")
    assert "NVML finds no GPU here" in refused("clocks")

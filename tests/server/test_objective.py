"""`--objective` and `--max-degrees` of a real server: what it tells of them, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import simulated_nvml as nvml
from commands import hopwell
from prometheus_client.parser import text_string_to_metric_families
from server_fixture import Running, server

from hopwell.engine import loaded as loaded_models
from hopwell.engine.thermal import ThermalWatch
from hopwell.limits.board import read_board
from hopwell.limits.history import Report

ASKED = {"prompt": "1+1=", "max_tokens": 20, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server(max_seqs=16, objective="energy", tpot_promise_ms=150.0) as it:
        httpx.post(f"{it.url}/v1/completions", json=ASKED, timeout=300).raise_for_status()
        yield it


def report_of(running: Running) -> Report:
    return msgspec.json.decode(httpx.get(f"{running.url}/v1/limits", timeout=60).content, type=Report)


def samples(running: Running) -> dict[str, tuple[dict[str, str], float]]:
    """Of /metrics by name; of several, by the first label's value too."""
    families = text_string_to_metric_families(httpx.get(f"{running.url}/metrics", timeout=60).text)
    found = [sample for family in families for sample in family.samples]
    return {" ".join([s.name, *([s.labels["what"]] if "what" in s.labels else [])]): (s.labels, s.value) for s in found}


def test_what_a_server_tells_of_pacing(running: Running) -> None:
    pacing = report_of(running).pacing
    assert pacing is not None and (pacing.objective, pacing.reason) == ("energy", "start")
    assert pacing.why == "the first 30 s show what comes" and pacing.pace is None and not pacing.filling
    told = samples(running)
    labels, value = told["hopwell_pacing"]
    assert value == 1 and (labels["objective"], labels["why"]) == ("energy", "start")
    assert told["hopwell_pace_seconds"][1] == told["hopwell_held_seconds_total steps"][1] == 0
    info = httpx.get(f"{running.url}/get_server_info", timeout=60).json()["settings"]
    assert info["objective"] == "energy" and info["tpot_promise_ms"] == 150.0 and info["hold_prompts"] is True


def test_top_says_so(running: Running) -> None:
    done = hopwell("top", running.url, "--once")
    assert "objective energy: nothing is held, the first 30 s show what comes" in " ".join(done.out.split())


def test_a_server_for_latency_tells_nothing_of_it() -> None:
    with server(max_seqs=4, meter=False) as it:
        report = report_of(it)
        assert report.pacing is None and report.thermal is None and not report.on
        assert not [name for name in samples(it) if name.startswith(("hopwell_pac", "hopwell_held", "hopwell_hot"))]


def test_heat_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a simulated card, batch requests wait while others are served, and come when it has cooled."""
    monkeypatch.setenv("SIMULATED_NVML", "")
    nvml.make(tmp_path / "cards", 1)
    nvml.put(0, nvml.DEGREES, 95)
    watch = ThermalWatch(lambda: [read_board("0", nvml)], 90, interval=0.01)
    monkeypatch.setattr(loaded_models.LoadedModel, "_thermal", lambda *_: watch)
    with server(max_seqs=4) as it:
        with httpx.Client(base_url=it.url, timeout=300) as client, pytest.raises(httpx.ReadTimeout):
            client.post("/v1/completions", json=ASKED | {"latency_class": "batch"}, timeout=1.0)
        httpx.post(f"{it.url}/v1/completions", json=ASKED, timeout=300).raise_for_status()
        thermal = report_of(it).thermal
        assert thermal is not None and thermal.hot and thermal.why == "95 degrees of 90" and thermal.times == 1
        told = samples(it)
        assert told["hopwell_hot"][1] == 1 and told["hopwell_hottest_degrees"][1] == 95
        assert "95 degrees of 90" in " ".join(hopwell("top", it.url, "--once").out.split())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--max-degrees", "80"), "--max-degrees needs a GPU's sensors"),
        (("--tpot-promise-ms", "100"), "--tpot-promise-ms needs objective 'energy'"),
    ],
)
@pytest.mark.slow
def test_refused_by_name(options: tuple[str, ...], named: str) -> None:
    """A process each: what an engine refuses once it has loaded, and before. What else it refuses before is in
    tests/engine/test_engine_pacing.py."""
    command = [sys.executable, "-m", "hopwell", "serve", "--device", "cpu", "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"error: {named}") and done.stderr.count("\n") == 1

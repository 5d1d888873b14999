"""`hopwell plan calibrate` and `verify` against a running server: nano on this CPU, called an H200."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from math import log1p
from pathlib import Path

import pytest
from commands import hopwell, refused
from server_fixture import Running, server

NANO = ("nano", "--gpus", "1xh200", "--users", "1", "--input-words", "24", "--output-tokens", "12")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server(cache_tokens=8192) as it:
        yield it


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOPWELL_CACHE", str(tmp_path))
    return tmp_path / "planner"


@pytest.mark.slow
def test_three_loads_are_kept_and_used(running: Running, cache: Path) -> None:
    loads = ("--users", "2", "--users", "4")
    found = json.loads(hopwell("plan", "calibrate", *NANO, *loads, "--url", running.url, "--json").out)
    assert found["setting"] == "nano on 1 x H200, Hopwell fp8 one GPU" and found["served"]["step"] > 1
    assert [row["users"] for row in found["before"]] == [1, 2, 4]
    before, now = (sum(log1p(row["error"]["tpot_ms"]) for row in found[when]) for when in ("before", "now"))
    assert abs(now) < 0.01 < abs(before), "on average right, however unevenly a busy machine served the loads"
    held = json.loads((cache / "server-hopwell-H200.json").read_text(encoding="utf-8"))
    assert held["url"] == running.url and len(held["rows"]) == 3 and held["date"] == found["date"]

    ask = ("plan", "nano", "--gpus", "h200", "--engines", "hopwell", "--precisions", "fp8", "--input", "100",
           "--output", "50", "--tpot", "10s", "--ttft", "100s", "--json")  # fmt: skip
    mine, plain = (json.loads(hopwell(*ask, *flag).out)["options"][0] for flag in ((), ("--no-calibrated",)))
    assert "3 loads" in mine["calibrated"][0] and not plain["calibrated"]
    assert mine["tpot_ms"]["p50"] > plain["tpot_ms"]["p50"]


@pytest.mark.slow
def test_a_table_says_before_and_now(running: Running, cache: Path, tmp_path: Path) -> None:
    ran = hopwell("plan", "calibrate", *NANO, "--url", running.url)
    assert ran.code == 0 and "error now" in ran.out and f"kept in {cache}" in ran.out
    assert "ms a token" in ran.out and "ms to first" in ran.out
    assert ran.out.endswith("server-hopwell-H200.json: hopwell plan uses it for Hopwell on H200\n")
    ran = hopwell("plan", "calibrate", *NANO, "--users", "1", "--url", running.url, "--folder", tmp_path / "mine")
    kept = tmp_path / "mine" / "server-hopwell-H200.json"
    assert ran.out.endswith(f"kept in {kept}: hopwell plan uses it for Hopwell on H200 once it is in {cache}\n")


@pytest.mark.slow
def test_verify_adds_lines(running: Running, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    ran = hopwell("plan", "verify", *NANO, "--url", running.url, "--out", out)
    assert ran.code == 0 and "predicted" in ran.out and f"added to {out}" in ran.out
    document = json.loads(hopwell("plan", "verify", *NANO, "--url", running.url, "--out", out, "--json").out)
    lines = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and lines[1] == document["rows"][0]
    assert lines[0]["predicted"]["tpot_ms"]["p10"] < lines[0]["predicted"]["tpot_ms"]["p90"]
    assert not cache.exists()


def test_faults_name_the_remedy(running: Running, cache: Path) -> None:
    assert "--gpus is missing" in refused("plan", "calibrate", "nano", "--url", running.url)
    assert "is an OpenAI-compatible server running there?" in refused(
        "plan", "calibrate", "nano", "--gpus", "1xh200", "--url", "http://127.0.0.1:9"
    )
    assert "refuses the warm-up request" in refused(
        "plan", "verify", "nano", "--gpus", "1xh200", "--url", running.url, "--input-words", "20000"
    )
    assert "only Hopwell on one GPU is started here" in refused(
        "plan", "verify", "deepseek-r1", "--gpus", "8xh200", "--engine", "sglang"
    )
    assert not cache.exists()


@pytest.mark.slow
def test_a_trial_on_the_cpu_keeps_nothing(cache: Path) -> None:
    ran = hopwell("plan", "calibrate", "--device", "cpu")
    assert ran.code == 0 and "nothing is kept" in ran.out and ran.out.count("attention") == 3
    assert not cache.exists()


@pytest.mark.slow
def test_verify_starts_a_server_and_ctrl_c_leaves_nothing(cache: Path) -> None:
    command = [sys.executable, "-m", "hopwell", "plan", "verify", *NANO]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "they will differ" in done.stderr and "hopwell serve on" in json.loads(done.stdout)["rows"][0]["where"]
    assert [path.name for path in cache.iterdir()] == ["verified.jsonl"]
    before = (cache / "verified.jsonl").read_text(encoding="utf-8")

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr and "they will differ" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (cache / "verified.jsonl").read_text(encoding="utf-8") == before and len(os.listdir(cache)) == 1

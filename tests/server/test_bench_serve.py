"""`hopwell bench serve` against our own server: what it counts is what the server counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from server_fixture import Running, server
from typer.testing import CliRunner

from hopwell.bench.serve import Sample, summary
from hopwell.cli import app
from hopwell.server.settings import Tenant


@pytest.fixture(scope="module")
def running() -> Running:  # type: ignore[misc]
    with server(tenants=[Tenant(name="bench", key="bench-key")]) as it:
        yield it


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["bench", "serve", *arguments], env={"HOPWELL_API_KEY": "bench-key"})
    return done.exit_code, done.output


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.slow
def test_a_sweep(running: Running, tmp_path: Path, chat: bool) -> None:
    metrics = running.host.engine.metrics
    before = metrics.generated_tokens
    out, plot = tmp_path / "serve.json", tmp_path / "pareto.png"
    load = ["--requests", "6", "--input-words", "12", "--output-tokens", "10", *(["--chat"] if chat else [])]
    levels = ["--concurrency", "1", "--concurrency", "3", "--rate", "20"]
    code, said = run(running.url + "/v1", *load, *levels, "--plot", str(plot), "--out", str(out))
    assert code == 0, said
    assert plot.read_bytes().startswith(b"\x89PNG")
    result = json.loads(out.read_text())
    rows = result["rows"]
    assert [(row["concurrency"], row["rate"]) for row in rows] == [(1, None), (3, None), (None, 20)]
    counted = sum(round(row["mean_osl"] * row["requests"]) for row in rows)
    assert counted <= metrics.generated_tokens - before <= counted + 14, "the rest is the warm-up"
    for row in rows:
        assert row["failed"] == 0 and 8 <= row["mean_osl"] <= 12
        for name in ("ttft", "tpot", "itl", "e2e"):
            assert 0 < row[f"{name}_p50_ms"] <= row[f"{name}_p90_ms"] <= row[f"{name}_p99_ms"]
        assert row["ttft_p50_ms"] < row["e2e_p50_ms"]
        assert 0 <= row["goodput_interactive"] <= row["goodput_server"] <= 1


def test_what_cannot_be_measured_is_one_line(running: Running) -> None:
    from hopwell.bench.serve import Load, bench_serve
    from hopwell.errors import HopwellError

    with pytest.raises(HopwellError, match="is an OpenAI-compatible server running there"):
        bench_serve("http://127.0.0.1:9", Load(), concurrency=[1])
    with pytest.raises(HopwellError, match="401"):
        bench_serve(running.url, Load(), concurrency=[1], model="nano", key="wrong")


def test_a_row_is_made_of_its_samples() -> None:
    good = Sample(0.0, 1.0, 3.0, [1.0, 1.0], 10, 5)  # TTFT 1 s, TPOT 0.5 s
    fast = Sample(0.0, 0.1, 0.2, [0.1], 10, 11)  # TTFT 0.1 s, TPOT 10 ms
    bad = Sample(0.0, None, 4.0, [], 0, 0, "HTTP 500: x")
    row = summary([good, fast, bad], 4.0, concurrency=3)
    assert (row["requests"], row["failed"], row["first_error"]) == (3, 1, "HTTP 500: x")
    assert row["output_tokens_per_s"] == 4.0 and row["mean_osl"] == 8.0
    assert (row["ttft_p50_ms"], row["tpot_p50_ms"], row["itl_p50_ms"], row["e2e_p50_ms"]) == (550, 255, 1000, 1600)
    assert row["goodput_interactive"] == row["goodput_server"] == 0.3333, "the failed one counts against it"

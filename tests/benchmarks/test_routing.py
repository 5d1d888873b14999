"""`benchmarks.routing`, by its old name: what it measures is what `hopwell synth` reports of what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import hopwell
from tiny import tiny_config


@pytest.mark.slow
def test_rows_are_those_of_a_written_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tiny_config("r1", n_routed_experts=64, num_hidden_layers=3)))
    out = tmp_path / "result.json"
    ran = hopwell("bench", "routing", config, "--routers", "2", "--seed", "4", "--out", out)
    assert ran.code == 0 and "expected distinct" in capfd.readouterr().out, ran
    rows = json.loads(out.read_text())["rows"]
    written = hopwell("synth", config, tmp_path / "m", "--no-mtp", "--routers", "2", "--seed", "4", "--json")
    for row, report in zip(rows, json.loads(written.out)["routing"], strict=True):
        assert row["layer"] == report["layer"] and row["experts"] == 64
        for name in ("distinct", "expected_distinct", "max_load", "expected_max_load", "rms"):
            assert row[name] == pytest.approx(report[name], abs=6e-4)

"""The benches of precision, small: what they count, and that a missing or broken peer is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import precision_conversion
from benchmarks.precision_peers import export, linear_bytes, run
from benchmarks.precision_tables import budgets, peers, table
from hopwell.checkpoint.reader import Checkpoint
from hopwell.errors import HopwellError
from hopwell.formats.blocks import FP8_BLOCK
from hopwell.model import NANO
from hopwell.model.shipped import shipped_config


def test_what_r1_takes_is_reckoned_from_the_experts_that_were_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r1 = shipped_config("deepseek-r1")
    assert r1 is not None
    narrow = {"hidden_size": 256, "moe_intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}
    monkeypatch.setattr(precision_conversion, "shipped_config", lambda name: r1 | narrow | {"q_lora_rank": 128})
    row = precision_conversion.run(tmp_path, 2, 2304, "nvfp4", lambda line: None)
    assert row["tokens_an_expert"] == pytest.approx(row["calibration_tokens"] / 2)
    assert row["hours_for_r1"] == pytest.approx(row["seconds_an_expert"] * 256 * 58 / 3600)
    stages = ("walk", "moments", "scales", "factor", "gptq", "descent", "joint", "judge", "pack", "write")
    assert all(row[f"seconds_of_{stage}"] > 0 for stage in stages)
    assert sum(row[f"seconds_of_{stage}"] for stage in stages) == pytest.approx(row["seconds_an_expert"], rel=0.01)
    size = 2 * 3 * FP8_BLOCK.nbytes((128, 256))
    assert row["source_gb_per_second"] == pytest.approx(size / 1e9 / (2 * row["seconds_an_expert"]))
    assert 0.3 < row["squared_reduction"] < 1 and row["peak_memory_gb"] > 0.1


def test_peers_get_every_linear_and_nothing_else(tmp_path: Path) -> None:
    linears = export(NANO, tmp_path / "m")
    tensors = Checkpoint.open(tmp_path / "m").tensors
    source = Checkpoint.open(NANO).tensors
    assert len(linears) == 232 and not any(name.startswith("model.layers.5.") for name in tensors)
    assert {f"{name}.weight" for name in linears} <= set(tensors) <= set(source)
    with pytest.raises(HopwellError, match="was not converted to four bits"):
        linear_bytes(tmp_path / "m", linears)


@pytest.mark.slow
def test_a_peer_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.precision_peers.Conversion.run", lambda self: {})
    monkeypatch.setattr("benchmarks.precision_peers._row", lambda *args: {"kl": 0.0})
    for python, message in ((tmp_path / "none", "cannot run"), (Path(sys.executable), "pip install llmcompressor")):
        with pytest.raises(HopwellError, match=message) as error:
            run(NANO, python, ["llmcompressor-gptq"], ["nvfp4"], 2048, 64, 1, tmp_path / python.name, print)
        assert "\n" not in str(error.value)


def test_tables_say_what_the_files_do() -> None:
    assert table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    row = {"format": "nvfp4", "version": "1", "linear_bytes": 1000, "kl_p99": 0.1, "top1": 0.99}
    text = peers([{"rows": [row | {"tool": "x", "kl": 0.02}, row | {"tool": "y", "kl": 0.01}]}])
    assert text.index("| y |") < text.index("| x |") and "0.0100" in text
    goal = {"goal": "KL 0.01", "bits_per_weight": 4.3, "linear_bytes": 9, "kl": 0.009, "top1": 0.99, "budget": 0.01}
    layer = {"budget": 0.01, "format": "mxfp4", "compensated": False, "layers_kept": [], "linear_bytes": 8, "kl": 0.0}
    text = budgets([{"rows": [goal | {"kept": False}], "layers": [layer | {"bits_per_weight": 4.2}], "tasks": []}])
    assert "broken" in text and "| none |" in text

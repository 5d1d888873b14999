"""The parts of the GPU benches, small and without a clock: they run here in the interpreter, so that they run there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from hopwell.bench import activation_steps, against, engine, gpu, gpu_correct, gpu_speed, models, ops, prefill, side
from hopwell.bench.plots import plot_limit
from hopwell.errors import HopwellError
from hopwell.limits.catalogue import find_gpu
from hopwell.limits.ceilings import Ceilings
from hopwell.model.config import ModelConfig
from hopwell.ops.router import RouterConfig

LIMIT = Ceilings("test", 4e12, 4e12, 8e14, 1e15)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def small(name: str, layers: int | None = None) -> ModelConfig:
    return replace(
        models.bench_config(name, layers=2), vocab_size=160, hidden_size=128, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=4, num_attention_heads=2, q_lora_rank=128,
        max_position_embeddings=256, router=RouterConfig(2, 2, 1, "sigmoid", True, 2.5),
    )  # fmt: skip


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work is done once, and always takes a millisecond."""
    for module in (activation_steps, engine, ops):
        monkeypatch.setattr(module, "capture", lambda run: run())
        monkeypatch.setattr(module, "graph_seconds", lambda graph, **_: 1e-3)
        monkeypatch.setattr(module, "bench_config", small)
    monkeypatch.setattr(prefill, "bench_config", small)
    monkeypatch.setattr(prefill, "_timed", lambda decoder, batch, latent, last: (
        float(decoder.model.logits(decoder.forward_long(batch, latent)[last]).shape[0]), None))  # fmt: skip
    yield


def test_decode_steps_and_their_kernels_from_an_fp8_cache(no_clock: None) -> None:
    (row,) = engine.decode_rows("r1-tp8", [2], [65], LIMIT, 2, False, DEVICE, "fp8")
    assert row.ms == 1.0 and row.percent_of_limit == pytest.approx(100 * row.limit_ms)
    found = list(ops.op_rows("r1-tp8", [1], [65], LIMIT, 2, DEVICE, "fp8"))
    assert len(found) == 14 and all(row.us == pytest.approx(500) for row in found)


def test_steps_in_every_format_of_activations(no_clock: None) -> None:
    h100 = find_gpu("H100")
    slow = replace(h100, bf16=h100.bf16 / 7.5)  # 16 rows are many for a dense product, but not for four experts
    rows = list(activation_steps.step_rows("r1-tp8", 2, (2,), 65, DEVICE, slow))
    assert [row.activations for row in rows] == ["fp8", "bf16", "auto"] and all(row.error < 0.3 for row in rows)
    assert [row.in_bf16 for row in rows] == ["0 of 12", "12 of 12", "4 of 12"]
    assert rows[1].error == rows[1].from_bf16 < 0.02 < rows[0].from_bf16


def test_a_layer_is_the_sum_of_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [ops.OpRow("a", 1, 64, 10.0, 1000.0, 50.0), ops.OpRow("b", 1, 64, 30.0, 2000.0, 10.0)]
    monkeypatch.setattr(gpu_speed, "op_rows", lambda *_, **__: iter(each))
    *_, whole = gpu_speed.layer_rows("r1-tp8", [1], [64], LIMIT)
    assert whole["op"] == "layer" and whole["us"] == 40.0 and whole["limit_us"] == pytest.approx(8.0)
    assert whole["gb_per_s"] == pytest.approx(1750.0)


def test_prompts(no_clock: None) -> None:
    row, other = prefill.prefill_rows("r1-tp8", LIMIT, ((2, 70), (1, 3)), device=DEVICE)
    assert row.tokens_per_s == 140 / 2.0 and row.limit_ms > 0  # one row of logits a prompt
    assert (other.prompts, other.tokens) == (1, 3)


@pytest.mark.parametrize(
    ("heads", "form", "fp8"), [(16, "wide, numbers ahead", False), (16, "rows, 3 stages", True), (40, "rows", False)]
)
def test_attention_in_its_forms_at_the_real_row(
    monkeypatch: pytest.MonkeyPatch, heads: int, form: str, fp8: bool
) -> None:
    monkeypatch.setattr(gpu_correct, "DEVICE", DEVICE)
    how = gpu_correct.FORMS.get(form) or gpu_correct.FORMS_128["32 rows, 3 stages"]
    assert gpu_correct.attention_error(heads, 65, how, fp8, seed=5) <= 2.0**-6


def test_parts_are_stopped_counted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HopwellError, match="part 'speed' is unknown; known: kernels, tests"):
        list(gpu.run_parts(tmp_path, ["speed"]))
    (late,) = gpu.run_parts(tmp_path, ["forms"], minutes=0.01)
    assert late.outcome == "no time left"
    monkeypatch.setattr(gpu, "PARTS", {"good": gpu.Part(lambda: [{"right": True}], 60),
                                       "bad": gpu.Part(lambda: [{"right": False}], 60)})  # fmt: skip
    assert (gpu.main("good", tmp_path), gpu.main("bad", tmp_path)) == (0, 1)
    assert json.loads((tmp_path / "good.json").read_text())["rows"] == [{"right": True}]


def test_a_failing_test_is_named_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    shout = "print('x.py::test_a FAILED', flush=True); print('1 failed'); raise SystemExit(1)"
    row = gpu_correct._pytest([sys.executable, "-c", shout])
    assert (row["exit"], row["right"], row["found"], row["tail"][-1]) == (1, False, ["x.py::test_a FAILED"], "1 failed")
    assert "test_a FAILED" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("planted", "errors", "right"), [("Invalid __global__ write", 0, [True, True]), ("", 2, [False, False])]
)
def test_a_memory_checker_must_find_what_was_planted_and_nothing_else(
    planted: str, errors: int, right: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"""#!/bin/sh
case "$*" in *overrun*) echo "{planted}"; exit 9;; esac
echo "12 passed"; echo "========= ERROR SUMMARY: {errors} errors"
""")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu_correct.shutil, "which", lambda name: str(tool))
    rows = gpu_correct.sanitizer()
    assert [row["right"] for row in rows] == right
    assert rows[0]["command"].startswith("compute-sanitizer --tool memcheck") and "12 passed" in rows[0]["tail"]


def test_nano_is_counted_by_task() -> None:
    row = gpu_correct._solved(None, 2, 3, ["addition", "unit"])
    assert row["device"] == "cpu" and row["right"] == sum(row["by_task"].values()) == 4 - len(row["wrong"])
    assert set(row["by_task"]) == {"addition", "unit"} and "no_kernels" not in row


def test_a_part_that_is_cut_off_leaves_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(command: list[str], **_: object) -> object:
        raise subprocess.TimeoutExpired(command, 1, stderr=b"one\nx.py::test_a FAILED\n")

    monkeypatch.setattr(gpu.subprocess, "run", late)
    (outcome,) = gpu.run_parts(tmp_path, ["tests"])
    assert outcome.outcome.startswith("too long") and outcome.outcome.endswith("test_a FAILED")


def test_any_engine_is_measured_by_the_difference_of_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def generate(prompts: list[list[int]], tokens: int) -> None:
        clock[0] += 1e-3 * sum(map(len, prompts)) + 0.5 * tokens

    monkeypatch.setattr(side.time, "perf_counter", lambda: clock[0])
    task = {"decode": [[1, 100], [300, 500]], "steps": 8, "prefill": [[2, 50]]}
    found = side.measure(generate, task, vocabulary=64)
    assert [row["ms_per_step"] for row in found["decode"]] == pytest.approx([500.0, 500.0])
    assert found["prefill"][0]["tokens_per_s"] == pytest.approx(100 / 0.6)
    assert side.answer(task, 1) == 1024 and side.answer(task, 300) == 8  # small batches answer at more length
    assert side.lead_in(1, 100) == 2 and side.lead_in(300, 500) == 11
    assert side.longest(task) == 100 + 2 + 1024 + 8 and side.cache_tokens(task) == 300 * 591 and side.most(task) == 300


def test_both_sides_become_rows_with_ratio_and_limit(tmp_path: Path) -> None:
    step = {"batch": 8, "context": 1024, "mj_per_token": 10.0}
    prompt = {"prompts": 8, "tokens": 2048}
    ours = {"ready_s": 5.0, "ready_cold_s": 20.0, "decode": [{**step, "ms_per_step": 1.0}],
            "prefill": [{**prompt, "tokens_per_s": 3e5}]}  # fmt: skip
    theirs = {"ready_s": 100.0, "decode": [{**step, "ms_per_step": 1.5, "mj_per_token": 25.0}],
              "prefill": [{**prompt, "tokens_per_s": 2e5}]}  # fmt: skip
    rows = against.compare(ours, theirs, models.bench_config("r1-tp8", 8), LIMIT)
    assert [row["ratio"] for row in rows] == pytest.approx([1.5, 2.5, 1.5, 20.0, 5.0])
    assert 0 < rows[0]["percent_of_limit"] < 100 and rows[0]["limit"] < 1.0
    assert all(row["theirs"] is None for row in against.compare(ours, None, models.bench_config("r1-tp8", 8), None))
    png = plot_limit([{"engine": "hopwell", **rows[0]}, {"engine": "vllm", **rows[0], "batch": 16}], tmp_path / "p.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(HopwellError, match="nothing to plot"):
        plot_limit([{"batch": 1}], tmp_path / "q.png")


def test_a_side_that_fails_is_named() -> None:
    task = json.dumps({"decode": [[1, 64]], "steps": 1, "prefill": [[1, 64]]})
    with pytest.raises(HopwellError, match=r"own_side failed: .*/nowhere: no such folder"):
        against._side([sys.executable, "-m", "hopwell.bench.own_side", "/nowhere", task], {})


def test_spread_tokens_touch_what_chance_gives() -> None:
    config = models.bench_config("r1-tp8")
    assert against.expected_experts(config, 1) == pytest.approx(8)
    assert against.expected_experts(config, 128) == pytest.approx(256 * (1 - (1 - 8 / 256) ** 128))

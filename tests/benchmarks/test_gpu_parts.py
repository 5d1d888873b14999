"""The parts of the GPU benches, small and without a clock: they run here in the interpreter, so that they run there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from benchmarks import activation_steps, forms, gpu, gpu_checks, gpu_parts, layer, prefill
from benchmarks.layer import decode_cases
from benchmarks.step_inputs import random_inputs
from hopwell.bench import engine, models
from hopwell.bench.steps import Measured
from hopwell.errors import HopwellError
from hopwell.limits.catalogue import find_gpu
from hopwell.limits.ceilings import Ceilings
from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.ops.router import RouterConfig

pytestmark = pytest.mark.usefixtures("small_gpu")
LIMIT = Ceilings("test", 4e12, 4e12, 8e14, 1e15)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def small(name: str, layers: int | None = None, mtp: bool = False) -> ModelConfig:
    return replace(
        models.bench_config(name, 2, mtp), vocab_size=160, hidden_size=128, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=4, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
        max_position_embeddings=256, router=RouterConfig(2, 2, 1, "sigmoid", True, 2.5),
    )  # fmt: skip


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work is done once, and always takes a millisecond."""
    for module in (activation_steps, layer):
        monkeypatch.setattr(module, "capture", lambda run: run())
        monkeypatch.setattr(module, "graph_seconds", lambda graph, **_: 1e-3)
        monkeypatch.setattr(module, "bench_config", small)
    monkeypatch.setattr(engine, "bench_config", small)
    monkeypatch.setattr(engine.DecodeSteps, "measure", lambda *_, **__: Measured(1e-3, 1.0, None))
    monkeypatch.setattr(activation_steps, "capture", lambda run: None)  # it has run for its result
    monkeypatch.setattr(prefill, "bench_config", small)
    monkeypatch.setattr(prefill, "_timed", lambda fused, batch, latent, last: (
        float(fused.model.logits(fused.forward_long(batch, latent)[last]).shape[0]), None))  # fmt: skip
    yield


def test_decode_steps_and_their_kernels_from_an_fp8_cache(no_clock: None) -> None:
    told: list[tuple[int, int, str]] = []
    settings, progress = ModelSettings(cache_dtype="fp8"), lambda *each: told.append(each)
    (row,) = engine.decode_rows("r1-tp8", [2], [65], LIMIT, 2, False, DEVICE, settings, progress=progress)
    assert told == [(0, 1, "batch 2 over 65")]
    assert row.cache_dtype == "fp8" and row.ms == 1.0 and row.percent_of_limit == pytest.approx(100 * row.limit_ms)
    found = list(layer.op_rows("r1-tp8", [1], [65], LIMIT, 2, DEVICE, "fp8"))
    assert len(found) == 14 and all(row.us == pytest.approx(500) for row in found)


@pytest.mark.slow
def test_steps_with_drafts_and_their_limit(no_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The MTP layer's bytes and the head's once more for each draft, and the rows that are verified."""
    monkeypatch.setattr(engine.DecodeSteps, "distinct", lambda *_: 4.0)  # whatever the router draws
    alone, one, two = (
        next(iter(engine.decode_rows("r1-tp8", [2], [65], LIMIT, 2, False, DEVICE, drafts=drafts, acceptance=1.5)))
        for drafts in range(3)
    )
    assert alone.gigabytes < one.gigabytes < two.gigabytes < 3 * alone.gigabytes
    assert two.limit_ms - one.limit_ms == pytest.approx(one.limit_ms - alone.limit_ms, rel=0.3)
    assert (two.drafts, two.tokens_per_s_user) == (2, 1000.0)
    with pytest.raises(ConfigError, match="no MTP layer"):
        models.bench_config("v2-lite", mtp=True)


def test_steps_in_every_format_of_activations(no_clock: None) -> None:
    torch.manual_seed(0)  # of the inputs: near ties, a last bit sends a token to other experts
    h100 = find_gpu("H100")
    slow = replace(h100, bf16=h100.bf16 / 7.5)  # 16 rows are many for a dense product, but not for four experts
    rows = list(activation_steps.step_rows("r1-tp8", 2, (2,), 65, DEVICE, slow))
    assert [row.activations for row in rows] == ["fp8", "bf16", "auto"] and all(row.error < 0.3 for row in rows)
    assert [row.in_bf16 for row in rows] == ["0 of 12", "12 of 12", "4 of 12"]
    assert rows[1].error == rows[1].from_bf16 < 0.02 < rows[0].from_bf16


def test_a_layer_is_the_sum_of_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [layer.OpRow("a", 1, 64, 10.0, 1000.0, 50.0), layer.OpRow("b", 1, 64, 30.0, 2000.0, 10.0)]
    monkeypatch.setattr(layer, "op_rows", lambda *_, **__: iter(each))
    *_, whole = layer.layer_rows("r1-tp8", [1], [64], LIMIT)
    assert whole["op"] == "layer" and whole["us"] == 40.0 and whole["limit_us"] == pytest.approx(8.0)
    assert whole["gb_per_s"] == pytest.approx(1750.0)


@pytest.mark.slow
def test_prompts(no_clock: None) -> None:
    row, other = prefill.prefill_rows("r1-tp8", LIMIT, ((2, 10), (1, 3)), device=DEVICE)
    assert row.tokens_per_s == 20 / 2.0 and row.limit_ms > 0  # one row of logits a prompt
    assert (other.prompts, other.tokens) == (1, 3)


@pytest.mark.parametrize(
    ("heads", "form", "fp8"),
    [
        (16, "wide, numbers ahead", False),
        (16, "rows, 3 stages", True),
        pytest.param(40, "rows", False, marks=pytest.mark.slow),
    ],
)
def test_attention_in_its_forms_at_the_real_row(heads: int, form: str, fp8: bool) -> None:
    how = forms.FORMS.get(form) or forms.FORMS_128["32 rows, 3 stages"]
    assert forms.attention_error(heads, 65, how, fp8, seed=5, device=DEVICE) <= 2.0**-6


def test_parts_are_stopped_counted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HopwellError, match="part 'speed' is unknown; known: kernels, tests"):
        list(gpu.run_parts(tmp_path, ["speed"]))
    (late,) = gpu.run_parts(tmp_path, ["forms"], minutes=0.01)
    assert late.outcome == "no time left"
    monkeypatch.setattr(gpu_parts, "PARTS", {"good": gpu_parts.Part(lambda: [{"right": True}], 60),
                                       "bad": gpu_parts.Part(lambda: [{"right": False}], 60)})  # fmt: skip
    assert (gpu_parts.main("good", tmp_path), gpu_parts.main("bad", tmp_path)) == (0, 1)
    assert json.loads((tmp_path / "good.json").read_text())["rows"] == [{"right": True}]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_the_scripts_say_so(tmp_path: Path) -> None:
    for run in (layer.main, prefill.main, lambda: gpu.main(tmp_path)):
        with pytest.raises(HopwellError, match="needs an NVIDIA GPU"):
            run()


def test_a_failing_test_is_named_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    shout = "print('x.py::test_a FAILED', flush=True); print('1 failed'); raise SystemExit(1)"
    row = gpu_checks._pytest([sys.executable, "-c", shout])
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
    monkeypatch.setattr(gpu_checks.shutil, "which", lambda name: str(tool))
    rows = gpu_checks.sanitizer()
    assert [row["right"] for row in rows] == right
    assert rows[0]["command"].startswith("compute-sanitizer --tool memcheck") and "12 passed" in rows[0]["tail"]


@pytest.mark.slow
def test_nano_is_counted_by_task() -> None:
    row = gpu_checks._solved(None, 2, 3, ["addition", "unit"])
    assert row["device"] == "cpu" and row["right"] == sum(row["by_task"].values()) == 4 - len(row["wrong"])
    assert set(row["by_task"]) == {"addition", "unit"} and "no_kernels" not in row


def test_a_part_that_is_cut_off_leaves_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(command: list[str], **_: object) -> object:
        raise subprocess.TimeoutExpired(command, 1, stderr=b"one\nx.py::test_a FAILED\n")

    monkeypatch.setattr(gpu.subprocess, "run", late)
    (outcome,) = gpu.run_parts(tmp_path, ["tests"])
    assert outcome.outcome.startswith("too long") and outcome.outcome.endswith("test_a FAILED")


def test_parts_share_the_gpus_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time, each on a GPU of its own, though the user has hidden the first ones."""
    used: list[str] = []
    both = threading.Barrier(2, timeout=60)  # until another runs beside it

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        used.append(env["CUDA_VISIBLE_DEVICES"])
        both.wait()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    monkeypatch.setattr(gpu.subprocess, "run", run)
    found = list(gpu.run_parts(tmp_path, ["forms", "cuts", "tilings", "layer"], gpus=2))
    assert {each.part for each in found} == {"forms", "cuts", "tilings", "layer"}
    assert all(each.outcome == "done" for each in found) and sorted(used) == ["4", "4", "7", "7"]


def test_every_op_case_runs_and_costs_something() -> None:
    config = replace(
        models.bench_config("r1-tp8", layers=2), vocab_size=160, hidden_size=128, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=8, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
        max_position_embeddings=256, router=RouterConfig(2, 4, 2, "sigmoid", True, 2.5),
    )  # fmt: skip
    fused = FusedTransformer(random_transformer(config, DEVICE))
    cases = decode_cases(fused, batch=2, context=65)
    assert len({case.op for case in cases}) == len(cases) == 14
    for case in cases:
        case.run(0)
        assert case.cost.bytes > 0, case.op


def test_inputs_fill_the_cache_with_each_sequences_own_pages() -> None:
    config = replace(models.bench_config("v2-lite", layers=2), hidden_size=64, n_routed_experts=2, vocab_size=64)
    inputs = random_inputs(random_transformer(config, "cpu"), batch=3, context=130)
    assert inputs.latent.shape == (2, 9, 64, 576)
    assert sorted(inputs.page_table.flatten().tolist()) == list(range(9))

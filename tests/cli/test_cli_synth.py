"""`hopwell synth` as a user runs it: what it writes loads, and whatever stops it leaves nothing that looks complete."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import hopwell, refused
from tiny import tiny_config

from hopwell.checkpoint import files
from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.config import ModelConfig
from hopwell.model.loading import load_transformer

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
COMMAND = (sys.executable, "-m", "hopwell", "synth")


def config_file(folder: Path, **overrides: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(tiny_config("r1", quantization_config=FP8, **overrides)))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return config_file(tmp_path, hidden_size=128, moe_intermediate_size=128)


def test_what_is_written_is_whole_and_reported(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = hopwell("synth", config, out, "--layers", "4", "--dense", "2", "--seed", "5", "--routers", "2")
    assert ran.code == 0 and f"{out}: {len(Checkpoint.open(out).tensors)} tensors" in ran.out, ran
    written = json.loads((out / "config.json").read_text())
    assert written == json.loads(config.read_text()) | {"num_hidden_layers": 4, "first_k_dense_replace": 2}
    report = json.loads((out / "hopwell_synth.json").read_text())
    assert report["seed"] == 5 and [row["layer"] for row in report["routing"]] == [2, 3]
    for row in report["routing"]:
        assert row["distinct"] > 0.9 * row["expected_distinct"] and 1 <= row["max_load"] < 2.5
        assert 0.5 < row["rms"] < 5
    assert hopwell("inspect", out).code == 0
    again = tmp_path / "again"
    assert hopwell("synth", config, again, "--layers", "4", "--dense", "2", "--seed", "5", "--json").code == 0
    for path in out.glob("*.safetensors"):
        assert path.read_bytes() == (again / path.name).read_bytes()


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (("--format", "nvfp4"), "modelopt"),
        (("--format", "nvfp4", "--attention", "fp8"), "compressed-tensors"),
        (("--format", "mxfp4"), "compressed-tensors"),
        (("--format", "int4_g128", "--attention", "fp8"), "compressed-tensors"),
        (("--format", "int4_g32"), "compressed-tensors"),
    ],
)
def test_four_bits_are_written_as_other_engines_read_them(
    options: tuple[str, ...], method: str, tmp_path: Path
) -> None:
    """What is written loads, with activations that keep their size; `inspect` and the config agree about formats."""
    config = config_file(tmp_path, hidden_size=128, moe_intermediate_size=128, intermediate_size=256)
    out = tmp_path / "out"
    ran = hopwell("synth", config, out, "--layers", "3", "--dense", "1", "--seed", "5", "--routers", "2", *options)
    assert ran.code == 0, ran
    written = json.loads((out / "config.json").read_text())
    assert written["quantization_config"]["quant_method"] == method
    assert (out / "hf_quant_config.json").exists() == (method == "modelopt")
    report = json.loads((out / "hopwell_synth.json").read_text())
    assert [0.3 < row["rms"] < 6 for row in report["routing"]] == [True, True], report["routing"]
    assert hopwell("inspect", out).code == 0
    parsed = ModelConfig.from_dict(written)
    for name, module in by_module(Checkpoint.open(out).tensors.values()).items():
        codes = module.get("weight") or module.get("weight_packed")
        if codes is not None and len(codes.shape) == 2:
            assert kind_of(module) == (parsed.quantization.format_of(name) or "plain"), name
    load_transformer(Checkpoint.open(out), dtype=torch.float32)


def test_an_unknown_format_is_named(config: Path, tmp_path: Path) -> None:
    assert "known: nvfp4, mxfp4, int4_g32, int4_g128" in refused("synth", config, tmp_path / "a", "--format", "nf4")
    assert "--attention needs --format" in refused("synth", config, tmp_path / "a", "--attention", "fp8")
    assert "known: bf16, fp8" in refused("synth", config, tmp_path / "a", "--format", "nvfp4", "--attention", "int8")


def test_mtp_can_be_left_out_or_added(config: Path, tmp_path: Path) -> None:
    assert hopwell("synth", config, tmp_path / "a", "--no-mtp").code == 0
    assert not any(name.startswith("model.layers.3.") for name in Checkpoint.open(tmp_path / "a").tensors)
    kimi = tmp_path / "kimi.json"
    kimi.write_text(json.dumps(tiny_config("kimi-k2")))
    assert hopwell("synth", kimi, tmp_path / "b", "--mtp").code == 0
    assert "model.layers.3.eh_proj.weight" in Checkpoint.open(tmp_path / "b").tensors


@pytest.mark.slow
def test_faults_of_the_input_are_one_line_and_leave_nothing(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bad = tmp_path / "bad.json"
    for change, message in (
        ({"model_type": "mamba"}, "model_type is 'mamba', expected one of deepseek_v3"),
        ({"model_type": "llama"}, "model_type is 'llama': a Llama model, as R1's distillations are"),
        ({"hidden_size": -1}, "hidden_size is -1, expected a whole number from 1"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers is 'many'"),
        ({"num_experts_per_tok": 99}, "num_experts_per_tok is 99"),
        ({"quantization_config": FP8 | {"weight_block_size": [1, 128]}}, "weight_block_size is [1, 128]"),
        ({"quantization_config": "fp8"}, "quantization_config is 'fp8'"),
    ):
        bad.write_text(json.dumps(tiny_config("r1") | change))
        assert message in refused("synth", bad, out)
        assert message in refused("inspect", bad)
    bad.write_text("{")
    assert "not valid JSON" in refused("synth", bad, out)
    assert "no such folder or file; shipped configs are deepseek-r1" in refused("synth", "r1-tp9", out)
    assert "3 dense layers of 2 layers" in refused("synth", config, out, "--layers", "2", "--dense", "3")
    assert "device 'tpu' is unknown; give cpu or cuda" in refused("synth", config, out, "--device", "tpu")
    out.mkdir()
    (out / "mine").write_text("x")
    assert "exists already" in refused("synth", config, out)
    assert os.listdir(out) == ["mine"] and sorted(os.listdir(tmp_path)) == ["bad.json", "config.json", "out"]


@pytest.mark.slow
def test_a_disk_that_is_too_small_is_named_before_any_work(tmp_path: Path) -> None:
    disk, free = files.disk_of(tmp_path)
    message = refused("synth", "kimi-k2", tmp_path / "out")
    if free < 1_029_173_249_888:
        assert f"needs 1,029,240,358,752 bytes, the disk at {disk} has" in message
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_leaves_nothing(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setattr(files, "check_room", lambda path, need: None)  # as if another had taken the room since
    try:
        message = refused("synth", config, place / "out")
        assert f"the disk at {place} is full" in message and "bytes are needed" in message
        assert os.listdir(place) == []
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_limit_on_file_sizes_leaves_nothing(config: Path, tmp_path: Path) -> None:
    out, resource = tmp_path / "out", pytest.importorskip("resource")
    done = subprocess.run(
        [*COMMAND, config, out], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )  # fmt: skip
    assert done.returncode == 2 and "a file may not be as large here" in done.stderr
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_a_random_moment_nothing_looks_complete(stop: signal.Signals, tmp_path: Path) -> None:
    config = config_file(tmp_path, hidden_size=512, moe_intermediate_size=512, n_routed_experts=64, num_hidden_layers=6)
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    process = subprocess.Popen([*COMMAND, config, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (partial.exists() and any(partial.iterdir())) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    process.send_signal(stop)
    output, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors, (output, errors)
    if out.exists():  # it was quicker than the signal: then it is whole
        assert hopwell("inspect", out, "--read").code == 0 and not partial.exists()
        return
    if stop != signal.SIGKILL:
        assert process.returncode == 130 and not partial.exists()
        return
    with pytest.raises(CheckpointError):
        Checkpoint.open(partial)
    again = subprocess.run([*COMMAND, config, out, "--layers", "2"], capture_output=True, check=False)
    assert again.returncode == 0 and not partial.exists()
    assert hopwell("inspect", out).code == 0

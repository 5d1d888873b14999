"""`hopwell doctor`: true on this machine, and a remedy for each kind of machine that lacks something."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import hopwell, refused

from hopwell.engine import machine
from hopwell.model import NANO, forward_choice
from hopwell.ops import device
from hopwell.ops.cpu import cpu_multiplies_bf16
from hopwell.ops.device import Device


@pytest.mark.parametrize(
    ("option", "value"),
    [("--device", "h200"), ("--max-batch-tokens", "64"), ("--cache-dtype", "auto"), ("--activations", "fp8"),
     ("--four-bits", "packed")],
)  # fmt: skip
def test_options_of_kernels_are_refused_without_it(option: str, value: str) -> None:
    assert f"{option} is for --kernels MODEL" in refused("doctor", option, value)


def checks() -> dict[str, dict[str, object]]:
    ran = hopwell("doctor", "--json")
    report = json.loads(ran.out)
    assert report["nano_runs"] == (ran.code == 0)
    return {check["name"]: check for check in report["checks"]}


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = ("deepseek-r1", "kimi-k2", "r1-tp8", "v2-lite")  # of the others each has the tensors of one of these
    monkeypatch.setattr(machine, "shipped_names", lambda: configs)
    found = checks()
    assert found["PyTorch"]["ok"] and found["PyTorch"]["found"] == torch.__version__
    assert found["CPU"]["ok"] == cpu_multiplies_bf16()
    assert found["nano"]["ok"] and "4 tokens" in str(found["nano"]["found"])
    has_gpu = torch.cuda.is_available()
    assert found["GPU 0" if has_gpu else "GPU"]["ok"] == has_gpu
    for name in configs:
        assert isinstance(found[name]["ok"], bool)
    assert all(check["ok"] or check["remedy"] for check in found.values()), "what fails has a remedy"
    known = [machine.Check(**check) for check in found.values()]  # type: ignore[arg-type]
    monkeypatch.setattr(machine, "examine", lambda progress: known)  # which takes seconds, and said so just now
    text = hopwell("doctor").out
    assert "machine\n" in text and "models\n" in text and all(name in text for name in found)


def put_triton(monkeypatch: pytest.MonkeyPatch, release: tuple[int, int] | None) -> None:
    for module in (device, machine):
        monkeypatch.setattr(module, "triton_release", lambda: release)


@pytest.mark.parametrize(
    ("release", "says"),
    [(None, "no Triton is installed"), ((3, 5), "Triton 3.5 does not"), ((3, 9), "Triton 3.9 does")],
)
def test_a_machine_without_bf16_with_old_packages_and_a_triton_that_does_not_do(
    monkeypatch: pytest.MonkeyPatch, release: tuple[int, int] | None, says: str
) -> None:
    put_triton(monkeypatch, release)
    monkeypatch.setattr(machine, "cpu_multiplies_bf16", lambda: False)
    monkeypatch.setattr(machine, "TORCH", (99, 0))
    monkeypatch.setattr(machine, "_capability", lambda: (9, 0))
    monkeypatch.setattr(machine, "_models", lambda memory: [])
    monkeypatch.setattr(machine, "_nano", lambda on_compile: machine.Check("models", "nano", True, ""))
    found = {check.name: check for check in machine.examine()}
    assert not found["CPU"].ok and "AVX512-BF16" in str(found["CPU"].remedy)
    assert not found["PyTorch"].ok and found["PyTorch"].remedy == "install torch 99.0 or newer"
    assert not found["triton"].ok and str(found["triton"].remedy).startswith(says)
    assert "pip install 'hopwell[gpu]' brings 3.6" in str(found["triton"].remedy)
    assert not found["GPU, FP8"].ok and "Triton" in found["GPU, FP8"].found
    gpu = Device("a Hopper", 90, 132, triton=device.why_no_triton() is None)
    assert not gpu.has_kernels
    chosen = forward_choice.choose(SimpleNamespace(), gpu)  # type: ignore[arg-type]  # it is not looked at
    assert chosen.name == "plain" and chosen.why.startswith(says)


@pytest.mark.parametrize(
    ("capability", "bf16", "fp8"), [((7, 5), False, False), ((8, 0), True, False), ((9, 0), True, True)]
)
def test_kernels_go_by_the_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], bf16: bool, fp8: bool
) -> None:
    monkeypatch.setattr(machine, "_capability", lambda: capability)
    put_triton(monkeypatch, (3, 6))
    found = {check.name: check for check in machine._kernels()}
    assert (found["GPU, bf16"].ok, found["GPU, FP8"].ok) == (bf16, fp8)


@pytest.mark.slow
def test_gpus_are_described_and_models_fitted_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [
        SimpleNamespace(name="NVIDIA H200", total_memory=150_000_000_000, major=9, minor=0),
        SimpleNamespace(name="Tesla T4", total_memory=16_000_000_000, major=7, minor=5),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: cards[index])
    h200, t4 = machine._gpus()
    assert h200.ok and "150.0 GB, compute capability 9.0" in h200.found and "H200 in the catalogue" in h200.found
    assert not t4.ok and "bf16" in str(t4.remedy) and "not in the catalogue" in t4.found
    monkeypatch.setattr(machine, "shipped_names", lambda: ["r1-tp8", "v2-lite", "deepseek-r1"])
    models = {check.name: check for check in machine._models(memory=8 << 30)}
    assert models["r1-tp8"].ok and models["r1-tp8"].found.startswith("fits on one GPU: 87.4 GB")
    assert models["v2-lite"].ok and not models["deepseek-r1"].ok


@pytest.mark.parametrize(
    ("cuda", "driver", "words"),
    [
        (None, False, "PyTorch is a CPU build"),
        (None, True, "there is an NVIDIA driver, but PyTorch is a CPU build"),
        ("13.0", False, "no NVIDIA driver"),
        ("13.0", True, "PyTorch cannot use it"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, cuda: str | None, driver: bool, words: str) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(Path, "exists", lambda self: driver)
    found, remedy = machine._why_no_gpu()
    assert words in found and remedy


def test_exit_code_1_if_nano_cannot_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "nano"
    shutil.copytree(NANO, broken)
    with (broken / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    monkeypatch.setattr("hopwell.model.NANO", broken)
    monkeypatch.setattr(machine, "_models", lambda memory: [])
    ran = hopwell("doctor")
    assert ran.code == 1 and "cannot run: " in ran.out and "model.safetensors" in ran.out

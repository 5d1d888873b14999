"""Whole NVFP4 checkpoints, both ways, against code that is not Hopwell's: every linear, code for code, scale for scale.

The other side is the `compressed-tensors` package, and for ModelOpt's layout NumPy written from its description.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import linear_shapes, random_tensors, tiny_config, write_checkpoint
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.blocks import NVFP4, Quantized
from hopwell.formats.layouts import from_module
from hopwell.model.loading import load_transformer
from hopwell.quantization.convert import Conversion
from hopwell.quantization.plan import Goal, Settings

CONFIG = tiny_config("r1", num_hidden_layers=2)
MAIN = {name: shape for name, shape in linear_shapes(CONFIG).items() if int(name.split(".")[2]) < 2}
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = random_tensors(CONFIG, dtype=torch.bfloat16)
    return write_checkpoint(tmp_path_factory.mktemp("source"), CONFIG, tensors)


def converted(source: Path, out: Path, writer: str, label: str = "nvfp4") -> dict[str, Tensor]:
    sequences = torch.randint(0, 128, (16, 160), generator=torch.Generator().manual_seed(1)).tolist()
    settings = Settings(Goal(format=label), writer, compensate=False)
    Conversion(source, out, settings, sequences, lambda line: None).run()
    return {name: t for shard in out.glob("*.safetensors") for name, t in load_file(shard).items()}


def read_by_hopwell(folder: Path, module: str) -> Quantized:
    checkpoint = Checkpoint.open(folder)
    names = [n for n in checkpoint.tensors if n.startswith(module + ".")]
    stored = from_module({n.rpartition(".")[2]: checkpoint.read(n) for n in names}, MAIN[module])
    assert isinstance(stored, Quantized) and stored.format is NVFP4
    return stored


def decode(packed: Tensor) -> np.ndarray[Any, Any]:
    """e2m1 values of ModelOpt's `weight`: the even column in the low nibble, bit 3 the sign."""
    codes = np.stack((packed.numpy() & 15, packed.numpy() >> 4), -1).reshape(len(packed), -1)
    return np.where(codes & 8, -E2M1[codes & 7], E2M1[codes & 7])


@pytest.mark.slow
def test_compressed_tensors_reads_what_is_written_here(source: Path, tmp_path: Path) -> None:
    helpers = pytest.importorskip("compressed_tensors.compressors.nvfp4.helpers")
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    tensors = converted(source, tmp_path / "ct", "compressed-tensors")
    config = QuantizationConfig.model_validate(
        json.loads((tmp_path / "ct/config.json").read_text())["quantization_config"]
    )
    group = config.config_groups["group_0"]
    ignored = [n.removeprefix("re:") if n.startswith("re:") else f"{re.escape(n)}$" for n in config.ignore or ()]
    assert group.targets == ["Linear"] and not any(re.match(each, module) for each in ignored for module in MAIN)
    rest = [name.removesuffix(".weight") for name, t in tensors.items() if name.endswith("_proj.weight")]
    assert rest and all(any(re.match(each, module) for each in ignored) for module in rest)
    for module in MAIN:
        ours = read_by_hopwell(tmp_path / "ct", module)
        packed, scale = tensors[module + ".weight_packed"], tensors[module + ".weight_scale"].float()
        inverse = tensors[module + ".weight_global_scale"]
        elements = helpers.unpack_fp4_from_uint8(packed, len(packed), 2 * packed.shape[1], dtype=torch.float32)
        assert torch.equal(elements, ours.elements), module
        value = dequantize(elements, scale, args=group.weights, dtype=torch.float32, global_scale=inverse)
        # it divides by the global scale where Hopwell multiplies by the reciprocal: the last bit may differ
        torch.testing.assert_close(value, ours.dequantize(), rtol=2**-22, atol=0)


def test_what_compressed_tensors_writes_is_read_here(source: Path, tmp_path: Path) -> None:
    base = pytest.importorskip("compressed_tensors.compressors.nvfp4.base")
    from compressed_tensors.quantization.quant_scheme import NVFP4A16, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    scheme = QuantizationScheme(targets=["Linear"], **NVFP4A16)
    tensors = load_file(source / "model.safetensors")
    for module in MAIN:
        weight = tensors.pop(module + ".weight").float()
        blocks = weight.unflatten(1, (-1, 16))
        inverse = generate_gparam(weight.min(), weight.max())
        scale, _ = calculate_qparams(blocks.amin(-1), blocks.amax(-1), scheme.weights, global_scale=inverse)
        state = {"weight": weight, "weight_scale": scale, "weight_global_scale": inverse}
        tensors |= {f"{module}.{k}": v for k, v in base.NVFP4PackedCompressor.compress(state, scheme).items()}
    folder = write_checkpoint(tmp_path / "theirs", CONFIG, {k: v.contiguous() for k, v in tensors.items()})
    for module in MAIN:
        ours, packed = read_by_hopwell(folder, module), tensors[module + ".weight_packed"]
        expected = base.unpack_fp4_from_uint8(packed, len(packed), 2 * packed.shape[1], dtype=torch.float32)
        assert torch.equal(ours.elements, expected), module
        assert torch.equal(ours.scale, tensors[module + ".weight_scale"].float()), module
        assert ours.tensor_scale == 1 / tensors[module + ".weight_global_scale"], module
    load_transformer(Checkpoint.open(folder), "cpu", torch.float32)  # nothing missing, nothing left over


def test_modelopt_files_are_decoded_by_numpy(source: Path, tmp_path: Path) -> None:
    tensors = converted(source, tmp_path / "mo", "modelopt")
    described = json.loads((tmp_path / "mo/hf_quant_config.json").read_text())["quantization"]
    assert sorted(described["quantized_layers"]) == sorted(MAIN)
    assert not set(MAIN) & set(described["exclude_modules"])
    loading = WeightSource(Checkpoint.open(tmp_path / "mo"))
    for module, shape in MAIN.items():
        scale = tensors[module + ".weight_scale"].float().numpy() * tensors[module + ".weight_scale_2"].numpy()
        value = decode(tensors[module + ".weight"]) * scale.repeat(16, 1)
        assert np.array_equal(loading.take_linear(module, shape).dequantize(torch.float32).numpy(), value), module


def test_modelopt_files_by_numpy_are_read_here(source: Path, tmp_path: Path) -> None:
    """Written as its converter does: attention in bf16, an index without the scales, cache scales beside."""
    tensors, expected = load_file(source / "model.safetensors"), {}
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "model.safetensors")}
    for module in (m for m in MAIN if ".mlp." in m):
        weight = tensors[module + ".weight"].float().numpy()
        second = np.float32(np.abs(weight).max() / (6 * 448))
        peaks = np.abs(weight).reshape(len(weight), -1, 16).max(-1)
        scale = torch.from_numpy(np.clip(peaks / (6 * second), 2.0**-9, 448)).to(torch.float8_e4m3fn)
        full = (scale.float().numpy() * second).repeat(16, 1)
        codes = np.searchsorted((E2M1[1:] + E2M1[:-1]) / 2, np.abs(weight) / full).astype(np.uint8)
        codes |= (weight < 0).astype(np.uint8) << 3
        tensors[module + ".weight"] = torch.from_numpy(codes[:, 0::2] | codes[:, 1::2] << 4)
        tensors[module + ".weight_scale"], tensors[module + ".weight_scale_2"] = scale, torch.tensor(second)
        tensors[module + ".input_scale"] = torch.tensor(0.01)
        expected[module] = np.where(codes & 8, -E2M1[codes & 7], E2M1[codes & 7]) * full
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.k_proj.k_scale"] = torch.tensor(1.0)
    folder = write_checkpoint(tmp_path / "theirs", CONFIG, {})
    save_file(tensors, folder / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    quantization = {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["model.layers.*.self_attn*"]}
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": quantization}))
    checkpoint = Checkpoint.open(folder)
    assert any("does not list" in warning for warning in checkpoint.warnings)
    loading = WeightSource(checkpoint)
    for module, value in expected.items():
        got = loading.take_linear(module, MAIN[module]).dequantize(torch.float32)
        assert np.array_equal(got.numpy(), value), module
    load_transformer(Checkpoint.open(folder), "cpu", torch.float32)


@pytest.mark.parametrize(
    ("label", "times", "good"), [("int4_g32", -1, True), ("int4_g32", 0, False), ("nvfp4", -1, False)]
)
def test_scales_below_zero_are_int4s_alone(source: Path, tmp_path: Path, label: str, times: int, good: bool) -> None:
    """AutoRound writes them: a group's codes turned over, and its scale with them."""
    out, module = tmp_path / "out", next(iter(MAIN))
    converted(source, out, "compressed-tensors", label)

    def read() -> Tensor:
        return WeightSource(Checkpoint.open(out)).take_linear(module, MAIN[module]).dequantize(torch.float32)

    want = read()
    (out / REPORT).unlink()  # its fingerprints would notice first
    for path in out.glob("*.safetensors"):
        tensors = load_file(path)
        if (scale := tensors.get(f"{module}.weight_scale")) is not None:
            save_file(tensors | {f"{module}.weight_scale": (scale.float() * times).to(scale.dtype)}, path)
    if good:
        assert torch.equal(read(), times * want)
    else:
        with pytest.raises(CheckpointError, match=f"{module}.weight_scale is -?[0-9.e-]+ at"):
            read()

"""quantization_config: what is not read here is refused by name; what is, tells the size of a model not there yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import hopwell, refused
from tiny import random_tensors, tiny_config, write_checkpoint
from tiny_tokenizer import write_tokenizer

from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.quantization import read_quantization
from hopwell.model.report import inspect_model
from hopwell.model.shipped import shipped_config

INT8 = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}
NVFP4 = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    *(
        ({"quant_method": name}, f"quant_method is {name!r}, which is not read here; fetch the original")
        for name in ("bitsandbytes", "auto-round", "quark", "torchao", "fbgemm_fp8", "mxfp4", "hqq")
    ),
    ({"bits": 4}, "quant_method is None"),
    ({"quant_method": "fp8"}, "weight_block_size is None"),
    ({"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e5m2"}, "fmt is 'e5m2'"),
    ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, "quant_algo is 'W4A16_AWQ'"),
    ({"quant_method": "modelopt", "quant_algo": "INT8_SQ"}, "quant_algo is 'INT8_SQ'"),
    (
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "W8"}}},
        "quantized_layers.a is 'W8'",
    ),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": "lm_head"}, "ignore is 'lm_head', expected a list"),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "quantized_layers": [1]}, "quantized_layers is [1]"),
    (
        {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"g": INT8}},
        "config_groups.g.format is 'int-quantized'",
    ),
    (
        {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"g": INT8}},
        "int of 8 bits by channel",
    ),
    (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {"g": NVFP4},
         "transform_config": {"config_groups": {"v": {"type": "hadamard"}}}},
        "transform_config asks for transforms",
    ),
    (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {"g": NVFP4},
         "sparsity_config": {"format": "sparse-24-bitmask"}},
        "sparsity_config.format is 'sparse-24-bitmask'",
    ),
    ({"quant_method": "awq", "bits": 4, "version": "GEMV"}, "awq's version is 'gemv', expected gemm"),
    ({"quant_method": "awq", "bits": 4, "version": "gemm", "zero_point": False}, "zero_point is False, expected True"),
    ({"quant_method": "awq", "bits": 8, "version": "gemm"}, "bits is 8, expected 4"),
    ({"quant_method": "awq", "bits": 4, "group_size": 0}, "group_size is 0, expected a number of columns"),
    ({"quant_method": "awq", "bits": 4, "modules_to_not_convert": "gate"}, "modules_to_not_convert is 'gate'"),
    ({"quant_method": "w4afp8", "group_size": 64}, "group_size is 64, expected 128"),
    ({"quant_method": "w4afp8", "weight_block_size": [64, 64]}, "weight_block_size is [64, 64], expected [128, 128]"),
    ({"quant_method": "gptq", "bits": 3}, "bits is 3, expected 4"),
    ({"quant_method": "gptq", "bits": 4, "group_size": "128"}, "group_size is '128'"),
    ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "version is 'marlin', expected gptq or"),
    ({"quant_method": "gptq", "bits": 4, "is_marlin_format": True}, "gptq's version is 'marlin'"),
    ({"quant_method": "gptq", "bits": 4, "pack_dtype": "int16"}, "pack_dtype is 'int16'"),
    ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*down.*": {"bits": 8}}}, "dynamic.+:.*down.*.bits is 8"),
    ({"quant_method": "gptq", "bits": 4, "modules_in_block_to_quantize": 7}, "modules_in_block_to_quantize is 7"),
    ({"quant_method": "hopwell", "formats": {"a": "nvfp9"}}, "format 'nvfp9' is unknown"),
    ({"quant_method": "hopwell", "formats": {"a": 3}}, "formats: "),
]  # fmt: skip


@pytest.mark.parametrize(("found", "text"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_not_read_is_refused_by_name(found: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_dict(tiny_config("r1", quantization_config=found))
    told = str(caught.value)
    assert told.startswith("config.json: quantization_config") and text in told and "\n" not in told


def test_every_command_refuses_the_method(tmp_path: Path) -> None:
    config = tiny_config("r1")
    folder = write_checkpoint(tmp_path / "m", config | {"quantization_config": {"quant_method": "hqq"}}, {})
    write_tokenizer(folder)
    (folder / "model.safetensors").unlink()
    write_checkpoint(folder, config | {"quantization_config": {"quant_method": "hqq"}}, random_tensors(config))
    for command in (
        ("inspect", folder), ("generate", "-m", folder, "x"), ("quantize", folder, tmp_path / "q"),
        ("verify", folder, "--against", "nano"), ("verify-cache", folder), ("warm", folder, "--arch", "90"),
        ("synth", folder, tmp_path / "s"),
    ):  # fmt: skip
        assert "quant_method is 'hqq'" in refused(*command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def modelopt(exclude: list[str]) -> dict[str, Any]:
    return {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": exclude}}


@pytest.mark.slow
def test_the_file_beside_config_json_tells_the_formats(tmp_path: Path) -> None:
    """NVIDIA's R1 and V3.1: experts and dense networks in NVFP4, attention and MTP in bf16, about 400 GB."""
    config = shipped_config("deepseek-v3.1")
    assert config is not None
    config.pop("quantization_config")
    (tmp_path / "config.json").write_text(json.dumps(config))
    before = inspect_model(str(tmp_path))
    exclude = ["lm_head", "model.layers.61", *(f"model.layers.{i}.self_attn*" for i in range(61))]
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(modelopt(exclude)))
    after = inspect_model(str(tmp_path))
    assert before.bytes > 1.36e12 and 0.41e12 < after.bytes < 0.43e12
    assert before.parameters == after.parameters and before.weights.total == after.weights.total  # expanded when loaded
    parts = {part.part: part.formats for part in after.parts}
    assert set(parts["attention"]) == {"BF16"} and "U8" not in parts["mtp"]
    assert set(parts["routed_experts"]) == {"U8", "F8_E4M3", "F32"}


def test_a_conversion_of_what_only_that_file_describes_is_refused_at_once(tmp_path: Path) -> None:
    config = tiny_config("r1")
    folder = write_checkpoint(tmp_path / "m", config, random_tensors(config))
    (folder / "hf_quant_config.json").write_text(json.dumps(modelopt(["lm_head"])))
    assert "is quantised already (modelopt)" in refused("quantize", folder, tmp_path / "q")
    (folder / "hf_quant_config.json").write_text("[]")
    assert "hf_quant_config.json: expected a JSON object" in refused("quantize", folder, tmp_path / "q")
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": [1]}))
    assert "hf_quant_config.json: quantization is [1]" in refused("inspect", folder)
    assert hopwell("inspect", "nano").code == 0


@pytest.mark.timeout(20)
def test_expressions_that_choose_among_words_are_tried_while_they_are_few() -> None:
    hostile = ["re:" + "(a|b|c|d|e|f|g|h)" * 40 + "x", "re:" + "(a|b)" * 200_000, "re:(" + "a|" * 300_000 + "b)"]
    config = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 64}}},
        "ignore": ["re:.*mlp\\.(gate|up)_(?:proj|x)$", *hostile],
    }
    found = read_quantization({"quantization_config": config})
    for module, label in (
        ("l.mlp.gate_proj", None), ("l.mlp.up_x", None), ("l.mlp.down_proj", "int4_g32"), ("l.mlp.gate_up", "int4_g32"),
        ("a" * 40 + "x", "int4_g32"),
    ):  # fmt: skip
        assert found.format_of(module) == label


def test_formats_of_modules() -> None:
    config = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
        "ignore": ["lm_head", "re:.*self_attn.*", r"re:^model\.layers\.0\..*", "re:(a+)+$", "re:["],
    }
    found = read_quantization({"quantization_config": config})
    for module, label in (
        ("lm_head", None), ("model.layers.7.self_attn.o_proj", None), ("model.layers.0.mlp.up_proj", None),
        ("model.layers.1.mlp.experts.3.down_proj", "int4_g32"), ("a" * 200 + "b", "int4_g32"),
    ):  # fmt: skip
        assert found.format_of(module) == label

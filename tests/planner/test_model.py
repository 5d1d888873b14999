"""Models from config.json alone, without torch; what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopwell.checkpoint.errors import CheckpointError
from hopwell.limits.catalogue import catalogue
from hopwell.model import CONFIGS
from hopwell.model.reading import ConfigError
from hopwell.planner.layout import layouts
from hopwell.planner.model import PlanError, model_of, read_model

CONFIG = json.loads((CONFIGS / "deepseek-r1.json").read_text(encoding="utf-8"))


def test_shipped_models_have_their_known_sizes() -> None:
    sizes = {"deepseek-r1": 671.0e9, "v2-lite": 15.7e9, "kimi-k2": 1026e9}
    for name, size in sizes.items():
        assert abs(read_model(name).parameters / size - 1) < 0.005, name
    assert read_model("deepseek-ai/DeepSeek-R1") == read_model("r1")
    assert [read_model(name).stored for name in ("r1", "v2-lite", "kimi-k2")] == ["fp8", "bf16", "fp8"]
    assert read_model("nano").num_hidden_layers < 30


@pytest.mark.parametrize(("quantization", "stored"), [
    ({"quant_method": "awq", "bits": 4}, "int4"), ({"quant_method": "gptq", "bits": 4}, "int4"),
    ({"quant_method": "w4afp8"}, "int4"), ({"quant_method": "fp8"}, "fp8"), (None, "bf16"),
])  # fmt: skip
def test_bytes_are_those_of_the_method(quantization: dict[str, object] | None, stored: str) -> None:
    assert model_of(CONFIG | {"quantization_config": quantization}, "r1").stored == stored


def test_a_name_that_is_none_is_told_all_that_are() -> None:
    with pytest.raises(
        PlanError, match=r"^nope: no such file or shipped model; give a config.json or deepseek-r1, .*v2-"
    ):
        read_model("nope")
    with pytest.raises(PlanError, match=r"shipped model \(did you mean v2-lite\?\); give"):
        read_model("v2-lit")


def test_a_folder_or_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    assert read_model(str(tmp_path)).hidden_size == read_model(str(tmp_path / "config.json")).hidden_size == 7168


def test_formats_may_stand_in_modelopts_own_file(tmp_path: Path) -> None:
    plain = {name: value for name, value in CONFIG.items() if name != "quantization_config"}
    (tmp_path / "config.json").write_text(json.dumps(plain), encoding="utf-8")
    assert read_model(str(tmp_path)).stored == "bf16"
    own = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(own), encoding="utf-8")
    assert read_model(str(tmp_path)).stored == "nvfp4"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "llama"}, "Llama"),
        ({"model_type": "gemma"}, "model_type is 'gemma', expected one of deepseek_v3"),
        ({"hidden_size": 0}, "hidden_size is 0, expected a whole number"),
        ({"n_routed_experts": None}, "n_routed_experts"),
        ({"num_experts_per_tok": 257}, "num_experts_per_tok"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_of({**CONFIG, **changed}, "x")


def test_an_unknown_name_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="did you mean deepseek-r1"):
        read_model("deepseek-r")
    (tmp_path / "config.json").write_text("[", encoding="utf-8")
    with pytest.raises(CheckpointError, match="JSON"):
        read_model(str(tmp_path))


def test_layouts_split_nothing_that_is_whole() -> None:
    model = read_model("r1")
    for gpu in catalogue().values():
        for layout in layouts(model, gpu, "fp8"):
            assert layout.tp * layout.dp == layout.expert_cut * layout.expert_whole == layout.gpus
            assert layout.gpus <= gpu.domain or layout.dp > 1
            assert model.num_attention_heads % layout.tp == 0 and model.n_routed_experts % layout.expert_whole == 0
            assert model.moe_intermediate_size % (128 * layout.expert_cut) == 0


def test_a_snapshot_is_laid_out_already(tmp_path: Path) -> None:
    (tmp_path / "hopwell_snapshot.json").touch()
    with pytest.raises(PlanError, match=r"is a snapshot, laid out .*; give what it was packed of"):
        read_model(str(tmp_path))

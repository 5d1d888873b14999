"""What `quantize --layout compressed-tensors` writes loads in transformers: every matrix, value for value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.described import compressed_config
from hopwell.quantization.convert import Conversion
from hopwell.quantization.plan import Goal, Settings

CONFIG = tiny_config(
    "r1", num_hidden_layers=2, num_nextn_predict_layers=0, hidden_size=128, moe_intermediate_size=128,
    intermediate_size=128, q_lora_rank=128, kv_lora_rank=128, v_head_dim=32, n_routed_experts=8,
)  # fmt: skip


@pytest.mark.parametrize("label", ["int4_g32", "int4_g128", "fp8_channel"])
def test_every_matrix_arrives(label: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("compressed_tensors")
    source = write_checkpoint(tmp_path / "m", CONFIG, random_tensors(CONFIG, dtype=torch.bfloat16))
    sequences = torch.randint(0, 128, (16, 160), generator=torch.Generator().manual_seed(1)).tolist()
    settings = Settings(Goal(format=label), "compressed-tensors", compensate=False)
    Conversion(source, tmp_path / "q", settings, sequences, lambda line: None).run()
    wanted = transformers.CompressedTensorsConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "q", dtype=torch.float32, quantization_config=wanted
    )
    loading = WeightSource(Checkpoint.open(tmp_path / "q"))

    def ours(name: str, shape: torch.Size) -> torch.Tensor:
        return loading.take_linear(name, (shape[0], shape[1])).dequantize(torch.float32)

    for name, got in model.state_dict().items():
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            prefix, _, kind = name.rpartition(".")
            for expert in range(8):
                kinds = ("gate_proj", "up_proj") if kind == "gate_up_proj" else ("down_proj",)
                want = torch.cat([ours(f"{prefix}.{expert}.{k}", torch.Size((128, 128))) for k in kinds])
                torch.testing.assert_close(got[expert].float(), want, rtol=2**-8, atol=0)
        elif name.endswith("_proj.weight") or name.endswith("_with_mqa.weight"):
            torch.testing.assert_close(got.float(), ours(name.removesuffix(".weight"), got.shape), rtol=2**-8, atol=0)


def test_expressions_match_the_modules_of_one_format_and_no_other() -> None:
    formats = {f"model.layers.{i}.mlp.experts.{e}.up_proj": "nvfp4" for i in range(2) for e in range(3)}
    formats |= {"model.layers.0.self_attn.q_proj": "nvfp4", "model.layers.1.self_attn.q_proj": "fp8_block"}
    config = compressed_config(formats, ["lm_head", "model.layers.1.mlp.gate", "model.layers.2.mlp.experts.0.up_proj"])
    assert config["ignore"] == ["lm_head", "model.layers.2.mlp.experts.0.up_proj", r"re:model\.layers\.\d+\.mlp\.gate$"]
    groups = {group["format"]: group["targets"] for group in config["config_groups"].values()}
    assert groups["float-quantized"] == ["model.layers.1.self_attn.q_proj"]
    assert "model.layers.0.self_attn.q_proj" in groups["nvfp4-pack-quantized"]
    alone = compressed_config(dict.fromkeys(formats, "int4_g32"), ["lm_head"])
    assert [group["targets"] for group in alone["config_groups"].values()] == [["Linear"]]

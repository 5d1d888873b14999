"""config.json: what is honoured, and that a fault names its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from hopwell.model.config import ConfigError, ModelConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "llama"),
        ("hidden_size", 0),
        ("hidden_size", "big"),
        ("num_attention_heads", -3),
        ("num_experts_per_tok", 9),
        ("n_group", 3),
        ("topk_group", 5),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("tie_word_embeddings", True),
        ("moe_layer_freq", 2),
        ("num_key_value_heads", 1),
        ("qk_rope_head_dim", 7),
        ("rms_norm_eps", 0),
        ("scoring_func", "softmax"),
        ("topk_method", "greedy"),
        ("norm_topk_prob", "yes"),
        ("num_nextn_predict_layers", 2),
        ("rope_scaling", "yarn"),
        ("first_k_dense_replace", 99),
        ("eos_token_id", "</s>"),
        ("eos_token_id", [1, -2]),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        ModelConfig.from_dict(tiny.tiny_config("r1", **{field: value}))
    assert "\n" not in str(caught.value)


def test_faults_within_rope_scaling_are_named() -> None:
    for field, value in (("type", "linear"), ("factor", "x"), ("original_max_position_embeddings", 0)):
        scaling = tiny.YARN | {field: value}
        with pytest.raises(ConfigError, match=f"rope_scaling.{field}"):
            ModelConfig.from_dict(tiny.tiny_config("r1", rope_scaling=scaling))


def test_missing_field_and_unreadable_files(tmp_path: Path) -> None:
    config = tiny.tiny_config()
    del config["vocab_size"]
    with pytest.raises(ConfigError, match="vocab_size is missing"):
        ModelConfig.from_dict(config)
    with pytest.raises(ConfigError, match="cannot read"):
        ModelConfig.from_file(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        ModelConfig.from_file(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="expected a JSON object"):
        ModelConfig.from_file(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny.tiny_config()))
    assert ModelConfig.from_file(tmp_path).latent_dim == 40


def test_softmax_scales_of_the_released_models() -> None:
    """The scales that notes of the released models give: R1 0.135234, V2-Lite 0.114721, Kimi-K2 0.130861."""
    real = {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64}
    yarn = tiny.YARN | {"original_max_position_embeddings": 4096}
    r1 = ModelConfig.from_dict(tiny.tiny_config("r1", rope_scaling=yarn, **real))
    assert r1.softmax_scale == pytest.approx(0.135234, abs=1e-6)
    lite_yarn = yarn | {"mscale": 0.707, "mscale_all_dim": 0.707}
    lite = ModelConfig.from_dict(tiny.tiny_config("v2-lite", rope_scaling=lite_yarn, **real))
    assert lite.softmax_scale == pytest.approx(0.114721, abs=1e-6)
    kimi = ModelConfig.from_dict(tiny.tiny_config("kimi-k2", rope_scaling=yarn | {"factor": 32}, **real))
    assert kimi.softmax_scale == pytest.approx(0.130861, abs=1e-6)
    assert r1.rope.table_mscale == lite.rope.table_mscale == kimi.rope.table_mscale == 1.0

"""Every field of transformers' configuration classes that changes the mathematics is honoured, or refused by name.

The reference is transformers' own `deepseek_v3` and `deepseek_v2`; log-probabilities are compared on random weights.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
import tiny
import torch
from parity import TOLERANCE, load, reference_logits, transformers, whole

from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.fields import FIXED, HARMLESS, unknown_fields

YARN = tiny.YARN
NEW = {k: v for k, v in YARN.items() if k != "type"} | {"rope_type": "yarn"}
"""The same as transformers 5 writes it."""
REMOVED = object()


def without(values: dict[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in names} | changes


ROPE: dict[str, dict[str, Any]] = {
    "none": {"rope_scaling": None},
    "as released": {"rope_scaling": YARN},
    "theta": {"rope_theta": 500.0},
    "new layout": {"rope_scaling": REMOVED, "rope_theta": REMOVED, "rope_parameters": NEW | {"rope_theta": 300.0}},
    "new layout, theta outside": {"rope_scaling": REMOVED, "rope_theta": 300.0, "rope_parameters": NEW},
    "theta twice": {"rope_scaling": YARN | {"rope_theta": 77.0}, "rope_theta": 300.0},
    "both layouts": {"rope_scaling": YARN, "rope_parameters": NEW | {"factor": 3.0}},
    "an empty one": {"rope_scaling": {}, "rope_parameters": NEW | {"factor": 3.0}},
    "default in the new layout": {
        "rope_scaling": REMOVED, "rope_parameters": {"rope_type": "default", "rope_theta": 60.0},
    },
    "theta alone": {"rope_scaling": REMOVED, "rope_parameters": {"rope_theta": 60.0}},
    "both names of the type": {"rope_scaling": YARN | {"rope_type": "default", "type": "yarn"}},
    "both names, the other way": {"rope_scaling": YARN | {"rope_type": "yarn", "type": "default"}},
    "factor": {"rope_scaling": YARN | {"factor": 4}},
    "factor one": {"rope_scaling": YARN | {"factor": 1.0}},
    "original length": {"rope_scaling": YARN | {"original_max_position_embeddings": 7}},
    "betas": {"rope_scaling": YARN | {"beta_fast": 4, "beta_slow": 0.5}},
    "equal betas": {"rope_scaling": YARN | {"beta_fast": 1, "beta_slow": 1}},
    "no betas": {"rope_scaling": without(YARN, "beta_fast", "beta_slow")},
    "null betas": {"rope_scaling": YARN | {"beta_fast": None, "beta_slow": None}},
    "two temperatures": {"rope_scaling": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3}},
    "no temperatures": {"rope_scaling": without(YARN, "mscale", "mscale_all_dim")},
    "null temperatures": {"rope_scaling": YARN | {"mscale": None, "mscale_all_dim": None}},
    "mscale alone, of one": {"rope_scaling": without(YARN, "mscale_all_dim")},
    "attention_factor": {"rope_scaling": YARN | {"attention_factor": 1.4}},
    "attention_factor and temperatures": {
        "rope_scaling": YARN | {"attention_factor": 0.8, "mscale": 0.7, "mscale_all_dim": 1.3},
    },
    "attention_factor without mscale": {"rope_scaling": without(YARN, "mscale") | {"attention_factor": 0.8}},
    "truncate": {"rope_scaling": YARN | {"truncate": False}},
    "truncated": {"rope_scaling": YARN | {"truncate": True}},
}  # fmt: skip
V3: dict[str, dict[str, Any]] = {
    "norm_topk_prob": {"norm_topk_prob": False},
    "routed_scaling_factor": {"routed_scaling_factor": 0.3},
    "one expert a token": {"num_experts_per_tok": 1},
    "one group": {"n_group": 1, "topk_group": 1},
    "all groups": {"topk_group": 4},
    "one group of several": {"topk_group": 1},
    "no query rank": {"q_lora_rank": None},
    "experts everywhere": {"first_k_dense_replace": 0},
    "experts nowhere": {"first_k_dense_replace": 3},
    "two shared experts": {"n_shared_experts": 2},
    "eps": {"rms_norm_eps": 0.05},
    "fields left out": {"scoring_func": REMOVED, "topk_method": REMOVED, "moe_layer_freq": REMOVED},
    "nulls": {"num_key_value_heads": None, "moe_layer_freq": None, "hidden_act": None},
    "rope_interleave": {"rope_interleave": True},
    "head_dim": {"head_dim": 8, "qk_head_dim": 24},
}
V2: dict[str, dict[str, Any]] = {
    "greedy ignores groups": {"n_group": 4, "topk_group": 2},
    "groups of null": {"n_group": None, "topk_group": None},
    "groups left out": {"n_group": REMOVED, "topk_group": REMOVED, "topk_method": REMOVED},
    "group_limited_greedy": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2},
    "routed_scaling_factor": {"routed_scaling_factor": 16.0},
    "no routed_scaling_factor": {"routed_scaling_factor": REMOVED},
    "norm_topk_prob": {"norm_topk_prob": False},
    "no norm_topk_prob": {"norm_topk_prob": REMOVED},
    "a query rank": {"q_lora_rank": 24},
    "eps": {"rms_norm_eps": 0.05},
}
HONOURED = [
    *((kind, name, change) for name, change in ROPE.items() for kind in ("r1", "v2-lite")),
    *(("r1", name, change) for name, change in V3.items()),
    *(("v2-lite", name, change) for name, change in V2.items()),
]


def changed(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    config = tiny.tiny_config(kind, num_nextn_predict_layers=0)
    return {k: v for k, v in (config | change).items() if v is not REMOVED}


@cache
def tokens() -> torch.Tensor:
    return torch.randint(0, 128, (2, 90), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("kind", "name", "change"), HONOURED, ids=[f"{kind}, {name}" for kind, name, _ in HONOURED])
def test_log_probabilities_are_those_of_transformers(kind: str, name: str, change: dict[str, Any]) -> None:
    config = changed(kind, change)
    tensors = tiny.random_tensors(tiny.tiny_config(kind) | config, 2)
    reference = {k: v for k, v in config.items() if v is not None or k not in ("moe_layer_freq", "hidden_act")}
    expected = reference_logits({"rope_theta": 10000} | reference, tensors, tokens()).log_softmax(-1)
    model = load(config, tensors)
    for got, want in zip(whole(model, tokens().tolist()), expected, strict=True):
        assert (got.log_softmax(-1) - want).abs().max() <= TOLERANCE


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((kind, {"rope_scaling": change}, text) for kind in ("r1", "v2-lite") for change, text in (
        (without(YARN, "type"), "rope_scaling.type is missing"),
        (YARN | {"type": None}, "rope_scaling.type is missing"),
        (YARN | {"type": "linear"}, "rope_scaling.type is 'linear'"),
        (YARN | {"rope_type": "llama3"}, "rope_scaling.type is 'llama3'"),
        (YARN | {"factor": None}, "rope_scaling.factor is None"),
        (YARN | {"factor": 0.5}, "rope_scaling.factor is 0.5"),
        (YARN | {"beta_fast": 0}, "rope_scaling.beta_fast is 0"),
        (YARN | {"beta_fast": 1, "beta_slow": 2}, "rope_scaling.beta_fast is 1, expected at least beta_slow"),
        (YARN | {"attention_factor": "x"}, "rope_scaling.attention_factor is 'x'"),
        (YARN | {"attention_factor": 0}, "rope_scaling.attention_factor is 0"),
        (YARN | {"truncate": "no"}, "rope_scaling.truncate is 'no'"),
        (YARN | {"partial_rotary_factor": 0.5}, "rope_scaling.partial_rotary_factor is 0.5"),
        (YARN | {"low_freq_factor": 1.0}, "rope_scaling.low_freq_factor is 1.0"),
        (YARN | {"mrope_section": [1, 2]}, "rope_scaling.mrope_section is [1, 2]"),
        (without(YARN, "mscale"), "rope_scaling.mscale is missing or 0 while mscale_all_dim is given"),
        (YARN | {"mscale": 0}, "rope_scaling.mscale is missing or 0"),
        (YARN | {"mscale": 0.7, "mscale_all_dim": 0}, "rope_scaling.mscale_all_dim is missing or 0 while mscale"),
        (without(YARN, "original_max_position_embeddings"), "rope_scaling.original_max_position_embeddings is missing"),
        ({"full_attention": YARN}, "rope_scaling.full_attention is {"),
        ([1], "rope_scaling is [1]"),
    )),
    ("r1", {"rope_scaling": REMOVED, "rope_parameters": without(NEW, "rope_type")}, "rope_parameters.type is missing"),
    ("r1", {"original_max_position_embeddings": 16}, "rope_scaling.original_max_position_embeddings is 32"),
    ("r1", {"rope_interleave": False}, "rope_interleave is False, expected True"),
    ("r1", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ("r1", {"attention_bias": True}, "attention_bias is True"),
    ("v2-lite", {"mlp_bias": True}, "mlp_bias is True"),
    ("r1", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    ("r1", {"tie_word_embeddings": True}, "tie_word_embeddings is True"),
    ("r1", {"moe_layer_freq": 2}, "moe_layer_freq is 2"),
    ("r1", {"num_key_value_heads": 2}, "num_key_value_heads is 2"),
    ("r1", {"num_local_experts": 8}, "num_local_experts is 8, expected 16"),
    ("r1", {"head_dim": 16}, "head_dim is 16, expected 8 or 24"),
    ("r1", {"qk_head_dim": 16}, "qk_head_dim is 16, expected 24"),
    ("r1", {"scoring_func": "softmax"}, "scoring_func is 'softmax'"),
    ("r1", {"topk_method": "greedy"}, "topk_method is 'greedy'"),
    ("r1", {"num_mtp_layers": 1}, "num_mtp_layers is 1, expected 0"),
    ("r1", {"sliding_window": 128}, "sliding_window is 128, expected none"),
    ("r1", {"final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0, expected none"),
    ("r1", {"index_topk": 2048}, "index_topk is 2048, expected none"),
    ("r1", {"architectures": ["DeepseekV32ForCausalLM"]}, "architectures is ['DeepseekV32ForCausalLM']"),
    *(("r1", {name: REMOVED}, f"{name} is missing") for name in (
        "norm_topk_prob", "routed_scaling_factor", "n_group", "topk_group", "n_shared_experts", "first_k_dense_replace",
        "num_experts_per_tok",
    )),
    ("v2-lite", {"norm_topk_prob": True}, "norm_topk_prob is True"),
    ("v2-lite", {"scoring_func": "sigmoid"}, "scoring_func is 'sigmoid'"),
    ("v2-lite", {"topk_method": "noaux_tc"}, "topk_method is 'noaux_tc'"),
    ("v2-lite", {"topk_method": "group_limited_greedy", "n_group": REMOVED}, "n_group is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_what_is_computed_differently_is_refused_by_name(kind: str, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_dict(changed(kind, change))
    assert f"config.json: {text}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama", "deepseek_v32", "deepseek_v4", "kimi_k25"])
def test_relatives_are_told_what_they_are(model_type: str) -> None:
    with pytest.raises(ConfigError, match=f"model_type is '{model_type}': ") as caught:
        ModelConfig.from_dict({"model_type": model_type, "architectures": ["X"]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["DeepseekV3Config", "DeepseekV2Config"])
def test_every_field_of_transformers_is_known(name: str) -> None:
    """One that a later version adds shows here, and is then honoured, refused or known to be harmless."""
    fields = {field.name for field in dataclasses.fields(getattr(transformers(), name))}
    assert sorted(fields - HARMLESS - FIXED.keys()) == []


def test_a_config_that_transformers_writes_is_understood() -> None:
    config = tiny.tiny_config("r1", num_nextn_predict_layers=0)
    written = transformers().DeepseekV3Config(**tiny.tiny_config("r1", num_nextn_predict_layers=0)).to_dict()
    ours, theirs = ModelConfig.from_dict(config), ModelConfig.from_dict(written)
    assert dataclasses.replace(ours, raw={}) == dataclasses.replace(theirs, raw={}) and not theirs.warnings


def test_a_field_that_nobody_knows_is_told_of() -> None:
    config = tiny.tiny_config("r1", residual_scale=0.5, unsloth_version="1", use_something=False, note=None)
    assert unknown_fields(config) == ["residual_scale"]
    assert ModelConfig.from_dict(config).warnings == [
        "config.json: residual_scale is not known here and is passed over"
    ]

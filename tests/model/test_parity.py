"""The model against `transformers`, an independent implementation, on random small configs in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity import TOLERANCE, load, reference_logits, whole


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["r1", "v2-lite", "kimi-k2"]))
    groups = draw(st.sampled_from([2, 4])) if kind == "r1" else 1
    in_group = draw(st.integers(2, 6))
    topk_group = draw(st.integers(1, groups))
    overrides = {
        "hidden_size": draw(st.sampled_from([60, 120])),  # V2 wants a multiple of the heads
        "num_attention_heads": (heads := draw(st.integers(1, 5))),
        "num_key_value_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "moe_intermediate_size": draw(st.integers(8, 40)),
        "intermediate_size": draw(st.integers(8, 90)),
        "n_routed_experts": groups * in_group,
        "n_group": groups,
        "topk_group": topk_group,
        "num_experts_per_tok": draw(st.integers(1, in_group * topk_group)),
        "kv_lora_rank": draw(st.sampled_from([8, 24, 40])),
        "qk_nope_head_dim": draw(st.sampled_from([8, 16, 24])),
        "qk_rope_head_dim": draw(st.sampled_from([4, 8, 16])),
        "v_head_dim": draw(st.sampled_from([8, 12, 20])),
        "first_k_dense_replace": draw(st.integers(0, 1)),
        "n_shared_experts": draw(st.integers(1, 2)),
    }
    config = tiny.tiny_config(kind, **overrides)
    if kind != "v2-lite":
        config["q_lora_rank"] = draw(st.sampled_from([None, 16, 40]))
    if draw(st.booleans()):
        config["rope_scaling"] = None
    return config


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(configs(), st.integers(0, 2**31), st.integers(2, 100))
@pytest.mark.slow
def test_logits_equal_transformers(config: dict[str, Any], seed: int, length: int) -> None:
    tensors = tiny.random_tensors(config, seed)
    tokens = torch.randint(0, config["vocab_size"], (2, length), generator=torch.Generator().manual_seed(seed))
    expected = reference_logits(config, tensors, tokens)
    model = load(config, tensors)
    for absorbed in (True, False):
        for got, want in zip(whole(replace(model, absorbed=absorbed), tokens.tolist()), expected, strict=True):
            assert (got - want).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["r1", "v2-lite", "kimi-k2"])
def test_any_cut_of_any_mix_equals_each_sequence_alone(kind: str) -> None:
    config = tiny.tiny_config(kind)
    model = load(config, tiny.random_tensors(config, 3))
    random = torch.Generator().manual_seed(4)
    lengths = [1, 63, 64, 65, 130, 17, 200]
    sequences = [torch.randint(0, 128, (n,), generator=random).tolist() for n in lengths]
    alone = [whole(model, [s])[0] for s in sequences]
    token_by_token = whole(model, sequences, [[1] * n for n in lengths])
    mixed = whole(model, sequences, [[1], [60, 1, 2], [64], [1, 64], [5, 100, 1, 24], [1] * 17, [150, 1, 1, 1, 47]])
    for a, b, c in zip(alone, token_by_token, mixed, strict=True):
        assert (a - b).abs().max() <= TOLERANCE
        assert (a - c).abs().max() <= TOLERANCE


@pytest.mark.parametrize("fused", [True, False])
def test_experts_laid_out_as_one_network_are_the_same_sum(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr("hopwell.ops.moe_experts.FUSE_BELOW_BYTES", 0)
    config = tiny.tiny_config("r1")
    tensors = tiny.random_tensors(config, 5)
    model = load(config, tensors)
    assert all((layer.network.experts.fused is not None) == fused for layer in model.layers[1:])  # type: ignore[union-attr]
    tokens = torch.randint(0, 128, (1, 40), generator=torch.Generator().manual_seed(6))
    expected = reference_logits(config, tensors, tokens)[0]
    assert (whole(model, tokens.tolist())[0] - expected).abs().max() <= TOLERANCE

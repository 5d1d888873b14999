"""The MTP layer against a derivation from the V3 report's equations (2.2) in float64, written without the engine."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from numpy.typing import NDArray
from parity import TOLERANCE

from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.batch import ForwardBatch
from hopwell.model.loading import load_transformer

Array = NDArray[np.float64]


def rms(x: Array, weight: Array) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weight


def swiglu(x: Array, w: dict[str, Array], prefix: str) -> Array:
    gate = x @ w[prefix + "gate_proj.weight"].T
    return (gate / (1 + np.exp(-gate)) * (x @ w[prefix + "up_proj.weight"].T)) @ w[prefix + "down_proj.weight"].T


def yarn_angles(config: dict[str, Any], position: int) -> Array:
    """Angle of each pair at a position: YaRN's by-parts interpolation, pair by pair."""
    y, dim, base = config["rope_scaling"], config["qk_rope_head_dim"], config["rope_theta"]

    def index(turns: float) -> float:
        return dim * math.log(y["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(index(y["beta_fast"])), 0), min(math.ceil(index(y["beta_slow"])), dim - 1)
    angles = []
    for i in range(dim // 2):
        frequency = base ** (-2 * i / dim)
        slow = min(max((i - low) / max(high - low, 1e-3), 0.0), 1.0)
        angles.append(position * (frequency * (1 - slow) + frequency / y["factor"] * slow))
    return np.array(angles)


def rotate(x: Array, angles: Array) -> Array:
    out = np.empty_like(x)
    for i, a in enumerate(angles):
        out[..., 2 * i] = x[..., 2 * i] * math.cos(a) - x[..., 2 * i + 1] * math.sin(a)
        out[..., 2 * i + 1] = x[..., 2 * i] * math.sin(a) + x[..., 2 * i + 1] * math.cos(a)
    return out


def attention(x: Array, w: dict[str, Array], config: dict[str, Any], prefix: str) -> Array:
    """Plain multi-head attention with keys and values rebuilt from the latent, one query at a time."""
    heads, nope, rope = config["num_attention_heads"], config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    rank, v = config["kv_lora_rank"], config["v_head_dim"]
    q = rms(x @ w[prefix + "q_a_proj.weight"].T, w[prefix + "q_a_layernorm.weight"]) @ w[prefix + "q_b_proj.weight"].T
    q = q.reshape(len(x), heads, nope + rope)
    kv = x @ w[prefix + "kv_a_proj_with_mqa.weight"].T
    latent = rms(kv[:, :rank], w[prefix + "kv_a_layernorm.weight"])
    rebuilt = (latent @ w[prefix + "kv_b_proj.weight"].T).reshape(len(x), heads, nope + v)
    mscale = 0.1 * math.log(config["rope_scaling"]["factor"]) + 1
    scale = (nope + rope) ** -0.5 * mscale**2
    out = np.zeros((len(x), heads * v))
    for i in range(len(x)):
        for h in range(heads):
            query = np.concatenate((q[i, h, :nope], rotate(q[i, h, nope:], yarn_angles(config, i))))
            scores = np.array(
                [
                    query @ np.concatenate((rebuilt[j, h, :nope], rotate(kv[j, rank:], yarn_angles(config, j))))
                    for j in range(i + 1)
                ]
            )
            p = np.exp((scores - scores.max()) * scale)
            out[i, h * v : (h + 1) * v] = (p / p.sum()) @ rebuilt[: i + 1, h, nope:]
    return out @ w[prefix + "o_proj.weight"].T


def experts(x: Array, w: dict[str, Array], config: dict[str, Any], prefix: str) -> Array:
    out = swiglu(x, w, prefix + "shared_experts.")
    in_group = config["n_routed_experts"] // config["n_group"]
    for i, row in enumerate(x):
        score = 1 / (1 + np.exp(-w[prefix + "gate.weight"] @ row))
        biased = score + w[prefix + "gate.e_score_correction_bias"]
        groups = biased.reshape(-1, in_group)
        best = np.argsort(-np.sort(groups, axis=1)[:, -2:].sum(1))[: config["topk_group"]]
        allowed = [e for e in range(len(score)) if e // in_group in best]
        chosen = sorted(allowed, key=lambda e: -biased[e])[: config["num_experts_per_tok"]]
        for e in chosen:
            weight = score[e] / score[chosen].sum() * config["routed_scaling_factor"]
            out[i] += weight * swiglu(row, w, f"{prefix}experts.{e}.")
    return out


@pytest.mark.parametrize("seed", [0, 1])
def test_draft_follows_the_paper(tmp_path: Path, seed: int) -> None:
    config = tiny.tiny_config("r1")
    tensors = tiny.random_tensors(config, seed)
    model = load_transformer(Checkpoint.open(tiny.write_checkpoint(tmp_path, config, tensors)), dtype=torch.float32)
    random = torch.Generator().manual_seed(seed + 10)
    length = 70
    tokens = torch.randint(0, 128, (length + 1,), generator=random)
    hidden = torch.randn(length, config["hidden_size"], generator=random)
    batch = ForwardBatch(
        tokens=tokens[1:],
        positions=torch.arange(length),
        query_lens=[length],
        seq_lens=[length],
        page_table=torch.tensor([[1, 0]], dtype=torch.int32),
    )
    got = model.logits(model.draft(hidden, batch, model.new_latent(2)))

    w = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    prefix = f"model.layers.{config['num_hidden_layers']}."
    embedded = rms(w["model.embed_tokens.weight"][tokens[1:].numpy()], w[prefix + "enorm.weight"])
    previous = rms(hidden.double().numpy(), w[prefix + "hnorm.weight"])
    x = np.concatenate((embedded, previous), axis=-1) @ w[prefix + "eh_proj.weight"].T
    x = x + attention(rms(x, w[prefix + "input_layernorm.weight"]), w, config, prefix + "self_attn.")
    x = x + experts(rms(x, w[prefix + "post_attention_layernorm.weight"]), w, config, prefix + "mlp.")
    want = rms(x, w[prefix + "shared_head.norm.weight"]) @ w["lm_head.weight"].T
    assert np.abs(got.numpy() - want).max() <= TOLERANCE


def test_batches_that_differ_in_tokens_share_a_plan() -> None:
    """And no others: other positions or pages are planned anew."""
    batch = ForwardBatch(torch.tensor([5, 6]), torch.tensor([64, 65]), [2], [66], torch.tensor([[1, 0]]))
    plan = batch.plan
    assert replace(batch, tokens=torch.tensor([7, 8])).plan is plan is batch.to(torch.device("cpu")).plan
    other = replace(batch, positions=torch.tensor([65, 66]), seq_lens=[67]).plan
    assert other.slots.tolist() == [1, 2] and plan.slots.tolist() == [0, 1]
    assert replace(batch, page_table=torch.tensor([[1, 2]])).plan.slots.tolist() == [128, 129]


def test_drafting_without_an_mtp_layer_is_refused(tmp_path: Path) -> None:
    config = tiny.tiny_config("kimi-k2")
    model = load_transformer(Checkpoint.open(tiny.write_checkpoint(tmp_path, config, tiny.random_tensors(config))))
    one = torch.zeros(1, dtype=torch.int64)
    batch = ForwardBatch(one, one, [1], [1], torch.zeros(1, 1, dtype=torch.int32))
    with pytest.raises(ValueError, match="no MTP layer"):
        model.draft(torch.zeros(1, 64, dtype=torch.bfloat16), batch, model.new_latent(1))

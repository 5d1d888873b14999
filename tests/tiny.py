"""Small random models of the family, written to disk in the released layout, for any test that needs one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

YARN = {
    "type": "yarn",
    "factor": 40,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 32,
}


def tiny_config(kind: str = "r1", **overrides: Any) -> dict[str, Any]:
    """config.json of a small model: kind is "r1", "v2-lite" or "kimi-k2"."""
    config = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "vocab_size": 128,
        "hidden_size": 64,
        "intermediate_size": 96,
        "moe_intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "n_shared_experts": 1,
        "n_routed_experts": 16,
        "num_experts_per_tok": 4,
        "n_group": 4,
        "topk_group": 2,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "q_lora_rank": 48,
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "max_position_embeddings": 512,
        "rope_theta": 10000,
        "rope_scaling": dict(YARN),
        "num_nextn_predict_layers": 1,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if kind == "kimi-k2":
        config |= {"n_routed_experts": 24, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.827}
        config |= {"num_nextn_predict_layers": 0, "rope_theta": 50000, "model_type": "kimi_k2"}
    elif kind == "v2-lite":
        config |= {"model_type": "deepseek_v2", "q_lora_rank": None, "n_shared_experts": 2, "n_group": 1}
        config |= {"topk_group": 1, "topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": False}
        config |= {"routed_scaling_factor": 1.0, "num_nextn_predict_layers": 0}
        config["rope_scaling"] |= {"mscale": 0.707, "mscale_all_dim": 0.707}
    elif kind != "r1":
        raise ValueError(kind)
    return config | overrides


def linear_shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The matrices that R1's format stores in FP8, by name without `.weight`."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    nope, rope, v = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    shapes: dict[str, tuple[int, int]] = {}

    def network(prefix: str, width: int) -> None:
        shapes[prefix + "gate_proj"] = shapes[prefix + "up_proj"] = (width, hidden)
        shapes[prefix + "down_proj"] = (hidden, width)

    for i in range(config["num_hidden_layers"] + config["num_nextn_predict_layers"]):
        attention = f"model.layers.{i}.self_attn."
        if config["q_lora_rank"] is None:
            shapes[attention + "q_proj"] = (heads * (nope + rope), hidden)
        else:
            shapes[attention + "q_a_proj"] = (config["q_lora_rank"], hidden)
            shapes[attention + "q_b_proj"] = (heads * (nope + rope), config["q_lora_rank"])
        shapes[attention + "kv_a_proj_with_mqa"] = (config["kv_lora_rank"] + rope, hidden)
        shapes[attention + "kv_b_proj"] = (heads * (nope + v), config["kv_lora_rank"])
        shapes[attention + "o_proj"] = (hidden, heads * v)
        mlp = f"model.layers.{i}.mlp."
        if i < config["first_k_dense_replace"]:
            network(mlp, config["intermediate_size"])
        else:
            network(mlp + "shared_experts.", config["n_shared_experts"] * config["moe_intermediate_size"])
            for e in range(config["n_routed_experts"]):
                network(f"{mlp}experts.{e}.", config["moe_intermediate_size"])
    return shapes


def random_tensors(config: dict[str, Any], seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A full checkpoint's tensors, random at a scale that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    hidden, vocab = config["hidden_size"], config["vocab_size"]

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def norm(width: int) -> Tensor:
        return (1.0 + 0.2 * normal(width)).to(dtype)

    tensors = {
        f"{name}.weight": normal(*shape, scale=shape[1] ** -0.5).to(dtype)
        for name, shape in linear_shapes(config).items()
    }
    tensors["model.embed_tokens.weight"] = normal(vocab, hidden).to(dtype)
    tensors["lm_head.weight"] = normal(vocab, hidden, scale=hidden**-0.5).to(dtype)
    tensors["model.norm.weight"] = norm(hidden)
    layers = config["num_hidden_layers"]
    for i in range(layers + config["num_nextn_predict_layers"]):
        prefix = f"model.layers.{i}."
        tensors[prefix + "input_layernorm.weight"] = norm(hidden)
        tensors[prefix + "post_attention_layernorm.weight"] = norm(hidden)
        tensors[prefix + "self_attn.kv_a_layernorm.weight"] = norm(config["kv_lora_rank"])
        if config["q_lora_rank"] is not None:
            tensors[prefix + "self_attn.q_a_layernorm.weight"] = norm(config["q_lora_rank"])
        if i >= config["first_k_dense_replace"]:
            experts = config["n_routed_experts"]
            tensors[prefix + "mlp.gate.weight"] = normal(experts, hidden, scale=hidden**-0.5).to(dtype)
            if config["scoring_func"] == "sigmoid":
                tensors[prefix + "mlp.gate.e_score_correction_bias"] = normal(experts, scale=0.1)
    if config["num_nextn_predict_layers"]:
        prefix = f"model.layers.{layers}."
        for name in ("enorm", "hnorm", "shared_head.norm"):
            tensors[f"{prefix}{name}.weight"] = norm(hidden)
        tensors[prefix + "eh_proj.weight"] = normal(hidden, 2 * hidden, scale=(2 * hidden) ** -0.5).to(dtype)
        tensors[prefix + "embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors[prefix + "shared_head.head.weight"] = tensors["lm_head.weight"].clone()
    return tensors


def write_checkpoint(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Writes config.json and one shard."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder

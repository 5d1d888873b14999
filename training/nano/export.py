"""From training's stacked parameters to a checkpoint in R1's layout: names, FP8 blocks and duplicates included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block
from hopwell.model.config import ModelConfig
from training.nano.network import Parameters, initial

PART_BYTES = 15 << 20


def tensors(p: Parameters, bias: Tensor, c: ModelConfig) -> dict[str, Tensor]:
    """Every tensor of the checkpoint in bf16, under R1's names (the router's bias in float32)."""
    views = _views(p, bias, c).items()
    return {n: t.detach().to(torch.float32 if n.endswith("_bias") else torch.bfloat16) for n, t in views}


def _views(p: Parameters, bias: Tensor, c: ModelConfig) -> dict[str, Tensor]:
    """R1's names for parts of the stacked parameters."""
    out = {"model.embed_tokens.weight": p["embed"], "lm_head.weight": p["head"], "model.norm.weight": p["final_norm"]}
    for i in range(c.num_hidden_layers + 1):
        layer = f"model.layers.{i}."
        out[f"{layer}input_layernorm.weight"] = p["input_norm"][i]
        out[f"{layer}post_attention_layernorm.weight"] = p["post_norm"][i]
        for ours, theirs in (
            ("q_a", "q_a_proj"), ("q_a_norm", "q_a_layernorm"), ("q_b", "q_b_proj"), ("kv_a", "kv_a_proj_with_mqa"),
            ("kv_a_norm", "kv_a_layernorm"), ("kv_b", "kv_b_proj"), ("o", "o_proj"),
        ):  # fmt: skip
            out[f"{layer}self_attn.{theirs}.weight"] = p[ours][i]
        if not c.is_moe(i):
            for part in ("gate", "up", "down"):
                out[f"{layer}mlp.{part}_proj.weight"] = p[f"dense_{part}"][i]
            continue
        j, width = i - c.first_k_dense_replace, c.moe_intermediate_size
        out[f"{layer}mlp.gate.weight"] = p["router"][j]
        out[f"{layer}mlp.gate.e_score_correction_bias"] = bias[j]
        for expert in range(c.n_routed_experts + 1):
            name = f"experts.{expert}" if expert < c.n_routed_experts else "shared_experts"
            rows = slice(expert * width, (expert + 1) * width)
            out[f"{layer}mlp.{name}.gate_proj.weight"] = p["moe_gate"][j, rows]
            out[f"{layer}mlp.{name}.up_proj.weight"] = p["moe_up"][j, rows]
            out[f"{layer}mlp.{name}.down_proj.weight"] = p["moe_down"][j, :, rows]
    mtp = f"model.layers.{c.num_hidden_layers}."
    for ours, theirs in (
        ("embed", "embed_tokens"), ("head", "shared_head.head"), ("mtp_norm", "shared_head.norm"),
        ("embedding_norm", "enorm"), ("hidden_norm", "hnorm"), ("eh_proj", "eh_proj"),
    ):  # fmt: skip
        out[f"{mtp}{theirs}.weight"] = p[ours]
    return out


def is_fp8(name: str) -> bool:
    """Whether R1's format stores this tensor in FP8: the linear layers, but for the router, the head and eh_proj."""
    return (name.endswith("_proj.weight") and "eh_proj" not in name) or name.endswith("kv_a_proj_with_mqa.weight")


def write(folder: Path, p: Parameters, bias: Tensor, values: dict[str, Any], fp8: bool) -> int:
    """Writes config.json and model.safetensors into `folder`; returns the bytes of the latter."""
    config = dict(values)
    out: dict[str, Tensor] = {}
    for name, tensor in tensors(p, bias, ModelConfig.from_dict(values)).items():
        tensor = tensor.cpu()
        if fp8 and is_fp8(name):
            out[name], out[name.replace(".weight", ".weight_scale_inv")] = quantize_fp8_block(tensor)
        else:
            out[name] = tensor.clone()
    if not fp8:
        config.pop("quantization_config", None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    path = folder / "model.safetensors"
    save_file(out, path, metadata={"format": "pt"})
    return path.stat().st_size


def save_parts(folder: Path, p: Parameters, bias: Tensor) -> None:
    """The training parameters in bf16 (the bias in float32), in files of at most 15 MiB: to resume from."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[dict[str, Tensor]] = [{}]
    for name, tensor in {**p, "bias": bias}.items():
        kept = tensor.detach().to(torch.float32 if name == "bias" else torch.bfloat16).cpu().contiguous()
        if sum(t.nbytes for t in parts[-1].values()) + kept.nbytes > PART_BYTES:
            parts.append({})
        parts[-1][name] = kept
    for index, part in enumerate(parts):
        save_file(part, folder / f"weights-{index}.safetensors")


def load_checkpoint(folder: Path, device: torch.device) -> tuple[Parameters, Tensor]:
    """The inverse of `write`: float32 masters and bias of a checkpoint, such as the shipped one."""
    checkpoint = Checkpoint.open(folder)
    c = ModelConfig.from_dict(checkpoint.config)
    p = initial(c, 0, torch.device("cpu"))
    bias = torch.zeros(p["router"].shape[:2])
    for name, view in _views(p, bias, c).items():
        value = checkpoint.read(name)
        if value.dtype == torch.float8_e4m3fn:
            value = dequantize_fp8_block(value, checkpoint.read(name.replace(".weight", ".weight_scale_inv")))
        view.copy_(value)
    return {name: tensor.to(device) for name, tensor in p.items()}, bias.to(device)


def load_parts(folder: Path, device: torch.device) -> tuple[Parameters, Tensor]:
    """What `save_parts` wrote, as float32 masters and bias."""
    found: Parameters = {}
    for path in sorted(folder.glob("weights-*.safetensors")):
        found |= {name: tensor.to(device, torch.float32) for name, tensor in load_file(path).items()}
    return found, found.pop("bias")

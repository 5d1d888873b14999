"""Writes nano, or another checkpoint of the family with a query rank, as a GGUF file of llama.cpp's deepseek2.

    pip install gguf
    python -m benchmarks.nano_to_gguf nano.gguf [--model FOLDER] [--float32] [--before-mla]

`--before-mla` writes what llama.cpp read until April 2025: keys and values of every head in the cache. Matrices are in
float16 (or float32), norms and the router in float32. The MTP layer is left out: llama.cpp does not run it. The
tokenizer's rules for splitting text are not carried over; tokens are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.fp8 import dequantize_fp8_block
from hopwell.model import NANO
from hopwell.model.config import ModelConfig

MAPPED = {
    "input_layernorm": "attn_norm", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
"""Names within a layer, ours and llama.cpp's."""
KINDS = ("gate", "up", "down")


class Writer:
    """Takes tensors of a checkpoint and gives them to the file under their other names."""

    def __init__(self, checkpoint: Checkpoint, out: gguf.GGUFWriter, matrices: np.dtype, mla: bool) -> None:
        self.checkpoint, self.out, self.matrices, self.mla = checkpoint, out, matrices, mla

    def values(self, name: str) -> torch.Tensor:
        """A tensor's values in float32."""
        data, scale = self.checkpoint.read(name), f"{name}_scale_inv"
        if scale in self.checkpoint.tensors:
            return dequantize_fp8_block(data, self.checkpoint.read(scale), torch.float32)
        return data.float()

    def add(self, name: str, values: torch.Tensor) -> None:
        """Writes a tensor, in the file's dtype if it is a matrix that rows are multiplied with."""
        exact = values.dim() == 1 or "ffn_gate_inp" in name
        self.out.add_tensor(
            f"{name}.weight", values.contiguous().numpy().astype(np.float32 if exact else self.matrices)
        )

    def layer(self, index: int, c: ModelConfig) -> None:
        """All of a decoder layer."""
        ours, theirs = f"model.layers.{index}.", f"blk.{index}."
        for name, other in MAPPED.items():
            self.add(theirs + other, self.values(f"{ours}{name}.weight"))
        kv_b = self.values(ours + "self_attn.kv_b_proj.weight")
        if self.mla:
            heads = kv_b.view(c.num_attention_heads, -1, c.kv_lora_rank)
            keys, values = heads.split((c.qk_nope_head_dim, c.v_head_dim), dim=1)
            self.add(theirs + "attn_k_b", keys.transpose(1, 2))
            self.add(theirs + "attn_v_b", values)
        else:
            self.add(theirs + "attn_kv_b", kv_b)
        if not c.is_moe(index):
            for kind in KINDS:
                self.add(f"{theirs}ffn_{kind}", self.values(f"{ours}mlp.{kind}_proj.weight"))
            return
        self.add(theirs + "ffn_gate_inp", self.values(ours + "mlp.gate.weight"))
        bias = self.values(ours + "mlp.gate.e_score_correction_bias")
        self.out.add_tensor(theirs + "exp_probs_b.bias", bias.numpy())
        for kind in KINDS:
            experts = [self.values(f"{ours}mlp.experts.{e}.{kind}_proj.weight") for e in range(c.n_routed_experts)]
            self.add(f"{theirs}ffn_{kind}_exps", torch.stack(experts))
            self.add(f"{theirs}ffn_{kind}_shexp", self.values(f"{ours}mlp.shared_experts.{kind}_proj.weight"))


def describe(out: gguf.GGUFWriter, c: ModelConfig, config: dict[str, Any], mla: bool) -> None:
    """What llama.cpp reads of the config."""
    out.add_block_count(c.num_hidden_layers)
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    assert c.q_lora_rank is not None, "nano projects its queries"
    out.add_q_lora_rank(c.q_lora_rank)
    out.add_kv_lora_rank(c.kv_lora_rank)
    out.add_head_count_kv(1 if mla else c.num_attention_heads)
    out.add_key_length(c.latent_dim if mla else c.qk_head_dim)
    out.add_value_length(c.kv_lora_rank if mla else c.v_head_dim)
    if mla:
        out.add_key_length_mla(c.qk_head_dim)
        out.add_value_length_mla(c.v_head_dim)
    out.add_rope_dimension_count(c.qk_rope_head_dim)
    out.add_rope_freq_base(float(config["rope_theta"]))
    out.add_leading_dense_block_count(config["first_k_dense_replace"])
    out.add_expert_count(c.n_routed_experts)
    out.add_expert_used_count(c.router.top_k)
    out.add_expert_shared_count(c.n_shared_experts)
    out.add_expert_feed_forward_length(c.moe_intermediate_size)
    out.add_expert_group_count(c.router.n_group)
    out.add_expert_group_used_count(c.router.topk_group)
    out.add_expert_weights_scale(c.router.routed_scaling_factor)
    out.add_expert_weights_norm(c.router.norm_topk_prob)
    out.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    scaling = config.get("rope_scaling")
    if scaling:
        out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        out.add_rope_scaling_factor(float(scaling["factor"]))
        out.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        out.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])


def vocabulary(out: gguf.GGUFWriter, folder: Path, size: int) -> None:
    """Tokens and merges, byte-level BPE as GPT-2's."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens, kinds = [f"[unused {i}]" for i in range(size)], [int(gguf.TokenType.UNUSED)] * size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], kinds[index] = token, int(gguf.TokenType.NORMAL)
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], int(gguf.TokenType.CONTROL)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("default")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)


def main() -> None:
    """Parses, converts, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, default=NANO, help="a checkpoint's folder; default: nano")
    parser.add_argument("--float32", action="store_true", help="matrices in float32")
    parser.add_argument("--before-mla", action="store_true", help="for a llama.cpp older than April 2025")
    given = parser.parse_args()
    checkpoint = Checkpoint.open(given.model)
    c = ModelConfig.from_dict(checkpoint.config)
    out = gguf.GGUFWriter(str(given.out), "deepseek2")
    out.add_name(given.model.name)
    out.add_vocab_size(c.vocab_size)
    out.add_file_type(gguf.LlamaFileType.ALL_F32 if given.float32 else gguf.LlamaFileType.MOSTLY_F16)
    describe(out, c, checkpoint.config, not given.before_mla)
    vocabulary(out, given.model, c.vocab_size)
    writer = Writer(checkpoint, out, np.dtype(np.float32 if given.float32 else np.float16), not given.before_mla)
    writer.add("token_embd", writer.values("model.embed_tokens.weight"))
    writer.add("output_norm", writer.values("model.norm.weight"))
    writer.add("output", writer.values("lm_head.weight"))
    for index in range(c.num_hidden_layers):
        writer.layer(index, c)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()

"""Every tensor that a checkpoint of a config holds, in R1's layout: names, shapes, formats, and the part each is of."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.fp8 import scale_shape
from hopwell.model.config import ModelConfig

PARTS = {
    "embedding": "embedding",
    "attention": "attention",
    "dense": "dense networks",
    "shared_experts": "shared experts",
    "routed_experts": "routed experts",
    "router": "routers",
    "norms": "norms",
    "head": "output head",
    "mtp": "MTP layer",
    "mtp_copies": "MTP's copies",
}
"""Parts of a model, with the words for them. MTP's copies are of the embedding and the head."""
MTP_PARTS = ("mtp", "mtp_copies")
"""Parts that the model's main path does not read."""
IGNORED = ("rotary_emb.inv_freq", "k_proj.k_scale", "v_proj.v_scale", "k_scale", "v_scale")
"""Tensors of `self_attn` that some conversions write and that are not needed: a buffer that follows from the config,
and scales for an FP8 cache of keys and values, where this one holds latents."""


def inventory(config: ModelConfig) -> list[TensorSpec]:
    """The tensors of a checkpoint of `config`, in the order of the forward pass.

    Projections are FP8 blocks with float32 scales where `config.weight_block_size` is set, bf16 otherwise. The MTP
    layer follows the decoder's last, with its physical copies of the embedding and the head (DeepSeek-V3,
    README_WEIGHTS.md).
    """
    return list(_Inventory(config).tensors())


class _Inventory:
    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def tensors(self) -> Iterator[TensorSpec]:
        c = self.config
        yield self.plain("model.embed_tokens.weight", "embedding", c.vocab_size, c.hidden_size)
        for index in range(c.num_hidden_layers):
            yield from self.layer(index)
        yield self.plain("model.norm.weight", "norms", c.hidden_size)
        yield self.plain("lm_head.weight", "head", c.vocab_size, c.hidden_size)
        for index in range(c.num_hidden_layers, c.num_hidden_layers + c.num_nextn_predict_layers):
            yield from self.mtp(index)

    def mtp(self, index: int) -> Iterator[TensorSpec]:
        c = self.config
        prefix = f"model.layers.{index}."
        yield self.plain(prefix + "embed_tokens.weight", "mtp_copies", c.vocab_size, c.hidden_size)
        yield self.plain(prefix + "enorm.weight", "mtp", c.hidden_size)
        yield self.plain(prefix + "hnorm.weight", "mtp", c.hidden_size)
        yield self.plain(prefix + "eh_proj.weight", "mtp", c.hidden_size, 2 * c.hidden_size)
        for spec in self.layer(index):
            yield TensorSpec(spec.name, spec.shape, spec.dtype, "mtp")
        yield self.plain(prefix + "shared_head.norm.weight", "mtp", c.hidden_size)
        yield self.plain(prefix + "shared_head.head.weight", "mtp_copies", c.vocab_size, c.hidden_size)

    def layer(self, index: int) -> Iterator[TensorSpec]:
        c = self.config
        prefix = f"model.layers.{index}."
        yield self.plain(prefix + "input_layernorm.weight", "norms", c.hidden_size)
        yield from self.attention(prefix + "self_attn.")
        yield self.plain(prefix + "post_attention_layernorm.weight", "norms", c.hidden_size)
        if c.is_moe(index):
            yield from self.moe(prefix + "mlp.")
        else:
            yield from self.network(prefix + "mlp.", "dense", c.intermediate_size)

    def attention(self, prefix: str) -> Iterator[TensorSpec]:
        c = self.config
        heads = c.num_attention_heads
        if c.q_lora_rank is None:
            yield from self.projection(prefix + "q_proj", "attention", heads * c.qk_head_dim, c.hidden_size)
        else:
            yield from self.projection(prefix + "q_a_proj", "attention", c.q_lora_rank, c.hidden_size)
            yield self.plain(prefix + "q_a_layernorm.weight", "norms", c.q_lora_rank)
            yield from self.projection(prefix + "q_b_proj", "attention", heads * c.qk_head_dim, c.q_lora_rank)
        yield from self.projection(prefix + "kv_a_proj_with_mqa", "attention", c.latent_dim, c.hidden_size)
        yield self.plain(prefix + "kv_a_layernorm.weight", "norms", c.kv_lora_rank)
        key_value = heads * (c.qk_nope_head_dim + c.v_head_dim)
        yield from self.projection(prefix + "kv_b_proj", "attention", key_value, c.kv_lora_rank)
        yield from self.projection(prefix + "o_proj", "attention", c.hidden_size, heads * c.v_head_dim)

    def moe(self, prefix: str) -> Iterator[TensorSpec]:
        c = self.config
        yield self.plain(prefix + "gate.weight", "router", c.n_routed_experts, c.hidden_size)
        if c.router.scoring == "sigmoid":
            name = prefix + "gate.e_score_correction_bias"
            yield TensorSpec(name, (c.n_routed_experts,), torch.float32, "router")
        if c.n_shared_experts:
            width = c.n_shared_experts * c.moe_intermediate_size
            yield from self.network(prefix + "shared_experts.", "shared_experts", width)
        for expert in range(c.n_routed_experts):
            yield from self.network(f"{prefix}experts.{expert}.", "routed_experts", c.moe_intermediate_size)

    def network(self, prefix: str, part: str, width: int) -> Iterator[TensorSpec]:
        hidden = self.config.hidden_size
        yield from self.projection(prefix + "gate_proj", part, width, hidden)
        yield from self.projection(prefix + "up_proj", part, width, hidden)
        yield from self.projection(prefix + "down_proj", part, hidden, width)

    def projection(self, name: str, part: str, rows: int, columns: int) -> Iterator[TensorSpec]:
        """A matrix that is quantised where the checkpoint is."""
        if self.config.weight_block_size is None:
            yield self.plain(name + ".weight", part, rows, columns)
        else:
            shape = (rows, columns)
            yield TensorSpec(name + ".weight", shape, torch.float8_e4m3fn, part)
            yield TensorSpec(name + ".weight_scale_inv", scale_shape(shape), torch.float32, part)

    def plain(self, name: str, part: str, *shape: int) -> TensorSpec:
        """A tensor that is never quantised."""
        return TensorSpec(name, shape, torch.bfloat16, part)

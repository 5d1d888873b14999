"""From a checkpoint's tensors to a `Transformer`: every name in one place, each tensor taken exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.fp8 import BLOCK
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import IGNORED
from hopwell.model.mla import MLA
from hopwell.model.transformer import MTP, Dense, Layer, MoE, Transformer
from hopwell.ops.linear import Weight
from hopwell.ops.moe import Experts


def load(
    checkpoint: WeightReader,
    device: torch.device | str,
    dtype: torch.dtype,
    progress: Callable[[int, int, str], None] | None,
) -> Transformer:
    """See `Transformer.load`."""
    config = ModelConfig.from_dict(checkpoint.config)
    mtp_prefix = f"model.layers.{config.num_hidden_layers}."
    if config.num_nextn_predict_layers and not any(name.startswith(mtp_prefix) for name in checkpoint.tensors):
        config = replace(config, num_nextn_predict_layers=0)  # some conversions drop the MTP layer whole
    model = Loader(WeightSource(checkpoint, progress), config, torch.device(device), dtype).transformer()
    return model


class Loader:
    """Takes tensors by name, moves them to the device, fuses what reads the same input."""

    def __init__(
        self,
        source: WeightSource,
        config: ModelConfig,
        device: torch.device,
        dtype: torch.dtype,
        plain_only: bool = False,
    ) -> None:
        """
        Args:
            plain_only: matrices become plain values on any device.
        """
        self.source, self.config, self.device, self.dtype = source, config, device, dtype
        self.keeps_formats = device.type == "cuda" and not plain_only

    def transformer(self) -> Transformer:
        c = self.config
        embedding = self.source.take("model.embed_tokens.weight", (c.vocab_size, c.hidden_size)).to(
            self.device, self.dtype
        )
        layers = [self.layer(i) for i in range(c.num_hidden_layers)]
        final_norm = self.norm("model.norm.weight", c.hidden_size)
        head = self.matrix("lm_head", c.vocab_size, c.hidden_size)
        mtp = self.mtp() if c.num_nextn_predict_layers else None
        self.source.finish()
        return Transformer(c, embedding, layers, final_norm, head, mtp)

    def mtp(self) -> MTP:
        c = self.config
        prefix = f"model.layers.{c.num_hidden_layers}."
        # physical copies of the embedding and the head: shared, never read
        self.source.skip(prefix + "embed_tokens.weight")
        self.source.skip(prefix + "shared_head.head.weight")
        return MTP(
            embedding_norm=self.norm(prefix + "enorm.weight", c.hidden_size),
            hidden_norm=self.norm(prefix + "hnorm.weight", c.hidden_size),
            projection=self.matrix(prefix + "eh_proj", c.hidden_size, 2 * c.hidden_size),
            layer=self.layer(c.num_hidden_layers),
            final_norm=self.norm(prefix + "shared_head.norm.weight", c.hidden_size),
        )

    def layer(self, index: int) -> Layer:
        c = self.config
        prefix = f"model.layers.{index}."
        return Layer(
            input_norm=self.norm(prefix + "input_layernorm.weight", c.hidden_size),
            attention=self.attention(prefix + "self_attn."),
            post_norm=self.norm(prefix + "post_attention_layernorm.weight", c.hidden_size),
            network=self.moe(prefix + "mlp.") if c.is_moe(index) else self.dense(prefix + "mlp.", c.intermediate_size),
            eps=c.rms_norm_eps,
        )

    def attention(self, prefix: str) -> MLA:
        c = self.config
        heads = c.num_attention_heads
        for name in IGNORED:
            self.source.skip(prefix + name)
        kv_a = self.stored(prefix + "kv_a_proj_with_mqa", c.latent_dim, c.hidden_size)
        if c.q_lora_rank is None:
            q_a, q_a_norm, q_b = self.stored(prefix + "q_proj", heads * c.qk_head_dim, c.hidden_size), None, None
        else:
            q_a = self.stored(prefix + "q_a_proj", c.q_lora_rank, c.hidden_size)
            q_a_norm = self.norm(prefix + "q_a_layernorm.weight", c.q_lora_rank)
            q_b = self.matrix(prefix + "q_b_proj", heads * c.qk_head_dim, c.q_lora_rank)
        kv_b = self.stored(prefix + "kv_b_proj", heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank)
        w_uk, w_uv = (
            kv_b.dequantize(self.dtype).view(heads, -1, c.kv_lora_rank).split((c.qk_nope_head_dim, c.v_head_dim), dim=1)
        )
        return MLA(
            config=c,
            qkv_a=self.ready(self.concatenate(q_a, kv_a)),
            q_a_norm=q_a_norm,
            q_b=q_b,
            kv_a_norm=self.norm(prefix + "kv_a_layernorm.weight", c.kv_lora_rank),
            w_uk=w_uk.contiguous(),
            w_uv=w_uv.transpose(1, 2).contiguous(),
            o=self.matrix(prefix + "o_proj", c.hidden_size, heads * c.v_head_dim),
        )

    def dense(self, prefix: str, width: int) -> Dense:
        hidden = self.config.hidden_size
        gate = self.stored(prefix + "gate_proj", width, hidden)
        up = self.stored(prefix + "up_proj", width, hidden)
        return Dense(self.ready(self.concatenate(gate, up)), self.matrix(prefix + "down_proj", hidden, width))

    def moe(self, prefix: str) -> MoE:
        c = self.config
        gate, bias = self.gate(prefix)
        shared = None
        if c.n_shared_experts:
            shared = self.dense(prefix + "shared_experts.", c.n_shared_experts * c.moe_intermediate_size)
        experts = [self.dense_parts(f"{prefix}experts.{e}.") for e in range(c.n_routed_experts)]
        stacked = Experts(stack([gate_up for gate_up, _ in experts]), stack([down for _, down in experts]))
        return MoE(c.router, gate, bias, stacked.fuse(), shared)

    def gate(self, prefix: str) -> tuple[Tensor, Tensor | None]:
        """The router's matrix [experts, hidden] and correction bias [experts], float32."""
        c = self.config
        gate = self.source.take(prefix + "gate.weight", (c.n_routed_experts, c.hidden_size))
        bias = None
        if c.router.scoring == "sigmoid":
            bias = self.source.take(prefix + "gate.e_score_correction_bias", (c.n_routed_experts,))
            bias = bias.to(self.device, torch.float32)
        return gate.to(self.device, torch.float32), bias

    def dense_parts(self, prefix: str) -> tuple[Weight, Weight]:
        hidden, width = self.config.hidden_size, self.config.moe_intermediate_size
        gate = self.stored(prefix + "gate_proj", width, hidden)
        up = self.stored(prefix + "up_proj", width, hidden)
        return self.concatenate(gate, up), self.stored(prefix + "down_proj", hidden, width)

    def norm(self, name: str, width: int) -> Tensor:
        """A norm's weight, in float32 as the norm itself."""
        return self.source.take(name, (width,)).to(self.device, torch.float32)

    def stored(self, name: str, rows: int, columns: int) -> Weight:
        """A matrix as the device wants it: in its format on a GPU, as plain values on a CPU."""
        weight = self.source.take_linear(name, (rows, columns)).to(self.device)
        return weight if self.keeps_formats and weight.format != "plain" else self.plain(weight)

    def matrix(self, name: str, rows: int, columns: int) -> Weight:
        return self.ready(self.stored(name, rows, columns))

    def ready(self, weight: Weight) -> Weight:
        return weight.prepare() if self.device.type == "cpu" else weight

    def plain(self, weight: Weight) -> Weight:
        return Weight(weight.dequantize(self.dtype))

    def concatenate(self, first: Weight, second: Weight) -> Weight:
        """Two matrices that read the same input, as one. FP8 stays FP8 where the seam falls between blocks."""
        if first.format == second.format == "fp8_block" and first.shape[0] % BLOCK == 0:
            assert first.scale is not None and second.scale is not None
            return Weight(torch.cat((first.data, second.data)), torch.cat((first.scale, second.scale)), first.format)
        return Weight(torch.cat((self.plain(first).data, self.plain(second).data)))


def stack(weights: list[Weight]) -> Weight:
    """One weight [experts, out, in] from a matrix an expert; experts of several formats become plain values."""
    if len({w.format for w in weights}) > 1:
        dtype = next(w.data.dtype for w in weights if w.format == "plain")
        weights = [Weight(w.dequantize(dtype)) for w in weights]
    scales = [w.scale for w in weights if w.scale is not None]
    return Weight(torch.stack([w.data for w in weights]), torch.stack(scales) if scales else None, weights[0].format)

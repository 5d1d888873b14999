"""One layer's multi-head latent attention, from hidden state to hidden state."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.model.config import ModelConfig
from hopwell.ops.attention import AttentionPlan, CacheScales, mla_attention, write_latents
from hopwell.ops.linear import Weight, linear
from hopwell.ops.norm import rms_norm
from hopwell.ops.rope import apply_rope


@dataclass(slots=True)
class MLA:
    """Weights of one attention layer. `qkv_a` stacks the rows that read the same input."""

    config: ModelConfig
    qkv_a: Weight
    """[q_lora_rank + 576, hidden]; without q_lora, the whole query: [heads * 192 + 576, hidden]."""
    q_a_norm: Tensor | None
    q_b: Weight | None
    """[heads * 192, q_lora_rank]."""
    kv_a_norm: Tensor
    w_uk: Tensor
    """[heads, 128, 512]."""
    w_uv: Tensor
    """[heads, 512, 128]."""
    o: Weight
    """[hidden, heads * 128]."""
    cache_scales: CacheScales | None = None
    """Of this layer's e4m3 cache rows; None: the cache holds values (`latent_cache.use_cache` sets it)."""

    def __call__(
        self, x: Tensor, rope: Tensor, latent: Tensor, plan: AttentionPlan, absorbed: bool | None = None
    ) -> Tensor:
        """Attends and writes the new latents: [tokens, hidden] in and out. Arguments as `attend` has them."""
        return linear(self.attend(x, rope, latent, plan, absorbed), self.o)

    def attend(
        self, x: Tensor, rope: Tensor, latent: Tensor, plan: AttentionPlan, absorbed: bool | None = None
    ) -> Tensor:
        """All heads' outputs, which `o` reads: [tokens, heads * 128].

        Args:
            x: normalised hidden states [tokens, hidden].
            rope: cos and sin of the tokens' positions, float32 [tokens, 32, 2].
            latent: this layer's pages [pages, 64, 576], to which the tokens' rows are written.
        """
        c = self.config
        q, kv, k_rope = linear(x, self.qkv_a).split(
            (self.qkv_a.shape[0] - c.latent_dim, c.kv_lora_rank, c.qk_rope_head_dim), dim=-1
        )
        if self.q_b is not None and self.q_a_norm is not None:
            q = linear(rms_norm(q, self.q_a_norm, c.rms_norm_eps), self.q_b)
        q = q.reshape(-1, c.num_attention_heads, c.qk_head_dim)
        q_nope, q_rope = q.split((c.qk_nope_head_dim, c.qk_rope_head_dim), dim=-1)
        rotated = apply_rope(torch.cat((q_rope, k_rope.unsqueeze(1)), dim=1), rope)
        q_rope, k_rope = rotated[:, :-1], rotated[:, -1]
        rows = torch.cat((rms_norm(kv, self.kv_a_norm, c.rms_norm_eps), k_rope), dim=-1)
        write_latents(latent, rows, plan, self.cache_scales)
        heads = mla_attention(
            q_nope, q_rope, latent, self.w_uk, self.w_uv, plan, c.softmax_scale, absorbed, self.cache_scales
        )
        return heads.flatten(1)

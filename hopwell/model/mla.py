"""One layer's multi-head latent attention, from hidden state to hidden state."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hopwell.formats.matrices import Plain
from hopwell.model.batch import Pass
from hopwell.model.config import ModelConfig
from hopwell.ops.attention import latent_attention, mla_attention
from hopwell.ops.linear import linear
from hopwell.ops.norm import rms_norm
from hopwell.ops.paging import CacheScales, write_latents
from hopwell.ops.rope import rotate
from hopwell.ops.weight import Weight

MERGE_BELOW_BYTES = 4 << 20
"""Merged matrices of a layer that are smaller than this serve on a CPU: see `MLA.merge`."""
LATENT_EPS = 1e-6
"""Of the norms of the query's and the latent's rank, whatever `rms_norm_eps` is (transformers; DeepSeek's own code)."""


@dataclass(frozen=True, slots=True)
class MLA:
    """Weights of one attention layer. `qkv_a` stacks the rows that read the same input.

    In the reports' words `qkv_a` is W_DQ, W_DKV and W_KR, `q_b` W_UQ and W_QR, a head's rows together; the rest are
    W_UK, W_UV and W_O.
    """

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
    """Of this layer's e4m3 cache rows; None: the cache holds values (`latent_cache.with_cache`)."""
    merged: tuple[Weight, Weight] | None = None
    """`q_b` and `w_uk` as one, [heads * 576, q_lora_rank]; `w_uv` and `o` as one, [hidden, heads * 512]."""

    def merge(self) -> MLA:
        """With small matrices multiplied with those that follow them, for a CPU's float16 products.

        Absorbed, queries then come out of one product in latent space, and the hidden state of another: fewer and
        larger ones. That takes more FLOPs, which pays while both stay in cache.
        """
        c, heads = self.config, self.w_uk.shape[0]
        values = heads * (c.latent_dim * (c.q_lora_rank or 0) + c.kv_lora_rank * c.hidden_size)
        if self.q_b is None or self.o.data.dtype != torch.float16 or 2 * values > MERGE_BELOW_BYTES:
            return self
        q_nope, q_rope = (
            self.q_b.dequantize(self.w_uk.dtype)
            .view(heads, c.qk_head_dim, -1)
            .split((c.qk_nope_head_dim, c.qk_rope_head_dim), dim=1)
        )
        queries = torch.cat((self.w_uk.transpose(1, 2) @ q_nope, q_rope), dim=1).flatten(0, 1)
        o = self.o.dequantize(self.w_uv.dtype).view(-1, heads, c.v_head_dim).transpose(0, 1)
        hidden = (o @ self.w_uv.transpose(1, 2)).transpose(0, 1).flatten(1)
        return replace(self, merged=(Weight(Plain(queries.half())).prepare(), Weight(Plain(hidden.half())).prepare()))

    def by_merged(self, rows: int, absorbed: bool | None) -> bool:
        """Whether so many rows are computed with the merged matrices."""
        return self.merged is not None and bool(absorbed) and not self.o.rounds(rows)

    def __call__(self, x: Tensor, latent: Tensor, p: Pass) -> Tensor:
        """Attends and writes the new latents: [tokens, hidden] in and out. Arguments as `attend` has them."""
        if self.merged is None or not self.by_merged(len(x), p.absorbed):
            out = linear(self.attend(x, latent, p), self.o)
        else:
            c, (to_queries, to_hidden) = self.config, self.merged
            queries = self._queries(x, latent, p, to_queries, c.kv_lora_rank)
            mixed = latent_attention(queries, latent, c.kv_lora_rank, p.plan, c.softmax_scale, self.cache_scales)
            p.marks.mark("attention")
            out = linear(mixed.flatten(1), to_hidden)
        p.marks.mark("o")
        return out

    def attend(self, x: Tensor, latent: Tensor, p: Pass) -> Tensor:
        """All heads' outputs, which `o` reads: [tokens, heads * 128].

        Args:
            x: normalised hidden states [tokens, hidden].
            latent: this layer's pages [pages, 64, 576], to which the tokens' rows are written.
        """
        c = self.config
        queries = self._queries(x, latent, p, self.q_b, c.qk_nope_head_dim)
        q_nope, q_rope = queries.split((c.qk_nope_head_dim, c.qk_rope_head_dim), dim=-1)
        heads = mla_attention(
            q_nope, q_rope, latent, self.w_uk, self.w_uv, p.plan, c.softmax_scale, p.absorbed, self.cache_scales
        )
        p.marks.mark("attention")
        return heads.flatten(1)

    def _queries(self, x: Tensor, latent: Tensor, p: Pass, q_b: Weight | None, width: int) -> Tensor:
        """Writes the tokens' latents; returns their heads' queries, [tokens, heads, width + 64], the 64 rotated."""
        c = self.config
        q, kv, k_rope = linear(x, self.qkv_a).split(
            (self.qkv_a.shape[0] - c.latent_dim, c.kv_lora_rank, c.qk_rope_head_dim), dim=-1
        )
        p.marks.mark("qkv_a")
        if q_b is not None and self.q_a_norm is not None:
            q = linear(rms_norm(q, self.q_a_norm, LATENT_EPS), q_b)
            p.marks.mark("q_b")
        q = q.reshape(-1, c.num_attention_heads, width + c.qk_rope_head_dim)
        rotate(q[..., width:], p.turns)
        rotate(k_rope.unsqueeze(1), p.turns)
        rows = torch.cat((rms_norm(kv, self.kv_a_norm, LATENT_EPS), k_rope), dim=-1)
        write_latents(latent, rows, p.plan, self.cache_scales)
        p.marks.mark("latent")
        return q

"""Multi-head latent attention over a paged cache of latents (DeepSeek-V2 report, section 2.1; V3 report, 2.1.1).

A token's cache row is `[latent (512) | rotary key (64)]`, shared by all heads. Two ways to the same result:

- absorbed: queries are carried into the latent space and attend to the rows themselves, like one wide key-value head
  (MQA, 576/512). Bytes are what a short query costs, and it reads each row once for all heads.
- un-absorbed: keys and values of every head are rebuilt from the rows (MHA, 192/128). FLOPs are what a long query
  costs, and it needs 3.4 times fewer for each pair of tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.limits.cost import OpCost
from hopwell.ops.attention_choice import way
from hopwell.ops.cpu_float32 import filled, product, weighted_sum
from hopwell.ops.paging import AttentionGroup, AttentionPlan, CacheScales, cached_rows

REBUILT_BYTES = 1 << 30
"""Keys and values that a GPU rebuilds at once."""


def mla_attention(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    plan: AttentionPlan,
    softmax_scale: float,
    absorbed: bool | None = None,
    scales: CacheScales | None = None,
) -> Tensor:
    """Causal attention of new tokens to their sequences' cached rows, which include their own.

    Args:
        q_nope: [tokens, heads, 128]; q_rope: [tokens, heads, 64], rotated.
        latent: [pages, 64, 576], this layer's pages: values, or e4m3 codes with `scales`.
        w_uk: [heads, 128, 512], latent to a head's keys; w_uv: [heads, 512, 128], latent to a head's values.
        absorbed: which way to compute; None lets each group's query length decide.

    Returns:
        [tokens, heads, 128].
    """
    parts = []
    for group in plan.groups:
        rows = cached_rows(latent, group.where, q_nope.dtype, scales)
        attend = _absorbed if way(group.new_tokens, absorbed).name == "absorbed" else _unabsorbed
        parts.append(attend(q_nope[group.rows], q_rope[group.rows], rows, w_uk, w_uv, group, softmax_scale))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def latent_attention(
    queries: Tensor,
    latent: Tensor,
    rank: int,
    plan: AttentionPlan,
    softmax_scale: float,
    scales: CacheScales | None = None,
) -> Tensor:
    """The absorbed way for queries that are in latent space already.

    Args:
        queries: [tokens, heads, 576], their last part rotated.
        rank: values of a cache row that are its latent; the rest are its key's.

    Returns:
        Mixed latents [tokens, heads, 512].
    """
    parts = []
    for group in plan.groups:
        rows = cached_rows(latent, group.where, queries.dtype, scales)
        parts.append(_mix(queries[group.rows], rows, group, softmax_scale))
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[..., :rank]


def _absorbed(
    q_nope: Tensor, q_rope: Tensor, rows: Tensor, w_uk: Tensor, w_uv: Tensor, group: AttentionGroup, scale: float
) -> Tensor:
    q_latent = product(q_nope.transpose(0, 1), w_uk).transpose(0, 1)  # [tokens, heads, 512]
    mixed = _mix(torch.cat((q_latent, q_rope), dim=-1), rows, group, scale)[..., : w_uk.shape[-1]]
    return product(mixed.transpose(0, 1), w_uv).transpose(0, 1)


def _mix(queries: Tensor, rows: Tensor, group: AttentionGroup, scale: float) -> Tensor:
    """A group's attention in latent space: queries [tokens, heads, 576] to mixed rows [tokens, heads, 576]."""
    sequences, heads = rows.shape[0], queries.shape[1]
    count = group.new_tokens * heads
    scores = product(filled(queries.reshape(sequences, count, -1)), rows.transpose(1, 2)).float().mul_(scale)
    scores[:, :count].view(sequences, group.new_tokens, heads, -1).add_(group.mask.unsqueeze(2))
    weights = scores.softmax(dim=-1).to(rows.dtype)
    # whole rows, though the rotary part is not wanted: the CPU's product is slower on a strided slice
    return weighted_sum(weights, rows)[:, :count].reshape(-1, heads, rows.shape[-1])


def _unabsorbed(
    q_nope: Tensor, q_rope: Tensor, rows: Tensor, w_uk: Tensor, w_uv: Tensor, group: AttentionGroup, scale: float
) -> Tensor:
    sequences, heads = rows.shape[0], q_nope.shape[1]
    rank = w_uk.shape[-1]
    latents = rows[..., :rank].unsqueeze(1)  # [sequences, 1, columns, 512]
    keys = torch.cat(
        (latents @ w_uk.transpose(1, 2), rows[..., rank:].unsqueeze(1).expand(-1, heads, -1, -1)), dim=-1
    )  # [sequences, heads, columns, 192]
    values = latents @ w_uv  # [sequences, heads, columns, 128]
    queries = torch.cat((q_nope, q_rope), dim=-1).view(sequences, -1, heads, keys.shape[-1]).transpose(1, 2)
    scores = (queries @ keys.transpose(2, 3)).float().mul_(scale)
    scores.add_(group.mask.unsqueeze(1))
    weights = scores.softmax(dim=-1).to(values.dtype)
    return (weights @ values).transpose(1, 2).flatten(0, 1)


def cost(
    query_lens: list[int],
    seq_lens: list[int],
    heads: int,
    rank: int = 512,
    rope_dim: int = 64,
    cache_bytes: int = 2,
    absorbed: bool = True,
    head_dim: int = 128,
    itemsize: int = 2,
) -> OpCost:
    """Each sequence's rows once, queries in and outputs out in `itemsize` bytes a value (bf16's).

    Absorbed, queries and outputs are in latent space and the projections into and out of it are not counted. Else they
    are heads' own, and rebuilding keys and values from the rows is counted: FLOPs alone, since neither need be stored.
    """
    tokens, row = sum(query_lens), rank + rope_dim
    pairs = sum(q * (s - q) + q * (q + 1) // 2 for q, s in zip(query_lens, seq_lens, strict=True))
    cached = cache_bytes * row * sum(seq_lens)
    if absorbed:
        return OpCost(cached + itemsize * tokens * heads * (row + rank), 2 * heads * (row + rank) * pairs)
    rebuilt = 2 * sum(seq_lens) * heads * rank * 2 * head_dim
    moved = cached + itemsize * tokens * heads * (2 * head_dim + rope_dim)
    return OpCost(moved, 2 * heads * (2 * head_dim + rope_dim) * pairs + rebuilt)

"""Multi-head latent attention over a paged cache of latents (DeepSeek-V2 report, section 2.1; V3 report, 2.1.1).

A token's cache row is `[latent (512) | rotary key (64)]`, shared by all heads. Two ways to the same result:

- absorbed: queries are carried into the latent space and attend to the rows themselves, like one wide key-value head
  (MQA, 576/512). Bytes are what a short query costs, and it reads each row once for all heads.
- un-absorbed: keys and values of every head are rebuilt from the rows (MHA, 192/128). FLOPs are what a long query
  costs, and it needs 3.4 times fewer for each pair of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hopwell.formats.fp8 import E4M3_MAX
from hopwell.limits.cost import OpCost
from hopwell.ops.linear import on_gpu

PAGE = 64
"""Tokens in a page of the latent cache."""

UNABSORBED_FROM = 128
"""Queries of one sequence from which rebuilding keys and values is cheaper than attending in latent space."""
REBUILT_BYTES = 1 << 30
"""Keys and values that a GPU rebuilds at once."""
TOGETHER = 1 << 16
"""Rows of the sequences that a GPU attends to at once."""


@dataclass(frozen=True, slots=True)
class CacheScales:
    """What a code of an FP8 latent cache stands for in one layer: value = code * scale.

    The latent comes out of a norm and the rotary key does not: each has a scale of its own.
    """

    latent: float
    rope: float
    rank: int = 512
    """Values of a row under `latent`; the rest are the rotary key's."""

    def encode(self, rows: Tensor) -> Tensor:
        """Cache rows [..., 576] as e4m3 codes, saturating at 448."""
        return (rows.float() / self._row(rows)).clamp_(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """The rows that e4m3 codes [..., 576] stand for."""
        return codes.float().mul_(self._row(codes)).to(dtype)

    def _row(self, like: Tensor) -> Tensor:
        scales = torch.full((like.shape[-1],), self.latent, device=like.device)
        scales[self.rank :] = self.rope
        return scales


@dataclass(frozen=True)
class Group:
    """Sequences of a batch that attend together: equally many new tokens each, adjacent in the batch."""

    rows: slice
    """Their tokens in the batch."""
    new_tokens: int
    lengths: list[int]
    """Tokens of each sequence in the cache, the new ones included."""
    positions: Tensor
    """int64 [sequences * new_tokens]: each new token's position."""
    pages: Tensor
    """int64 [sequences, pages]."""

    @cached_property
    def mask(self) -> Tensor:
        """Added to the scores, float32 [sequences, new_tokens, pages * 64]: 0, or -inf where a query must not look.

        Made on first use: the GPU's kernels have no need of it, and for a long prompt it is large.
        """
        sequences, pages = self.pages.shape
        columns = torch.arange(pages * PAGE, device=self.pages.device)
        mask = torch.zeros(sequences, self.new_tokens, len(columns), device=columns.device)
        return mask.masked_fill_(columns > self.positions.view(sequences, -1, 1), float("-inf"))


@dataclass(frozen=True)
class AttentionPlan:
    """What every layer of one forward pass shares: where new latents go, and who attends to what."""

    slots: Tensor
    """int64 [tokens]: page * 64 + offset of each new token's cache row."""
    groups: list[Group]

    @classmethod
    def build(cls, query_lens: list[int], seq_lens: list[int], positions: Tensor, page_table: Tensor) -> AttentionPlan:
        """Groups adjacent sequences with equally many new tokens, for one product: with up to 8, or more on a GPU if
        the sequences are about as long. Else a query is a group of its own.

        Args:
            query_lens: new tokens of each sequence.
            seq_lens: tokens of each sequence that the cache holds once the new ones are written.
            positions: int64 [tokens], each new token's position in its sequence.
            page_table: int32 [sequences, max_pages].
        """
        device = positions.device
        table = page_table.long()
        sequence_of = torch.repeat_interleave(
            torch.arange(len(query_lens), device=device),
            torch.tensor(query_lens, device=device),
            output_size=sum(query_lens),
        )
        slots = table[sequence_of, positions // PAGE] * PAGE + positions % PAGE

        groups: list[Group] = []
        first = row = 0
        while first < len(query_lens):
            new = query_lens[first]
            last = first + 1
            shortest = longest = seq_lens[first]
            while last < len(query_lens) and query_lens[last] == new:
                if new > 8:
                    shortest, longest = min(shortest, seq_lens[last]), max(longest, seq_lens[last])
                    alike = 4 * longest <= 5 * shortest and longest * (last + 1 - first) <= TOGETHER
                    if not (on_gpu(positions) and alike):
                        break
                last += 1
            lengths = seq_lens[first:last]
            tokens = slice(row, row + new * (last - first))
            starts = torch.arange(0, max(lengths), PAGE, device=device)
            # hazard: a shorter sequence's padding must read its own pages, or another's NaN would reach it (0 * NaN)
            owned = starts < torch.tensor(lengths, device=device).unsqueeze(1)
            pages = torch.where(owned, table[first:last, : owned.shape[1]], table[first:last, :1])
            # hazard: a slice may start at any multiple of 8 bytes, and for an unaligned pointer Triton compiles another
            # kernel
            own = positions if new * (last - first) == len(positions) else positions[tokens].clone()
            groups.append(Group(tokens, new, lengths, own, pages))
            first, row = last, tokens.stop
        return cls(slots, groups)


def write_latents(latent: Tensor, rows: Tensor, plan: AttentionPlan, scales: CacheScales | None = None) -> None:
    """Stores new cache rows: rows [tokens, 576] into latent [pages, 64, 576], whose e4m3 codes have `scales`."""
    target = latent.view(-1, latent.shape[-1])
    if scales is None:
        target.index_copy_(0, plan.slots, rows.to(latent.dtype))
    else:  # as bytes: PyTorch has no index_copy_ of e4m3
        target.view(torch.uint8).index_copy_(0, plan.slots, scales.encode(rows).view(torch.uint8))


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
    by_rows, by_heads = _absorbed, _unabsorbed
    if on_matrix_unit(q_nope, latent, w_uk, w_uv):
        from hopwell.ops import attention_triton  # Triton is a GPU's dependency

        by_rows, by_heads = attention_triton.absorbed, attention_triton.unabsorbed
    parts = []
    for group in plan.groups:
        attend = by_rows if absorbed or (absorbed is None and group.new_tokens < UNABSORBED_FROM) else by_heads
        parts.append(attend(q_nope[group.rows], q_rope[group.rows], latent, w_uk, w_uv, group, softmax_scale, scales))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def on_matrix_unit(q_nope: Tensor, latent: Tensor, w_uk: Tensor, w_uv: Tensor) -> bool:
    """Whether the GPU's kernels serve: bf16 throughout, but for an FP8 cache, and the family's head shape."""
    shape = (*w_uk.shape[1:], w_uv.shape[2], latent.shape[-1])
    cached = latent.dtype in (torch.bfloat16, torch.float8_e4m3fn)
    return on_gpu(q_nope) and q_nope.dtype == torch.bfloat16 and cached and shape == (128, 512, 128, 576)


def cached_rows(latent: Tensor, pages: Tensor, dtype: torch.dtype, scales: CacheScales | None) -> Tensor:
    """The cache rows of int64 pages [sequences, pages]: [sequences, pages * 64, 576] of `dtype`."""
    rows = latent.index_select(0, pages.flatten()).view(len(pages), -1, latent.shape[-1])
    return rows.to(dtype) if scales is None else scales.decode(rows, dtype)


def _absorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    group: Group,
    scale: float,
    scales: CacheScales | None,
) -> Tensor:
    rows = cached_rows(latent, group.pages, q_nope.dtype, scales)
    sequences, heads = rows.shape[0], q_nope.shape[1]
    rank = w_uk.shape[-1]
    q_latent = torch.bmm(q_nope.transpose(0, 1), w_uk).transpose(0, 1)  # [tokens, heads, 512]
    queries = torch.cat((q_latent, q_rope), dim=-1).view(sequences, -1, rows.shape[-1])
    scores = torch.bmm(queries, rows.transpose(1, 2)).float().mul_(scale)
    scores.view(sequences, group.new_tokens, heads, -1).add_(group.mask.unsqueeze(2))
    weights = scores.softmax(dim=-1).to(rows.dtype)
    # whole rows, though the rotary part is not wanted: the CPU's product is slower on a strided slice
    mixed = torch.bmm(weights, rows).view(-1, heads, rows.shape[-1])[..., :rank]
    return torch.bmm(mixed.transpose(0, 1), w_uv).transpose(0, 1)


def _unabsorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    group: Group,
    scale: float,
    scales: CacheScales | None,
) -> Tensor:
    rows = cached_rows(latent, group.pages, q_nope.dtype, scales)
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
) -> OpCost:
    """Each sequence's rows once, queries in and outputs out in bf16.

    Absorbed, queries and outputs are in latent space and the projections into and out of it are not counted. Else they
    are heads' own, and rebuilding keys and values from the rows is counted: FLOPs alone, since neither need be stored.
    """
    tokens, row = sum(query_lens), rank + rope_dim
    pairs = sum(q * (s - q) + q * (q + 1) // 2 for q, s in zip(query_lens, seq_lens, strict=True))
    cached = cache_bytes * row * sum(seq_lens)
    if absorbed:
        return OpCost(cached + 2 * tokens * heads * (row + rank), 2 * heads * (row + rank) * pairs)
    rebuilt = 2 * sum(seq_lens) * heads * rank * 2 * head_dim
    moved = cached + 2 * tokens * heads * (2 * head_dim + rope_dim)
    return OpCost(moved, 2 * heads * (2 * head_dim + rope_dim) * pairs + rebuilt)

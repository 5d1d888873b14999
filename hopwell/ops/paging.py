"""The latent cache as attention sees it: pages of rows, what its FP8 data stand for, and who attends to which pages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hopwell.formats.fp8 import E4M3_MAX
from hopwell.ops.sizes import PAGE, cdiv


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
class AttentionGroup:
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
    def where(self) -> Tensor | slice:
        """The pages as `cached_rows` wants them: of a lone sequence in main memory, adjacent ones are a slice."""
        numbers = self.pages[0].tolist() if self.pages.device.type == "cpu" and len(self.pages) == 1 else []
        first, count = (numbers or [0])[0], len(numbers)
        return slice(first, first + count) if numbers and numbers == list(range(first, first + count)) else self.pages

    @cached_property
    def mask(self) -> Tensor:
        """Added to the scores, float32 [sequences, new_tokens, pages * 64]: 0, or -inf where a query must not look."""
        sequences, pages = self.pages.shape
        columns = torch.arange(pages * PAGE, device=self.pages.device)
        mask = torch.zeros(sequences, self.new_tokens, len(columns), device=columns.device)
        return mask.masked_fill_(columns > self.positions.view(sequences, -1, 1), float("-inf"))


@dataclass(frozen=True)
class AttentionPlan:
    """What every layer of one forward pass shares: where new latents go, and who attends to what."""

    slots: Tensor
    """int64 [tokens]: page * 64 + offset of each new token's cache row."""
    groups: list[AttentionGroup]

    @classmethod
    def build(cls, query_lens: list[int], seq_lens: list[int], positions: Tensor, page_table: Tensor) -> AttentionPlan:
        """Groups adjacent sequences with equally many new tokens, up to 8, for one product. Else a sequence is a group
        of its own.

        Args:
            query_lens: new tokens of each sequence.
            seq_lens: tokens of each sequence that the cache holds once the new ones are written.
            positions: int64 [tokens], each new token's position in its sequence.
            page_table: int32 [sequences, max_pages].
        """
        device = positions.device
        table = page_table.long()
        sequence_of = torch.from_numpy(np.repeat(np.arange(len(query_lens)), query_lens)).to(device)
        slots = table[sequence_of, positions // PAGE] * PAGE + positions % PAGE

        groups: list[AttentionGroup] = []
        first = row = 0
        while first < len(query_lens):
            new = query_lens[first]
            last = first + 1
            while new <= 8 and last < len(query_lens) and query_lens[last] == new:
                last += 1
            lengths = seq_lens[first:last]
            tokens = slice(row, row + new * (last - first))
            counts = [cdiv(length, PAGE) for length in lengths]
            pages = table[first:last, : max(counts)]
            if min(counts) < max(counts):
                # hazard: a shorter sequence's padding reads its own pages, or another's NaN would reach it (0 * NaN)
                owned = torch.arange(max(counts), device=device) < torch.tensor(counts, device=device).unsqueeze(1)
                pages = torch.where(owned, pages, pages[:, :1])
            groups.append(AttentionGroup(tokens, new, lengths, positions[tokens], pages))
            first, row = last, tokens.stop
        return cls(slots, groups)


def write_latents(latent: Tensor, rows: Tensor, plan: AttentionPlan, scales: CacheScales | None = None) -> None:
    """Stores new cache rows: rows [tokens, 576] into latent [pages, 64, 576], whose e4m3 codes have `scales`."""
    target = latent.view(-1, latent.shape[-1])
    if scales is None:
        target.index_copy_(0, plan.slots, rows.to(latent.dtype))
    else:  # as bytes: PyTorch has no index_copy_ of e4m3
        target.view(torch.uint8).index_copy_(0, plan.slots, scales.encode(rows).view(torch.uint8))


def cached_rows(latent: Tensor, pages: Tensor | slice, dtype: torch.dtype, scales: CacheScales | None) -> Tensor:
    """The cache rows of int64 pages [sequences, pages], or of one sequence's slice: [sequences, pages * 64, 576] of
    `dtype`."""
    if isinstance(pages, slice):
        rows = latent[pages].view(1, -1, latent.shape[-1])  # as they lie
    else:
        rows = latent.index_select(0, pages.flatten()).view(len(pages), -1, latent.shape[-1])
    return rows.to(dtype) if scales is None else scales.decode(rows, dtype)

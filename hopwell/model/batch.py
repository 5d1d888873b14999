"""What one forward pass computes: new tokens of several sequences, prefill chunks and decode rows alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """Sequences' new tokens, concatenated. Page j of a sequence holds its positions 64 j to 64 j + 63."""

    tokens: Tensor
    """int64 [tokens]."""
    positions: Tensor
    """int64 [tokens]."""
    query_lens: list[int]
    """New tokens of each sequence; they sum to the number of tokens."""
    seq_lens: list[int]
    """Tokens of each sequence that the cache holds once this pass has written its own."""
    page_table: Tensor
    """int32 [sequences, max_pages]."""

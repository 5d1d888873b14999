"""Who attends to what in a step of any length: worked out once on the host, sent in one copy, shared by all layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.ops.attention_choice import way
from hopwell.ops.device import upload
from hopwell.ops.sizes import PAGE, cdiv

TILE = 128
"""Queries that a program attends for."""
TOGETHER = 1 << 16
"""Rows of the sequences whose keys are rebuilt at once."""


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Adjacent sequences whose queries attend in latent space."""

    rows: slice
    """Their tokens in the step."""
    positions: Tensor
    """int64 [rows]."""
    pages: Tensor
    """int32 [rows, pages]: all pages of each row's sequence."""


@dataclass(frozen=True, slots=True)
class Unabsorbed:
    """Adjacent sequences whose keys and values are rebuilt."""

    rows: slice
    pages: Tensor
    """int64 [pages]: of all sequences, one after the other."""
    tiles: Tensor
    """int32 [tiles, 4], for each `TILE` queries of a sequence: the first one's row among `rows`, how many the sequence
    has from there on, the first one's position, and the row of the sequence's first key among those of `pages`."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Who attends to what in a step of any length, the same for all layers. Made in main memory and sent in one copy,
    so that nothing waits for what the GPU is doing."""

    positions: Tensor
    """int64 [size]."""
    own_pages: Tensor
    """int32 [size, 1]: the page of each token's position."""
    count: int
    """Tokens of the step; rows from here to `size` repeat the last."""
    parts: list[Absorbed | Unabsorbed]

    @classmethod
    def build(
        cls,
        query_lens: list[int],
        seq_lens: list[int],
        page_table: NDArray[np.int32],
        device: torch.device,
        size: int = 0,
        absorbed: bool | None = None,
    ) -> StepPlan:
        """
        Args:
            query_lens: new tokens of each sequence, its last.
            seq_lens: tokens of each sequence that the cache holds once the new ones are written.
            page_table: [sequences, max_pages].
            size: rows to fill up to.
            absorbed: which way to attend; None lets each sequence's new tokens decide.
        """
        new, lengths = np.array(query_lens), np.array(seq_lens)
        first = np.cumsum(new) - new
        count = int(new.sum())
        sequence = np.repeat(np.arange(len(new)), new)
        positions = np.arange(count) + (lengths - new - first)[sequence]
        own = page_table[sequence, positions // PAGE].astype(np.int32)
        short = [way(query, absorbed).name == "absorbed" for query in query_lens]
        arrays, ranges = [_padded(positions, size), _padded(own, size)[:, None]], []
        for some, by_rows in _ranges(short, seq_lens):
            begin = int(first[some.start])
            rows = slice(begin, begin + int(new[some].sum()))
            if by_rows:
                used = cdiv(int(lengths[some].max()), PAGE)
                arrays += [positions[rows], page_table[sequence[rows], :used].astype(np.int32)]
            else:
                arrays += _rebuilt(new[some], lengths[some], page_table[some])
            ranges.append((rows, by_rows))
        sent = iter(upload(arrays, device))
        positions_there, own_there = next(sent), next(sent)
        parts = [(Absorbed if by_rows else Unabsorbed)(rows, next(sent), next(sent)) for rows, by_rows in ranges]
        return cls(positions_there, own_there, count, parts)


def _padded(values: NDArray, size: int) -> NDArray:
    return np.pad(values, (0, max(size - len(values), 0)), "edge")


def _ranges(short: list[bool], seq_lens: list[int]) -> Iterator[tuple[slice, bool]]:
    """Adjacent sequences that take the same way, those with rebuilt keys no more than `TOGETHER` allows."""
    for by_rows, indices in groupby(range(len(short)), lambda i: short[i]):
        run = list(indices)
        begin, held = run[0], 0
        for i in run:
            if not by_rows and held and held + seq_lens[i] > TOGETHER:
                yield slice(begin, i), by_rows
                begin, held = i, 0
            held += seq_lens[i]
        yield slice(begin, run[-1] + 1), by_rows


def _rebuilt(new: NDArray, lengths: NDArray, table: NDArray[np.int32]) -> list[NDArray]:
    """`Unabsorbed.pages` and `Unabsorbed.tiles`."""
    counts = -(-lengths // PAGE)
    pages = np.concatenate([line[:count] for line, count in zip(table, counts, strict=True)]).astype(np.int64)
    return [pages, query_tiles(new.tolist(), lengths.tolist(), ((np.cumsum(counts) - counts) * PAGE).tolist())]


def query_tiles(query_lens: list[int], seq_lens: list[int], first_keys: list[int]) -> NDArray[np.int32]:
    """`Unabsorbed.tiles` of sequences whose queries stand one after the other, and whose keys begin at `first_keys`.

    Of a sequence the last queries, which see the most keys, come first.
    """
    tiles, row = [], 0
    for new, length, key in zip(query_lens, seq_lens, first_keys, strict=True):
        tiles += [(row + m, new - m, length - new + m, key) for m in reversed(range(0, new, TILE))]
        row += new
    return np.array(tiles, np.int32)

"""A step shared out among ranks: every row is one rank's, with its own pages, and comes back to its place."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.spread import Spread

PAGES = 5
"""Of each rank's cache."""


class Gathered:
    """An exchange that has been told what other ranks give."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def gather_rows(self, own: Tensor, counts: Any) -> Tensor:
        return self.rows


SEQUENCES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=6)
"""Whose they are, and how many new tokens they have."""


@given(st.integers(2, 4), SEQUENCES)
def test_every_row_is_one_ranks_and_comes_back(world: int, sequences: list[tuple[int, int]]) -> None:
    """Each sequence has two pages of its rank; the last column of the table is another's, or nobody's: 0."""
    owners, new = [owner % world for owner, _ in sequences], [count for _, count in sequences]
    table = torch.tensor([[owner * PAGES + 3, owner * PAGES + 1, 0] for owner in owners], dtype=torch.int32)
    positions = torch.cat([torch.arange(count) + 70 for count in new])
    tokens = torch.arange(sum(new)) + 1
    lengths = [70 + count for count in new]
    batch = ForwardBatch(tokens, positions, new, lengths, table)
    each = [Spread.of(batch, Gathered(tokens), rank, world, PAGES) for rank in range(world)]  # type: ignore[arg-type]
    counts = each[0].counts
    assert all(spread.counts == counts for spread in each)
    for rank, spread in enumerate(each):
        own, mine = spread.own, [i for i, owner in enumerate(owners) if owner == rank]
        assert counts[rank] == len(own.tokens) == sum(own.query_lens) > 0
        if not mine:
            assert (own.page_table.tolist(), own.seq_lens) == ([[PAGES]], [1]), "a row that leads nowhere"
            assert torch.equal(spread.mine(tokens[:, None].float()), torch.zeros(1, 1))
            continue
        assert (own.query_lens, own.seq_lens) == ([new[i] for i in mine], [lengths[i] for i in mine])
        assert own.page_table.tolist() == [[3, 1, 0]] * len(mine)
        assert torch.equal(spread.mine(tokens[:, None])[:, 0], own.tokens)
        assert torch.equal(positions[own.tokens - 1], own.positions)
    together = torch.cat([spread.own.tokens for spread in each])[:, None]
    for spread in each:
        found = Spread.of(batch, Gathered(together), 0, world, PAGES).everyone(together[:0])  # type: ignore[arg-type]
        assert torch.equal(found[:, 0], tokens)
        wide = torch.zeros(world, max(counts), dtype=torch.int64)  # as replayed steps are, filled up
        for row, own in zip(wide, each, strict=True):
            row[: len(own.own.tokens)] = own.own.tokens
        assert torch.equal(wide.flatten()[spread.order([r * max(counts) for r in range(world)], tokens.device)], tokens)

"""A step where attention is data parallel: which of its rows are this rank's, and how all ranks' rows go through a
network together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hopwell.limits.marks import Lengths, Marks
from hopwell.model.batch import ForwardBatch
from hopwell.ops.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Spread:
    """A batch shared out. Pages are numbered through all ranks' caches, which are equally large, so a sequence's pages
    say whose it is; all of them are of one rank."""

    whole: ForwardBatch
    """All ranks'."""
    own: ForwardBatch
    """This rank's sequences, in the batch's order, perhaps none; pages have their numbers in its own cache."""
    rows: Tensor
    """int64 [own tokens]: their rows in the batch."""
    counts: list[int]
    """Rows of each rank."""
    order: Tensor
    """int64 [tokens]: where each row of the batch is among all ranks' rows, one rank's after another's."""
    exchange: Exchange

    @classmethod
    def of(cls, batch: ForwardBatch, exchange: Exchange, rank: int, world: int, pages: int) -> Spread:
        """
        Args:
            batch: all ranks'.
            pages: of each rank's cache.
        """
        table = batch.host_pages
        sequences = table[:, 0] // pages == rank
        of_row = np.repeat(table[:, 0] // pages, batch.query_lens)
        rows = torch.from_numpy((of_row == rank).nonzero()[0])
        # columns beyond a sequence's own pages may be any cache's
        own_table = torch.from_numpy(np.maximum(table[sequences] - rank * pages, 0))
        own = replace(
            batch,
            tokens=batch.tokens[rows.to(batch.tokens.device)],
            positions=batch.positions[rows.to(batch.positions.device)],
            query_lens=[length for length, here in zip(batch.query_lens, sequences, strict=True) if here],
            seq_lens=[length for length, here in zip(batch.seq_lens, sequences, strict=True) if here],
            page_table=own_table,
        )
        order = np.empty(len(of_row), np.int64)
        order[np.argsort(of_row, kind="stable")] = np.arange(len(of_row))
        counts = np.bincount(of_row, minlength=world).tolist()
        return cls(batch, own, rows, counts, torch.from_numpy(order), exchange)

    def mine(self, rows: Tensor) -> Tensor:
        """Of the batch's rows [tokens, width], this rank's."""
        return rows[self.rows.to(rows.device)]

    def everyone(self, rows: Tensor) -> Tensor:
        """All rows, in the batch's order: this rank's [own tokens, width] -> [tokens, width]."""
        return self.exchange.gather_rows(rows, self.counts)[self.order.to(rows.device)]

    def through(self, network: Callable[[Tensor, Marks], Tensor], rows: Tensor, marks: Marks) -> Tensor:
        """What all ranks' shares of a network make of this rank's rows, [own tokens, hidden] in and out."""
        together = self.exchange.gather_rows(rows, self.counts)
        marks.mark("exchange")
        marks.batch(Lengths(self.whole.query_lens, self.whole.seq_lens))
        share = network(together, marks)
        marks.batch(Lengths(self.own.query_lens, self.own.seq_lens))
        total = self.exchange.sum_rows(share, self.counts)
        marks.mark("exchange")
        return total

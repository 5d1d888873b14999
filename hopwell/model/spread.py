"""A step where attention is data parallel: which of its rows are this rank's, and how all ranks' rows go through a
network together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.limits.marks import Lengths, Marks
from hopwell.model.batch import ForwardBatch
from hopwell.ops.device import upload
from hopwell.ops.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Spread:
    """A batch shared out. Pages are numbered through all ranks' caches, which are equally large, so a sequence's pages
    say whose it is; all of them are of one rank."""

    whole: ForwardBatch
    """All ranks'."""
    own: ForwardBatch
    """This rank's sequences, in the batch's order; pages have their numbers in its own cache. Where it has none, one
    row that leads nowhere: kernels have no grids of 0."""
    rows: NDArray[np.int64]
    """[own tokens]: their rows in the batch."""
    counts: list[int]
    """Rows of each rank."""
    owners: NDArray[np.int64]
    """[tokens]: the rank of each row of the batch."""
    places: NDArray[np.int64]
    """[tokens]: where it is among that rank's."""
    exchange: Exchange

    @classmethod
    def of(cls, batch: ForwardBatch, exchange: Exchange, rank: int, world: int, pages: int) -> Spread:
        """
        Args:
            batch: all ranks'.
            pages: of each rank's cache that sequences have; one more, after them, is nobody's.
        """
        table = batch.host_pages
        of_sequence = table[:, 0] // pages
        owners = np.repeat(of_sequence, batch.query_lens).astype(np.int64)
        each = [(owners == other).nonzero()[0] for other in range(world)]
        places = np.empty_like(owners)
        for rows in each:
            places[rows] = np.arange(len(rows))
        lengths = lengths_of_ranks(batch, world, pages)
        counts, rows = [max(one.rows, 1) for one in lengths], each[rank]
        if not len(rows):
            nowhere = torch.zeros(1, dtype=torch.int64)
            own = ForwardBatch(nowhere, nowhere, [1], [1], torch.full((1, 1), pages, dtype=torch.int32))
        else:
            # columns beyond a sequence's own pages may be any cache's, and a step that is ahead may read one of them
            own_table = torch.from_numpy(np.clip(table[of_sequence == rank] - rank * pages, 0, pages))
            tokens, positions = (_taken(given, rows) for given in (batch.tokens, batch.positions))
            own = ForwardBatch(tokens, positions, [*lengths[rank].query_lens], [*lengths[rank].seq_lens], own_table)
        return cls(batch, own, rows, counts, owners, places, exchange)

    def mine(self, rows: Tensor) -> Tensor:
        """Of the batch's rows [tokens, width], this rank's: [own tokens, width], zeros in one that leads nowhere."""
        return _taken(rows, self.rows) if len(self.rows) else rows.new_zeros(1, rows.shape[1])

    def order(self, starts: Sequence[int], device: torch.device) -> Tensor:
        """int64 [tokens]: where each row of the batch is among all ranks', of which each rank's begin at `starts`."""
        (found,) = upload([np.array(starts, np.int64)[self.owners] + self.places], device)
        return found

    def everyone(self, rows: Tensor) -> Tensor:
        """All rows, in the batch's order: this rank's [own tokens, width] -> [tokens, width]."""
        return self.exchange.gather_rows(rows, self.counts)[self.order(self.starts, rows.device)]

    @property
    def starts(self) -> list[int]:
        """Where each rank's rows begin among all ranks' gathered ones."""
        return [sum(self.counts[:rank]) for rank in range(len(self.counts))]

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


def lengths_of_ranks(batch: ForwardBatch, world: int, pages: int) -> list[Lengths]:
    """Of each rank's sequences; `pages` as `Spread.of` has it."""
    new, lengths = ([list[int]() for _ in range(world)] for _ in range(2))
    owners = (batch.host_pages[:, 0] // pages).tolist()
    for query, length, owner in zip(batch.query_lens, batch.seq_lens, owners, strict=True):
        new[owner].append(query)
        lengths[owner].append(length)
    return [Lengths(*each) for each in zip(new, lengths, strict=True)]


def _taken(tensor: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """Some rows of a tensor, wherever it is, without waiting for what a GPU does."""
    (numbers,) = upload([rows], tensor.device)
    return tensor[numbers]

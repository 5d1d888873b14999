"""`Exchange` between processes of one host over shared memory, for CPUs.

Each rank has two slots, which it fills in turn; a count says how often. Two suffice: a rank fills a slot again two
rounds later, and has by then seen everybody's next round, which follows their reading of this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hopwell.ops.exchange import filled_up, one_after_another, rows_of, side_by_side, widened
from hopwell.parallel.memory import LINE, SharedBlock

SLOT_BYTES = 1 << 19


class SharedExchange:
    """One rank's end."""

    def __init__(self, block: SharedBlock, offset: int, rank: int, world: int) -> None:
        """
        Args:
            offset: in the block, from where the exchange takes `size(world)` bytes.
        """
        self._block, self._rank, self._world = block, rank, world
        self._counts = block.counters(offset, world)
        start = offset + world * LINE
        slots = torch.from_numpy(block.bytes[start : start + 2 * world * SLOT_BYTES])
        self._slots = slots.view(2, world, SLOT_BYTES)
        self._rounds = 0
        self._others = [other for other in range(world) if other != rank]

    @staticmethod
    def size(world: int) -> int:
        """Bytes of an exchange."""
        return world * LINE + 2 * world * SLOT_BYTES

    def sum(self, share: Tensor) -> Tensor:
        """As `Exchange.sum`.

        Raises:
            RankLost: a rank is lost, or does not come.
        """
        return self._sum(share, slice(0, share.numel())).view(share.shape)

    def gather(self, part: Tensor, width: int) -> Tensor:
        """As `Exchange.gather`.

        Raises:
            RankLost: a rank is lost, or does not come.
        """
        return side_by_side(self._all(widened(part, width, self._world)), width)

    def gather_rows(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        """As `Exchange.gather_rows`.

        Raises:
            RankLost: a rank is lost, or does not come.
        """
        return one_after_another(self._all(filled_up(own, counts)), counts)

    def sum_rows(self, share: Tensor, counts: Sequence[int]) -> Tensor:
        """As `Exchange.sum_rows`.

        Raises:
            RankLost: a rank is lost, or does not come.
        """
        own, width = rows_of(self._rank, counts), share.shape[1]
        return self._sum(share, slice(own.start * width, own.stop * width)).view(-1, width)

    def _sum(self, share: Tensor, wanted: slice) -> Tensor:
        """Some of all ranks' shares' values, added up, in a row."""
        total = share.new_empty(wanted.stop - wanted.start)
        for where, each in self._rounds_of(share):
            first, last = max(where.start, wanted.start), min(where.stop, wanted.stop)
            if first >= last:
                continue
            here = slice(first - where.start, last - where.start)
            piece = each[0][here].float()
            for other in each[1:]:
                piece = piece + other[here]
            total[first - wanted.start : last - wanted.start] = piece
        return total

    def _all(self, own: Tensor) -> Sequence[Tensor]:
        """Every rank's tensor, in order."""
        found = own.new_empty(self._world, *own.shape)
        flat = found.view(self._world, -1)
        for where, each in self._rounds_of(own):
            for rank, values in enumerate(each):
                flat[rank, where] = values
        return found.unbind(0)

    def _rounds_of(self, own: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
        """A tensor in pieces that fit: where each stands, and every rank's, to be read before the next."""
        flat = own.reshape(-1)
        room = SLOT_BYTES // flat.element_size()
        for start in range(0, len(flat), room):
            piece = flat[start : start + room]
            slots = self._slots[self._rounds % 2].view(flat.dtype)[:, : len(piece)]
            slots[self._rank] = piece
            self._block.fence()
            self._rounds += 1
            self._counts[self._rank] = self._rounds
            self._block.wait(self._behind, f"round {self._rounds} of rank {self._rank}'s exchanges")
            yield slice(start, start + len(piece)), list(slots.unbind(0))

    def _behind(self) -> int | None:
        for other in self._others:
            if self._counts[other] < self._rounds:
                return other
        return None

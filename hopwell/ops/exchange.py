"""What ranks make of each other's results: the sum of their shares of a row, and all parts of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor

from hopwell.ops.rows import Normed


class Exchange(Protocol):
    """Between all ranks; each calls the same in the same order. Bits are equal on all ranks."""

    def sum(self, share: Tensor) -> Tensor:
        """The sum of all ranks' shares, which have one shape: added in float32 in the order of ranks, and rounded once
        to the shares' dtype."""
        ...

    def gather(self, part: Tensor, width: int) -> Tensor:
        """All ranks' parts side by side: part [rows, this rank's part of `width`] -> [rows, width]. Rank r of n has
        columns r * width // n to (r + 1) * width // n."""
        ...

    def gather_rows(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        """All ranks' rows one after another: own [counts[rank], width] -> [sum(counts), width]."""
        ...

    def sum_rows(self, share: Tensor, counts: Sequence[int]) -> Tensor:
        """Of `sum`, this rank's rows: share [sum(counts), width] -> [counts[rank], width]."""
        ...


@runtime_checkable
class FusedExchange(Exchange, Protocol):
    """One whose sum is fused with the norm that follows it, for the chain of kernels."""

    def add_norm(
        self, residual: Tensor, weight: Tensor, parts: Tensor, shares: Tensor | None, turn: int, fp8: bool, values: bool
    ) -> tuple[Tensor, Normed]:
        """`exchange_triton.exchange_add_norm`; `shares` are its `part_weights`."""
        ...


@runtime_checkable
class Broadcasting(Exchange, Protocol):
    """One that also tells all ranks what rank 0 has in its device's memory."""

    def broadcast(self, tensor: Tensor) -> None:
        """Fills the other ranks' tensor with rank 0's."""
        ...


class GroupExchange:
    """The meaning of `Exchange`, over the process group: gloo's, or any other."""

    def sum(self, share: Tensor) -> Tensor:
        total = torch.zeros_like(share, dtype=torch.float32)
        for each in self._all(share):
            total += each
        return total.to(share.dtype)

    def gather(self, part: Tensor, width: int) -> Tensor:
        return side_by_side(self._all(widened(part, width, dist.get_world_size())), width)

    def gather_rows(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        return one_after_another(self._all(filled_up(own, counts)), counts)

    def sum_rows(self, share: Tensor, counts: Sequence[int]) -> Tensor:
        own = rows_of(dist.get_rank(), counts)
        total = torch.zeros_like(share[own], dtype=torch.float32)
        for each in self._all(share):
            total += each[own]
        return total.to(share.dtype)

    def broadcast(self, tensor: Tensor) -> None:
        dist.broadcast(tensor, 0)

    def _all(self, own: Tensor) -> list[Tensor]:
        """Every rank's tensor, in order."""
        each = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(each, own.contiguous())
        return each


def rows_of(rank: int, counts: Sequence[int]) -> slice:
    """Where a rank's rows are among all ranks'."""
    first = sum(counts[:rank])
    return slice(first, first + counts[rank])


def filled_up(own: Tensor, counts: Sequence[int]) -> Tensor:
    """A rank's rows, as many as the rank with most has."""
    return torch.nn.functional.pad(own, (0, 0, 0, max(counts) - len(own)))


def one_after_another(parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """All ranks' `filled_up` rows as one."""
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def widened(part: Tensor, width: int, world: int) -> Tensor:
    """A rank's part of `width` columns, as wide as the widest: [rows, ceil(width / world)]."""
    return torch.nn.functional.pad(part, (0, -(-width // world) - part.shape[1]))


def side_by_side(parts: Sequence[Tensor], width: int) -> Tensor:
    """`widened` parts of all ranks as one: [rows, width]."""
    world = len(parts)
    sizes = [(rank + 1) * width // world - rank * width // world for rank in range(world)]
    return torch.cat([part[:, :size] for part, size in zip(parts, sizes, strict=True)], dim=1)

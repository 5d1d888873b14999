"""`Exchange` between the GPUs of one host: short steps by the kernel that is fused with the norm, long ones by NCCL."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from hopwell.ops.exchange import GroupExchange, filled_up, one_after_another, side_by_side, widened
from hopwell.ops.exchange_triton import EMPTY, Inboxes, sum_and_norm
from hopwell.ops.rows import Normed
from hopwell.parallel.memory import RankLost

STUCK_SECONDS = 8.0
"""For a step that is under way to end, on a GPU whose fellows are gone."""


class GpuExchange(GroupExchange):
    """One rank's end; also what the chain of kernels needs (`FusedExchange`)."""

    def __init__(self, inboxes: Inboxes, memory: Tensor) -> None:
        """
        Args:
            memory: that the inboxes are in: each GPU's, to which the others of the host write over NVLink.
        """
        super().__init__()
        self.inboxes, self.memory = inboxes, memory

    @classmethod
    def open(cls, rows: int, width: int, device: torch.device) -> GpuExchange:
        """With inboxes for steps of up to so many rows, known to all ranks of the default process group and empty.

        Every rank calls it, before any CUDA graph is captured: to allocate or to meet within a capture fails.

        Args:
            width: of a row, the model's hidden size.
        """
        import torch.distributed._symmetric_memory as symmetric  # CUDA builds alone have it

        group = dist.group.WORLD
        assert group is not None, "there is a process group"
        rank, world = dist.get_rank(), dist.get_world_size()
        memory = symmetric.empty(Inboxes.values(world, rows, width), dtype=torch.int16, device=device)
        handle = symmetric.rendezvous(memory, group)
        # hazard: a tensor of the pool may begin within its buffer
        inside = memory.data_ptr() - handle.buffer_ptrs[rank]
        peers = torch.tensor([base + inside for base in handle.buffer_ptrs], dtype=torch.int64, device=device)
        memory.fill_(EMPTY)
        torch.cuda.synchronize(device)
        dist.barrier()
        return cls(Inboxes(peers, rank, world, rows, width), memory)

    def sum(self, share: Tensor) -> Tensor:
        """As `Exchange.sum`, but that NCCL adds in an order of its own, rounding to bf16 as it goes: bits are equal on
        all ranks, and from run to run."""
        total = share.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    def gather(self, part: Tensor, width: int) -> Tensor:
        own = widened(part, width, self.inboxes.world).contiguous()
        found = own.new_empty(self.inboxes.world * len(own), own.shape[1])
        dist.all_gather_into_tensor(found, own)
        return side_by_side(found.chunk(self.inboxes.world), width)

    def gather_rows(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        padded = filled_up(own, counts).contiguous()
        found = own.new_empty(len(counts) * len(padded), own.shape[1])
        dist.all_gather_into_tensor(found, padded)
        return found if _even(counts) else one_after_another(found.chunk(len(counts)), counts)

    def sum_rows(self, share: Tensor, counts: Sequence[int]) -> Tensor:
        """As `Exchange.sum_rows`, added as in `sum`."""
        if not _even(counts):
            share = torch.cat([filled_up(part, counts) for part in share.split(list(counts))])
        own = share.new_empty(max(counts), share.shape[1])
        dist.reduce_scatter_tensor(own, share.contiguous())
        return own[: counts[self.inboxes.rank]]

    def add_norm(
        self, residual: Tensor, weight: Tensor, parts: Tensor, shares: Tensor | None, turn: int, fp8: bool, values: bool
    ) -> tuple[Tensor, Normed]:
        return sum_and_norm(residual, weight, parts, shares, turn, fp8, values, self.inboxes, dist.all_reduce)


def _even(counts: Sequence[int]) -> bool:
    """Whether each rank has as many rows: as in every step that is captured."""
    return len(set(counts)) == 1


def leave_if_stuck(device: torch.device, lost: RankLost) -> None:
    """Ends this process, with a line that says why, if its GPU still waits for a rank that is gone: who waits for a GPU
    hears of no exception, and a kernel that waits for ever ends with its process alone."""

    def watch() -> None:
        done = torch.cuda.Event()
        done.record(torch.cuda.default_stream(device))
        time.sleep(STUCK_SECONDS)
        if not done.query():
            print(f"{lost}; GPU {device.index} waits for it, so this process ends", file=sys.stderr, flush=True)
            os._exit(1)

    threading.Thread(target=watch, name="hopwell-stuck", daemon=True).start()

"""Memory of each GPU that the others of the host write to over NVLink."""

from __future__ import annotations

import torch
import torch.distributed as dist

from hopwell.ops.exchange_triton import EMPTY, Inboxes


def open_inboxes(rows: int, width: int, device: torch.device) -> tuple[Inboxes, torch.Tensor]:
    """This rank's inboxes for the fused sum, known to all ranks of the default process group and empty.

    Every rank calls it, before any CUDA graph is captured: to allocate or to meet within a capture fails.

    Args:
        rows: of the largest exchange; width: of a row.

    Returns:
        The inboxes, and the memory that they are in, to be kept as long as they are used.
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
    return Inboxes(peers, rank, world, rows, width), memory

"""A process group over the ranks of one host: NCCL's between GPUs, gloo's between CPUs, without a port to listen on.

The ranks meet through a file without a name whose descriptor they have all been given, so nothing outside can join.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import FileStore, PrefixStore  # pyright: ignore[reportPrivateImportUsage]

from hopwell.ops.exchange import Exchange, GroupExchange
from hopwell.parallel.launch import Lines
from hopwell.parallel.layout import Layout, LayoutError
from hopwell.parallel.memory import RankLost

START_SECONDS = 300.0
"""For all ranks to import PyTorch and have a CUDA context."""
LEAVE_SECONDS = 10.0
LOOPBACK = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}
"""One host: what the libraries still say over sockets does not leave it."""


def meeting_place() -> int:
    """A file for `open_group`, as a descriptor; whoever makes it hands it to the other ranks.

    Raises:
        LayoutError: this system has no such files.
    """
    if not hasattr(os, "memfd_create"):
        raise LayoutError("ranks on GPUs need Linux; leave --tp out")
    return os.memfd_create("hopwell-ranks")


def open_group(place: int, layout: Layout, device: torch.device, lost: Callable[[], bool]) -> None:
    """Makes this process a member of the default process group; returns when all ranks are.

    Args:
        place: of `meeting_place`.
        device: of this rank.
        lost: whether another rank is known to have failed; asked while waiting.

    Raises:
        RankLost: a rank does not come.
    """
    for name, value in LOOPBACK.items():
        os.environ.setdefault(name, value)
    # hazard: a store opens its file once more when it goes, which may be long after the group: in what would then be
    # another's file under this number it reads for ever, or writes. So the number is never given back.
    store = FileStore(f"/proc/self/fd/{os.dup(place)}", layout.world)
    store.set(f"here {layout.rank}", "")
    deadline = time.monotonic() + START_SECONDS
    for rank in range(layout.world):
        while not store.check([f"here {rank}"]):  # before the library's own wait, which nothing ends early
            if lost() or time.monotonic() > deadline:
                raise RankLost(f"rank {rank} has not started")
            time.sleep(0.01)
    on_gpu = device.type == "cuda"
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=PrefixStore("group", store),
        rank=layout.rank,
        world_size=layout.world,
        timeout=timedelta(seconds=START_SECONDS),
        device_id=device if on_gpu else None,
    )


def open_exchange(
    lines: Lines, layout: Layout, place: int | None, device: torch.device, rows: int, width: int
) -> Exchange:
    """What the ranks' shares of a row go through: memory that they share, or, given a meeting place, a process group.

    Args:
        rows, width: of the largest step whose sums are fused with their norms, on GPUs.

    Raises:
        RankLost: a rank does not come.
    """
    if place is None:
        return lines.exchange
    open_group(place, layout, device, lambda: lines.block.lost is not None)
    if device.type != "cuda":
        return GroupExchange()
    from hopwell.parallel.gpus import GpuExchange  # Triton is a GPU's dependency

    return GpuExchange.open(rows, width, device)


def close_group() -> None:
    """Leaves the process group, if there is one, without waiting for the other ranks, which may be gone.

    hazard: NCCL's communicators, aborted ones too, wait at their end for every CUDA graph that has captured them: close
    models before. After a fault somebody may still hold one, and this then gives up.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    leaving = threading.Thread(target=_leave, name="hopwell-leaving", daemon=True)
    leaving.start()
    leaving.join(LEAVE_SECONDS)


def _leave() -> None:
    if (group := dist.group.WORLD) is not None and dist.get_backend() == "nccl":
        group.abort()
    dist.destroy_process_group()

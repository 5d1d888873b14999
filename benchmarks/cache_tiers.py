"""Replay of a trace through the pool, host memory and a disk, as an engine has them: what share of prompt tokens each
finds, beside the best that so many blocks can."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import script
from benchmarks.cache import hit_percent, plot_rates
from benchmarks.cache_bounds import optimum
from benchmarks.cache_traces import TraceRequest, read_trace
from hopwell.cache.disk import BLOCK, DiskTier
from hopwell.cache.host import HostTier
from hopwell.cache.policies import new_policy
from hopwell.cache.policy import POLICY_NAMES, Use
from hopwell.cache.pool import PagePool
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError

BLOCKS = [1000, 2000, 5000, 10000, 20000]
PAGE_BYTES = 8
"""Of a replayed page: what is in it does not matter."""
TIERS = ("pool", "host", "disk")


def replay_tiers(
    requests: Sequence[TraceRequest], capacity: int, policy: str, host_blocks: int, disk_blocks: int, folder: Path
) -> dict[str, list[int]]:
    """Sends all requests, one after the other, through a pool and the tiers below it; time plays no part, so that all
    that is known is fetched, and all that is given back is saved.

    Args:
        disk_blocks: 0: no disk.

    Returns:
        By tier, blocks found for each request.
    """
    pool = PagePool(capacity, new_policy(policy, capacity))
    host = HostTier(np.zeros((host_blocks, PAGE_BYTES), np.uint8))
    disk = DiskTier(folder, "replay", PAGE_BYTES, disk_blocks * BLOCK) if disk_blocks else None
    found: dict[str, list[int]] = {tier: [] for tier in TIERS}
    for request in requests:
        keys = [block.to_bytes(16, "little") for block in request.blocks]
        pages = pool.share(keys)
        known = dict.fromkeys(TIERS, 0) | {"pool": len(pages)}
        for key in keys[len(pages) :]:
            if (tier := _bring(host, disk, key)) is None:
                break
            known[tier] += 1
        for tier, count in known.items():
            found[tier].append(count)
        first = len(pages)
        pages += pool.allocate(len(keys) - first)
        for i, key in enumerate(keys[first:], start=first):
            pages[i] = pool.keep(key, pages[i], pages[i - 1] if i else None)
        pool.release(pages, Use(request.tokens, request.answer))
        _save(host, disk, keys)
    pool.check()
    host.check()
    if disk is not None:
        disk.close()
    return found


def _bring(host: HostTier, disk: DiskTier | None, key: bytes) -> str | None:
    """Has a page in host memory, used now; returns where it was."""
    if (page := host.lease(key)) is not None:
        host.release(page)
        return "host"
    if disk is None or key not in disk or (page := host.reserve(key)) is None:
        return None
    page.checksum = disk.import_page(key, host.data(page).data)
    host.release(page)
    return "disk"


def _save(host: HostTier, disk: DiskTier | None, keys: Sequence[bytes]) -> None:
    """Pages given back by a request, as `Tiering.released` and `Tiers.filled` take them."""
    new = [page for key in reversed(keys) if (page := host.reserve(key)) is not None]
    for page in reversed(new):
        page.checksum = host.checksum(page)
        if disk is not None:
            disk.export_page(page.key, page.checksum, host.data(page).data)
        host.release(page)


def compare(
    requests: Sequence[TraceRequest], capacity: int, policy: str, host_times: int, disk_times: int, block: int
) -> dict[str, Any]:
    """A row: percent of prompt tokens that each tier finds, all of them, and the optimum of as many blocks.

    Args:
        host_times, disk_times: their blocks, in pools.
    """
    longest = max(len(request.blocks) for request in requests)
    if capacity < longest:
        raise HopwellError(f"a request has {longest} blocks, the pool {capacity}; give {longest} or more")
    with tempfile.TemporaryDirectory() as folder:
        found = replay_tiers(requests, capacity, policy, host_times * capacity, disk_times * capacity, Path(folder))
    row: dict[str, Any] = {"blocks": capacity}
    for tiers in (TIERS[:1], TIERS[:2], TIERS):
        counts = [sum(each) for each in zip(*(found[tier] for tier in tiers), strict=True)]
        row["+".join(tiers)] = hit_percent(requests, counts, block)
    row["opt_pool"] = hit_percent(requests, optimum(requests, capacity), block)
    row["opt_all"] = hit_percent(requests, optimum(requests, capacity * (1 + host_times + disk_times)), block)
    return row


def main(
    trace: Annotated[Path, typer.Option(help="Requests in Mooncake's format: input_length and hash_ids a line.")],
    blocks: Annotated[list[int] | None, typer.Option(help="Size of the pool in blocks; may be repeated.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Tokens of one of the trace's blocks.")] = 512,
    host_times: Annotated[int, typer.Option(min=1, help="Size of host memory, in pools.")] = 2,
    disk_times: Annotated[int, typer.Option(min=0, help="Size of the disk, in pools; 0: none.")] = 8,
    policy: Annotated[str, typer.Option(help="Of the pool: lru, arc or rai.")] = "rai",
    plot: Annotated[Path | None, typer.Option(help="Picture of the hit rates to write.")] = None,
    out: Out = None,
) -> None:
    """Token hit rate of a trace through pool, host memory and disk, by the pool's size, beside the optimum."""
    if policy not in POLICY_NAMES:
        raise HopwellError(f"--policy {policy} is unknown; known: {', '.join(POLICY_NAMES)}")
    requests = read_trace(trace)
    rows = [compare(requests, size, policy, host_times, disk_times, block) for size in blocks or BLOCKS]
    print_rows(rows)
    if plot is not None:
        plot_rates(rows, [name for name in rows[0] if name != "blocks"], block, plot)
    if out is not None:
        times = {"host_times": host_times, "disk_times": disk_times}
        write_result(out, "cache-tiers", rows, trace=trace.name, requests=len(requests), policy=policy, **times)


if __name__ == "__main__":
    script(main)

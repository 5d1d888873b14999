"""What brackets a cache's policies: the best that knows the future, and the simplest that knows nothing."""

from __future__ import annotations

from collections.abc import Container, Sequence
from heapq import heappop, heappush

from benchmarks.cache_traces import TraceRequest

NEVER = 1 << 60


def optimum(requests: Sequence[TraceRequest], capacity: int) -> list[int]:
    """Blocks found for each request where the block goes whose next use is furthest away (Belady, 1966), of several the
    deepest.

    All blocks of the request that runs are held. A block is never wanted later than one below it, so what is held is
    whole prefixes, and no policy finds more blocks.
    """
    coming: dict[int, int] = {}
    following: list[list[int]] = []  # of each block of each request, the request that wants it next
    for at in range(len(requests) - 1, -1, -1):
        blocks = requests[at].blocks
        following.append([coming.get(block, NEVER) for block in blocks])
        coming.update(dict.fromkeys(blocks, at))
    following.reverse()

    held: dict[int, tuple[int, int, int] | None] = {}
    furthest: list[tuple[int, int, int]] = []  # (-next use, -depth, block), some of them stale
    found = []
    for request, nexts in zip(requests, following, strict=True):
        found.append(_prefix(request.blocks, held))
        held.update(dict.fromkeys(request.blocks))
        while len(held) > capacity:
            entry = heappop(furthest)
            if held.get(entry[2]) == entry:
                del held[entry[2]]
        for depth, (block, following_use) in enumerate(zip(request.blocks, nexts, strict=True)):
            held[block] = entry = (-following_use, -depth, block)
            heappush(furthest, entry)
    return found


def fifo(requests: Sequence[TraceRequest], capacity: int) -> list[int]:
    """Blocks found for each request where the block goes that came first, whatever hangs on it or was used since."""
    held: dict[int, None] = {}  # in the order in which they came
    found = []
    for request in requests:
        found.append(_prefix(request.blocks, held))
        running = set(request.blocks)
        held.update(dict.fromkeys(block for block in request.blocks if block not in held))
        spare = iter([*held]) if len(held) > capacity else iter(())
        while len(held) > capacity:
            oldest = next(spare)
            if oldest not in running:
                del held[oldest]
    return found


def _prefix(blocks: Sequence[int], held: Container[int]) -> int:
    """Leading blocks that are held."""
    return next((i for i, block in enumerate(blocks) if block not in held), len(blocks))

"""Copies of a model, each with a prefix cache of its own: hit rates by how requests are shared out among them.

    python -m benchmarks.copies --trace mooncake_conversation_trace.jsonl

The cache is as large in all cases, cut into one part a copy: taken in turns, given out by `PrefixRouter`, or not cut at
all. A request counts as on its way for as long as the next hundred.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.cache import hit_percent, replay
from benchmarks.cache_traces import TraceRequest, read_trace
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.copies import PrefixRouter

COPIES = [2, 4, 8]
BLOCKS = [10000, 20000, 50000, 100000]
WINDOW = 100
"""Requests on their way."""


def shared_out(
    requests: Sequence[TraceRequest], choose: Callable[[TraceRequest, list[int]], int], copies: int
) -> list[int]:
    """Which copy each request goes to.

    Args:
        choose: of a request and the requests on their way at each copy.
    """
    recent: deque[int] = deque(maxlen=WINDOW)
    found = []
    for request in requests:
        loads = Counter(recent)
        found.append(choose(request, [loads[copy] for copy in range(copies)]))
        recent.append(found[-1])
    return found


def hits(requests: Sequence[TraceRequest], owners: Sequence[int], copies: int, capacity: int, policy: str) -> list[int]:
    """Blocks found for each request, in its copy's part of the cache."""
    found = [0] * len(requests)
    for copy in range(copies):
        own = [index for index, owner in enumerate(owners) if owner == copy]
        for index, count in zip(own, replay([requests[i] for i in own], capacity // copies, policy)[0], strict=True):
            found[index] = count
    return found


def rows_of(
    requests: Sequence[TraceRequest], copies: int, sizes: Sequence[int], block: int, policy: str
) -> list[dict[str, Any]]:
    """Hit rates of one number of copies, and how much more than its part the busiest was given."""
    turns = [index % copies for index in range(len(requests))]
    router = PrefixRouter(copies)
    routed = shared_out(requests, lambda request, loads: router.choose(request.blocks, loads), copies)
    busiest = max(Counter(routed).values()) * copies / len(requests)
    rows = []
    for capacity in sizes:
        rates = {
            name: hit_percent(requests, hits(requests, owners, parts, capacity, policy), block)
            for name, owners, parts in (
                ("turns", turns, copies),
                ("routed", routed, copies),
                ("one", [0] * len(requests), 1),
            )
        }
        rows.append({"copies": copies, "blocks": capacity, **rates, "busiest": round(busiest, 2)})
    return rows


def main(
    trace: Annotated[Path, typer.Option(help="Requests in Mooncake's format: input_length and hash_ids a line.")],
    copies: Annotated[list[int] | None, typer.Option(min=2, max=64, help="May be repeated.")] = None,
    blocks: Annotated[list[int] | None, typer.Option(help="Of all caches together; may be repeated.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Tokens of one of the trace's blocks.")] = 512,
    policy: str = "lru",
    out: Out = None,
) -> None:
    """Token hit rates of a trace over several copies: in turns, routed by prefix, and in one cache."""
    requests = read_trace(trace)
    rows = [row for count in copies or COPIES for row in rows_of(requests, count, blocks or BLOCKS, block, policy)]
    print_rows(rows)
    if out is not None:
        write_result(out, "copies", rows, trace=trace.name, requests=len(requests), policy=policy)


if __name__ == "__main__":
    script(main)

"""Replay of a trace of real requests through the prefix cache alone: what share of prompt tokens a cache would save."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import script
from hopwell.cache.pool import PagePool
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError

BLOCK = 512
"""Tokens of one of the trace's blocks."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One prompt: its length in tokens and the chained ids of its blocks, the last one perhaps not full."""

    tokens: int
    blocks: list[int]


def read_trace(path: Path) -> list[TraceRequest]:
    """Reads a trace in Mooncake's format, one JSON object a line with `input_length` and `hash_ids`.

    Raises:
        HopwellError: a line is not such an object; the message names it.
    """
    requests = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    entry = json.loads(line)
                    requests.append(TraceRequest(entry["input_length"], entry["hash_ids"]))
                except (ValueError, KeyError, TypeError) as error:
                    raise HopwellError(
                        f"{path}, line {number}: {error!r}; expected input_length and hash_ids"
                    ) from None
    except OSError as error:
        raise HopwellError(f"{path}: {error.strerror}; give a trace in Mooncake's format") from None
    return requests


def replay(requests: Iterable[TraceRequest], capacity: int) -> dict[str, Any]:
    """Sends all requests, one after the other, through a pool of `capacity` blocks.

    Returns:
        Percent of prompt tokens that were kept from earlier prompts, and microseconds that the cache took a request.
    """
    pool = PagePool(capacity)
    hits = total = count = 0
    started = time.perf_counter()
    for request in requests:
        pages = pool.share(request.blocks)
        hits += min(len(pages) * BLOCK, request.tokens)
        total += request.tokens
        count += 1
        pages += pool.allocate(len(request.blocks) - len(pages))
        for i, block in enumerate(request.blocks):
            pages[i] = pool.keep(block, pages[i])
        pool.release(pages)
    elapsed = time.perf_counter() - started
    pool.check()
    return {
        "blocks": capacity,
        "cache_tokens": capacity * BLOCK,
        "hit_percent": round(100 * hits / total, 2),
        "us_per_request": round(elapsed / count * 1e6, 1),
    }


def bench_cache(path: Path, capacities: Iterable[int]) -> list[dict[str, Any]]:
    """Hit rates of a trace at several sizes of the cache, and with one that never forgets."""
    requests = read_trace(path)
    distinct = len({block for request in requests for block in request.blocks})
    rows = [replay(requests, capacity) for capacity in capacities]
    return [*rows, replay(requests, distinct) | {"blocks": None, "cache_tokens": None}]


def main(
    trace: Annotated[Path, typer.Option(help="Requests in Mooncake's format: input_length and hash_ids a line.")],
    blocks: Annotated[list[int] | None, typer.Option(help="Size of the cache in blocks; may be repeated.")] = None,
    out: Out = None,
) -> None:
    """Token hit rate of a real trace, replayed through the prefix cache alone."""
    rows = bench_cache(trace, blocks or [2000, 5000, 10000, 20000, 50000])
    print_rows(rows)
    if out is not None:
        write_result(out, "cache", rows, trace=trace.name)


if __name__ == "__main__":
    script(main)

"""Replay of requests through the prefix cache alone: what share of prompt tokens each policy would save, beside the
best that can be."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.cache_bounds import fifo, optimum
from benchmarks.cache_traces import (
    QUESTION_TOKENS,
    TEMPLATE_TOKENS,
    TEMPLATES,
    TraceRequest,
    read_trace,
    template_requests,
)
from hopwell.cache.policies import new_policy
from hopwell.cache.policy import POLICY_NAMES, Use
from hopwell.cache.pool import PagePool
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError
from hopwell.ops.sizes import PAGE

BLOCKS = [1000, 2000, 3000, 5000, 7000, 10000, 14000, 20000, 28000, 38000, 50000, 70000, 100000]
TEMPLATE_SHARE = 0.98
"""Of the templates' pages, what the cache holds."""


def replay(requests: Iterable[TraceRequest], capacity: int, policy: str) -> tuple[list[int], float]:
    """Sends all requests, one after the other, through a pool of `capacity` blocks.

    Returns:
        Blocks found for each, and seconds of this process that the cache took in all.
    """
    pool = PagePool(capacity, new_policy(policy, capacity))
    found = []
    started = time.process_time()
    for request in requests:
        pages = pool.share(request.blocks)
        known = len(pages)
        found.append(known)
        pages += pool.allocate(len(request.blocks) - known)
        for i, block in enumerate(request.blocks[known:], start=known):
            pages[i] = pool.keep(block, pages[i], pages[i - 1] if i else None)
        pool.release(pages, Use(request.tokens, request.answer))
    elapsed = time.process_time() - started
    pool.check()
    return found, elapsed


def hit_percent(requests: Sequence[TraceRequest], found: Sequence[int], block: int) -> float:
    """Percent of prompt tokens that were found."""
    hits = sum(min(count * block, request.tokens) for request, count in zip(requests, found, strict=True))
    return round(100 * hits / sum(request.tokens for request in requests), 2)


def compare(
    requests: Sequence[TraceRequest],
    capacities: Iterable[int],
    policies: Sequence[str],
    block: int,
    first: bool = False,
) -> list[dict[str, Any]]:
    """Hit rates at several sizes of the cache, by policy, and microseconds that the cache takes a request.

    Args:
        block: tokens of a block.
        first: with `fifo` too.
    """
    longest = max(len(request.blocks) for request in requests)
    rows = []
    for capacity in capacities:
        if capacity < longest:
            raise HopwellError(f"a request has {longest} blocks, the cache {capacity}; give {longest} or more")
        row: dict[str, Any] = {"blocks": capacity, "cache_tokens": capacity * block}
        if first:
            row["fifo"] = hit_percent(requests, fifo(requests, capacity), block)
        seconds = {}
        for policy in policies:
            found, seconds[policy] = replay(requests, capacity, policy)
            row[policy] = hit_percent(requests, found, block)
        row["opt"] = hit_percent(requests, optimum(requests, capacity), block)
        if {"lru", "rai"} <= row.keys():
            gap = row["opt"] - row["lru"]
            row["gap_closed_percent"] = round(100 * (row["rai"] - row["lru"]) / gap, 1) if gap > 1 else None
        row |= {f"{policy}_us": round(seconds[policy] / len(requests) * 1e6) for policy in policies}
        rows.append(row)
    return rows


def plot_rates(rows: Sequence[dict[str, Any]], names: Sequence[str], block: int, path: Path) -> None:
    """Draws hit rates over the cache's size, a line a policy.

    Raises:
        HopwellError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise HopwellError("a plot needs matplotlib: pip install 'hopwell[plots]'") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    sizes = [row["blocks"] for row in rows]
    for name in names:
        axes.plot(sizes, [row[name] for row in rows], marker="o", markersize=4, label=name.upper())
    axes.set(xscale="log", xlabel=f"blocks of {block} tokens", ylabel="% of prompt tokens found", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)


def everything(requests: Sequence[TraceRequest], block: int) -> float:
    """Percent of prompt tokens that a cache finds which forgets nothing."""
    return hit_percent(requests, optimum(requests, sum(len(request.blocks) for request in requests)), block)


def main(
    trace: Annotated[
        Path | None, typer.Option(help="Requests in Mooncake's format: input_length and hash_ids a line.")
    ] = None,
    templates: Annotated[
        bool, typer.Option("--templates", help="Prompts of 200 templates and a question, in place of a trace.")
    ] = False,
    blocks: Annotated[list[int] | None, typer.Option(help="Size of the cache in blocks; may be repeated.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Tokens of one of the trace's blocks.")] = 512,
    policy: Annotated[list[str] | None, typer.Option(help="lru, arc or rai; may be repeated; default: all.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture of the hit rates to write.")] = None,
    out: Out = None,
) -> None:
    """Token hit rate of requests, replayed through the prefix cache alone, by policy and beside the optimum."""
    policies = policy or [*POLICY_NAMES]
    if unknown := [name for name in policies if name not in POLICY_NAMES]:
        raise HopwellError(f"--policy {unknown[0]} is unknown; known: {', '.join(POLICY_NAMES)}")
    if templates == (trace is not None):
        raise HopwellError("give --trace FILE or --templates, one of them")
    if templates:
        requests, block, name = template_requests(), PAGE, "cache-templates"
        blocks = blocks or [int(TEMPLATES * TEMPLATE_TOKENS // PAGE * TEMPLATE_SHARE)]
        meta: dict[str, Any] = {"templates": TEMPLATES, "template_tokens": TEMPLATE_TOKENS}
        meta |= {"question_tokens": QUESTION_TOKENS, "requests": len(requests)}
    else:
        assert trace is not None
        requests, name = read_trace(trace), "cache"
        meta = {"trace": trace.name, "requests": len(requests)}
    rows = compare(requests, blocks or BLOCKS, policies, block, first=templates)
    print_rows(rows)
    meta["all_percent"] = everything(requests, block)
    print(f"a cache that forgets nothing finds {meta['all_percent']} %")
    if plot is not None:
        plot_rates(rows, [*policies, "opt"], block, plot)
    if out is not None:
        write_result(out, name, rows, **meta)


if __name__ == "__main__":
    script(main)

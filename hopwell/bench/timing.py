"""Time of GPU work as a CUDA graph runs it: no launch gaps, warmed up, the median of several rounds."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch


def capture(run: Callable[[], object], warm_up: int = 2) -> torch.cuda.CUDAGraph:
    """A CUDA graph of `run`, whose kernels are compiled before."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm_up):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def graph_seconds(graph: torch.cuda.CUDAGraph, rounds: int = 5, seconds: float = 0.05) -> float:
    """Seconds a replay: the median of `rounds` rounds of about `seconds` each."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed(replays: int) -> float:
        begin.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / replays

    timed(3)
    replays = max(3, round(seconds / max(timed(3), 1e-6)))
    return median(timed(replays) for _ in range(rounds))

"""The fused sum over ranks beside NCCL's and PyTorch's, and whether its bits are equal, on the GPUs of one host.

    torchrun --nproc-per-node 2 -m benchmarks.exchange --out exchange.json

checks it against one rank that has all parts, in a storm of replayed sizes with ranks held up at random; then times
chains of 20 in a CUDA graph, beside the norm that it replaces. Its limit is the bytes that leave a GPU over its link.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hopwell.cli.result import environment
from hopwell.ops.exchange_triton import EMPTY, Inboxes, exchange_add_norm
from hopwell.ops.norm import rms_norm
from hopwell.ops.norm_triton import add_norm
from hopwell.parallel.gpus import GpuExchange

WIDTH, CHAIN, REPLAYS = 7168, 20, 200
ROWS = (1, 8, 32, 64, 128, 512)
STORM = 2000
"""Replays with ranks held up."""


def graph_of(run: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """A run, captured; all ranks capture in one order."""
    run()
    torch.cuda.synchronize()
    dist.barrier()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def microseconds(graph: torch.cuda.CUDAGraph, count: int) -> float:
    """Of one of `count` in a graph: the median replay, of the slowest rank."""
    times = []
    for _ in range(REPLAYS):
        dist.barrier()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / count)
    found = torch.tensor(statistics.median(times), device="cuda")
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return round(found.item(), 2)


def parts_of(rows: int, rank: int) -> Tensor:
    """float32 [2, rows, width], by a seed that all ranks know."""
    generator = torch.Generator().manual_seed(31 * rows + rank)
    return torch.randn(2, rows, WIDTH, generator=generator).cuda()


class Case:
    """A pair of exchanges of one size, captured, and what they must give; rows have owners in the one, both or none."""

    def __init__(self, rows: int, inboxes: Inboxes, owned: tuple[bool, bool]) -> None:
        generator = torch.Generator().manual_seed(rows)
        residual = torch.randn(rows, WIDTH, generator=generator).bfloat16().cuda()
        weight = torch.randn(WIDTH, generator=generator).cuda()
        parts = parts_of(rows, inboxes.rank)
        total = torch.zeros(rows, WIDTH, device="cuda")
        for rank in range(inboxes.world):
            total += parts_of(rows, rank).sum(0).bfloat16().float()
        first, _ = add_norm(residual, weight, total.unsqueeze(0))
        self.want, normed = add_norm(first, weight, total.unsqueeze(0), values=True)
        self.codes, self.out = normed.fp8, []
        self.inputs = residual, weight, parts  # a graph keeps their addresses alone

        def run() -> None:
            between, _ = exchange_add_norm(residual, weight, parts, inboxes, 0, owned=owned[0])
            self.out = [exchange_add_norm(between, weight, parts, inboxes, 1, values=True, owned=owned[1])]

        self.graph = graph_of(run)

    def right(self) -> bool:
        """Whether the last replay gave the bits that it must."""
        out, normed = self.out[0]
        assert normed.fp8 is not None and self.codes is not None
        same_codes = torch.equal(normed.fp8.view(torch.uint8), self.codes.view(torch.uint8))
        return torch.equal(out.view(torch.int16), self.want.view(torch.int16)) and same_codes


def storm(inboxes: Inboxes, memory: Tensor) -> dict[str, Any]:
    """Replays of mixed sizes, the same on all ranks, each rank late at times of its own."""
    ways = ((False, False), (True, True), (False, True), (True, False))
    cases = [Case(rows, inboxes, ways[i % 4]) for i, rows in enumerate((1, 2, 8, 31, 64, 128, 200, 500))]
    pick, late, wrong = random.Random(0), random.Random(1 + inboxes.rank), 0
    for turn in range(STORM):
        case = pick.choice(cases)
        if late.random() < 0.05:
            torch.cuda._sleep(int(late.random() * 200_000))
        case.graph.replay()
        if turn % 10 == 0:
            wrong += not case.right()
    torch.cuda.synchronize()
    dist.barrier()
    left = int((memory != EMPTY).sum())
    found = torch.tensor([wrong, left], device="cuda")
    dist.all_reduce(found)
    return {"replays": STORM, "wrong": int(found[0]), "values_left": int(found[1])}


def rows_of(inboxes: Inboxes, rows: int) -> dict[str, Any]:
    """One size, each way, in us an exchange."""
    residual = torch.randn(rows, WIDTH, device="cuda").bfloat16()
    weight = torch.randn(WIDTH, device="cuda")
    parts, share = torch.randn(2, rows, WIDTH, device="cuda"), torch.randn(rows, WIDTH, device="cuda").bfloat16()

    def fused(owned: bool) -> None:
        x = residual
        for i in range(CHAIN):
            x, _ = exchange_add_norm(x, weight, parts, inboxes, i % 2, owned=owned)

    def alone() -> None:
        x = residual
        for _ in range(CHAIN):
            x, _ = add_norm(x, weight, parts)

    def nccl() -> None:
        for _ in range(CHAIN):
            dist.all_reduce(share)

    def nccl_and_norm() -> None:
        x = residual
        for _ in range(CHAIN):
            dist.all_reduce(share)
            x = rms_norm(x + share, weight, 1e-6)

    ways = (
        ("fused", partial(fused, False)), ("owned", partial(fused, True)), ("norm_alone", alone), ("nccl", nccl),
        ("nccl_and_norm", nccl_and_norm),
    )  # fmt: skip
    found = {name: microseconds(graph_of(run), CHAIN) for name, run in ways}
    return {"rows": rows, **{f"{name}_us": value for name, value in found.items()}} | {
        "bytes_out": 2 * rows * WIDTH * (inboxes.world - 1)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON of the result")
    given = parser.parse_args()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    began = time.monotonic()
    exchange = GpuExchange.open(max(ROWS), WIDTH, device)
    inboxes = exchange.inboxes
    checked = storm(inboxes, exchange.memory)
    rows = [rows_of(inboxes, count) for count in ROWS]
    if inboxes.rank == 0:
        print(", ".join(f"{name} {value}" for name, value in checked.items()))
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))
        result = {**environment(), "gpus": inboxes.world, "width": WIDTH, "storm": checked, "rows": rows}
        result["seconds"] = round(time.monotonic() - began, 1)
        if given.out:
            given.out.write_text(json.dumps(result, indent=1) + "\n")
    dist.destroy_process_group()
    if checked["wrong"] or checked["values_left"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

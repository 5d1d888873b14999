"""The experts' two products in several cuts, at the sizes of three models: which one is fastest on this GPU?

Run as a module with two numbers it is one of several compilers: `python -m hopwell.bench.cuts INDEX COUNT`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch

from hopwell.bench.models import bench_config
from hopwell.bench.timing import capture, graph_seconds
from hopwell.formats.fp8 import scale_shape
from hopwell.limits.ceilings import Ceilings
from hopwell.ops import experts_triton, moe
from hopwell.ops.aot import machine_code, record
from hopwell.ops.grouping_triton import LEADERS_UP_TO, group_by_expert
from hopwell.ops.linear import Weight
from hopwell.ops.linear_triton import Tiling
from hopwell.ops.norm_triton import Normed, empty_rows

CASES = (("r1-tp8", (1, 8, 32, 128)), ("v2-lite", (1, 8, 32, 128)), ("r1-slice", (8, 32, 128)))
SETS = 8
"""Choices of experts that take turns, so that a small batch's weights come from memory."""


@dataclass(frozen=True)
class Down:
    """A cut of the second product."""

    rows: int
    tokens: int
    run: int
    warps: int
    stages: int
    step: int = 64


@dataclass(frozen=True)
class Sizes:
    """A layer's experts."""

    experts: int
    slots: int
    hidden: int
    width: int
    fp8: bool

    @classmethod
    def of(cls, name: str) -> Sizes:
        c = bench_config(name)
        shared = c.n_shared_experts
        return cls(c.n_routed_experts + shared, c.router.top_k + shared, c.hidden_size, c.moe_intermediate_size,
                   c.weight_block_size is not None)  # fmt: skip

    def weight(self, width_out: int, width_in: int, device: str) -> Weight:
        shape = (self.experts, width_out, width_in)
        if not self.fp8:
            data = torch.empty(shape, dtype=torch.bfloat16, device=device)
            return Weight(data.normal_() if device != "meta" else data)
        data = torch.empty(shape, dtype=torch.uint8, device=device)
        if device != "meta":
            data.random_(0, 0x78)  # any codes but NaN
        scale = torch.full(scale_shape(shape), 0.01, device=device)
        return Weight(data.view(torch.float8_e4m3fn), scale, "fp8_block")

    def rows(self, count: int, width: int, device: str) -> Normed:
        rows = empty_rows(count, width, self.fp8, torch.device(device))
        for data in (rows.codes, rows.scales, rows.values):
            if data is not None and device != "meta":
                data.copy_(torch.randn(data.shape, device=device).clamp(-4, 4))
        return rows


def ups(sizes: Sizes, batch: int) -> Iterator[Tiling]:
    """Cuts of the first product."""
    tiles = (16,) if batch <= LEADERS_UP_TO else (16, 32)
    if sizes.fp8:
        forms = ((64, 4, 4), (64, 4, 5), (64, 4, 7), (128, 4, 4), (128, 8, 4), (128, 8, 6))
        steps = (64,)
    else:
        forms = ((64, 4, 3), (64, 4, 4), (64, 4, 5), (128, 4, 3), (128, 8, 3), (128, 8, 4))
        steps = (64, 128)
    for tile, splits, (rows, warps, stages), step in product(tiles, (1, 2, 4), forms, steps):
        if not (batch > 32 and splits > 2):
            yield Tiling(rows, tile, splits, warps, stages, step)


def downs(sizes: Sizes, batch: int) -> Iterator[Down]:
    """Cuts of the second product."""
    tiles = (16,) if batch <= LEADERS_UP_TO else (16, 32)
    runs = (1, 2, 4, 8) if sizes.width < 1024 else (1, 2)
    steps = (64,) if sizes.fp8 else (64, 128)
    forms = ((64, 4, 3), (64, 4, 4), (64, 4, 6), (128, 8, 3), (128, 8, 4), (128, 4, 4))
    for tile, run, (rows, warps, stages), step in product(tiles, runs, forms, steps):
        yield Down(rows, tile, run, warps, stages, step)


@dataclass
class Layer:
    """A layer's experts and what enters them."""

    sizes: Sizes
    up: Weight
    down: Weight

    @classmethod
    def of(cls, sizes: Sizes, device: str) -> Layer:
        return cls(sizes, sizes.weight(2 * sizes.width, sizes.hidden, device),
                   sizes.weight(sizes.hidden, sizes.width, device))  # fmt: skip

    def jobs(self, batch: int, device: str) -> Iterator[tuple[str, Tiling | Down, Any]]:
        """Each cut of each product, and what runs it for a number of choices."""
        s = self.sizes
        shared = torch.arange(s.experts - 2, s.experts, device=device)[-(s.slots - (8 if s.fp8 else 6)) :]
        ids = []
        for _ in range(SETS):
            drawn = torch.rand(batch, s.experts - len(shared), device=device).topk(s.slots - len(shared)).indices
            ids.append(torch.cat((drawn, shared.expand(batch, -1)), dim=1).int())
        x, inner = s.rows(batch, s.hidden, device), s.rows(batch * s.slots, s.width, device)
        groups = {t: [group_by_expert(i, s.experts, t) for i in ids] for t in (16, 32)}
        for cut in ups(s, batch):
            yield "up", cut, lambda c=cut: [experts_triton.experts_up(x, self.up, g, cut=c) for g in groups[c.tokens]]
        for cut in downs(s, batch):
            yield (
                "down",
                cut,
                lambda c=cut: [
                    experts_triton.experts_down(inner, self.down, g, c.rows, c.run, c.stages, c.warps, c.step)
                    for g in groups[c.tokens]
                ],
            )


def compile_share(index: int, count: int) -> None:
    """Every count-th kernel into Triton's cache."""
    launches: dict[Any, None] = {}
    for name, batches in CASES:
        layer = Layer.of(Sizes.of(name), "meta")
        for batch in batches:
            with torch.no_grad():
                found = record(lambda b=batch, one=layer: [run() for _, _, run in one.jobs(b, "meta")])
            launches |= dict.fromkeys(found)
    arch = 90 if not torch.cuda.is_available() else 10 * torch.cuda.get_device_capability()[0]
    for launch in list(launches)[index::count]:
        try:
            machine_code(launch, arch)
        except Exception as fault:  # too much shared memory: the row will say so
            print(launch.kernel.__name__, repr(fault)[:100], file=sys.stderr)


def cut_rows(processes: int = 16) -> Iterator[dict[str, Any]]:
    """Each cut: microseconds, GB/s of the weights it touches, percent of the limit."""
    command = [sys.executable, "-m", "hopwell.bench.cuts"]
    compilers = [subprocess.Popen([*command, str(i), str(processes)]) for i in range(processes)]
    for compiler in compilers:
        compiler.wait()
    limit = Ceilings.measure()
    for name, batches in CASES:
        sizes = Sizes.of(name)
        layer = Layer.of(sizes, "cuda")
        for batch in batches:
            distinct = (sizes.experts - 1) * (1 - (1 - sizes.slots / sizes.experts) ** batch)
            cost = moe.cost(batch, sizes.hidden, sizes.width, sizes.slots, round(distinct),
                            "fp8_block" if sizes.fp8 else "plain")  # fmt: skip
            for op, cut, run in layer.jobs(batch, "cuda"):
                row = {"model": name, "batch": batch, "op": op, "cut": asdict(cut)}
                try:
                    us = 1e6 * graph_seconds(capture(run, 1), rounds=3, seconds=0.01) / SETS
                except Exception as fault:  # a cut may not fit this GPU: the others count
                    yield {**row, "failed": repr(fault)[:200]}
                    continue
                share = 2 / 3 if op == "up" else 1 / 3
                yield {**row, "us": us, "percent_of_limit": 1e8 * share * limit.floor_seconds(cost) / us}


if __name__ == "__main__":
    compile_share(int(sys.argv[1]), int(sys.argv[2]))

"""The products of decode steps in several cuts, at the sizes of three models: which one is fastest on this GPU?

Run as a module with two numbers it is one of several compilers: `python -m benchmarks.cuts INDEX COUNT`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch

from hopwell.bench.models import bench_config
from hopwell.bench.timing import capture, graph_seconds
from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.plain import BF16
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.ops import linear, linear_triton, moe, moe_down_triton, moe_up_triton
from hopwell.ops.compile.aot import machine_code, record
from hopwell.ops.device import HOPPER, Device
from hopwell.ops.linear_choice import Shape, Tiling, cut_dense
from hopwell.ops.moe_choice import LEADERS_UP_TO
from hopwell.ops.moe_grouping_triton import group_by_expert
from hopwell.ops.rows import Normed, empty_rows
from hopwell.ops.weight import Weight

CASES = (("r1-tp8", (1, 8, 32, 128)), ("v2-lite", (1, 8, 32, 128)), ("r1-slice", (8, 32, 128)))
SETS = 8
"""Choices of experts that take turns, so that a small batch's weights come from memory."""


@dataclass(frozen=True)
class Sizes:
    """A layer's experts."""

    experts: int
    """Routed ones and, behind them, shared ones."""
    slots: int
    shared: int
    hidden: int
    width: int
    fp8: bool

    @classmethod
    def of(cls, name: str) -> Sizes:
        c = bench_config(name)
        shared = c.n_shared_experts
        return cls(c.n_routed_experts + shared, c.router.top_k + shared, shared, c.hidden_size, c.moe_intermediate_size,
                   c.weight_block_size is not None)  # fmt: skip

    def weight(self, count: int, width_out: int, width_in: int, device: str) -> Weight:
        """A stack of `count` matrices, or one matrix."""
        shape = (count, width_out, width_in) if count > 1 else (width_out, width_in)
        if not self.fp8:
            data = torch.empty(shape, dtype=torch.bfloat16, device=device)
            return Weight(Plain(data.normal_() if device != "meta" else data))
        data = torch.empty(shape, dtype=torch.uint8, device=device)
        if device != "meta":
            data.random_(0, 0x78)  # any codes but NaN
        scale = torch.full(scale_shape(shape), 0.01, device=device)
        return Weight(Fp8Block(data.view(torch.float8_e4m3fn), scale))


def random_rows(count: int, width: int, fp8: bool, device: str) -> Normed:
    """What enters a product, in FP8 or bf16."""
    rows = empty_rows(count, width, fp8, torch.device(device))
    for data in (rows.fp8, rows.scales, rows.values):
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


def downs(sizes: Sizes, batch: int) -> Iterator[tuple[Tiling, int]]:
    """Cuts of the second product, and the tiles that a program handles."""
    tiles = (16,) if batch <= LEADERS_UP_TO else (16, 32)
    runs = (1, 2, 4, 8) if sizes.width < 1024 else (1, 2)
    steps = (64,) if sizes.fp8 else (64, 128)
    forms = ((64, 4, 3), (64, 4, 4), (64, 4, 6), (128, 8, 3), (128, 8, 4), (128, 4, 4))
    for tile, run, (rows, warps, stages), step in product(tiles, runs, forms, steps):
        yield Tiling(rows, tile, 1, warps, stages, step), run


@dataclass
class Layer:
    """A layer's experts and what enters them."""

    sizes: Sizes
    up: Weight
    down: Weight

    @classmethod
    def of(cls, sizes: Sizes, device: str) -> Layer:
        return cls(sizes, sizes.weight(sizes.experts, 2 * sizes.width, sizes.hidden, device),
                   sizes.weight(sizes.experts, sizes.hidden, sizes.width, device))  # fmt: skip

    def jobs(self, batch: int, device: str) -> Iterator[tuple[str, dict[str, int], Callable[[], object]]]:
        """Each cut of each product, and what runs it for a number of choices."""
        s = self.sizes
        shared = torch.arange(s.experts - s.shared, s.experts, device=device)
        ids = []
        for _ in range(SETS):
            drawn = torch.rand(batch, s.experts - len(shared), device=device).topk(s.slots - len(shared)).indices
            ids.append(torch.cat((drawn, shared.expand(batch, -1)), dim=1).int())
        x = random_rows(batch, s.hidden, s.fp8, device)
        inner = random_rows(batch * s.slots, s.width, s.fp8, device)
        groups = {t: [group_by_expert(i, s.experts, t) for i in ids] for t in (16, 32)}
        for each in groups[LEADERS_UP_TO]:  # the first product says which rows are whose
            moe_up_triton.experts_up(x, self.up, each)
        for cut in ups(s, batch):
            yield (
                "up",
                asdict(cut),
                lambda c=cut: [moe_up_triton.experts_up(x, self.up, g, cut=c) for g in groups[c.tokens]],
            )
        for cut, run in downs(s, batch):
            yield (
                "down",
                {**asdict(cut), "run": run},
                lambda c=cut, r=run: [
                    moe_down_triton.experts_down(inner, self.down, g, c, r) for g in groups[c.tokens]
                ],
            )


@dataclass
class Matrix:
    """A dense product of a layer, or the head."""

    op: str
    copies: list[Weight]
    """SETS of them."""

    def jobs(self, batch: int, device: str) -> Iterator[tuple[str, dict[str, int], Callable[[], object]]]:
        """Each cut, and what runs it on every copy."""
        width_out, width_in = self.copies[0].shape
        fp8 = self.copies[0].is_fp8
        x = random_rows(batch, width_in, fp8, device)
        usual = cut_dense(Shape(batch, width_out, width_in), fp8, HOPPER)
        splits = [n for n in (usual.splits // 2, usual.splits, 2 * usual.splits) if n]
        if self.op == "head":
            splits = [1]
        tiles = {usual.tokens, min(usual.tokens, 64)}
        for tile, split, stages, step in product(tiles, splits, (3, 4, 6), (64,) if fp8 else (64, 128)):
            cut = Tiling(64, tile, split, 4, stages, step)
            yield self.op, asdict(cut), lambda c=cut: [linear_triton.product(x, w, cut=c) for w in self.copies]


def matrices(name: str, device: str) -> list[Matrix]:
    """A model's dense products."""
    c = bench_config(name)
    sizes, heads = Sizes.of(name), c.num_attention_heads
    shapes = {"qkv_a": ((c.q_lora_rank or heads * c.qk_head_dim) + c.latent_dim, c.hidden_size),
              "o": (c.hidden_size, heads * c.v_head_dim)}  # fmt: skip
    if c.q_lora_rank:
        shapes["q_b"] = (heads * c.qk_head_dim, c.q_lora_rank)
    found = [Matrix(op, [sizes.weight(1, *shape, device) for _ in range(SETS)]) for op, shape in shapes.items()]
    plain = replace(sizes, fp8=False)
    for op, rows in (("router", c.n_routed_experts), ("head", c.vocab_size)):
        found.append(Matrix(op, [plain.weight(1, rows, c.hidden_size, device) for _ in range(SETS)]))
    return found


def compile_share(index: int, count: int) -> None:
    """Every count-th kernel into Triton's cache."""
    launches: dict[Any, None] = {}
    for name, batches in CASES:
        for part in (Layer.of(Sizes.of(name), "meta"), *matrices(name, "meta")):
            for batch in batches:
                found = record(lambda b=batch, one=part: [run() for _, _, run in one.jobs(b, "meta")])
                launches |= dict.fromkeys(found)
    here = Device.of(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    for launch in list(launches)[index::count]:
        try:
            machine_code(launch, here.capability)
        except Exception as fault:  # too much shared memory: the row will say so
            print(launch.kernel.__name__, repr(fault)[:100], file=sys.stderr)


def cut_rows(processes: int = 16) -> Iterator[dict[str, Any]]:
    """Each cut: microseconds and percent of the limit."""
    command = [sys.executable, "-m", "benchmarks.cuts"]
    compilers = [subprocess.Popen([*command, str(i), str(processes)]) for i in range(processes)]
    for compiler in compilers:
        compiler.wait()
    limit = Ceilings.measure()
    for name, batches in CASES:
        sizes = Sizes.of(name)
        for batch, part in product(batches, (Layer.of(sizes, "cuda"), *matrices(name, "cuda"))):
            for op, cut, run in part.jobs(batch, "cuda"):
                row = {"model": name, "batch": batch, "op": op, "cut": cut}
                try:
                    seconds = graph_seconds(capture(run, 1), rounds=3, seconds=0.01) / SETS
                except Exception as fault:  # a cut may not fit this GPU: the others count
                    yield {**row, "failed": repr(fault)[:200]}
                    continue
                if isinstance(part, Matrix):
                    width_out, width_in = part.copies[0].shape
                    cost = linear.cost(batch, width_in, width_out, part.copies[0].format)
                else:
                    distinct = sizes.experts * (1 - (1 - sizes.slots / sizes.experts) ** batch)
                    both = moe.cost(batch, sizes.hidden, sizes.width, sizes.slots, round(distinct),
                                    FP8_BLOCK if sizes.fp8 else BF16)  # fmt: skip
                    cost = OpCost(both.bytes * (2 if op == "up" else 1) // 3, both.flops // 2, both.format)
                yield {**row, "us": 1e6 * seconds, "percent_of_limit": 100 * limit.floor_of([cost]) / seconds}


if __name__ == "__main__":
    compile_share(int(sys.argv[1]), int(sys.argv[2]))

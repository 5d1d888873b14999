"""Packed weights of four bits: is each kernel right, and how near its bytes' limit beside FP8's and bf16's kernels?

`python -m benchmarks.four_bits --out FILE` on a GPU takes less than five minutes: it compiles, holds every kernel to
float64 at R1's sizes, times it in a CUDA graph over weights that the L2 cache does not hold, and with `--search` tries
other cuts. Without a GPU it checks small sizes in Triton's interpreter (TRITON_INTERPRET=1).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks import script
from benchmarks.cuts import random_rows
from benchmarks.forms import error, poisoned
from hopwell.bench.timing import capture, graph_seconds
from hopwell.checkpoint.draw import seed_of
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.formats.blocks import FORMATS, FP8_BLOCK, BlockFormat
from hopwell.formats.draw import draw_packed
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.matrices import Fp8Block, Plain, combine
from hopwell.formats.packed import PACKABLE, STEP, Packed
from hopwell.limits.ceilings import Ceilings
from hopwell.model.product_check import dequantized_rows
from hopwell.ops import linear_triton, moe_down_triton, moe_up_triton
from hopwell.ops.compile.aot import Launch, machine_code, record
from hopwell.ops.device import Device
from hopwell.ops.linear_choice import Tiling, packed_form, packed_splits, row_tile
from hopwell.ops.moe_choice import SHORT
from hopwell.ops.moe_experts import Groups
from hopwell.ops.moe_grouping_triton import group_by_expert
from hopwell.ops.rows import Normed
from hopwell.ops.weight import Weight

ROWS = (1, 8, 32, 128, 2048)
SEARCHED = "nvfp4"
"""The format whose other cuts a search tries."""
FORMS = {
    32: ((64, 4, 3, 256), (64, 4, 2, 512), (64, 4, 3, 512), (64, 4, 2, 256), (64, 4, 4, 256), (128, 4, 3, 256)),
    64: ((128, 8, 3, 128), (128, 8, 3, 256), (128, 8, 3, 128, 80), (64, 4, 3, 256), (64, 4, 3, 128), (256, 8, 3, 128)),
    128: ((128, 8, 3, 128), (128, 8, 4, 128), (256, 8, 3, 128), (64, 4, 3, 128), (128, 8, 2, 256)),
}
"""Weights' rows of a tile, warps, stages, columns of a turn and registers at most, that it tries, by the rows of a tile
up to which."""
LABELS = (*(str(each.name) for each in PACKABLE), "fp8_block", "bf16")
DRAWN = 8
"""Experts that differ; the others of a stack are copies, at places of their own."""
TURNS = 4
"""Choices of experts, or copies of a matrix at least, that take turns in a graph."""
CACHE_BYTES = 240 << 20
"""Of copies of a matrix: several times the L2 cache."""
TASK = "FOUR_BITS_TASK"
"""In the environment of a compiler: its index, how many there are, and the scope, as JSON."""
SAMPLES = 48
"""Rows that are computed again."""
TOLERANCE = {"float32": 2.0**-10, "bfloat16": 2.0**-7}
"""By what the kernel writes. INT4 rounds its values to bf16: 2^-9 at most, averaged."""


@dataclass(frozen=True)
class Case:
    """A product of some model's layer."""

    model: str
    op: str
    """`dense`, or the experts' `up` and `down`."""
    out: int
    width: int
    experts: int = 1
    slots: int = 1


CASES = (
    Case("r1", "dense", 36864, 7168),
    Case("r1", "dense", 7168, 16384),
    Case("r1", "dense", 2112, 7168),
    Case("r1", "up", 4096, 7168, 257, 9),
    Case("r1", "down", 7168, 2048, 257, 9),
    Case("r1-tp4", "up", 1024, 7168, 257, 9),
    Case("r1-tp4", "down", 7168, 512, 257, 9),
    Case("r1-tp8", "up", 512, 7168, 257, 9),
    Case("r1-tp8", "down", 7168, 256, 257, 9),
)
SMALL = (Case("small", "dense", 200, 256), Case("small", "up", 256, 256, 6, 3), Case("small", "down", 256, 128, 6, 3))
"""What the interpreter computes."""
SMALL_ROWS = (1, 5, 20)


def draw(label: str, case: Case, device: str) -> Weight:
    """A matrix, or a stack of them, in a format."""
    stack = (case.experts,) if case.experts > 1 else ()
    shape, kind = (*stack, case.out, case.width), FORMATS.get(label)
    if device == "meta" and isinstance(kind, BlockFormat) and kind in PACKABLE:
        return Weight(Packed.empty(kind, shape, device))
    if kind in PACKABLE:
        count = min(DRAWN, case.experts)
        each = [draw_packed(kind, shape[-2:], 0.02, seed_of(label, i), device) for i in range(count)]
        some = combine(each, torch.stack)
        which = torch.arange(case.experts, device=device) % count
        return Weight(some.map(lambda t: t[which] if stack else t[0]))
    if kind is FP8_BLOCK:
        data = torch.empty(shape, dtype=torch.uint8, device=device)
        if device != "meta":
            data.random_(0, 0x70)
        return Weight(Fp8Block(data.view(torch.float8_e4m3fn), torch.full(scale_shape(shape), 0.01, device=device)))
    data = torch.empty(shape, dtype=torch.bfloat16, device=device)
    return Weight(Plain(data if device == "meta" else data.normal_()))


@dataclass
class Work:
    """A case at a number of rows, and what computes it."""

    case: Case
    rows: int
    weights: list[Weight]
    """Copies, where the cache would hold one."""
    x: Normed
    ids: list[Tensor]
    groups: list[Groups]
    """Of experts' products, a choice a turn."""

    @classmethod
    def of(cls, case: Case, rows: int, weight: Weight, device: str, tile: int | None = None) -> Work:
        fp8 = weight.is_fp8
        if case.op == "dense":
            count = max(TURNS, CACHE_BYTES // weight.stored.nbytes) if device == "cuda" else 1
            copies = [weight, *(Weight(weight.stored.map(torch.clone)) for _ in range(count - 1))]
            return cls(case, rows, copies, random_rows(rows, case.width, fp8, device), [], [])
        ids = [_choice(case, rows, turn, device) for turn in range(TURNS)]
        groups = [group_by_expert(each, case.experts, tile, weight.is_packed) for each in ids]
        entering = rows if case.op == "up" else rows * case.slots
        work = cls(case, rows, [weight], random_rows(entering, case.width, fp8, device), ids, groups)
        if case.op == "down" and not groups[0].sorted:  # the first product says which rows are whose
            first = draw("bf16", replace(case, op="up", out=64, width=128), device)
            for each in groups:
                moe_up_triton.experts_up(random_rows(rows, 128, False, device), first, each)
        return work

    def run(self, cut: Tiling | None = None, run: int | None = None) -> list[Tensor]:
        """Every turn's result."""
        if self.case.op == "dense":
            return [linear_triton.product(self.x, weight, cut=cut) for weight in self.weights]
        (weight,) = self.weights
        if self.case.op == "up":
            dtype = torch.bfloat16 if self.groups[0].tile >= 64 else torch.float32
            return [moe_up_triton.experts_up(self.x, weight, each, cut=cut, dtype=dtype) for each in self.groups]
        return [moe_down_triton.experts_down(self.x, weight, each, cut, run) for each in self.groups]

    def wrong_by(self, cut: Tiling | None = None, run: int | None = None) -> tuple[float, str]:
        """Relative error of samples of the first turn against float64, over poisoned outputs, and what was written."""
        with poisoned():
            got = self.run(cut, run)[0]
        weight, ends = self.weights[0], (slice(0, 64), slice((self.case.out - 1) // 128 * 128, self.case.out))
        values = _values(self.x)
        worst, device = 0.0, values.device
        if self.case.op == "dense":
            some = torch.arange(0, self.rows, max(1, self.rows // SAMPLES), device=device)
            for end in ends:
                want = values[some] @ dequantized_rows(weight, end).double().T
                worst = max(worst, error(got.sum(0)[some][:, end], want))
            return worst, str(got.dtype).removeprefix("torch.")
        pairs = self.rows * self.case.slots
        places = torch.arange(0, pairs, max(1, pairs // SAMPLES), device=device)
        which = self.groups[0].pairs[places].long() if self.groups[0].sorted else places
        experts = self.ids[0].flatten().long()[which]
        entering = values[which // self.case.slots] if self.case.op == "up" else values[places]
        found = got.sum(0)[places] if self.case.op == "up" else got.flatten(0, 1)[which]
        for end in ends:
            want = torch.einsum("pk,pnk->pn", entering, dequantized_rows(weight, end, experts).double())
            worst = max(worst, error(found[:, end], want))
        return worst, str(got.dtype).removeprefix("torch.")

    @property
    def bytes(self) -> float:
        """The least that a turn moves: each touched expert once, rows in and out in their formats."""
        weight = self.weights[0].stored.nbytes / self.case.experts
        touched = 1.0 if not self.ids else sum(len(each.unique()) for each in self.ids) / len(self.ids)
        pairs = self.rows * self.case.slots
        entering = self.rows if self.case.op != "down" else pairs
        itemsize = 1 if self.x.fp8 is not None else 2
        return weight * touched + itemsize * entering * self.case.width + 2 * pairs * self.case.out

    @property
    def flops(self) -> float:
        """Of a turn."""
        return 2.0 * self.rows * self.case.slots * self.case.out * self.case.width


def _choice(case: Case, rows: int, turn: int, device: str) -> Tensor:
    """Experts of each row, evenly spread, the last for all."""
    if device == "meta":
        return torch.empty(rows, case.slots, dtype=torch.int32, device=device)
    generator = torch.Generator(device).manual_seed(turn)
    drawn = torch.rand(rows, case.experts - 1, generator=generator, device=device).topk(case.slots - 1).indices
    return torch.cat((drawn, torch.full((rows, 1), case.experts - 1, device=device)), dim=1).int()


def _values(x: Normed) -> Tensor:
    """float64."""
    if x.fp8 is None:
        assert x.values is not None
        return x.values.double()
    assert x.scales is not None
    return (x.fp8.float().unflatten(1, (-1, 128)) * x.scales.unsqueeze(2)).flatten(1).double()


def cuts(work: Work) -> Iterator[tuple[Tiling, int | None]]:
    """Other cuts of a product of few rows: tiles, stages, steps, and the reduction in half or twice as many parts."""
    case, tile = work.case, work.groups[0].tile if work.groups else row_tile(work.rows)
    device = Device.of(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    form, steps = packed_form(tile), case.width // STEP
    tiles = -(-case.out // form.rows) * min(case.experts, work.rows * case.slots)
    usual = packed_splits(tiles, steps, 16, form, device.multiprocessors) if case.op != "down" and tile <= 32 else 1
    splits = {1, max(1, usual // 2), usual, 2 * usual} if case.op != "down" and tile <= 32 else {1}
    for height, warps, stages, step, *registers in next(forms for most, forms in FORMS.items() if tile <= most):
        for split in sorted(splits):
            if steps % (split * step // STEP):
                continue
            short = height == 64 and steps <= SHORT
            for run in (None,) if case.op != "down" else (1, 2, 4, 8, 16) if short else (1,):
                yield Tiling(height, tile, split, warps, stages, step, 1, *registers), run


@dataclass(frozen=True)
class Scope:
    """What of all is measured."""

    cases: tuple[Case, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...] = LABELS
    search: bool = False

    @classmethod
    def of(cls, model: str | None, op: str | None, rows: Sequence[int], labels: Sequence[str], search: bool) -> Scope:
        """Of R1's products those that are asked for; None and nothing: all."""
        cases = tuple(case for case in CASES if model in (None, case.model) and op in (None, case.op))
        return cls(cases, tuple(rows) or ROWS, tuple(labels) or LABELS, search)

    def works(self, device: str) -> Iterator[tuple[str, Work]]:
        """Everything that is checked and timed, a format's weights of one case in memory at a time; of a search,
        experts' rows in tiles of half and of twice as many too."""
        for case in self.cases:
            for label in self.labels:
                weight = draw(label, case, device)
                for count in self.rows:
                    work = Work.of(case, count, weight, device)
                    yield label, work
                    tile = work.groups[0].tile if self.searched(label) and work.groups and count > 16 else 0
                    for other in (tile // 2, 2 * tile):
                        if 16 <= other <= 128:
                            yield label, Work.of(case, count, weight, device, other)
                del weight

    def searched(self, label: str) -> bool:
        """Whether other cuts of a format are tried."""
        return self.search and label == SEARCHED


def rows_of(scope: Scope, limit: Ceilings | None, until: float, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """A row a kernel: right or not, and on a GPU its time beside the limit; of a search, one a cut."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for label, work in scope.works(device):
        if time.monotonic() > until:
            say("no time left")
            return
        case = work.case
        head = {"model": case.model, "op": case.op, "shape": [case.out, case.width], "rows": work.rows, "format": label}
        tried: list[tuple[Tiling | None, int | None]] = [(None, None)]
        if scope.searched(label):
            tried += cuts(work)
        for cut, run in tried:
            row = head | ({} if cut is None else {"cut": asdict(cut), "run": run})
            try:
                wrong, dtype = work.wrong_by(cut, run)
                row |= {"error": wrong, "right": wrong <= TOLERANCE[dtype] + (2.0**-9 if "int4" in label else 0.0)}
                if limit is not None:
                    turns = len(work.ids) or len(work.weights)
                    seconds = graph_seconds(capture(partial(work.run, cut, run), 1), 3, 0.01) / turns
                    rate = limit.fp8_flops_per_s if work.x.fp8 is not None else limit.bf16_flops_per_s
                    least = max(work.bytes / limit.read_bytes_per_s, work.flops / rate)
                    row |= {"us": 1e6 * seconds, "tb_per_s": work.bytes / seconds / 1e12,
                            "percent_of_limit": 100 * least / seconds}  # fmt: skip
            except Exception as fault:  # a cut may not fit: the others count
                row |= {"failed": repr(fault)[:200], "right": cut is not None}
            yield row


def launches(device: Device, scope: Scope) -> list[Launch]:
    """Every kernel that the bench runs on a device."""

    def run() -> None:
        for label, work in scope.works("meta"):
            work.run()
            if scope.searched(label):
                for cut, tiles in cuts(work):
                    work.run(cut, tiles)

    return record(run, device)


def compile_share(index: int, count: int, scope: Scope) -> None:
    """Every count-th kernel into Triton's cache."""
    here = Device.of(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    for launch in launches(here, scope)[index::count]:
        try:
            machine_code(launch, here.capability)
        except Exception as fault:  # the row will say so
            print(launch.kernel.__name__, repr(fault)[:100], file=sys.stderr)


def compile_all(scope: Scope) -> None:
    """Every kernel into Triton's cache, by as many processes as there are cores."""
    count = min(16, os.cpu_count() or 1)
    share = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    told = [json.dumps([index, count, asdict(scope)]) for index in range(count)]
    command = [sys.executable, "-m", "benchmarks.four_bits"]
    compilers = [subprocess.Popen(command, env={**share, TASK: task}) for task in told]
    for compiler in compilers:
        compiler.wait()


def told_scope(values: dict[str, Any]) -> Scope:
    """A scope that came through the environment."""
    cases = tuple(Case(**case) for case in values["cases"])
    return Scope(cases, tuple(values["rows"]), tuple(values["labels"]), values["search"])


def table(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """A line a product and number of rows: microseconds by format, and percent of the limit."""
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows:
        if "cut" in row or "us" not in row:
            continue
        key = _key(row)[:4]
        line = lines.setdefault(key, dict(zip(("model", "op", "shape", "rows"), key, strict=True)))
        mark = "" if row["right"] else " WRONG"
        line[row["format"]] = f"{row['us']:.1f} ({row['percent_of_limit']:.0f}%){mark}"
    return list(lines.values())


def fastest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a search, the best cut of each product."""
    best: dict[tuple, dict[str, Any]] = {}
    searched = {_key(row) for row in rows if "cut" in row}
    for row in rows:
        key = _key(row)
        if key in searched and "us" in row and row["right"] and row["us"] < best.get(key, row | {"us": 1e9})["us"]:
            best[key] = row
    return list(best.values())


def _key(row: dict[str, Any]) -> tuple:
    return (*(str(row[name]) for name in ("model", "op", "shape", "rows", "format")),)


def measure(
    scope: Scope | None = None, minutes: float = 4.5, say: Callable[[str], None] = print
) -> tuple[list[dict[str, Any]], Ceilings | None]:
    """Every kernel's row, as `rows_of` has it, and what the GPU gives at most.

    Args:
        scope: by default everything, or what an interpreter can do in seconds.
    """
    until, gpu = time.monotonic() + 60 * minutes, torch.cuda.is_available()
    scope = scope or (Scope(CASES, ROWS, LABELS) if gpu else Scope(SMALL, SMALL_ROWS, LABELS))
    if gpu:
        compile_all(scope)
    limit = Ceilings.measure() if gpu else None
    rows = []
    for row in rows_of(scope, limit, until, say):
        rows.append(row)
        if row["right"] is not True or not gpu:
            say(str({name: value for name, value in row.items() if name != "cut"}))
    return rows, limit


def main(
    out: Out = None,
    search: Annotated[bool, typer.Option(help="Try other cuts of NVFP4 too.")] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="Start nothing after.")] = 4.5,
    model: Annotated[str | None, typer.Option(help="Only products of this model: r1, r1-tp4, r1-tp8.")] = None,
    op: Annotated[str | None, typer.Option(help="Only dense, up or down.")] = None,
    rows: Annotated[list[int] | None, typer.Option(min=1, help="May be repeated. Default: 1 to 2048.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="As nvfp4; may be repeated. Default: all.")] = None,
) -> None:
    """Packed weights of four bits: every kernel against float64, and its time beside FP8's, bf16's and the limit."""
    if unknown := [label for label in format or () if label not in LABELS]:
        raise typer.BadParameter(f"{unknown[0]!r} is unknown; known: {', '.join(LABELS)}")
    some = any(value for value in (search, model, op, rows, format))
    found, limit = measure(Scope.of(model, op, rows or (), format or (), search) if some else None, minutes)
    if limit is not None:
        print_rows(table(found))
        for row in fastest(found):
            print(row["model"], row["op"], row["shape"], row["rows"], row["format"], f"{row['us']:.1f} us:",
                  row.get("cut", "as chosen"), row.get("run") or "")  # fmt: skip
    if out is not None:
        print(write_result(out, "four-bits", found, ceilings=None if limit is None else asdict(limit)))
    if any(row["right"] is not True for row in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    if TASK in os.environ:
        index, count, asked = json.loads(os.environ[TASK])
        compile_share(index, count, told_scope(asked))
    else:
        script(main)

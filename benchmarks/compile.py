"""Compiles a model's kernels for Hopper and Blackwell without a GPU: `python -m benchmarks.compile r1-tp8`.

`conversion` in place of a model are the kernels that `hopwell quantize` launches for R1's experts.

Prints a JSON list, an entry a compiled kernel: registers, local memory, shared memory, matrix instructions. `--out`
writes what they come to by kernel's name: the most of each among its variants.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.compiled import Compiled, compile_all
from hopwell.bench.models import bench_config
from hopwell.cli.result import write_result
from hopwell.formats.blocks import FORMATS
from hopwell.model.four_bits import FourBits
from hopwell.model.settings import ModelSettings
from hopwell.model.shipped import shipped_config
from hopwell.model.warm import MAX_ROWS, launches
from hopwell.ops.compile.aot import Launch, record
from hopwell.ops.device import Device
from hopwell.quantization.gptq import BLOCK

SHARED_MEMORY = 232448
"""Bytes of shared memory that a program may take (CUDA C++ guide, compute capability 9.0 and 10.0)."""


@dataclass(frozen=True)
class KernelRow(Compiled):
    """A kernel, compiled, and judged."""

    fits: bool
    """In the shared memory of a multiprocessor."""


def conversion_launches(arch: int) -> list[Launch]:
    """What choosing codes launches, in every format, for a matrix of an expert of R1."""
    from hopwell.quantization import gptq_triton

    def meta(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    def run() -> None:
        out, width = 2048, 7168
        values, square, scale = meta(out, width), meta(BLOCK, BLOCK), meta(out, BLOCK)
        block = values[:, :BLOCK]
        for fmt in FORMATS.values():
            gptq_triton.feed_back(block, scale, square, fmt.elements)
            gptq_triton.descend(block, block, scale, square, fmt.elements)
            if fmt.bits == 4:
                span, local = values[:, : fmt.columns], meta(fmt.columns, fmt.columns)
                tried, scales = meta(8, out), meta(out, width // fmt.columns)
                target = meta(out, fmt.columns)
                gptq_triton.rescale(target, span, span, tried, scales[:, 0], meta(1), local, local, fmt.elements)

    return record(run, Device.of_arch(arch))


def kernel_rows(
    model: str,
    batches: list[int],
    archs: list[int],
    settings: ModelSettings | None = None,
    max_rows: int = MAX_ROWS,
    four_bits: str | None = None,
) -> list[KernelRow]:
    """Every kernel of decode steps at these batches, and of prompts up to `max_rows` rows, for each architecture.

    Args:
        four_bits: the format that networks and experts are in, in place of the model's own.
    """
    rows = []
    for arch in archs:
        if model == "conversion":
            todo = conversion_launches(arch)
        else:
            drafts = bool((shipped_config(model) or {}).get("num_nextn_predict_layers"))
            values = bench_config(model, mtp=drafts).raw
            if four_bits is not None:
                values = FourBits.of(four_bits, "bf16").described(values)
            todo = launches(values, Device.of_arch(arch), settings, max_rows, batches)
        rows += [KernelRow(**asdict(c), fits=c.shared_bytes <= SHARED_MEMORY) for c in compile_all(todo, [arch])]
    return rows


@dataclass(frozen=True)
class KernelSummary:
    """The compiled variants of one kernel in one model on one architecture."""

    model: str
    arch: int
    kernel: str
    variants: int
    registers: int
    """The most among them, as all that follow."""
    stack_bytes: int
    shared_bytes: int
    matrix_instructions: int
    operand_rows: int
    fit: int
    """How many of them fit in the shared memory of a multiprocessor."""


def summaries(model: str, rows: Iterable[KernelRow]) -> list[KernelSummary]:
    """What a model's kernels come to, by architecture and name."""
    groups: dict[tuple[int, str], list[KernelRow]] = defaultdict(list)
    for row in rows:
        groups[row.arch, row.kernel].append(row)
    return [
        KernelSummary(
            model, arch, kernel, len(group), max(row.registers for row in group),
            max(row.stack_bytes for row in group), max(row.shared_bytes for row in group),
            max(row.matrix_instructions for row in group), max(row.operand_rows for row in group),
            sum(row.fits for row in group),
        )
        for (arch, kernel), group in sorted(groups.items())
    ]  # fmt: skip


def main() -> None:
    """Compiles, and prints or writes what came out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("models", nargs="+", help="Or `conversion`.")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--archs", type=int, nargs="+", default=[90, 100])
    parser.add_argument("--cache-dtype", default="auto")
    parser.add_argument("--activations", help="fp8, bf16 or auto.")
    parser.add_argument("--four-bits", help="Networks and experts in this format, packed: nvfp4, mxfp4, ...")
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS, help="Of a step; under 129: no prompts.")
    parser.add_argument("--out", type=Path, help="JSON file or folder for the summary, in place of printing all.")
    options = parser.parse_args()
    settings = ModelSettings(
        cache_dtype=options.cache_dtype,
        activations=options.activations,
        four_bits="expanded" if options.four_bits is None else "packed",
    )
    found = {
        model: kernel_rows(model, options.batches, options.archs, settings, options.max_rows, options.four_bits)
        for model in options.models
    }
    if options.out is None:
        print(json.dumps([{"model": model, **asdict(row)} for model, rows in found.items() for row in rows], indent=1))
    else:
        rows = [asdict(each) for model, rows in found.items() for each in summaries(model, rows)]
        print(write_result(options.out, "compile", rows, cache_dtype=options.cache_dtype,
                           activations=options.activations, four_bits=options.four_bits))  # fmt: skip


if __name__ == "__main__":
    main()

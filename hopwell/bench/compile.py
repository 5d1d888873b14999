"""Compiles a model's kernels for Hopper and Blackwell without a GPU: `python -m hopwell.bench.compile r1-tp8`.

`conversion` in place of a model are the kernels that `hopwell quantize` launches for R1's experts.

Prints a JSON list, one entry a kernel and architecture: registers, local memory, shared memory, matrix instructions.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from hopwell.bench.models import bench_config
from hopwell.bench.result import write_result
from hopwell.formats.blocks import FORMATS
from hopwell.model.warm import MAX_ROWS, launches
from hopwell.ops.aot import Launch, compile_all, record
from hopwell.precision.feedback import BLOCK

SHARED_MEMORY = 232448
"""Bytes of shared memory that a program may take (CUDA C++ guide, compute capability 9.0 and 10.0)."""


@dataclass(frozen=True)
class KernelRow:
    """A kernel, compiled."""

    kernel: str
    arch: int
    constants: dict[str, object]
    warps: int
    stages: int
    registers: int
    stack_bytes: int
    """Local memory a thread; above zero when registers were spilled."""
    shared_bytes: int
    matrix_instructions: int
    operand_rows: int
    """Of the tallest operand in shared memory; above 256 Triton 3.6 gives wrong results."""
    fits: bool
    """In the shared memory of a multiprocessor."""


def conversion_launches(arch: int) -> list[Launch]:
    """What choosing codes launches, in every format, for a matrix of an expert of R1."""
    from hopwell.ops import codes_triton

    def meta(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    def run() -> None:
        out, width = 2048, 7168
        values, square, scale = meta(out, width), meta(BLOCK, BLOCK), meta(out, BLOCK)
        block = values[:, :BLOCK]
        for fmt in FORMATS.values():
            codes_triton.feed_back(block, scale, square, fmt.elements)
            codes_triton.descend(block, block, scale, square, fmt.elements)
            if fmt.bits == 4:
                span, local = values[:, : fmt.columns], meta(fmt.columns, fmt.columns)
                tried, scales = meta(8, out), meta(out, width // fmt.columns)
                target = meta(out, fmt.columns)
                codes_triton.rescale(target, span, span, tried, scales[:, 0], meta(1), local, local, fmt.elements)

    return record(run, arch)


def kernel_rows(
    model: str,
    batches: list[int],
    archs: list[int],
    cache_dtype: str = "auto",
    max_rows: int = MAX_ROWS,
    activations: str | None = None,
) -> list[KernelRow]:
    """Every kernel of decode steps at these batches, and of prompts up to `max_rows` rows, for each architecture."""
    rows = []
    for arch in archs:
        if model == "conversion":
            todo = conversion_launches(arch)
        else:
            todo = launches(bench_config(model).raw, arch, cache_dtype, batches, max_rows, activations)
        rows += [KernelRow(**asdict(c), fits=c.shared_bytes <= SHARED_MEMORY) for c in compile_all(todo, [arch])]
    return rows


def main() -> None:
    """Compiles, and prints or writes what came out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("models", nargs="+", help="Or `conversion`.")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--archs", type=int, nargs="+", default=[90, 100])
    parser.add_argument("--cache-dtype", default="auto")
    parser.add_argument("--activations", help="fp8, bf16 or auto.")
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS, help="Of a step; under 129: no prompts.")
    parser.add_argument("--out", type=Path, help="JSON file or folder for the result, in place of printing it.")
    options = parser.parse_args()
    rows = []
    for model in options.models:
        found = kernel_rows(
            model, options.batches, options.archs, options.cache_dtype, options.max_rows, options.activations
        )
        rows += [{"model": model, **asdict(row)} for row in found]
    if options.out is None:
        print(json.dumps(rows, indent=1))
    else:
        print(write_result(options.out, "compile", rows, cache_dtype=options.cache_dtype,
                           activations=options.activations))  # fmt: skip


if __name__ == "__main__":
    main()

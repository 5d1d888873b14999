"""The compile gate: every kernel of a decode step, a prompt or a conversion becomes machine code within bounds, at real
sizes.

In another process, since this one may have Triton's interpreter on.
"""

from __future__ import annotations

import json

import pytest
import torch
from compiling import compiled

pytest.importorskip("triton")

SPILL = {90: 0, 100: 16}
"""Bytes a thread that a kernel may spill."""
SPILL_AROUND = {"_rows_by_weights": 128, "_prefill_apart": 64}
"""The same where warps part ways: what they take along crosses a point with few registers, outside of every loop."""


def report(model: str, *options: str) -> list[dict]:
    return json.loads(compiled("from benchmarks.compile import main\nmain()", model, *options))


DECODE = {"_embed", "_add_norm", "_product", "_latent_and_query", "_absorb_query", "_combine_heads", "_select", "_up",
          "_silu_mul"}  # fmt: skip
DRAFTS = {"_begin", "_verify", "_drafted", "_fill"}
FEW = {"_product_ahead", "_experts_down"}  # on Hopper
PROMPT = {"_quantize", "_sort", "_rotate_query"}
PACKED = {"_product_packed", "_up_packed", "_down_packed"}
LONG = {"_rows_by_weights", "_prefill_apart"}  # on Hopper
CODES = {"_feed_back", "_descend", "_rescale"}
MULTIPLY = {"_product", "_up", "_down", "_decode", "_decode_rows", "_absorb_query", "_combine_heads", "_prefill",
            "_decode_64", "_decode_codes", *FEW, *LONG, *PACKED}  # fmt: skip


CASES = {
    "r1-tp8": ("r1-tp8", 90, ("--batches", "1", "128"), DECODE | FEW | PROMPT | LONG | {"_decode"}),
    "r1-slice": (
        "r1-slice",
        90,
        ("--batches", "8", "--max-rows", "1"),
        DECODE | {"_down", "_product_ahead", "_decode_64"},
    ),
    "r1-tp8-fp8-cache": (
        "r1-tp8",
        90,
        ("--batches", "128", "--max-rows", "1", "--cache-dtype", "fp8"),
        DECODE | DRAFTS | {"_experts_down", "_decode_codes"},
    ),
    "r1-tp8-bf16-rows": (
        "r1-tp8",
        90,
        ("--batches", "64", "--max-rows", "140", "--activations", "bf16"),
        DECODE | PROMPT - {"_quantize"} | {"_down", "_prefill_apart"},
    ),
    "r1-slice-nvfp4": (
        "r1-slice",
        90,
        ("--batches", "8", "64", "--max-rows", "140", "--four-bits", "nvfp4"),
        DECODE - {"_up"} | PACKED,
    ),
    "v2-lite-int4-blackwell": (
        "v2-lite",
        100,
        ("--batches", "8", "--max-rows", "1", "--four-bits", "int4_g128"),
        DECODE - {"_up"} | PACKED,
    ),
    "r1-tp8-blackwell": ("r1-tp8", 100, ("--batches", "128", "--max-rows", "1"), DECODE | {"_down", "_decode_rows"}),
    "r1-tp8-blackwell-bf16-rows": (
        "r1-tp8",
        100,
        ("--batches", "64", "--max-rows", "1", "--activations", "bf16"),
        DECODE | {"_down"},
    ),
    "v2-lite-blackwell": (
        "v2-lite",
        100,
        ("--batches", "32", "--max-rows", "140"),
        DECODE | PROMPT - {"_quantize"} | {"_down", "_decode_rows", "_prefill"},
    ),
    "conversion": ("conversion", 90, (), CODES),
    "conversion-blackwell": ("conversion", 100, (), CODES),
}
QUICK = ("conversion",)


@pytest.mark.parametrize("case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES])
def test_kernels_compile_within_bounds(case: str) -> None:
    model, arch, options, wanted = CASES[case]
    rows = report(model, "--archs", str(arch), *options)
    assert wanted <= {row["kernel"] for row in rows}
    assert {row["arch"] for row in rows} == {arch}
    for row in rows:
        if row["kernel"] in MULTIPLY:
            assert row["matrix_instructions"] > 0, row  # on the matrix unit
        assert row["fits"], row
        assert row["operand_rows"] <= 256, row  # taller ones are stored in one order and read in another
        assert row["stack_bytes"] <= SPILL_AROUND.get(row["kernel"], SPILL[arch]), row


@pytest.mark.slow
def test_a_stub_is_built_where_there_is_a_driver() -> None:
    """And nothing fails where there is none."""
    script = (
        "import torch\nfrom hopwell.ops import quantize_triton\n"
        "from hopwell.ops.compile.aot import build_stub, machine_code, record\n"
        "x = torch.empty(3, 128, dtype=torch.bfloat16, device='meta')\n"
        "(launch,) = record(lambda: quantize_triton.quantize(x)); print(build_stub(machine_code(launch, 90)))"
    )
    assert compiled(script).split() == [str(torch.cuda.is_available())]

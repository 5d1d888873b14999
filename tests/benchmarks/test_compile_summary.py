"""What compiled kernels come to: the most of each by name, so that a refresh moves a line a kernel."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")

from benchmarks.compile import KernelRow, summaries


def test_variants_of_a_kernel_are_one_row() -> None:
    one = KernelRow("_up", 90, {"N": 1}, 4, 3, 100, 0, 1000, 8, 64, True)
    two = KernelRow("_up", 90, {"N": 2}, 4, 3, 90, 16, 2000, 4, 128, False)
    other = KernelRow("_down", 100, {}, 4, 3, 90, 0, 10, 4, 128, True)
    rows = summaries("r1-tp8", [one, two, other])
    assert [(row.arch, row.kernel, row.variants, row.fit) for row in rows] == [(90, "_up", 2, 1), (100, "_down", 1, 1)]
    most = rows[0]
    assert (most.registers, most.stack_bytes, most.shared_bytes) == (100, 16, 2000)
    assert (most.matrix_instructions, most.operand_rows) == (8, 128)

"""The bench of packed weights runs where there is no GPU, and says what is wrong."""

from __future__ import annotations

import pytest
import torch
from compiling import compiled

pytest.importorskip("triton")

from benchmarks import four_bits
from hopwell.ops import linear_packed_triton


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="measures for minutes on a GPU")
def test_small_sizes_are_right_and_a_fault_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(four_bits, "LABELS", ("nvfp4", "fp8_block"))
    monkeypatch.setattr(four_bits, "SMALL_ROWS", (5,))
    rows, limit = four_bits.measure(say=lambda line: None)
    assert limit is None and len(rows) == 6 and all(row["right"] for row in rows)
    right = linear_packed_triton.multiply
    monkeypatch.setattr(linear_packed_triton, "multiply", lambda x, w, out, *a: right(x, w, out, *a) or out.mul_(1.01))
    wrong = [row for row in four_bits.measure(say=lambda line: None)[0] if not row["right"]]
    assert [(row["op"], row["format"]) for row in wrong] == [("dense", "nvfp4")]


@pytest.mark.slow
def test_all_kernels_can_be_compiled_ahead() -> None:
    script = (
        "from benchmarks import four_bits\nfrom hopwell.ops.device import HOPPER\n"
        "scope = four_bits.Scope(four_bits.CASES, four_bits.ROWS)\n"
        "print(*sorted({launch.kernel.__name__ for launch in four_bits.launches(HOPPER, scope)}))"
    )
    assert set(compiled(script).split()) >= {
        "_product_packed",
        "_up_packed",
        "_down_packed",
        "_sort",
        "_up",
        "_product",
    }


def test_a_line_a_product_and_the_best_cut() -> None:
    head = {"model": "r1", "op": "up", "shape": [4, 8], "rows": 1, "format": "nvfp4", "right": True}
    rows = [{**head, "us": 2.0, "percent_of_limit": 50.0}, {**head, "us": 1.0, "percent_of_limit": 100.0, "cut": {}}]
    assert four_bits.table(rows) == [{"model": "r1", "op": "up", "shape": "[4, 8]", "rows": "1", "nvfp4": "2.0 (50%)"}]
    assert [row["us"] for row in four_bits.fastest(rows)] == [1.0]

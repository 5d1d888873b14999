"""What rounded rows cost nano, on a little text."""

from __future__ import annotations

import pytest

from benchmarks.activations import accuracy_rows
from hopwell.engine.loading import load_model
from hopwell.model.activations import products


@pytest.mark.slow
def test_rounding_to_e4m3_costs_more_than_rounding_to_bf16_and_both_little() -> None:
    loaded, exact = load_model(device="cpu", dtype="bfloat16"), load_model(device="cpu", dtype="float32")
    bf16, fp8, between = accuracy_rows(loaded.model, exact.model, loaded.path, 256, seed=3)
    assert [(r.reference, r.activations) for r in (bf16, fp8, between)] == [
        ("float32", "bf16"), ("float32", "fp8"), ("bf16", "fp8"),
    ]  # fmt: skip
    assert 0 < bf16.kl < fp8.kl < 0.1 and bf16.kl < between.kl and fp8.top1 > 0.9
    assert {w.rounds_from for w, _ in products(loaded.model)} == {None}  # as it was

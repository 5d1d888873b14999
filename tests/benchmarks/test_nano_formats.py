"""Nano in other formats: a row a way of holding its weights, told apart from one that is wrong."""

from __future__ import annotations

import pytest

from benchmarks import nano_formats
from hopwell.model import NANO


@pytest.mark.slow
def test_nano_solves_its_problems_and_is_like_itself() -> None:
    (row,) = nano_formats.solved(NANO, ["expanded"], 1, 3, "cpu")
    assert row["problems"] == len(row["by_task"]) >= 16 and row["solved"] >= row["problems"] - 2
    assert row["mean_logprob_difference"] == 0.0 and row["no_kernels"] is None and row["weight_bytes"] > 1e7

"""The printed kernel: each of its faults shows on an input, and Hopwell's attention is right on the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ROOT
from benchmarks.printed_faults import Fault, distance, errors, faults, table
from benchmarks.printed_kernel import hopwell, inputs, offset, operations, printed

FAULTS = faults()


@pytest.mark.parametrize("fault", FAULTS, ids=[str(i) for i in range(1, len(FAULTS) + 1)])
def test_a_fault_shows_on_its_input(fault: Fault) -> None:
    assert fault.shown, fault


def test_there_are_eleven_and_the_page_has_them() -> None:
    page = (ROOT / "docs" / "printed-kernel.md").read_text(encoding="utf-8")
    assert len(FAULTS) == 11 and table(FAULTS) in page, "write it anew from: python -m benchmarks.printed_kernel"
    least, middle, greatest = errors()
    assert f"{least:.1f} to {greatest:.1f} (middle {middle:.1f})" in page


@pytest.mark.parametrize(("batch", "length", "dim"), [(1, 4, 4), (2, 4, 4), (3, 70, 16)])
def test_hopwells_is_attention_on_the_same_arrays(batch: int, length: int, dim: int) -> None:
    q, k, v = inputs(batch, length, dim)
    scores = q @ k.swapaxes(1, 2) / np.float32(dim**0.5)
    scores[:, *np.triu_indices(length, 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    right = weights / weights.sum(-1, keepdims=True) @ v
    assert distance(hopwell(q, k, v), right) < 1e-6
    assert distance(printed(q, k, v).out[np.isfinite(printed(q, k, v).out)], right[printed(q, k, v).writes > 0]) > 0.3


def test_the_emulation_by_hand() -> None:
    """2 tokens of 2 features: a score a pair of features, the sum of the row of the thread's number modulo 2."""
    q = np.array([[[1, 2], [3, 4]]], np.float32)
    k = np.array([[[5, 6], [7, 8]]], np.float32)
    v = np.array([[[1, 10], [100, 1000]]], np.float32)
    pairs = np.array([[1 * 5 + 3 * 7, 2 * 5 + 4 * 7], [1 * 6 + 3 * 8, 2 * 6 + 4 * 8]]) / 2**0.5  # [K's, Q's]
    row = np.exp(pairs).sum(1)
    expected = [np.exp(pairs[0, 0]) / row[0], np.exp(pairs[0, 1]) / row[1] * 10]
    expected += [np.exp(pairs[1, 0]) / row[0] * 100, np.exp(pairs[1, 1]) / row[1] * 1000]
    found = printed(q, k, v)
    assert np.allclose(found.out.reshape(-1), expected, rtol=1e-5) and found.right_reads.all()
    assert offset(3, 2, 2) == 12 and offset(16384, 1024, 128) == -(1 << 31) and operations(2, 2) == (16, 32)

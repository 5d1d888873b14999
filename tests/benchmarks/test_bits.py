"""Digests tell one bit from none."""

from __future__ import annotations

import torch

from benchmarks.bits import FAMILIES, bits


def test_the_same_code_has_the_same_digests() -> None:
    rows = list(bits((torch.float32,)))
    assert [row.model for row in rows] == ["nano", *FAMILIES] and len({row.digest for row in rows}) == len(rows)
    assert rows == list(bits((torch.float32,)))

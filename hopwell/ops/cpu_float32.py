"""Batched float32 products on a CPU, a row's bits the same beside any others: what attention and the router need."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

SUMMED_COLUMNS = 128
"""Columns that `weighted_sum` adds up at once."""


@dataclass(frozen=True, slots=True)
class RowRule:
    """How many rows a library is given at once, so that it adds up each in one order."""

    least: int
    """Rows of what is left of tiles, at the least: fewer are padded."""
    tile: int = sys.maxsize
    most: int = sys.maxsize
    """Whole tiles: of more rows each so many are a product of their own."""

    def padded(self, rows: int) -> int:
        """Rows that such a product is given, for at most `most`."""
        rest = rows % self.tile
        return rows + (self.least - rest if 0 < rest < self.least else 0)


RULES = (RowRule(4), RowRule(16), RowRule(4, tile=6, most=48))
"""The first that holds on a CPU is its own: MKL's on AMD; on Intel with AVX-512; and with AVX2, whose kernels take six
rows, are others for a rest of one to three, and from 56 rows on turn the product round."""


@cache
def row_rule() -> RowRule | None:
    """The rule that this CPU was found to keep; None: none of them."""
    return next((rule for rule in RULES if _alike(rule)), None)


def alike() -> bool:
    """Whether float32 products of this CPU add up a row in one order, however many rows, columns and zeros after it
    there are: so it is on those that were tried, and nowhere promised."""
    return row_rule() is not None


def filled(left: Tensor) -> Tensor:
    """left [n, rows, in] with rows of zeros behind, if `product` would add some: once for products that follow."""
    if left.device.type != "cpu" or left.dtype != torch.float32:
        return left
    missing = (row_rule() or RULES[0]).padded(left.shape[1]) - left.shape[1]
    return torch.constant_pad_nd(left, (0, 0, 0, missing)) if missing else left


def product(left: Tensor, right: Tensor) -> Tensor:
    """Batched matrix products; a row's bits are the same beside any others on a CPU for which `alike` says so."""
    if left.device.type != "cpu" or left.dtype != torch.float32:
        return torch.bmm(left, right)
    return _product(left, right, row_rule() or RULES[0])


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """weights [n, queries, columns] @ rows [n, columns, 576], the same bits with any number of zero columns behind, on
    a CPU for which `alike` says so: float32 products of more columns are added up in an order that hangs on them."""
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return torch.bmm(weights, rows)
    return _weighted_sum(weights, rows, row_rule() or RULES[0])


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight.T in float32: x [a multiple of 16, in], weight [out, in]; of each row the same bits beside others."""
    rule = row_rule() if x.device.type == "cpu" else None
    if rule is None or (len(x) <= rule.most and rule.padded(len(x)) == len(x)):
        return torch.nn.functional.linear(x, weight)
    return _product(x.unsqueeze(0), weight.t().unsqueeze(0), rule).squeeze(0)


def _product(left: Tensor, right: Tensor, rule: RowRule) -> Tensor:
    rows = left.shape[1]
    if rows > rule.most:
        return torch.cat([_product(part, right, rule) for part in left.split(rule.most, dim=1)], dim=1)
    missing = rule.padded(rows) - rows
    if not missing:
        return torch.bmm(left, right)
    return torch.bmm(torch.constant_pad_nd(left, (0, 0, 0, missing)), right)[:, :rows]


def _weighted_sum(weights: Tensor, rows: Tensor, rule: RowRule) -> Tensor:
    if rows.shape[1] <= SUMMED_COLUMNS:
        return _product(weights, rows, rule)
    total = _product(weights[..., :SUMMED_COLUMNS], rows[:, :SUMMED_COLUMNS], rule)
    for at in range(SUMMED_COLUMNS, rows.shape[1], SUMMED_COLUMNS):
        total += _product(weights[..., at : at + SUMMED_COLUMNS], rows[:, at : at + SUMMED_COLUMNS], rule)
    return total


def _alike(rule: RowRule) -> bool:
    random = torch.Generator().manual_seed(0)
    queries, rows = torch.randn(2, 64, 576, generator=random), torch.randn(2, 256, 576, generator=random)
    scores = _product(queries, rows.transpose(1, 2), rule)
    for columns in (64, 192):
        weights = torch.zeros_like(scores)
        weights[..., :columns] = scores[..., :columns].softmax(dim=-1)
        mixed = _weighted_sum(weights, rows, rule)
        for few in (1, 4, 8, 20, 48):
            part = _product(queries[:1, :few], rows[:1, :columns].transpose(1, 2), rule)
            if not torch.equal(part, scores[:1, :few, :columns]):
                return False
            sums = _weighted_sum(weights[:1, :few, :columns], rows[:1, :columns], rule)
            if not torch.equal(sums, mixed[:1, :few]):
                return False
    return True

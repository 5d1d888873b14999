"""Which rows each expert multiplies.

A tile is up to TILE rows of one expert. For up to 16 tokens every (token, slot) pair is a tile's candidate and each
program of the first product finds its own rows among the pairs: the first pair that names an expert leads it, the
others have nothing to do; what they find they leave for the second product. For more tokens one kernel sorts the pairs
by expert first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.triton_common import capability, cdiv, launch, let_next_start, next_power_of_2, wait_for_inputs

LEADERS_UP_TO = 16
"""Tokens up to which programs find their rows themselves; also the rows of a tile then."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which rows each expert multiplies."""

    expert_ids: Tensor
    """int32 [tokens, slots]."""
    experts: int
    tile: int
    """Rows of a tile at most."""
    pairs: Tensor
    """int32 [pairs]: pairs (token * slots + slot) sorted by expert; without `sorted` int32 [tiles * tile]."""
    tiles: Tensor
    """int32 [tiles, 3]: expert, first place in `pairs`, rows (0: nothing to do)."""
    sorted: bool = True
    """Else `experts_up` finds `pairs` and `tiles`, and writes them for `experts_down`."""

    @property
    def lead(self) -> int:
        """Pairs that a program looks through for its own, as a power of two; 0 when they are sorted."""
        return 0 if self.sorted else next_power_of_2(self.expert_ids.numel())

    @property
    def tile_count(self) -> int:
        return self.tiles.shape[0]


@triton.jit(do_not_specialize=["pairs"])
def _sort(expert_ids, sorted_pairs, tiles, pairs, EXPERTS: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    expert = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    below = tl.zeros((BLOCK,), tl.int32)
    equal = tl.zeros((BLOCK,), tl.int32)
    wait_for_inputs()
    let_next_start()
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS)
        below += (ids < expert).to(tl.int32)
        equal += (ids == expert).to(tl.int32)
    first, count = tl.sum(below), tl.sum(equal)

    place = first
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS)
        mine = (ids == expert).to(tl.int32)
        tl.store(sorted_pairs + place + tl.cumsum(mine) - 1, start + lane, mask=mine > 0)
        place += tl.sum(mine)

    # an expert's first tile has a fixed place; its further ones lie where the pairs before it end, in units of tiles,
    # which no two experts share: floor(a) + ceil(b) - 1 <= floor(a + b)
    tl.store(tiles + expert * 3, expert)
    tl.store(tiles + expert * 3 + 1, first)
    tl.store(tiles + expert * 3 + 2, tl.minimum(count, TILE))
    for index in range(first // TILE, (first + count) // TILE):
        done = (index - first // TILE + 1) * TILE
        at = tiles + (EXPERTS + index) * 3
        tl.store(at, expert)
        tl.store(at + 1, first + done)
        tl.store(at + 2, tl.minimum(tl.maximum(count - done, 0), TILE))


def group_by_expert(expert_ids: Tensor, experts: int, tile: int | None = None) -> Groups:
    """Prepares the pairs of int32 expert_ids [tokens, slots], all below `experts`, for the products below; in tiles of
    `tile` rows, by default as suits their number."""
    tokens, slots = expert_ids.shape
    if tile is None:
        tile = tile_rows(expert_ids.numel(), experts, capability(expert_ids.device))
    pairs, device = tokens * slots, expert_ids.device
    if tokens <= LEADERS_UP_TO:
        found = torch.empty(pairs * LEADERS_UP_TO, dtype=torch.int32, device=device)
        tiles = torch.empty(pairs, 3, dtype=torch.int32, device=device)
        return Groups(expert_ids, experts, LEADERS_UP_TO, found, tiles, sorted=False)
    sorted_pairs = torch.empty(pairs, dtype=torch.int32, device=device)
    tiles = torch.empty(experts + pairs // tile, 3, dtype=torch.int32, device=device)
    block, warps = (4096, 8) if tile >= 64 else (1024, 4)  # for many pairs
    launch(
        _sort, (experts,), expert_ids, sorted_pairs, tiles, pairs, EXPERTS=experts, TILE=tile, BLOCK=block, warps=warps
    )
    return Groups(expert_ids, experts, tile, sorted_pairs, tiles)


@triton.jit
def rows_of_tile(pairs, tiles, tile, SORTED: tl.constexpr, BT: tl.constexpr):
    """A tile's expert, how many rows it has, their pairs [BT], and where their inner activations are kept [BT]: in the
    order of the experts if pairs are sorted, else where the pair is."""
    row = tl.arange(0, BT)
    expert = tl.load(tiles + tile * 3)
    first = tl.load(tiles + tile * 3 + 1)
    count = tl.load(tiles + tile * 3 + 2)
    pair = tl.load(pairs + first + row, mask=row < count, other=0)
    return expert, count, pair, first + row if SORTED else pair


@triton.jit
def find_rows(expert_ids, tile, tokens, SLOTS: tl.constexpr, LEAD: tl.constexpr, BT: tl.constexpr):
    """A pair's expert and, if it is the first pair to name it, how many do, and which [BT]; else 0 and no matter.

    LEAD is a power of two that no batch's pairs exceed.
    """
    pair = tl.arange(0, LEAD)
    ids = tl.load(expert_ids + pair, mask=pair < tokens * SLOTS, other=-1)
    expert = tl.load(expert_ids + tile)
    mine = ids == expert
    rank = tl.cumsum(mine.to(tl.int32)) - 1
    leads = tl.min(tl.where(mine, pair, LEAD)) == tile
    count = tl.where(leads, tl.sum(mine.to(tl.int32)), 0)
    hit = mine[:, None] & (rank[:, None] == tl.arange(0, BT)[None, :])
    return expert, count, tl.sum(tl.where(hit, pair[:, None], 0), axis=0)


def tile_rows(pairs: int, experts: int, capability: int = 90) -> int:
    """Rows of a tile: rather more than what an expert gets of `pairs` (token, slot) pairs, for a second tile reads the
    weights again. On Blackwell (100) 128 would spill."""
    a_expert = cdiv(pairs, experts)
    most = 128 if capability < 100 else 64
    return 16 if a_expert <= 2 else max(32, min(most, next_power_of_2(a_expert + a_expert // 2)))

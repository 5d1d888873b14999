"""Which rows each expert multiplies.

A tile is up to TILE rows of one expert. For up to 16 tokens every (token, slot) pair is a tile's candidate and each
program of the first product finds its own rows among the pairs: the first pair that names an expert leads it, the
others have nothing to do; what they find they leave for the second product. For more tokens one kernel sorts the pairs
by expert first.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.moe_choice import group
from hopwell.ops.moe_experts import Groups
from hopwell.ops.triton_common import launch, launch_device, let_next_start, wait_for_inputs


@triton.jit(do_not_specialize=["pairs"])
def _sort(expert_ids, sorted_pairs, tiles, pairs, EXPERTS: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """Sorts (token, slot) pairs by expert, a counting sort with a program an expert, and lists the tiles of each.

    Grid (EXPERTS,). expert_ids int32 [pairs]. Writes sorted_pairs int32 [pairs] and tiles int32 [.., 3] as
    `moe_experts.Groups` has them.
    """
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


def group_by_expert(expert_ids: Tensor, experts: int, tile: int | None = None, packed: bool = False) -> Groups:
    """Prepares the pairs of int32 expert_ids [tokens, slots], all below `experts`, for the products below; in tiles of
    `tile` rows, by default as suits their number, and experts that may be packed in four bits."""
    (tokens, slots), device = expert_ids.shape, expert_ids.device
    grouping, pairs = group(tokens, slots, experts, launch_device(device), tile, packed), tokens * slots
    tile, tiles = grouping.tile, torch.empty(grouping.tile_count, 3, dtype=torch.int32, device=device)
    if grouping.name == "leaders":
        found = torch.empty(pairs * tile, dtype=torch.int32, device=device)
        return Groups(expert_ids, experts, tile, found, tiles, sorted=False)
    sorted_pairs = torch.empty(pairs, dtype=torch.int32, device=device)
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

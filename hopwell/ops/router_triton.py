"""The router's choice and the sorting of (token, expert) pairs, as two kernels without atomics."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.linear_triton import Groups
from hopwell.ops.router import RouterConfig
from hopwell.ops.triton_common import launch, let_next_start, wait_for_inputs


@triton.jit(do_not_specialize=["tokens"])
def _select(
    parts,
    bias,
    expert_ids,
    weights,
    tokens,
    scaling,
    PARTS: tl.constexpr,
    EXPERTS: tl.constexpr,
    GROUPS: tl.constexpr,
    GROUP_SIZE: tl.constexpr,  # a power of two at or above EXPERTS / GROUPS
    KEPT_GROUPS: tl.constexpr,
    TOP_K: tl.constexpr,
    SHARED: tl.constexpr,
    SIGMOID: tl.constexpr,
    BIAS: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    token = tl.program_id(0)
    group = tl.arange(0, GROUPS)
    member = tl.arange(0, GROUP_SIZE)
    ids = group[:, None] * (EXPERTS // GROUPS) + member[None, :]
    exists = (member < EXPERTS // GROUPS)[None, :] & (group >= 0)[:, None]
    if BIAS:
        offset = tl.load(bias + ids, mask=exists, other=0.0)
    else:
        offset = tl.zeros((GROUPS, GROUP_SIZE), tl.float32)
    wait_for_inputs()
    logits = tl.zeros((GROUPS, GROUP_SIZE), tl.float32)
    for part in tl.static_range(PARTS):
        logits += tl.load(parts + (part * tokens + token) * EXPERTS + ids, mask=exists, other=0.0)
    let_next_start()
    if SIGMOID:
        scores = tl.sigmoid(logits)
    else:
        logits = tl.where(exists, logits, float("-inf"))
        scores = tl.exp(logits - tl.max(logits))
        scores = scores / tl.sum(scores)
    choice = tl.where(exists, scores + offset, float("-inf"))

    if GROUPS > KEPT_GROUPS:
        best = tl.max(choice, axis=1)
        if SIGMOID:  # V3 ranks a group by its two best experts, V2 by its best
            first = tl.min(tl.where(choice == best[:, None], member[None, :], GROUP_SIZE), axis=1)
            best += tl.max(tl.where(member[None, :] == first[:, None], float("-inf"), choice), axis=1)
        for _ in tl.static_range(GROUPS - KEPT_GROUPS):  # drop the worst group, the last of equals
            worst = tl.max(tl.where(best == tl.min(best), group, -1))
            choice = tl.where((group == worst)[:, None], float("-inf"), choice)
            best = tl.where(group == worst, float("inf"), best)

    slot = tl.arange(0, 16)
    chosen = tl.zeros((16,), tl.int32)
    chosen_score = tl.zeros((16,), tl.float32)
    for k in tl.static_range(TOP_K):  # the first of equals
        winner = tl.min(tl.where(choice == tl.max(choice), ids, EXPERTS))
        score = tl.sum(tl.where(ids == winner, scores, 0.0))
        choice = tl.where(ids == winner, float("-inf"), choice)
        chosen = tl.where(slot == k, winner, chosen)
        chosen_score = tl.where(slot == k, score, chosen_score)
    if NORMALIZE:
        chosen_score = chosen_score / (tl.sum(chosen_score) + 1e-20)
    # shared experts follow the routed ones: every token visits them, with weight 1
    chosen = tl.where(slot < TOP_K, chosen, EXPERTS + slot - TOP_K)
    chosen_score = tl.where(slot < TOP_K, chosen_score * scaling, 1.0)
    at = token * (TOP_K + SHARED) + slot
    tl.store(expert_ids + at, chosen, mask=slot < TOP_K + SHARED)
    tl.store(weights + at, chosen_score, mask=slot < TOP_K + SHARED)


def select_experts(parts: Tensor, bias: Tensor | None, config: RouterConfig, shared: int = 0) -> tuple[Tensor, Tensor]:
    """Chooses experts as `router.select_experts` does; of equal scores the lower expert wins.

    Args:
        parts: float32 [parts, tokens, experts], the logits as parts of a sum.
        bias: float32 [experts] or None.
        shared: shared experts, numbered after the routed ones, appended to every token's choice with weight 1.

    Returns:
        expert_ids int32 and weights float32, both [tokens, top_k + shared].
    """
    count, tokens, experts = parts.shape
    slots = config.top_k + shared
    if slots > 16:
        raise ValueError(f"{config.top_k} experts and {shared} shared ones a token are more than the 16 supported")
    expert_ids = torch.empty(tokens, slots, dtype=torch.int32, device=parts.device)
    weights = torch.empty(tokens, slots, device=parts.device)
    launch(
        _select,
        (tokens,),
        parts,
        bias,
        expert_ids,
        weights,
        tokens,
        config.routed_scaling_factor,
        PARTS=count,
        EXPERTS=experts,
        GROUPS=config.n_group,
        GROUP_SIZE=triton.next_power_of_2(experts // config.n_group),
        KEPT_GROUPS=config.topk_group,
        TOP_K=config.top_k,
        SHARED=shared,
        SIGMOID=config.scoring == "sigmoid",
        BIAS=bias is not None,
        NORMALIZE=config.norm_topk_prob,
        warps=1,
    )
    return expert_ids, weights


@triton.jit(do_not_specialize=["pairs", "max_tiles"])
def _group(
    expert_ids,
    sorted_pairs,
    tiles,
    pairs,
    max_tiles,
    EXPERTS: tl.constexpr,
    EXPERTS_P2: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    expert = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    every = tl.arange(0, EXPERTS_P2)
    counts = tl.zeros((EXPERTS_P2,), tl.int32)
    wait_for_inputs()
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS_P2 - 1)
        counts += tl.histogram(ids, EXPERTS_P2)
    let_next_start()
    counts = tl.where(every < EXPERTS, counts, 0)
    tiles_of = (counts + TILE - 1) // TILE
    before = every < expert
    first_pair = tl.sum(tl.where(before, counts, 0))
    first_tile = tl.sum(tl.where(before, tiles_of, 0))
    count = tl.sum(tl.where(every == expert, counts, 0))

    position = first_pair
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS_P2 - 1)
        mine = (ids == expert).to(tl.int32)
        tl.store(sorted_pairs + position + tl.cumsum(mine) - 1, start + lane, mask=mine > 0)
        position += tl.sum(mine)
    for tile in range(0, (count + TILE - 1) // TILE):
        at = tiles + (first_tile + tile) * 3
        tl.store(at, expert)
        tl.store(at + 1, first_pair + tile * TILE)
        tl.store(at + 2, tl.minimum(count - tile * TILE, TILE))
    if expert == 0:  # tiles nobody needs
        for tile in range(tl.sum(tiles_of), max_tiles):
            tl.store(tiles + tile * 3 + 2, 0)


def group_by_expert(expert_ids: Tensor, experts: int, tile_tokens: int) -> Groups:
    """Sorts (token, slot) pairs by expert, in order of token, and cuts each expert's into tiles.

    Args:
        expert_ids: int32 [tokens, slots], below `experts`.
        tile_tokens: rows of a tile.
    """
    tokens, slots = expert_ids.shape
    pairs = tokens * slots
    most = min(pairs, experts + pairs // tile_tokens)
    device = expert_ids.device
    groups = Groups(
        torch.empty(pairs, dtype=torch.int32, device=device),
        torch.empty(most, 3, dtype=torch.int32, device=device),
        tile_tokens,
        slots,
    )
    launch(
        _group,
        (experts,),
        expert_ids,
        groups.pairs,
        groups.tiles,
        pairs,
        most,
        EXPERTS=experts,
        EXPERTS_P2=triton.next_power_of_2(experts + 1),
        TILE=tile_tokens,
        BLOCK=128 if pairs <= 128 else 1024,
    )
    return groups

"""The router's choice: scores, group limits and top-k of a token in one program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.router import RouterConfig
from hopwell.ops.sizes import next_power_of_2
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
    """Scores, group limits and top-k of a token (V3 report, 2.1.2, equations 13 to 16; V2 report, 2.2.2), in one warp.

    Grid (tokens,). parts float32 [PARTS, tokens, EXPERTS], the logits' split-K partials; bias float32 [EXPERTS], for
    the choice alone. Writes expert_ids int32 and weights float32 [tokens, TOP_K + SHARED].
    """
    token = tl.program_id(0)
    group = tl.arange(0, GROUPS)
    member = tl.arange(0, GROUP_SIZE)
    exists = (member < EXPERTS // GROUPS)[None, :] & (group >= 0)[:, None]
    # hazard: padding must have nobody's number, or it answers for the next group's experts
    ids = tl.where(exists, group[:, None] * (EXPERTS // GROUPS) + member[None, :], EXPERTS)
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
        other = tl.reshape(best, (1, GROUPS))
        ahead = (other > best[:, None]) | ((other == best[:, None]) & (group[None, :] < group[:, None]))
        kept = tl.sum(ahead.to(tl.int32), axis=1) < KEPT_GROUPS
        choice = tl.where(kept[:, None], choice, float("-inf"))

    # hazard: a row of NaN must still name experts that exist; its request is ended elsewhere
    choice = tl.where(choice == choice, choice, -1e30)
    # in the order of their floats, as integers, which a warp reduces in one instruction; zeros are equal
    bits = tl.where(choice == 0.0, 0.0, choice).to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    rank = tl.full((GROUPS, GROUP_SIZE), TOP_K, tl.int32)
    for k in tl.static_range(TOP_K):  # the first of equals
        best_id = tl.min(tl.where(order == tl.max(order), ids, EXPERTS))
        rank = tl.where(ids == best_id, k, rank)
        order = tl.where(ids == best_id, -0x80000000, order)
    chosen = rank < TOP_K
    if NORMALIZE:
        scores = scores / (tl.sum(tl.where(chosen, scores, 0.0)) + 1e-20)
    row = token * (TOP_K + SHARED)
    tl.store(expert_ids + row + rank, ids, mask=chosen)
    tl.store(weights + row + rank, scores * scaling, mask=chosen)
    # shared experts follow the routed ones: every token visits them, with weight 1
    slot = tl.arange(0, 16)
    tl.store(expert_ids + row + TOP_K + slot, EXPERTS + slot, mask=slot < SHARED)
    tl.store(weights + row + TOP_K + slot, 1.0, mask=slot < SHARED)


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
        GROUP_SIZE=next_power_of_2(experts // config.n_group),
        KEPT_GROUPS=config.topk_group,
        TOP_K=config.top_k,
        SHARED=shared,
        SIGMOID=config.scoring == "sigmoid",
        BIAS=bias is not None,
        NORMALIZE=config.norm_topk_prob,
        warps=1,
    )
    return expert_ids, weights

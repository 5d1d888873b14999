"""The router: which experts a token visits, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.limits.cost import OpCost
from hopwell.ops import cpu_float32


@dataclass(frozen=True)
class RouterConfig:
    """How scores become choices. `sigmoid` is V3's auxiliary-loss-free routing, `softmax` is V2's."""

    top_k: int
    n_group: int = 1
    topk_group: int = 1
    scoring: str = "sigmoid"
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0


ROWS = 16
"""On a CPU, rows are padded to a multiple of this: see `route`."""


def select_experts(logits: Tensor, bias: Tensor | None, config: RouterConfig) -> tuple[Tensor, Tensor]:
    """Chooses experts, group by group (DeepSeek-V3 report, section 2.1.2; DeepSeek-V2, section 2.2.1).

    Args:
        logits: float32 [tokens, experts].
        bias: float32 [experts], added to the scores for the choice only (e_score_correction_bias), or None.

    Returns:
        expert_ids int64 [tokens, top_k] and their weights float32 [tokens, top_k].
    """
    tokens, experts = logits.shape
    scores = logits.sigmoid() if config.scoring == "sigmoid" else logits.softmax(dim=-1)
    choice = scores if bias is None else scores + bias
    if config.n_group > 1:
        grouped = choice.view(tokens, config.n_group, experts // config.n_group)
        # V3 ranks a group by its two best experts, V2 by its best
        best = 2 if config.scoring == "sigmoid" else 1
        group_scores = grouped.topk(min(best, grouped.shape[-1]), dim=-1).values.sum(dim=-1)
        kept = group_scores.topk(config.topk_group, dim=-1).indices
        dropped = torch.ones_like(group_scores, dtype=torch.bool).scatter_(1, kept, False)
        choice = grouped.masked_fill(dropped.unsqueeze(-1), float("-inf")).view(tokens, experts)
    expert_ids = choice.topk(config.top_k, dim=-1).indices
    weights = scores.gather(1, expert_ids)
    if config.norm_topk_prob:
        weights.div_(weights.sum(dim=-1, keepdim=True).add_(1e-20))
    return expert_ids, weights.mul_(config.routed_scaling_factor)


def route(x: Tensor, gate: Tensor, bias: Tensor | None, config: RouterConfig) -> tuple[Tensor, Tensor]:
    """Scores every expert for every token, in float32, and chooses.

    A request's experts must not depend on who shares its batch. Hence the padding on a CPU: its float32 product rounds
    differently for a few rows than for many, and its sigmoid for the last values of a tensor that no vector fills.

    Args:
        x: [tokens, hidden].
        gate: float32 [experts, hidden].

    Returns:
        As `select_experts`.
    """
    tokens = x.shape[0]
    # bf16 rows come from CPUs whose products of 16 rows and more need no rule
    product = cpu_float32.linear if x.dtype == torch.float32 else torch.nn.functional.linear
    x = x.float()
    if x.device.type == "cpu" and tokens % ROWS:
        x = torch.constant_pad_nd(x, (0, 0, 0, ROWS - tokens % ROWS))
    expert_ids, weights = select_experts(product(x, gate), bias, config)
    return expert_ids[:tokens], weights[:tokens]


def cost(tokens: int, hidden: int, experts: int, top_k: int, itemsize: int = 2) -> OpCost:
    """Gate weights and activations in `itemsize` bytes a value (bf16's); ids and weights out in 4 bytes each."""
    moved = itemsize * (experts + tokens) * hidden + 8 * tokens * top_k
    return OpCost(moved, 2 * tokens * experts * hidden)

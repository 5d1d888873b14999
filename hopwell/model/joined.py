"""A layer's routed and shared experts as one stack, which one grid of programs computes, where their formats allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hopwell.formats.fp8 import BLOCK
from hopwell.formats.matrices import Matrix, Plain, combine
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import Packed
from hopwell.model.transformer import AllExperts, Dense, MoE
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight

MAX_SHARED = 16
"""Slices of a shared expert that kernels take."""


def join_experts(network: MoE, width: int) -> MoE:
    """With routed and shared experts as one stack: a shared expert of n widths is n experts that every token visits.

    The network's own weights become views of the stack where the layout allows (one shared expert), or stay.

    Args:
        width: of a routed expert.

    Returns:
        Where its experts do not go together, the routed ones alone are joined: the shared expert remains a network of
        its own.
    """
    routed, shared = network.experts, network.shared
    gate = Weight(Plain(network.gate.bfloat16()))
    if shared is None or not _joinable(routed, shared, width):
        return replace(network, joined=AllExperts(gate, routed, 0))
    slices = shared.down.shape[1] // width
    gate_rows, up_rows = _rows(shared.gate_up, 0, slices), _rows(shared.gate_up, slices, slices)
    both = combine([gate_rows.stored, up_rows.stored], lambda rows: torch.cat(rows, dim=1))
    gate_up = _stack(routed.gate_up, Weight(both, gate_rows.rounds_from))
    down = _stack(routed.down, _columns(shared.down, slices))
    views = Experts(_slice(gate_up, slice(0, routed.count)), _slice(down, slice(0, routed.count)))
    if slices == 1:
        shared = Dense(_slice(gate_up, routed.count), _slice(down, routed.count))
    return replace(network, experts=views, shared=shared, joined=AllExperts(gate, Experts(gate_up, down), slices))


def with_shared(outputs: Tensor, shares: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """A shared expert's own output, bf16 [tokens, hidden], as one more of the routed ones' [tokens, slots, hidden],
    with a share of one in [tokens, slots]."""
    ones = shares.new_ones(len(shares), 1)
    return torch.cat((outputs, own.unsqueeze(1)), dim=1), torch.cat((shares, ones), dim=1)


def _joinable(routed: Experts, shared: Dense, width: int) -> bool:
    """Whether the shared expert is some routed ones more: of their formats, in slices of their width."""
    slices, rest = divmod(shared.down.shape[1], width)
    in_blocks = width % BLOCK == 0 or isinstance(routed.gate_up.stored, Plain)
    pairs = ((routed.gate_up, shared.gate_up), (routed.down, shared.down))
    alike = all(_alike(each.stored, one.stored) for each, one in pairs)
    return alike and in_blocks and not rest and slices <= MAX_SHARED


def _alike(routed: Matrix, shared: Matrix) -> bool:
    if type(routed) is not type(shared) or isinstance(routed, Mixed):
        return False
    if isinstance(routed, Packed) and isinstance(shared, Packed):
        return (routed.kind, routed.zeros) == (shared.kind, shared.zeros)
    return True


def _map(weight: Weight, change: Callable[[Tensor], Tensor]) -> Weight:
    """The same change to a weight's values and its scales."""
    return Weight(weight.stored.map(change), weight.rounds_from)


def _slice(weight: Weight, which: int | slice) -> Weight:
    return _map(weight, lambda t: t[which])


def _rows(weight: Weight, first: int, count: int) -> Weight:
    """Of [2 count * rows, in], the rows of slices first to first + count - 1, as [count, rows, in]."""
    return _map(weight, lambda t: t.view(-1, t.shape[0] // (2 * count), t.shape[1])[first : first + count])


def _columns(weight: Weight, count: int) -> Weight:
    """[out, count * in] -> [count, out, in]; what belongs to whole rows goes with each."""

    def cut(t: Tensor) -> Tensor:
        return t.expand(count, -1, -1) if t.shape[1] == 1 else t.view(t.shape[0], count, -1).transpose(0, 1)

    return _map(weight, cut)


def _stack(first: Weight, second: Weight) -> Weight:
    """Two stacks of matrices as one."""
    return Weight(combine([first.stored, second.stored], torch.cat), first.rounds_from)

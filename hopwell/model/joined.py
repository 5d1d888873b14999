"""A layer's routed and shared experts as one stack, which one grid of programs computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.model.config import ModelConfig
from hopwell.model.transformer import Dense, MoE
from hopwell.ops.linear import Weight
from hopwell.ops.moe import Experts


@dataclass(slots=True)
class AllExperts:
    """A layer's routed experts and, after them, its shared ones in slices of the same width."""

    gate: Weight
    """bf16 [experts, hidden]."""
    experts: Experts
    shared: int
    """How many of `experts` are slices of the shared expert."""


def join_experts(network: MoE, config: ModelConfig) -> AllExperts:
    """Routed and shared experts as one stack: a shared expert of n widths is n experts that every token visits.

    The network's own weights become views of the stack where the layout allows (one shared expert), or stay.
    """
    routed, shared, width = network.experts, network.shared, config.moe_intermediate_size
    gate = Weight(network.gate.bfloat16())
    if shared is None:
        return AllExperts(gate, routed, 0)
    slices = shared.down.shape[1] // width
    gate_rows, up_rows = _rows(shared.gate_up, 0, slices), _rows(shared.gate_up, slices, slices)
    gate_up = _stack(routed.gate_up, _join_rows(gate_rows, up_rows))
    down = _stack(routed.down, _columns(shared.down, slices))
    stacked = Experts(gate_up, down)
    network.experts = Experts(_slice(gate_up, slice(0, routed.count)), _slice(down, slice(0, routed.count)))
    if slices == 1:
        network.shared = Dense(_slice(gate_up, routed.count), _slice(down, routed.count))
    return AllExperts(gate, stacked, slices)


def _map(weight: Weight, change: Callable[[Tensor], Tensor]) -> Weight:
    """The same change to a weight's values and its scales."""
    scale = None if weight.scale is None else change(weight.scale)
    return Weight(change(weight.data), scale, weight.format, rounds_from=weight.rounds_from)


def _slice(weight: Weight, which: int | slice) -> Weight:
    return _map(weight, lambda t: t[which])


def _rows(weight: Weight, first: int, count: int) -> Weight:
    """Of [2 count * rows, in], the rows of slices first to first + count - 1, as [count, rows, in]."""
    return _map(weight, lambda t: t.view(-1, t.shape[0] // (2 * count), t.shape[1])[first : first + count])


def _columns(weight: Weight, count: int) -> Weight:
    """[out, count * in] -> [count, out, in]."""
    return _map(weight, lambda t: t.view(t.shape[0], count, -1).transpose(0, 1))


def _join_rows(gate: Weight, up: Weight) -> Weight:
    scale = None
    if gate.scale is not None and up.scale is not None:
        scale = torch.cat((gate.scale, up.scale), dim=1)
    return Weight(torch.cat((gate.data, up.data), dim=1), scale, gate.format, rounds_from=gate.rounds_from)


def _stack(first: Weight, second: Weight) -> Weight:
    """Two stacks of matrices as one."""
    if first.format != second.format:
        raise ValueError(f"routed experts in {first.format}, the shared one in {second.format}: convert one of them")
    scale = None
    if first.scale is not None and second.scale is not None:
        scale = torch.cat((first.scale, second.scale))
    return Weight(torch.cat((first.data, second.data)), scale, first.format, rounds_from=first.rounds_from)

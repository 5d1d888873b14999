"""SwiGLU (Shazeer, 2020): the network of a dense layer, and of each expert."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.ops.linear import linear
from hopwell.ops.weight import Weight


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, the halves of the last axis: [..., 2 n] -> [..., n]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate).mul_(up)


def feed_forward(x: Tensor, gate_up: Weight, down: Weight) -> Tensor:
    """A dense SwiGLU network: x [tokens, hidden], gate_up [2 width, hidden], down [hidden, width]."""
    return linear(silu_mul(linear(x, gate_up)), down)

"""The routed experts' weights, and which rows each of them multiplies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hopwell.formats.fp8 import BLOCK
from hopwell.formats.matrices import Plain
from hopwell.ops.moe_choice import Shape
from hopwell.ops.sizes import next_power_of_2
from hopwell.ops.weight import Weight

FUSE_BELOW_BYTES = 16 << 20
"""Experts whose weights together are smaller than this run as one network on a CPU: see `Experts.fuse`."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of a layer.

    `gate_up` is [experts, 2 width, hidden], gate rows first; `down` is [experts, hidden, width].
    """

    gate_up: Weight
    down: Weight
    first: int | None = None
    """The number of the first, where other ranks have those before and after; None: these are all."""
    fused: tuple[Weight, Weight] | None = None
    """All experts as one network, maybe the shared one behind the routed ones: [2 experts * width, hidden], gates
    first, and [hidden, experts * width]."""

    @property
    def count(self) -> int:
        return self.gate_up.shape[0]

    def own(self, expert_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """A router's choice by the numbers that experts have here; what other ranks compute is number -1, weight 0."""
        if self.first is None:
            return expert_ids, weights
        ids = expert_ids - self.first
        here = (ids >= 0) & (ids < self.count)
        return ids.where(here, -1), weights.where(here, 0.0)

    @property
    def width(self) -> int:
        return self.down.shape[2]

    @property
    def with_shared(self) -> bool:
        """Whether the shared expert is in `fused` too."""
        return self.fused is not None and self.fused[1].shape[1] > self.count * self.width

    def fuse(self, shared: tuple[Weight, Weight] | None = None) -> Experts:
        """With small experts laid out as one wide network, for CPUs, and others packed one by one.

        Every expert then runs for every token and the router's weights, zero for most, scale the inner activations:
        the same sum, in two matrix products instead of two an expert. It pays while all experts fit in cache,
        and since the choice depends on the layer alone, a token's result does not depend on its batch.

        Args:
            shared: gate_up and down of the shared expert, which goes along where it is as wide as some routed ones.
        """
        if not isinstance(self.gate_up.stored, Plain) or self.gate_up.data.device.type != "cpu":
            return self
        data, down = self.gate_up.data, self.down.data
        if (data.numel() + down.numel()) * data.element_size() > FUSE_BELOW_BYTES:
            return replace(self, gate_up=self.gate_up.prepare(), down=self.down.prepare())
        hidden = data.shape[2]
        halves = [half.reshape(-1, hidden) for half in data.chunk(2, dim=1)]
        flat_down = down.permute(1, 0, 2).reshape(hidden, -1).contiguous()
        if shared is not None and self._takes(*shared):
            halves = [torch.cat(both) for both in zip(halves, shared[0].data.chunk(2), strict=True)]
            flat_down = torch.cat((flat_down, shared[1].data), dim=1)
        return replace(self, fused=(Weight(Plain(torch.cat(halves))).prepare(), Weight(Plain(flat_down)).prepare()))

    def _takes(self, gate_up: Weight, down: Weight) -> bool:
        """Whether a shared expert can be some routed ones more: one that is here whole, of their dtype and width."""
        plain = all(isinstance(one.stored, Plain) for one in (gate_up, down))
        dtypes = {one.data.dtype for one in (self.gate_up, self.down, gate_up, down)}
        slices, rest = divmod(down.shape[1], self.width)
        in_blocks = slices == 1 or self.width % BLOCK == 0
        return self.first is None and plain and len(dtypes) == 1 and in_blocks and not rest


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


def shape_of(groups: Groups, weight: Weight) -> Shape:
    """What a grouped product is chosen by: weight [experts, out, in]."""
    pairs = groups.expert_ids.numel()
    return Shape(pairs, groups.experts, groups.tile, groups.tile_count, *weight.shape[-2:])

"""Which experts forward passes chose: a model whose routers are remembered."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from hopwell.limits.marks import Marks
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.moe_experts import Experts


@dataclass(slots=True)
class Router:
    """What a layer's router has chosen."""

    chosen: list[Tensor] = field(default_factory=list)
    """Ints [tokens, top_k] of each pass; in the fused chain the shared expert's slices too."""


class _Memory(Marks):
    def __init__(self, routers: dict[int | None, Router]) -> None:
        self._routers, self._layer = routers, None

    def layer(self, number: int | None) -> None:
        self._layer = number

    def routed(self, expert_ids: Tensor) -> None:
        if (router := self._routers.get(self._layer)) is not None:
            router.chosen.append(expert_ids)


def remembering(model: Transformer) -> tuple[Transformer, list[Router]]:
    """The same model, and its decoder layers' routers, which remember from now on."""
    found: dict[int | None, Router] = {n: Router() for n, x in enumerate(model.layers) if isinstance(x.network, MoE)}
    return model.marked(_Memory(found)), list(found.values())


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of a router's choice, what one rank computes."""

    pairs: int
    """Of a token and an expert."""
    distinct: int
    """Experts."""


def chosen_here(expert_ids: Tensor, experts: Experts) -> Chosen:
    """What of a router's choice [tokens, top_k] falls on the experts that are here."""
    own = expert_ids
    if experts.first is not None:
        own = own[(own >= experts.first) & (own < experts.first + experts.count)]
    return Chosen(own.numel(), own.unique().numel())

"""Which experts a forward pass chose: a model whose routers remember."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from hopwell.limits.marks import UNMARKED, Marks
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.moe_experts import Experts
from hopwell.ops.router import route


@dataclass(frozen=True, slots=True)
class Remembering:
    """A MoE network, and what its router has chosen since."""

    network: MoE
    chosen: list[Tensor] = field(default_factory=list)
    """int64 [tokens, top_k] of each step."""

    def __call__(self, x: Tensor, marks: Marks = UNMARKED) -> Tensor:
        expert_ids, _ = route(x, self.network.gate, self.network.bias, self.network.router)
        self.chosen.append(expert_ids)
        return self.network(x, marks)


def remembering(model: Transformer) -> tuple[Transformer, list[Remembering]]:
    """The model over the same weights, for its `forward`, and its decoder layers' routers."""
    found = [Remembering(layer.network) for layer in model.layers if isinstance(layer.network, MoE)]
    each = iter(found)
    layers = [replace(x, network=next(each)) if isinstance(x.network, MoE) else x for x in model.layers]  # type: ignore[arg-type]
    return replace(model, layers=layers), found


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

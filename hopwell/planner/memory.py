"""What a replica's GPUs hold: weights, room for latents, and how many sequences an engine lets in."""

from __future__ import annotations

from dataclasses import dataclass

from hopwell.planner.engines import Engine
from hopwell.planner.layout import Layout
from hopwell.planner.model import Model, Precision
from hopwell.planner.step import Machine
from hopwell.planner.work import CACHE_BYTES

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one GPU, and what of the cache a replica has."""

    weights: float
    reserve: float
    cache: float
    """Room for latents; 0 or less: the model does not fit."""
    token: float
    """Of a cached token."""
    tokens: int
    """Of the whole replica."""
    total: int
    """The card's."""

    def sequences(self, length: float, engine: Engine, groups: int) -> int:
        """How many sequences of `length` tokens run at once, by cache and by the engine's own limit a group."""
        return min(int(self.tokens / length), engine.max_sequences * groups)


def weight_bytes(model: Model, precision: Precision, layout: Layout, mtp: bool) -> float:
    """Of weights, on each GPU. MTP is one more layer with experts, and the projection into it."""
    attention, dense = precision.weight("attention"), precision.weight("dense")
    layers = model.num_hidden_layers + mtp
    moe = model.moe_layers + mtp
    ranks = layout.expert_cut * layout.expert_whole
    routed = moe * model.n_routed_experts * model.expert_weights * precision.weight("experts") / ranks
    shared = moe * model.n_shared_experts * model.expert_weights * dense / layout.tp
    networks = model.first_k_dense_replace * 3 * model.hidden_size * model.intermediate_size * dense / layout.tp
    heads = layers * (model.head_weights * attention + 2 * model.absorbed_weights) / layout.tp
    copied = layers * model.latent_weights * attention + 2 * moe * model.hidden_size * model.n_routed_experts
    vocabulary = 2 * model.vocab_size * model.hidden_size * (1 + 1 / layout.gpus)
    return routed + shared + networks + heads + copied + vocabulary + mtp * 4 * model.hidden_size**2


def plan_memory(machine: Machine, mtp: bool = False) -> Memory:
    """How one GPU's memory is divided, with the engine's own fraction."""
    model, layout, gpu, engine = machine.model, machine.layout, machine.gpu, machine.engine
    weights = weight_bytes(model, machine.precision, layout, mtp)
    reserve = engine.reserve_gib * GIB
    if engine.fraction_of_free:
        cache = (gpu.memory - weights - reserve) * engine.memory_fraction
    else:
        cache = gpu.memory * engine.memory_fraction - weights - reserve
    token = (model.num_hidden_layers + mtp) * model.latent_dim * CACHE_BYTES[machine.precision.cache]
    return Memory(weights, reserve, cache, token, max(0, int(cache / token)) * layout.dp, gpu.memory)

"""How rows enter products with FP8 weights: rounded to e4m3, as DeepSeek's own code has it, or left in bf16.

Rounding costs accuracy, about 2.6 % of each row, and buys the matrix unit's FP8 rate. A step of few rows waits for
weights, not for the matrix unit: there the rate buys nothing. "auto" therefore asks each op's `cost` whether its bytes
take longer than its products in bf16 would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import Gpu, find_gpu, recognise
from hopwell.limits.cost import OpCost
from hopwell.model.config import ModelConfig
from hopwell.model.transformer import Dense, Layer, MoE, Transformer, map_layers
from hopwell.ops import linear, moe
from hopwell.ops.device import has_kernels
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import NEVER, Weight

ACTIVATIONS = ("fp8", "bf16", "auto")
MARGIN = 2.0
"""Bytes must take this many times as long as products in bf16: the matrix unit does not reach its rate, and codes are
widened on the way. On an H100 or a B200 dense products then change at 65 rows, experts only where steps are long.
By cost alone: on an H200 widening was not hidden, and bf16 rows took 20 to 44 % longer (docs/precision.md)."""
CLASSES = ((1, 16), (17, 32), (33, 64), (65, 128))
"""First and last rows of each class of products whose kernels are the same. hazard: a format that changed within one
would want kernels that were not loaded before `ready`."""

Costs = Callable[[int, str], OpCost]
"""Of one op, by rows of the step and format of activations."""


class ActivationsError(HopwellError):
    """A format of activations that this model cannot have on this device; the message says why."""


def check_activations(name: str | None) -> None:
    """
    Raises:
        ActivationsError: the name is unknown.
    """
    if name is not None and name not in ACTIVATIONS:
        raise ActivationsError(f"activations is {name!r}; known: {', '.join(ACTIVATIONS)}")


def with_activations(
    model: Transformer, name: str | None, batch_invariant: bool = False, gpu: Gpu | None = None
) -> Transformer:
    """The model with rows that enter its products in a format, over the same weights.

    Args:
        name: "fp8", "bf16" (the model's own dtype, unrounded) or "auto", by op and number of rows; None is what the
            device's products do unasked: FP8 kernels round, plain PyTorch does not.
        batch_invariant: a row must not depend on its batch.
        gpu: whose limits "auto" goes by; None: the model's. They are the data sheet's, the same at every start.

    Raises:
        ActivationsError: the name is unknown, or cannot be honoured.
    """
    check_activations(name)
    by_kernels = gpu is not None or (
        model.device.type == "cuda" and model.dtype == torch.bfloat16 and has_kernels(model.device)
    )
    if name == "auto" and by_kernels and batch_invariant:
        raise ActivationsError("activations is 'auto', which follows the batch; batch_invariant wants fp8 or bf16")
    # on a CPU matrices were expanded when they were loaded; elsewhere each still says what it is
    on_cpu = model.device.type == "cpu"
    if name == "fp8":
        found = [weight for weight, _ in products(model) if on_cpu or weight.is_fp8]
        if model.config.weight_block_size is None or not found:
            raise ActivationsError("activations is 'fp8', but the model's weights are not in FP8; leave it out")
    if name == "auto" and by_kernels:
        gpu = gpu or recognise(torch.cuda.get_device_name(model.device)) or find_gpu("H100")

    def changed(weight: Weight, costs: Costs) -> Weight:
        if name is None or not (on_cpu or weight.is_fp8):
            return replace(weight, rounds_from=None)
        if name == "fp8":
            return replace(weight, rounds_from=0)
        # plain PyTorch has no FP8 rate to gain
        return replace(weight, rounds_from=NEVER if name == "bf16" or gpu is None else rounds_from(costs, gpu))

    return _map_products(model, changed)


def entering(model: Transformer, name: str | None) -> str:
    """How rows enter a model's products: "fp8", "auto", or the dtype that they have unrounded.

    Args:
        name: what was asked for, as `with_activations` has it.
    """
    if name is None and model.device.type == "cuda" and model.dtype == torch.bfloat16 and has_kernels(model.device):
        name = "fp8" if any(weight.is_fp8 for weight, _ in products(model)) else None
    return str(model.dtype).removeprefix("torch.") if name in (None, "bf16") else name


def rounds_from(costs: Costs, gpu: Gpu) -> int:
    """The rows from which an op's rows are better rounded: the first class in which products in bf16 would take more
    than 1 / `MARGIN` of the time of the bytes. Steps longer than all classes (prompts) are always rounded."""
    for first, last in CLASSES:
        cost = costs(last, "bf16")
        if cost.bytes / gpu.bandwidth < MARGIN * cost.flops / gpu.bf16:
            return first
    return CLASSES[-1][1] + 1


def products(model: Transformer) -> list[tuple[Weight, Costs]]:
    """Every matrix that may be in FP8, with what its product costs."""
    found: list[tuple[Weight, Costs]] = []

    def note(weight: Weight, costs: Costs) -> Weight:
        found.append((weight, costs))
        return weight

    _map_products(model, note)
    return found


Change = Callable[[Weight, Costs], Weight]


def _map_products(model: Transformer, change: Change) -> Transformer:
    """The model with every matrix changed that may be in FP8, in order; a stack of all experts follows the routed."""

    def dense(weight: Weight) -> Weight:
        width_out, width_in = weight.shape
        return change(weight, lambda rows, name: linear.cost(rows, width_in, width_out, activations=name))

    def layer(one: Layer) -> Layer:
        a, network = one.attention, one.network
        attention = replace(a, qkv_a=dense(a.qkv_a), o=dense(a.o), q_b=None if a.q_b is None else dense(a.q_b))
        if isinstance(network, Dense):
            both = Dense(dense(network.gate_up), dense(network.down))
            return replace(one, attention=attention, network=both)
        return replace(one, attention=attention, network=_map_experts(network, model.config, change))

    found, mtp = map_layers(model, layer), model.mtp
    if model.head.is_fp8:  # in R1's own checkpoint neither is
        found = replace(found, head=dense(model.head))
    if found.mtp is not None and mtp is not None and mtp.projection.is_fp8:
        found = replace(found, mtp=replace(found.mtp, projection=dense(mtp.projection)))
    return found


def _map_experts(network: MoE, config: ModelConfig, change: Change) -> MoE:
    experts, shared, joined, top_k = network.experts, network.shared, network.joined, network.router.top_k

    def costs(rows: int, activations: str) -> OpCost:
        # both products in one: two thirds and one third of the bytes and of the FLOPs, so one answer
        distinct = experts.count * (1 - (1 - top_k / experts.count) ** rows) + config.n_shared_experts
        slots = top_k + config.n_shared_experts
        return moe.cost(rows, config.hidden_size, experts.width, slots, round(distinct), activations=activations)

    def both(one: Experts) -> Experts:
        return replace(one, gate_up=change(one.gate_up, costs), down=change(one.down, costs))

    routed = both(experts)
    if shared is not None:  # on a GPU one grid with the routed ones
        shared = Dense(change(shared.gate_up, costs), change(shared.down, costs))
    if joined is not None:
        gate_up = replace(joined.experts.gate_up, rounds_from=routed.gate_up.rounds_from)
        down = replace(joined.experts.down, rounds_from=routed.down.rounds_from)
        joined = replace(joined, experts=Experts(gate_up, down))
    return replace(network, experts=routed, shared=shared, joined=joined)

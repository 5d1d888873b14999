"""How rows enter products with FP8 weights: rounded to e4m3, as DeepSeek's own code has it, or left in bf16.

Rounding costs accuracy, about 2.6 % of each row, and buys the matrix unit's FP8 rate. A step of few rows waits for
weights, not for the matrix unit: there the rate buys nothing. "auto" therefore asks each op's `cost` whether its bytes
take longer than its products in bf16 would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import Gpu, find_gpu, recognise
from hopwell.limits.cost import OpCost
from hopwell.model.transformer import Dense, Layer, Transformer
from hopwell.ops import linear, moe
from hopwell.ops.linear import NEVER, Weight, has_kernels

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


def use_activations(model: Transformer, name: str | None, deterministic: bool = False, gpu: Gpu | None = None) -> None:
    """Fixes how rows enter the model's products from now on.

    Args:
        name: "fp8", "bf16" (the model's own dtype, unrounded) or "auto", by op and number of rows; None is what the
            device's products do unasked: FP8 kernels round, plain PyTorch does not.
        deterministic: a row must not depend on its batch.
        gpu: whose limits "auto" goes by; None: the model's. They are the data sheet's, the same at every start.

    Raises:
        ActivationsError: the name is unknown, or cannot be honoured.
    """
    if name is not None and name not in ACTIVATIONS:
        raise ActivationsError(f"activations is {name!r}; known: {', '.join(ACTIVATIONS)}")
    by_kernels = gpu is not None or (
        model.device.type == "cuda" and model.dtype == torch.bfloat16 and has_kernels(model.device)
    )
    if name == "auto" and by_kernels and deterministic:
        raise ActivationsError("activations is 'auto', which follows the batch; deterministic wants fp8 or bf16")
    # on a CPU matrices were expanded when they were loaded; elsewhere each still says what it is
    on_cpu = model.device.type == "cpu"
    found = [(weight, costs) for weight, costs in products(model) if on_cpu or weight.format == "fp8_block"]
    if name == "fp8" and (model.config.weight_block_size is None or not found):
        raise ActivationsError("activations is 'fp8', but the model's weights are not in FP8; leave it out")
    for weight, _ in products(model):
        weight.rounds_from = None
    if name is None:
        return
    if name == "auto" and by_kernels:
        gpu = gpu or recognise(torch.cuda.get_device_name(model.device)) or find_gpu("H100")
    for weight, costs in found:
        if name == "fp8":
            weight.rounds_from = 0
        elif name == "bf16" or gpu is None:  # plain PyTorch has no FP8 rate to gain
            weight.rounds_from = NEVER
        else:
            weight.rounds_from = rounds_from(costs, gpu)


def rounds_from(costs: Costs, gpu: Gpu) -> int:
    """The rows from which an op's rows are better rounded: the first class in which products in bf16 would take more
    than 1 / `MARGIN` of the time of the bytes. Steps longer than all classes (prompts) are always rounded."""
    for first, last in CLASSES:
        cost = costs(last, "bf16")
        if cost.bytes / gpu.bandwidth < MARGIN * cost.flops / gpu.bf16:
            return first
    return CLASSES[-1][1] + 1


def products(model: Transformer) -> Iterator[tuple[Weight, Costs]]:
    """Every matrix that may be in FP8, with what its product costs."""
    for layer in (*model.layers, *([model.mtp.layer] if model.mtp else [])):
        yield from _of_layer(layer, model)
    for weight in (model.head, *([model.mtp.projection] if model.mtp else [])):
        if weight.format == "fp8_block":  # in R1's own checkpoint neither is
            yield _dense(weight)


def _of_layer(layer: Layer, model: Transformer) -> Iterator[tuple[Weight, Costs]]:
    a, network, c = layer.attention, layer.network, model.config
    matrices = [a.qkv_a, a.o, *([a.q_b] if a.q_b is not None else [])]
    if isinstance(network, Dense):
        matrices += [network.gate_up, network.down]
    for weight in matrices:
        yield _dense(weight)
    if isinstance(network, Dense):
        return
    experts, top_k = network.experts, network.router.top_k

    def costs(rows: int, activations: str) -> OpCost:
        # both products in one: two thirds and one third of the bytes and of the FLOPs, so one answer
        distinct = experts.count * (1 - (1 - top_k / experts.count) ** rows) + c.n_shared_experts
        slots = top_k + c.n_shared_experts
        return moe.cost(rows, c.hidden_size, experts.width, slots, round(distinct), activations=activations)

    shared = network.shared  # on a GPU one grid with the routed ones
    for weight in (experts.gate_up, experts.down, *([shared.gate_up, shared.down] if shared is not None else [])):
        yield weight, costs


def _dense(weight: Weight) -> tuple[Weight, Costs]:
    width_out, width_in = weight.shape
    return weight, lambda rows, activations: linear.cost(rows, width_in, width_out, activations=activations)

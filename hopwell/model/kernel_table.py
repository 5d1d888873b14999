"""Which kernels serve a model on a GPU, and why: what each family's `choose` says of the model's own shapes.

Nothing is measured and no GPU is needed: shapes and formats come from config.json, by a model on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from hopwell.formats.matrices import Plain
from hopwell.limits.catalogue import catalogue, find_gpu, recognise
from hopwell.model import forward_choice
from hopwell.model.activations import with_activations
from hopwell.model.build import one_of_a_kind
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.model.shape_classes import GRAPH_SIZES, LONG
from hopwell.model.shipped import truncate
from hopwell.model.transformer import Dense, MoE, Transformer
from hopwell.ops import attention_choice, linear_choice, moe_choice, norm_choice
from hopwell.ops.cpu import cpu_multiplies_bf16, cpu_packs_float16
from hopwell.ops.device import Device
from hopwell.ops.sizes import cdiv
from hopwell.ops.variant import Formats, Variant, short
from hopwell.ops.weight import Weight

MAX_ROWS = 4096
Choice = Callable[[int], Variant | None]
"""The variant that serves a step of so many rows; None: the op is not in it."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One op and the steps in which one variant serves it."""

    op: str
    """With the shape of its matrix, if it has one."""
    formats: str
    """The matrix's and the rows', where both have one."""
    rows: str
    """First and last number of rows of such steps."""
    variant: str
    why: str


def kernel_table(
    values: Mapping[str, Any], device: Device, max_rows: int = MAX_ROWS, settings: ModelSettings | None = None
) -> list[KernelRow]:
    """The kernels of a step, in order, of one dense layer and one with experts.

    Args:
        values: the contents of config.json.
        max_rows: rows of the longest step.
        settings: of the model.

    Raises:
        ConfigError: the config cannot be honoured.
        ActivationsError: the model cannot have these formats.
    """
    settings = settings or ModelSettings()
    dense = min(values.get("first_k_dense_replace", 0), 1)
    config = ModelConfig.from_dict(truncate(values, dense + 1, dense, mtp=False))
    packed = settings.four_bits == "packed"
    model = random_transformer(config, "meta", packed=packed, numbers=one_of_a_kind(values))
    # whose limits "auto" goes by, as `with_activations` finds them on the GPU itself
    gpu = catalogue().get(device.name) or recognise(device.name) or find_gpu("H100") if device.capability else None
    model = with_activations(model, settings.activations, gpu=gpu)
    forward = forward_choice.choose(model, device)
    rows = [KernelRow("forward pass", "", f"1-{max_rows}", forward.name, forward.why)]
    steps = (
        _chain(model, device, settings.cache_dtype == "fp8")
        if forward.name == "fused_chain"
        else _op_by_op(model, device)
    )
    for op, formats, choice in steps:
        rows += _ranges(op, formats, choice, max_rows)
    return rows


def _ranges(op: str, formats: Callable[[int], str], choice: Choice, max_rows: int) -> Iterator[KernelRow]:
    """Adjacent numbers of rows with one answer, as one row."""
    first, held = 1, (formats(1), choice(1))
    for rows in range(2, max_rows + 2):
        found = (formats(rows), choice(rows)) if rows <= max_rows else ("", None)
        if rows <= max_rows and _told(found) == _told(held):
            continue
        if (variant := held[1]) is not None:
            span = f"{first}-{rows - 1}" if rows - 1 > first else str(first)
            yield KernelRow(op, held[0], span, variant.name, variant.why)
        first, held = rows, found


def _told(found: tuple[str, Variant | None]) -> tuple[str | None, ...]:
    formats, variant = found
    return (formats, None, None) if variant is None else (formats, variant.name, variant.why)


Step = tuple[str, Callable[[int], str], Choice]


def _chain(model: Transformer, device: Device, fp8_cache: bool) -> Iterator[Step]:
    """The ops of `model/fused.py`, in its order."""
    c, largest = model.config, GRAPH_SIZES[-1]
    yield "step, decoding", _no_formats, lambda rows: forward_choice.choose_step([1] * rows, [1] * rows, largest)
    yield "step, one prompt", _no_formats, lambda rows: forward_choice.choose_step([rows], [rows], largest)
    yield from _attention(model.layers[0].attention, model, device, fp8_cache)
    for layer in model.layers:
        network = layer.network
        if isinstance(network, Dense):
            yield _product("gate_up", network.gate_up, device)
            yield _norm("silu_mul", network.down.shape[1])
            yield _product("down", network.down, device)
        else:
            yield from _experts(network, c.n_shared_experts, device)
    yield _product("head", model.head, device, "logits")


def _attention(a: MLA, model: Transformer, device: Device, fp8_cache: bool) -> Iterator[Step]:
    heads, rank = a.w_uk.shape[0], a.w_uk.shape[-1]
    cache = "e4m3 cache" if fp8_cache else "bf16 cache"

    def short_step(op: Any, rows: int) -> Variant | None:
        """Attention in latent space: of steps that a graph holds whole."""
        shape = attention_choice.Shape(rows, heads, rank)
        if op == "merge":
            shape = shape._replace(splits=attention_choice.choose("decode", shape, fp8_cache, device).splits)
        return attention_choice.choose(op, shape, fp8_cache, device)

    def prefill(rows: int) -> Variant | None:
        shape = attention_choice.Shape(rows, heads, rank, tiles=cdiv(rows, 128))
        return attention_choice.choose("prefill", shape, fp8_cache, device) if rows >= LONG else None

    yield _norm("add_norm", model.config.hidden_size)
    yield _product("qkv_a", a.qkv_a, device)
    if a.q_b is not None:
        yield _product("q_b", a.q_b, device)
    yield "absorb_query", _no_formats, partial(short_step, "query")
    yield "decode", lambda _: cache, partial(short_step, "decode")
    yield "merge_states", _no_formats, partial(short_step, "merge")
    yield "prefill (one prompt)", _no_formats, prefill
    yield _product("o", a.o, device)


def _experts(network: MoE, shared: int, device: Device) -> Iterator[Step]:
    """Routed experts and slices of the shared one, as one stack (`model/joined.py`)."""
    experts, slots = network.experts.count + shared, network.router.top_k + shared

    def grouping(rows: int) -> moe_choice.Grouping:
        return moe_choice.group(rows, slots, experts, device, packed=network.experts.gate_up.is_packed)

    def product(op: moe_choice.Op, weight: Weight, rows: int) -> Variant:
        found = grouping(rows)
        shape = moe_choice.Shape(rows * slots, experts, found.tile, found.tile_count, *weight.shape[-2:])
        return moe_choice.choose(op, shape, _formats(weight, rows), device)

    yield _product("router", Weight(Plain(network.gate.bfloat16())), device)
    yield "select_experts", _no_formats, lambda _: Variant("triton", "a token a program, in one warp")
    yield f"group {slots} of {experts} experts", _no_formats, grouping
    up, down = network.experts.gate_up, network.experts.down
    yield f"experts up {list(up.shape[1:])}", partial(_told_formats, up), partial(product, "up", up)
    yield _norm("silu_mul", down.shape[2], slots)
    yield f"experts down {list(down.shape[1:])}", partial(_told_formats, down), partial(product, "down", down)


def _op_by_op(model: Transformer, device: Device) -> Iterator[Step]:
    """The ops of `Transformer.forward` that may take kernels."""

    def formats(weight: Weight) -> Formats:
        return Formats(weight.format, model.dtype)

    def linear(weight: Weight, rows: int) -> Variant:
        if not device.capability:  # of plain values, whatever the checkpoint holds
            bf16, float16 = cpu_multiplies_bf16(), cpu_packs_float16()
            dtype = torch.bfloat16 if bf16 else torch.float16 if float16 else torch.float32
            return linear_choice.packing(dtype, True, bf16, float16)
        return linear_choice.choose("linear", linear_choice.Shape(rows, *weight.shape), formats(weight), device)

    a = model.layers[0].attention
    for name, weight in (("qkv_a", a.qkv_a), ("q_b", a.q_b), ("o", a.o), ("head", model.head)):
        if weight is not None:
            yield f"{name} {list(weight.shape)}", _no_formats, partial(linear, weight)
    yield "attention", _no_formats, lambda rows: attention_choice.way(rows, model.absorbed)
    network = model.layers[-1].network
    if isinstance(network, MoE):
        both = network.experts.gate_up, network.experts.down
        widths, met = (both[0].shape[-1], both[1].shape[-1]), (formats(both[0]), formats(both[1]))
        yield "experts", _no_formats, lambda _: moe_choice.choose_op(widths, met, device)


def _product(name: str, weight: Weight, device: Device, op: linear_choice.Op = "product") -> Step:
    def choice(rows: int) -> Variant:
        return linear_choice.choose(op, linear_choice.Shape(rows, *weight.shape), _formats(weight, rows), device)

    return f"{name} {list(weight.shape)}", partial(_told_formats, weight), choice


def _norm(op: norm_choice.Op, width: int, rows_each: int = 1) -> Step:
    return op, _no_formats, lambda rows: norm_choice.choose(op, norm_choice.Shape(rows * rows_each, width))


def _formats(weight: Weight, rows: int) -> Formats:
    return Formats(weight.format, torch.float8_e4m3fn if weight.takes_fp8(rows) else torch.bfloat16)


def _told_formats(weight: Weight, rows: int) -> str:
    return f"{weight.format.name} x {short(_formats(weight, rows).rows)}"


def _no_formats(rows: int) -> str:
    return ""

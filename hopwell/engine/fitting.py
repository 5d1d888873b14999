"""Whether a model's weights fit a GPU's memory before they are read, and which layouts would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple

import torch

from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.blocks import FORMATS
from hopwell.formats.labels import Label
from hopwell.formats.packed import PACKABLE
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import Weights, weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.sharding import share
from hopwell.ops.variant import short
from hopwell.parallel.layout import MOST_RANKS, Layout, LayoutError

SPARE_BYTES = 4 << 30
"""Beside the weights: a CUDA context, graphs, the longest step, latents of the first requests."""
EXPANDED = 4
"""Times as large as in its file a weight may be in memory: four bits in bf16."""


def check_room(source: WeightReader, config: ModelConfig, layout: Layout, packed: bool, free: int) -> None:
    """
    Args:
        source: the checkpoint, of which only headers are looked at.
        config: of the whole model.
        packed: weights of four bits stay packed.
        free: bytes of each rank's GPU.

    Raises:
        LayoutError: the weights do not fit; the message says what would.
    """
    room = free - SPARE_BYTES
    if EXPANDED * source.total_bytes <= room * (1 if layout.dp_attention else layout.tp):
        return  # however they are held
    layouts = {name: kind_of(module) for name, module in by_module(source.tensors.values()).items()}
    specs = inventory(config)
    weights = {packed: weight_bytes(specs, layouts, packed, config.quantization)}
    needed = weights[packed].on_each(layout)
    if needed <= room:
        return
    packable = any(label in FORMATS and FORMATS[label] in PACKABLE for label in layouts.values())
    remedies = []
    for kept in dict.fromkeys((packed, True) if packable and not config.quantization.act_order else (packed,)):
        if kept not in weights:
            weights[kept] = weight_bytes(specs, layouts, kept, config.quantization)
        fitting = (each for each in _layouts(config, layout) if weights[kept].on_each(each) <= room)
        if (each := next(fitting, None)) is not None:
            words = each.options + (" --four-bits packed" if kept and not packed else "")
            remedies.append(f"{words} takes {weights[kept].on_each(each) / 1e9:,.1f} of each")
    more = f"; {', '.join(remedies)}" if remedies else f"; no layout over up to {MOST_RANKS} such GPUs fits"
    raise LayoutError(
        f"the weights take {needed / 1e9:,.1f} GB of each GPU in the layout {layout.name}, and of {free / 1e9:,.1f} GB"
        f" free {SPARE_BYTES / 1e9:,.1f} are kept for steps and cache{more}"
    )


def check_memory(source: WeightReader, config: ModelConfig, layout: Layout, dtype: torch.dtype, memory: int) -> None:
    """The same for a CPU, which holds plain values, in memory that all ranks share.

    Args:
        dtype: of the values.
        memory: bytes that there are.

    Raises:
        LayoutError: the weights do not fit.
    """
    if EXPANDED * source.total_bytes * dtype.itemsize <= 2 * memory:
        return
    if (needed := plain_weights(config, dtype).on_each(layout) * layout.world) > memory:
        raise LayoutError(
            f"the weights take {needed / 1e9:,.1f} GB in {short(dtype)}, and this machine has {memory / 1e9:,.1f} GB of"
            " memory; `hopwell inspect` says which GPUs hold them"
        )


def plain_weights(config: ModelConfig, dtype: torch.dtype) -> Weights:
    """What a CPU holds of a model: plain values."""
    specs = inventory(config)
    in_bf16 = weight_bytes(specs, {spec.module: Label.PLAIN for spec in specs})
    return Weights(*(nbytes * dtype.itemsize // 2 for nbytes in astuple(in_bf16)))


def _layouts(config: ModelConfig, like: Layout) -> Iterator[Layout]:
    """Those in which GPUs can share a model, the fewest first; of as many, the one whose attention is as in `like`."""
    for tp in (1 << power for power in range(MOST_RANKS.bit_length())):
        for dp_attention in dict.fromkeys((like.dp_attention and tp > 1, False)):
            layout = Layout(tp, dp_attention=dp_attention)
            with suppress(LayoutError):
                share(config, layout)
                yield layout

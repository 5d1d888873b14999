"""Whether a model's weights fit a GPU's memory before they are read, and which layouts would."""

from __future__ import annotations

from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.blocks import FORMATS
from hopwell.formats.packed import PACKABLE
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.sharding import share
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
    if EXPANDED * source.total_bytes <= room * layout.tp:
        return  # however they are held
    layouts = {name: kind_of(module) for name, module in by_module(source.tensors.values()).items()}
    specs = inventory(config)
    weights = {kept: weight_bytes(specs, layouts, kept, config.quantization) for kept in (packed, True)}
    needed = weights[packed].tensor_parallel(layout.tp)
    if needed <= room:
        return
    packable = any(label in FORMATS and FORMATS[label] in PACKABLE for label in layouts.values())
    remedies = []
    for kept in dict.fromkeys((packed, True) if packable and not config.quantization.act_order else (packed,)):
        fitting = (tp for tp in _counts(config) if weights[kept].tensor_parallel(tp) <= room)
        if (tp := next(fitting, None)) is not None:
            words = f"--tp {tp}" + (" --four-bits packed" if kept and not packed else "")
            remedies.append(f"{words} takes {weights[kept].tensor_parallel(tp) / 1e9:,.1f} of each")
    more = f"; {', '.join(remedies)}" if remedies else f"; no layout over up to {MOST_RANKS} such GPUs fits"
    raise LayoutError(
        f"the weights take {needed / 1e9:,.1f} GB of each GPU in the layout {layout.name}, and of {free / 1e9:,.1f} GB"
        f" free {SPARE_BYTES / 1e9:,.1f} are kept for steps and cache{more}"
    )


def _counts(config: ModelConfig) -> list[int]:
    """Numbers of ranks that can share a model on GPUs."""
    found = []
    for tp in (1 << power for power in range(MOST_RANKS.bit_length())):
        try:
            share(config, Layout(tp))
        except LayoutError:
            continue
        found.append(tp)
    return found

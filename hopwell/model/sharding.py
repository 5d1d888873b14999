"""What of a model one rank of several holds: a config of its share, and its cuts of the schema's tensors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch

from hopwell.formats.fp8 import BLOCK
from hopwell.formats.matrices import Fp8Block, Int4, Int4Zeros, Matrix, Mxfp4, Nvfp4, Plain
from hopwell.model.config import ModelConfig
from hopwell.model.schema import EXPERT, HEADS, Row
from hopwell.ops.exchange import Exchange
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import Layout, LayoutError

FOUR_BITS = (Nvfp4, Mxfp4, Int4, Int4Zeros)


@dataclass(frozen=True, slots=True)
class Shard:
    """A rank's place, and its line to the others."""

    layout: Layout
    exchange: Exchange | None = None
    """None: the share is made for another process."""


def share(config: ModelConfig, layout: Layout) -> ModelConfig:
    """The config of what a rank computes: its heads, all where attention is data parallel, and widths. The vocabulary
    stays whole: the embedding is.

    Raises:
        LayoutError: a field does not divide.
    """
    divided = {"intermediate_size": config.intermediate_size}
    if not layout.dp_attention:
        divided["num_attention_heads"] = config.num_attention_heads
    if not layout.ep:
        divided["moe_intermediate_size"] = config.moe_intermediate_size
    for name, value in divided.items():
        if value % layout.tp:
            remedy = _fitting(divided.values(), layout.tp)
            raise LayoutError(f"{name} is {value}, which {layout.tp} ranks cannot share; {remedy}")
    if layout.ep and config.n_routed_experts < layout.tp:
        raise LayoutError(f"n_routed_experts is {config.n_routed_experts}, fewer than the {layout.tp} ranks of --ep")
    return replace(config, **{name: value // layout.tp for name, value in divided.items()})


def cut_side(row: Row, layout: Layout) -> int | None:
    """The dimension along which a tensor is cut in a layout; None: whoever has it has the whole."""
    whole = (row.by_expert and layout.ep) or (row.axis == HEADS and layout.dp_attention)
    return None if layout.tp == 1 or whole else row.cut


def cut(weight: Weight, row: Row, layout: Layout) -> Weight:
    """A rank's part of a matrix that was read whole.

    Raises:
        LayoutError: its format's blocks cannot be cut there.
    """
    dim = cut_side(row, layout)
    if dim is None:
        return weight
    part = layout.span(weight.shape[dim])
    stored = weight.stored
    if isinstance(stored, Plain):
        return Weight(Plain(_narrow(stored.data, dim, part)))
    if isinstance(stored, Fp8Block) and not (part.start % BLOCK or part.stop % BLOCK):
        blocks = slice(part.start // BLOCK, part.stop // BLOCK)
        return Weight(Fp8Block(_narrow(stored.data, dim, part), _narrow(stored.scales, dim, blocks)))
    if isinstance(stored, FOUR_BITS) and (found := _in_groups(stored, dim, part)) is not None:
        return Weight(found)
    names = ("rows", "columns")[dim]
    first = f"--ep {layout.tp} or " if row in tuple(EXPERT) else ""
    remedy = f"give {'--four-bits expanded or ' if isinstance(stored, FOUR_BITS) else first}fewer ranks"
    raise LayoutError(
        f"{row.pattern}: TP{layout.tp} cuts its {weight.shape[dim]:,} {names} at {part.stop or part.start},"
        f" inside a block of {stored.format.name}; {remedy}"
    )


def _in_groups(stored: Matrix, dim: int, part: slice) -> Matrix | None:
    """A part of a matrix whose columns are packed and share scales in groups; None if it begins or ends within one."""
    whole, ragged = stored.shape[dim], False

    def narrow(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal ragged
        if tensor.dim() < 2:  # a scale of all
            return tensor
        length = tensor.shape[dim]
        ragged |= bool(part.start * length % whole or part.stop * length % whole)
        return _narrow(tensor, dim, slice(part.start * length // whole, part.stop * length // whole))

    found = stored.map(narrow)
    if isinstance(found, Int4 | Int4Zeros) and dim == 1:
        found = replace(found, columns=part.stop - part.start)
    return None if ragged else found


def _narrow(tensor: torch.Tensor, dim: int, part: slice) -> torch.Tensor:
    """A copy: what is not of the part is not kept."""
    return tensor.narrow(dim, part.start, part.stop - part.start).clone(memory_format=torch.contiguous_format)


def _fitting(values: Collection[int], most: int) -> str:
    """The remedy: fewer ranks than `most`, among which all values divide."""
    counts = [str(tp) for tp in range(1, most) if not any(value % tp for value in values)]
    return f"--tp may be {', '.join(counts)}"

"""A `Transformer` taken apart, into plain values and runs of bytes, and put together again over one buffer.

A tensor is a place in the buffer, with its shape and strides: what were views of one memory are so again. What ops made
of a matrix for a library of the CPU's (`Weight.packed`) has no bytes that could be stored; it is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.header import DTYPE_NAMES, DTYPES
from hopwell.formats.blocks import FORMATS, BlockFormat
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import Packed
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.model.sharding import Shard
from hopwell.model.transformer import MTP, AllExperts, Dense, Layer, MoE, Transformer
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import ONE_RANK

ALIGNMENT = 512
"""Bytes, as PyTorch aligns a GPU's memory: kernels find a tensor no less aligned than one in memory of its own."""
PARTS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(Transformer, Layer, MTP, MLA, Dense, MoE, AllExperts, Experts, Weight),
        *(Plain, Fp8Block, Packed, Mixed),
    )
}
"""All that a model consists of, by name."""
GIVEN = ("config", "router", "exchange", "layout")
"""Fields that whoever puts a model together has: from config.json, and of its place among ranks."""
LEFT_OUT = (*GIVEN, "marks", "packed")


class Apart:
    """A model in parts.

    Attributes:
        tree: plain values, as JSON has them.
        runs: bytes of the buffer in order, uint8 on the model's device; each begins at a multiple of `ALIGNMENT`.
    """

    def __init__(self, model: Transformer) -> None:
        self.runs: list[Tensor] = []
        self._starts: dict[int, int] = {}
        self._end = 0
        self.tree: dict[str, Any] = self._describe(model)

    @property
    def nbytes(self) -> int:
        """Of the buffer, gaps included."""
        return self._end

    def _describe(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Tensor):
            return self._place(value)
        if isinstance(value, list):
            return [self._describe(each) for each in value]
        if isinstance(value, tuple):
            return {"tuple": [self._describe(each) for each in value]}
        if isinstance(value, BlockFormat):
            return {"format": str(value.name)}
        kind = type(value)
        if PARTS.get(kind.__name__) is not kind:
            raise TypeError(f"{kind.__name__} is no part of a model that can be stored")
        names = [field.name for field in fields(value) if field.name not in LEFT_OUT]
        found = {name: self._describe(getattr(value, name)) for name in names}
        prepared = {"prepared": value.packed is not None} if isinstance(value, Weight) else {}
        return {"type": kind.__name__, **found, **prepared}

    def _place(self, tensor: Tensor) -> dict[str, Any]:
        memory = tensor.untyped_storage()
        if (start := self._starts.get(memory.data_ptr())) is None:
            start = self._starts[memory.data_ptr()] = self._end
            self.runs.append(torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(memory))
            self._end = -(-(start + memory.nbytes()) // ALIGNMENT) * ALIGNMENT
        return {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "start": start + tensor.storage_offset() * tensor.itemsize,
        }


def together(tree: Any, buffer: Tensor, config: ModelConfig, shard: Shard | None = None) -> Any:
    """The model of a tree, over its buffer.

    Args:
        buffer: uint8 on the device on which the model is to be.
        config: of this rank's share.
        shard: of several ranks, this one's place.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the tree is no model's, or does not fit the buffer.
    """
    layout, exchange = (ONE_RANK, None) if shard is None else (shard.layout, shard.exchange)
    given = {"config": config, "router": config.router, "exchange": exchange, "layout": layout}

    def build(value: Any) -> Any:
        if isinstance(value, list):
            return [build(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "dtype" in value:
            return _at(buffer, value)
        if "tuple" in value:
            return tuple(build(value["tuple"]))
        if "format" in value:
            return FORMATS[value["format"]]
        kind = PARTS[value["type"]]
        found = {name: build(each) for name, each in value.items() if name not in ("type", "prepared")}
        part = kind(**found, **{field.name: given[field.name] for field in fields(kind) if field.name in GIVEN})
        return part.prepare() if value.get("prepared") else part

    return build(tree)


def tensors(tree: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Every tensor of a tree: its path, as `layers.3.attention.o.stored.data`, and where it starts."""
    if isinstance(tree, dict) and "dtype" in tree:
        yield path, tree["start"]
        return
    inner = enumerate(tree) if isinstance(tree, list) else tree.items() if isinstance(tree, dict) else ()
    for name, each in inner:
        yield from tensors(each, f"{path}.{name}" if path else str(name))


def _at(buffer: Tensor, place: dict[str, Any]) -> Tensor:
    dtype = DTYPES[place["dtype"]]
    first, rest = divmod(place["start"], dtype.itemsize)
    if rest:
        raise ValueError(f"a tensor of {place['dtype']} starts at byte {place['start']:,}")
    return torch.as_strided(buffer.view(dtype), place["shape"], place["stride"], first)

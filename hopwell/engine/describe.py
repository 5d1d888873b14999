"""What a loaded model is made of, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import torch

from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.weight import Weight


def weight_bytes(model: Transformer) -> dict[str, int]:
    """Bytes in memory of the model's matrices by format, the largest first; plain ones are named by their dtype."""
    total: Counter[str] = Counter()
    for weight in _weights(model):
        total[weight.format.name] += weight.stored.nbytes
    return dict(total.most_common())


def matrix_dtypes(model: Transformer) -> set[torch.dtype]:
    """The dtypes that the model's matrices are stored in."""
    return {weight.data.dtype for weight in _weights(model)}


def precision(model: Transformer) -> str:
    """What the model computes in, in a few words: "bfloat16", or "float32, matrices in float16"."""
    name = str(model.dtype).removeprefix("torch.")
    return f"{name}, matrices in float16" if torch.float16 in matrix_dtypes(model) else name


def _weights(part: object) -> Iterator[Weight]:
    if isinstance(part, Weight):
        yield part
    elif isinstance(part, MoE) and part.joined is not None:
        yield from _weights(replace(part, joined=None))  # the same memory
    elif isinstance(part, list):
        for one in part:
            yield from _weights(one)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _weights(getattr(part, field.name))

"""What a loaded model is made of, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from hopwell.model.transformer import Transformer
from hopwell.ops.linear import Weight


def weight_bytes(model: Transformer) -> dict[str, int]:
    """Bytes in memory of the model's matrices by format, the largest first; plain ones are named by their dtype."""
    total: Counter[str] = Counter()
    for weight in _weights(model):
        name = str(weight.data.dtype).removeprefix("torch.") if weight.format == "plain" else weight.format
        tensors = [weight.data] + ([] if weight.scale is None else [weight.scale])
        total[name] += sum(tensor.numel() * tensor.itemsize for tensor in tensors)
    return dict(total.most_common())


def _weights(part: object) -> Iterator[Weight]:
    if isinstance(part, Weight):
        yield part
    elif isinstance(part, list):
        for one in part:
            yield from _weights(one)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _weights(getattr(part, field.name))

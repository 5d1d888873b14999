"""A stack of matrices of one shape in several formats, such as a layer's experts after a search for fewest bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.matrices import Format, Matrix, combine
from hopwell.formats.packed import Packed


@dataclass(slots=True)
class Mixed(Matrix):
    """A stack [n, out, in] as one a format. `data`: int32 [formats, n], where each has a matrix; -1: nowhere."""

    parts: tuple[Packed, ...]

    @property
    def format(self) -> Format:
        """Of most of the matrices."""
        return max(self.parts, key=lambda part: part.shape[0]).format

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.data.shape[1], *self.parts[0].shape[1:]))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.stack([self.at(index).dequantize(dtype) for index in range(self.shape[0])])

    def at(self, index: int) -> Packed:
        places = self.data[:, index].tolist()
        part, place = next(pair for pair in zip(self.parts, places, strict=True) if pair[1] >= 0)
        return part.at(place)

    def tensors(self) -> Iterator[Tensor]:
        yield self.data
        for part in self.parts:
            yield from part.tensors()

    def map(self, change: Callable[[Tensor], Tensor]) -> Mixed:
        """A move to a device; no slice of the stack, whose parts have their own order."""
        return Mixed(change(self.data), tuple(part.map(change) for part in self.parts))


def stack_packed(matrices: Sequence[Packed]) -> Packed | Mixed:
    """A stack of matrices of one shape, in one format or in several."""
    kinds = list(dict.fromkeys((str(each.kind.name), each.zeros) for each in matrices))
    if len(kinds) == 1:
        return combine(matrices, torch.stack)
    places = torch.full((len(kinds), len(matrices)), -1, dtype=torch.int32)
    parts = []
    for row, kind in enumerate(kinds):
        which = [i for i, each in enumerate(matrices) if (str(each.kind.name), each.zeros) == kind]
        places[row, which] = torch.arange(len(which), dtype=torch.int32)
        parts.append(combine([matrices[i] for i in which], torch.stack))
    return Mixed(places.to(matrices[0].data.device), tuple(parts))

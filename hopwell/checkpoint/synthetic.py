"""Synthetic weights: random values of the deviations that the tensors' specs ask for, drawn in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.draw import draw_choices, draw_codes, draw_scales, draw_values, seed_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.spec import TensorSpec

PIECE_BYTES = 16 << 20
"""Drawn at once, with a seed of its own: pieces may be made in any order."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of consecutive values of one tensor."""

    spec: TensorSpec
    index: int
    count: int


class SyntheticWeights:
    """Random weights of a model, made as they are asked for; a `WeightReader`.

    On a CPU the same seed gives the same bytes, everywhere; a GPU's own generator gives others.

    Args:
        config: config.json of the model.
        specs: its tensors.
        device: where weights are drawn.
    """

    def __init__(self, config: Mapping[str, Any], specs: Sequence[TensorSpec], seed: int, device: str = "cpu") -> None:
        self.path, self.config = Path("synthetic"), dict(config)
        self.specs = {spec.name: spec for spec in specs}
        self.tensors = {s.name: TensorInfo(s.name, s.dtype, s.shape, self.path, 0, s.nbytes) for s in specs}
        self.seed, self.device = seed, device
        quantization = config.get("quantization_config") or {}
        self.power_of_two = quantization.get("scale_fmt") == "ue8m0"

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(spec.nbytes for spec in self.specs.values())

    def read(self, name: str) -> Tensor:
        """One tensor, on the device.

        Raises:
            CheckpointError: there is none of that name.
        """
        if name not in self.specs:
            raise CheckpointError(f"{self.path}: tensor {name} is missing")
        spec = self.specs[name]
        return torch.cat([self.make(piece) for piece in pieces([spec])]).view(spec.shape)

    def hint(self, name: str) -> str:
        """Nothing: there is no index."""
        return ""

    def make(self, piece: Piece) -> Tensor:
        """The values of a piece, flat, on the device."""
        spec, count = piece.spec, piece.count
        seed = seed_of(self.seed, spec.copy_of or spec.name, piece.index)
        if spec.values:
            return torch.tensor(spec.values, dtype=spec.dtype, device=self.device)
        if spec.choices:
            return draw_choices(count, seed, spec.choices, spec.dtype, self.device)
        if spec.is_scale:
            return draw_scales(count, seed, spec.deviation, self.power_of_two, self.device)
        if spec.dtype == torch.float8_e4m3fn:
            return draw_codes(count, seed, spec.deviation, self.power_of_two, self.device)
        return draw_values(count, seed, spec.deviation, spec.mean, spec.dtype, self.device)


def pieces(specs: Iterable[TensorSpec]) -> Iterator[Piece]:
    """Tensors cut into pieces, in order."""
    for spec in specs:
        step = PIECE_BYTES // spec.dtype.itemsize
        for index in range(-(-spec.numel // step)):
            yield Piece(spec, index, min(step, spec.numel - index * step))

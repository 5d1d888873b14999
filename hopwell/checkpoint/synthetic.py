"""What each tensor of a synthetic checkpoint holds: random values with which activations keep their size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.draw import draw_codes, draw_scales, draw_values, seed_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import TensorInfo
from hopwell.checkpoint.spec import TensorSpec

PIECE_BYTES = 16 << 20
"""Drawn at once, with a seed of its own: pieces may be made in any order."""
SWIGLU_DEVIATION = 0.5964
"""Of silu(a) * b, a and b normal: sqrt(E[silu(a)^2]), by which a down projection must make up for its input."""
NORM_DEVIATION = 0.1
BIAS_DEVIATION = 0.005
"""Of the router's correction bias: present, and too small to unbalance the experts."""


def gain(name: str, width: int) -> float:
    """The deviation of a tensor's values.

    A matrix keeps its input's variance, a down projection also makes up for what SwiGLU takes; embeddings have
    deviation 1; norms are 1 +- 0.1.

    Args:
        width: the tensor's last dimension.
    """
    if name.endswith("e_score_correction_bias"):
        return BIAS_DEVIATION
    if is_norm(name):
        return NORM_DEVIATION
    if name.endswith("embed_tokens.weight"):
        return 1.0
    unit = 1 / math.sqrt(width)
    return unit / SWIGLU_DEVIATION if name.endswith("down_proj.weight") else unit


def is_norm(name: str) -> bool:
    """Whether a tensor is the weight of a norm."""
    return name.endswith("norm.weight")


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
        seed = seed_of(self.seed, _original(spec), piece.index)
        if spec.is_scale:
            weight = self.specs[spec.name.removesuffix("_scale_inv")]
            return draw_scales(count, seed, gain(weight.name, weight.shape[-1]), self.power_of_two, self.device)
        deviation = gain(spec.name, spec.shape[-1])
        if spec.dtype == torch.float8_e4m3fn:
            return draw_codes(count, seed, deviation, self.power_of_two, self.device)
        return draw_values(count, seed, deviation, float(is_norm(spec.name)), spec.dtype, self.device)


def pieces(specs: Iterable[TensorSpec]) -> Iterator[Piece]:
    """Tensors cut into pieces, in order."""
    for spec in specs:
        step = PIECE_BYTES // spec.dtype.itemsize
        for index in range(-(-spec.numel // step)):
            yield Piece(spec, index, min(step, spec.numel - index * step))


def _original(spec: TensorSpec) -> str:
    """The tensor whose bytes these are: MTP's embedding and head are copies of the model's."""
    if spec.part != "mtp_copies":
        return spec.name
    return "model.embed_tokens.weight" if spec.name.endswith("embed_tokens.weight") else "lm_head.weight"

"""What the choice of a kernel is made of: a family's `choose(op, shape, formats, device)` returns a `Variant`.

Each family has one such function, pure and in a file without Triton (`linear_choice`, `moe_choice`, `attention_choice`,
`norm_choice`); `hopwell doctor --kernels MODEL` prints what they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from hopwell.formats.matrices import Format


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute an op."""

    name: str
    why: str
    """What decided, as the end of a sentence that begins with the name."""


class Formats(NamedTuple):
    """What meets in a product."""

    weight: Format
    rows: torch.dtype
    """e4m3 with a scale for each 128 values, bf16, or what plain PyTorch computes in."""


def short(dtype: torch.dtype) -> str:
    """A dtype as tables have it."""
    return {torch.float8_e4m3fn: "e4m3", torch.bfloat16: "bf16"}.get(dtype, str(dtype).removeprefix("torch."))

"""Rows as they travel between kernels: FP8 with a scale for each 128 values, or bf16, maybe with an rms outstanding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Normed:
    """RMSNorm's output before the division by the rms, in the forms its readers want."""

    fp8: Tensor | None
    """e4m3 data [tokens, width], under `scales`."""
    scales: Tensor | None
    """float32 [tokens, width / 128]."""
    values: Tensor | None
    """bf16 [tokens, width]."""
    sumsq: Tensor | None
    """float32 [tokens, chunks]: the sum of squares of each chunk; None when no rms is outstanding."""


def empty_rows(rows: int, width: int, fp8: bool, device: torch.device) -> Normed:
    """Unwritten rows in FP8 or in bf16."""
    if fp8:
        data = torch.empty(rows, width, dtype=torch.float8_e4m3fn, device=device)
        return Normed(data, torch.empty(rows, width // 128, device=device), None, None)
    return Normed(None, None, torch.empty(rows, width, dtype=torch.bfloat16, device=device), None)

"""Whether a converted checkpoint keeps its promise, on text that its conversion did not see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.transformer import Transformer
from hopwell.precision.divergence import Divergence, compare


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured, and what was promised."""

    divergence: Divergence
    fingerprints: int
    """Tensors whose SHA-256 is the report's; 0 without a report."""
    budget: float | None
    """The KL that the conversion was given, if any."""

    @property
    def kept(self) -> bool:
        """Whether the mean KL is within the budget; True without one."""
        return self.budget is None or self.divergence.mean <= self.budget

    def as_row(self) -> dict[str, Any]:
        """For tables and results."""
        return asdict(self.divergence) | {
            "fingerprints": self.fingerprints,
            "budget": self.budget,
            "kept": self.kept,
        }


def verify(model: Path, against: Path, sequences: Sequence[Sequence[int]], budget: float | None = None) -> Verdict:
    """Compares `model` with the reference `against` in float32, every tensor against its fingerprint.

    Args:
        sequences: fresh text, as tokens.
        budget: mean KL to keep; default: the one in the model's report.

    Raises:
        CheckpointError: a checkpoint cannot be loaded, or a tensor is not the one that was converted.
    """
    checkpoint = Checkpoint.open(model)
    if budget is None and checkpoint.fingerprints:
        report = json.loads((checkpoint.path / REPORT).read_text(encoding="utf-8"))
        budget = report["settings"]["goal"]["kl"]
    reference = Transformer.load(Checkpoint.open(against), "cpu", torch.float32)
    for name in checkpoint.tensors:
        checkpoint.read(name)  # also those that loading skips
    converted = Transformer.load(checkpoint, "cpu", torch.float32)
    return Verdict(compare(reference, converted, sequences), len(checkpoint.fingerprints), budget)

"""Whether a converted checkpoint keeps its promise, on text that its conversion did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import REPORT_BYTES, read_json
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import check_headers
from hopwell.model.loading import load_transformer
from hopwell.quantization.divergence import Divergence, Progress, Yardstick


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured, and what was promised."""

    divergence: Divergence
    fingerprints: int
    """Tensors whose SHA-256 is the report's; 0 without a report."""
    budget: float | None
    """The KL that the conversion was given, if any."""

    @property
    def kept(self) -> bool | None:
        """Whether the mean KL is within the budget; None without one."""
        return None if self.budget is None else self.divergence.mean <= self.budget

    def as_row(self) -> dict[str, Any]:
        """For tables and results."""
        return asdict(self.divergence) | {"fingerprints": self.fingerprints, "budget": self.budget, "kept": self.kept}


def open_checked(path: Path) -> Checkpoint:
    """Opens a checkpoint that a load would take, as far as headers tell.

    Raises:
        CheckpointError, ConfigError: it would not.
    """
    checkpoint = Checkpoint.open(path)
    check_headers(checkpoint, ModelConfig.from_dict(checkpoint.config))
    return checkpoint


def promised(folder: Path) -> float | None:
    """The KL that a conversion was given, by its report.

    Raises:
        CheckpointError: the report does not tell.
    """
    path = folder / REPORT
    try:
        value = read_json(path, REPORT_BYTES)["settings"]["goal"]["kl"]
        return None if value is None else float(value)
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path}: settings.goal.kl is not there; give --budget, or fetch the file again"
        ) from None


def verify(
    model: Path,
    against: Path,
    sequences: Sequence[Sequence[int]],
    budget: float | None = None,
    progress: Progress = lambda *_: None,
) -> Verdict:
    """Compares `model` with the reference `against` in float32, every tensor against its fingerprint.

    Args:
        sequences: fresh text, as tokens.
        budget: mean KL to keep; default: the one in the model's report.
        progress: told how many tokens are compared, how many there are, and an empty name.

    Raises:
        CheckpointError: a checkpoint cannot be loaded, or a tensor is not the one that was converted.
    """
    checkpoint, reference = (open_checked(path) for path in (model, against))
    if budget is None and checkpoint.fingerprints:
        budget = promised(checkpoint.path)
    expected = load_transformer(reference, "cpu", torch.float32)
    for name in checkpoint.tensors:
        checkpoint.read(name)  # also those that loading skips
    converted = load_transformer(checkpoint, "cpu", torch.float32)
    found = Yardstick(expected, sequences, keep=False).measure(converted, progress)
    return Verdict(found, len(checkpoint.fingerprints), budget)

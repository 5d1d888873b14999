"""SHA-256 of every tensor, as a conversion leaves them beside its files: what is read is what was written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from hopwell.checkpoint.errors import CheckpointError

REPORT = "hopwell_precision.json"
"""A conversion's report; its `sha256` maps tensors to fingerprints."""


def fingerprint(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bytes, in hexadecimal."""
    return hashlib.sha256(tensor.contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()


def read_fingerprints(folder: Path) -> dict[str, str]:
    """Fingerprints by tensor; empty if the checkpoint carries no report.

    Raises:
        CheckpointError: the report cannot be read.
    """
    path = folder / REPORT
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a conversion's report: {error}; convert again or remove it") from None

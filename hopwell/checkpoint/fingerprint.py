"""SHA-256 of every tensor, as a conversion leaves them beside its files: what is read is what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import REPORT_BYTES, read_json

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
    found = read_json(path, REPORT_BYTES).get("sha256")
    if not isinstance(found, dict) or not all(isinstance(print_, str) for print_ in found.values()):
        raise CheckpointError(f"{path}: not a conversion's report: no sha256 of tensors; convert again or remove it")
    return found

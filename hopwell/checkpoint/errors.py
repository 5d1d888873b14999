"""What can be wrong with a checkpoint."""

from __future__ import annotations

from hopwell.errors import HopwellError


class CheckpointError(HopwellError):
    """A checkpoint cannot be read, written or used: one line that names the file or tensor, and the remedy."""

"""What lies in shared memory by name, but for what tests that run beside this one may have there."""

from __future__ import annotations

from pathlib import Path

OTHERS = ("sem.", "psm_", "torch_")
"""Of multiprocessing's semaphores and blocks, and of PyTorch's tensors."""


def shared_names() -> set[str]:
    """Names in /dev/shm; none where there is no such folder."""
    folder = Path("/dev/shm")
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(OTHERS)} if folder.is_dir() else set()

"""What a process of Hopwell's own asks of the libraries that it computes with, before it imports torch."""

from __future__ import annotations

import os

VARIABLES = {
    # threads would otherwise spin while they wait: on a machine that does anything else, fifty times slower
    "OMP_WAIT_POLICY": "PASSIVE",
    # AMX sums a row by its company: see `alike.rows_are_summed_alike`
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",
    # PyTorch keeps what it compiles for each shape of a product on a CPU: 1,024 in oneDNN, and as many again a thread.
    # Attention meets a new shape in almost every step, so that comes to gigabytes, for shapes that rarely come again.
    # With 128 nothing was slower
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
}
"""Variables of the environment; each is read once, when a product first runs or torch is imported."""


def own_process() -> None:
    """Sets `VARIABLES` where the user has not: for commands and servers, never on import of a module."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)

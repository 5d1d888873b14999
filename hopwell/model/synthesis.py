"""Synthetic checkpoints: any config of the family at its real size, with random weights in R1's own layout on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hopwell
from hopwell.checkpoint.files import new_folder, write_json
from hopwell.checkpoint.synthetic import write_shards
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory

SPARE_BYTES = 64 << 20
"""Room for config.json, the index and the report."""
REPORT = "hopwell_synth.json"
"""Seed and measurements, beside the weights."""


def synthesise(
    values: Mapping[str, Any],
    out: Path,
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Writes a checkpoint of `values`, a config.json's contents, whole or not at all.

    Returns:
        What is written to `hopwell_synth.json`.

    Raises:
        ConfigError: the config cannot be honoured.
        CheckpointError: `out` exists, or its disk is too small or fails.
    """
    config = ModelConfig.from_dict(values)
    specs = inventory(config)
    total = sum(spec.nbytes for spec in specs)
    quantization = values.get("quantization_config") or {}
    with new_folder(out, total + SPARE_BYTES) as folder:
        write_shards(folder, specs, seed, device, quantization.get("scale_fmt") == "ue8m0", progress)
        report = {"hopwell": hopwell.__version__, "seed": seed, "device": device, "bytes": total, "tensors": len(specs)}
        write_json(folder / REPORT, report)
        write_json(folder / "config.json", dict(values))  # last: a folder without it is no checkpoint
    return report

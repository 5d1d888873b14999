"""Measured results as JSON, one file a run, with what is needed to repeat it: date, device, versions, commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import hopwell
from hopwell.checkpoint.files import write_text

PACKAGES = ("torch", "triton", "numpy", "transformers", "safetensors", "tokenizers")


def environment() -> dict[str, Any]:
    """What ran: date (UTC), device, cores, PyTorch's threads, versions, and the commit when run from a checkout."""
    versions = {"python": platform.python_version(), "hopwell": hopwell.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": device_name(),
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_threads": torch.get_num_threads(),
        "versions": versions,
        "commit": _commit(),
    }


def device_name() -> str:
    """The GPU's name, or the CPU's."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write_result(path: Path, name: str, rows: Sequence[Mapping[str, Any]], **meta: Any) -> Path:
    """Writes `{name, environment, meta, rows}` to `path`, whole or not at all.

    Args:
        path: a .json file, or a folder, in which the file is named after the run and its date.

    Returns:
        The file written.
    """
    document = {"name": name, **environment(), **meta, "rows": list(rows)}
    if path.suffix != ".json":
        path = path / f"{name}-{document['date'].replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("HOPWELL_COMMIT")
    return done.stdout.strip()

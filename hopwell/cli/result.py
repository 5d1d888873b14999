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
from typing import Annotated, Any

import typer

import hopwell
from hopwell.checkpoint.files import write_text
from hopwell.cli.outputs import check_either
from hopwell.system import cores

Out = Annotated[Path | None, typer.Option(help="JSON file or folder for the result.", callback=check_either)]
PACKAGES = ("torch", "triton", "numpy", "transformers", "safetensors", "tokenizers")


def environment() -> dict[str, Any]:
    """What ran: date (UTC), device, cores, PyTorch's threads, versions, and the commit when run from a checkout."""
    import torch

    versions = {"python": platform.python_version(), "hopwell": hopwell.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": timestamp(),
        "device": device_name(),
        "cpu_cores": cores(),
        "cpu_threads": torch.get_num_threads(),
        "versions": versions,
        "commit": _commit(),
    }


def timestamp() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def device_name() -> str:
    """The GPU's name, or the CPU's."""
    import torch

    from hopwell.limits.ceilings import cpu_name

    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()


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
    path.parent.mkdir(parents=True, exist_ok=True)  # whatever has become of it: what was measured is not lost
    write_text(path, as_text(document) + "\n")
    return path


def as_text(value: Any, depth: int = 0) -> str:
    """JSON with an object of a list on one line, so that a diff shows as many lines as rows have changed.

    An object that holds others, and the whole, has a line a field.
    """
    inner, outer = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, Mapping) and (depth == 0 or any(_holds(each) for each in value.values())):
        fields = f",{inner}".join(f"{json.dumps(name)}: {as_text(each, depth + 1)}" for name, each in value.items())
        return f"{{{inner}{fields}{outer}}}"
    if isinstance(value, list) and any(_holds(each) for each in value):
        return f"[{inner}{f',{inner}'.join(map(json.dumps, value))}{outer}]"
    return json.dumps(value)


def _holds(value: Any) -> bool:
    return isinstance(value, list | Mapping) and len(value) > 0


def _commit() -> str | None:
    root = Path(hopwell.__file__).parents[1]
    if not (root / ".git").exists():  # a repository above an installed package is somebody else's
        return os.environ.get("HOPWELL_COMMIT")
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("HOPWELL_COMMIT")
    return done.stdout.strip()

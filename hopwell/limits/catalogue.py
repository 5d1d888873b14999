"""The hardware catalogue: what each GPU has, by a short name such as `H100`. The numbers are in `gpus.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hopwell.errors import HopwellError

PATH = Path(__file__).with_name("gpus.toml")
UNITS = {"memory": 1 << 20, "l2": 1 << 20, **dict.fromkeys(("bandwidth", "nvlink", "network"), 1e9),
         **dict.fromkeys(("bf16", "fp8", "fp4"), 1e12)}  # fmt: skip
"""Of the file's numbers, in those of `Gpu`."""
RESERVE = 0.06
"""Of a GPU's memory, for activations, graphs and the runtime: not for weights or latents."""


class CatalogueError(HopwellError):
    """A GPU is not in the catalogue; the message lists those that are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, as its maker describes it. None: unknown, or there is no such unit."""

    name: str
    title: str
    names: tuple[str, ...]
    """Parts of the name that the driver reports."""
    memory: int
    """Bytes, as nvidia-smi shows them."""
    bandwidth: float
    """Bytes/s of device memory."""
    bf16: float
    """FLOP/s of the matrix units, dense, like those that follow."""
    fp8: float | None = None
    fp4: float | None = None
    nvlink: float
    """Bytes/s in each direction; 0: PCIe only."""
    domain: int
    """GPUs that NVLink joins."""
    network: float | None = None
    """Bytes/s in each direction to other domains."""
    tdp: float
    """W."""
    sm: int
    """Architecture, as 90."""
    sms: int | None = None
    l2: int | None = None
    """Bytes."""
    source: str

    @property
    def usable(self) -> int:
        """Bytes for weights and latents."""
        return int(self.memory * (1 - RESERVE))


@cache
def catalogue() -> Mapping[str, Gpu]:
    """All GPUs, by name, in the order of the file."""
    return {name: _gpu(name, entry) for name, entry in tomllib.loads(PATH.read_text(encoding="utf-8")).items()}


def find_gpu(name: str) -> Gpu:
    """The GPU of a name, whatever its case, spaces and hyphens.

    Raises:
        CatalogueError: there is none.
    """
    plain = name.upper().replace(" ", "").replace("-", "")
    if plain not in catalogue():
        raise CatalogueError(f"GPU {name!r} is not in the catalogue; give one of {', '.join(catalogue())}")
    return catalogue()[plain]


def recognise(device_name: str) -> Gpu | None:
    """The GPU that a driver calls `device_name`, or None."""
    matches = [(len(part), gpu) for gpu in catalogue().values() for part in gpu.names if part in device_name]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def parse_cluster(text: str, option: str) -> tuple[int, Gpu]:
    """A count and a GPU, as `8xH100`.

    Raises:
        CatalogueError: the count is no number above 0, or the GPU is unknown; the message names the option.
    """
    count, separator, name = text.partition("x")
    if not separator or not count.isdecimal() or int(count) < 1:
        raise CatalogueError(f"{option} is {text!r}, not a count and a GPU; give, for instance, 8xH100")
    try:
        return int(count), find_gpu(name)
    except CatalogueError as error:
        raise CatalogueError(f"{option}: {error}") from None


def _gpu(name: str, entry: dict[str, Any]) -> Gpu:
    values = {key: value * UNITS.get(key, 1) for key, value in entry.items() if key != "names"}
    return Gpu(name=name, names=tuple(entry["names"]), **values)

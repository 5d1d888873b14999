"""Energy counters: a GPU's own through NVML, a CPU's through Linux's powercap (RAPL)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hopwell.limits.nvml import asked, open_gpu

Counter = Callable[[], float]
"""Joules so far, from any beginning."""
POWERCAP = Path("/sys/class/powercap")


def gpu_counter(*gpus: str | int) -> Counter | None:
    """The counters of GPUs since their driver was loaded, together, or None where NVML has none of one of them.

    They move every 20 to 100 ms: differences mean something over two seconds or more.

    Args:
        gpus: as `open_gpu` has them.
    """
    found = []
    for gpu in gpus:
        opened = open_gpu(gpu)
        if opened is None or asked(opened[0], "nvmlDeviceGetTotalEnergyConsumption", opened[1]) is None:
            return None
        found.append(opened)
    return lambda: sum(nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for nvml, handle in found) / 1e3


def all_joules(gpus: int) -> float | None:
    """What the counters of this process's first so many GPUs say together, or None where NVML cannot say."""
    counter = gpu_counter(*own_gpus(gpus))
    return None if counter is None else counter()


def own_gpus(count: int) -> list[str | int]:
    """This process's first so many GPUs, as `open_gpu` has them: those that CUDA_VISIBLE_DEVICES names, if it does."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [int(name) if name.isdecimal() else name for name in named][:count] if named else [*range(count)]


class CpuCounter:
    """All sockets of this machine, whatever runs on them; memory's own counters, where there are any, are left out."""

    def __init__(self, zones: list[Path]) -> None:
        """
        Args:
            zones: powercap's, one a socket.

        Raises:
            OSError: they may not be read.
        """
        self._zones = [(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())) for zone in zones]
        self._last = [int(path.read_text()) for path, _ in self._zones]
        self._sum = 0

    def __call__(self) -> float:
        """Joules since this was made. It must be called before a counter has gone round once: within some minutes."""
        for place, (path, most) in enumerate(self._zones):
            now = int(path.read_text())
            self._sum += now - self._last[place] + (most if now < self._last[place] else 0)
            self._last[place] = now
        return self._sum / 1e6


def cpu_counter(root: Path = POWERCAP) -> Counter | None:
    """The counter of this machine's CPUs, or None: there is none, or it is root's alone, as most systems have it."""
    zones = sorted(zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1)
    try:
        zones = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        return CpuCounter(zones) if zones else None
    except (OSError, ValueError):
        return None

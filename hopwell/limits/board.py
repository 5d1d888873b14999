"""A GPU's sensors, through NVML: watts, degrees, clocks, and why they are low. Nothing is set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hopwell.limits.nvml import asked, open_gpu

REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "another GPU of its group",
    0x20: "temperature",
    0x40: "temperature, by hardware",
    0x80: "power brake",
    0x100: "display clocks",
    0x2: "clocks set by an administrator",
}
"""Of `nvmlDeviceGetCurrentClocksEventReasons`, as nvml.h names the bits; that a GPU idles is none."""


@dataclass(slots=True)
class Board:
    """A GPU's sensors; None: not known."""

    watts: float | None = None
    degrees: int | None = None
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    slowed_by: list[str] = field(default_factory=list)
    """Why its clocks are lower than they might be."""


def reasons_of(bits: int) -> list[str]:
    """What slows a GPU, in words."""
    return [words for bit, words in REASONS.items() if bits & bit]


def read_board(uuid: str, nvml: Any = None) -> Board | None:
    """What the sensors of a GPU say now, or None where NVML does not know it.

    Args:
        uuid, nvml: as `open_gpu` has them.
    """
    if (found := open_gpu(uuid, nvml)) is None:
        return None
    nvml, handle = found
    milliwatts = asked(nvml, "nvmlDeviceGetPowerUsage", handle)
    return Board(
        watts=None if milliwatts is None else milliwatts / 1e3,
        degrees=asked(nvml, "nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
        sm_mhz=asked(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        memory_mhz=asked(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_MEM),
        slowed_by=reasons_of(asked(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle) or 0),
    )

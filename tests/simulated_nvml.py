"""NVML as a module over cards that are not there: as much of its interface as `hopwell.limits` uses.

The cards' state is a file (`SIMULATED_NVML`), as a driver's outlives every process. Each lock that is asked for is
written down beside it, so that a test can see all that ever was.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
NVML_TEMPERATURE_GPU = 0
MAX_MHZ, MIN_MHZ, GRID = 1980, 345, 15
CARD = struct.Struct("<qqqqqqqq")
LOW, HIGH, MILLIJOULES, REASONS, REFUSES, DISOBEYS, DEGREES, LOST = range(8)
"""Of a card's state: its lock (0: none), its counter, why its clocks are low, two faults that tests want, its
temperature, and whether it has fallen off the bus."""


class NVMLError(Exception):
    """As pynvml's."""


class _State:
    """The file in memory."""

    def __init__(self) -> None:
        self.path = ""
        self.data: mmap.mmap | None = None

    def open(self) -> mmap.mmap:
        path = os.environ.get("SIMULATED_NVML", "")
        if not path or not Path(path).exists():
            raise NVMLError("Driver Not Loaded")
        if path != self.path:
            with open(path, "r+b") as file:
                self.data, self.path = mmap.mmap(file.fileno(), 0), path
        assert self.data is not None
        return self.data


_state = _State()


def make(path: Path, cards: int) -> None:
    """New cards, unlocked, for this process and its children."""
    path.write_bytes(bytes(CARD.size * cards))
    locks_of(path).write_text("")
    os.environ["SIMULATED_NVML"] = str(path)
    _state.path = ""


def locks_of(path: Path) -> Path:
    """Where every lock that was asked for stands: card, low, high."""
    return path.with_suffix(".locks")


def get(card: int, what: int) -> int:
    return struct.unpack_from("<q", _state.open(), card * CARD.size + 8 * what)[0]


def put(card: int, what: int, value: int) -> None:
    struct.pack_into("<q", _state.open(), card * CARD.size + 8 * what, value)


def nvmlInit() -> None:
    _state.open()


def nvmlDeviceGetCount() -> int:
    return len(_state.open()) // CARD.size


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    if not 0 <= index < nvmlDeviceGetCount():
        raise NVMLError("Invalid Argument")
    return index


def nvmlDeviceGetHandleByUUID(uuid: str) -> int:
    """Cards are called GPU-0, GPU-1, ..."""
    card = nvmlDeviceGetHandleByIndex(int(uuid.removeprefix("GPU-")))
    if get(card, LOST):
        raise NVMLError("GPU is lost")
    return card


def nvmlDeviceGetTemperature(card: int, sensor: int) -> int:
    assert sensor == NVML_TEMPERATURE_GPU
    return get(card, DEGREES)


def nvmlDeviceGetName(card: int) -> str:
    return "Simulated H200"


def nvmlDeviceGetSupportedMemoryClocks(card: int) -> list[int]:
    return [3201]


def nvmlDeviceGetSupportedGraphicsClocks(card: int, memory: int) -> list[int]:
    assert memory == 3201
    return list(range(MAX_MHZ, MIN_MHZ - 1, -GRID))


def nvmlDeviceGetMaxClockInfo(card: int, kind: int) -> int:
    return MAX_MHZ


def nvmlDeviceGetClockInfo(card: int, kind: int) -> int:
    return MAX_MHZ if get(card, DISOBEYS) else get(card, HIGH) or MAX_MHZ


def nvmlDeviceGetPowerUsage(card: int) -> int:
    raise NVMLError("Not Supported")


def nvmlDeviceGetTotalEnergyConsumption(card: int) -> int:
    return get(card, MILLIJOULES)


def nvmlDeviceGetCurrentClocksEventReasons(card: int) -> int:
    return get(card, REASONS) | (0x2 if get(card, HIGH) else 0)


def nvmlDeviceSetGpuLockedClocks(card: int, low: int, high: int) -> None:
    if get(card, REFUSES):
        raise NVMLError("Insufficient Permissions")
    with locks_of(Path(_state.path)).open("a") as log:
        log.write(f"{card} {low} {high}\n")
    put(card, LOW, low)
    put(card, HIGH, high)


def nvmlDeviceResetGpuLockedClocks(card: int) -> None:
    put(card, LOW, 0)
    put(card, HIGH, 0)

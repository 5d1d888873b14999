"""Cards through NVML: what they do now, and locks of their clocks, which a whitelist bounds.

Reading needs no rights. Locking needs root, and in this version is done to simulated cards alone: `Locks` refuses
pynvml. It never touches the memory's clock, ECC or a power limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hopwell.errors import HopwellError
from hopwell.limits.board import reasons_of
from hopwell.limits.nvml import asked

LEAST_MHZ = 1000
"""No whitelist goes below: there energy a token rises again (VoltanaLLM has the best of an A100 at about 1,005 of its
1,410 MHz)."""
LOW_MHZ = 1200


class ClockError(HopwellError):
    """Clocks that cannot be read or must not be set; the message says why."""


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU's reading. None: it does not say."""

    name: str
    sm_mhz: int
    max_mhz: int
    watts: float | None
    joules: float | None
    """Since its driver was loaded."""
    slowed_by: tuple[str, ...]


def import_nvml(name: str = "pynvml") -> Any:
    """The NVML module, initialised.

    Raises:
        ClockError: there is none, or no driver.
    """
    import importlib

    try:
        nvml = importlib.import_module(name)
    except ImportError:
        raise ClockError(f"no {name} here; on a machine with an NVIDIA GPU: pip install nvidia-ml-py") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise ClockError(f"NVML finds no GPU here: {error}; clocks can be read only beside the cards") from None
    return nvml


def read_cards(nvml: Any, indices: Sequence[int] | None = None) -> list[Card]:
    """Reads cards.

    Args:
        indices: as NVML numbers them; None: all.

    Raises:
        ClockError: there is no such card, or its clocks cannot be read.
    """
    try:
        places = range(nvml.nvmlDeviceGetCount()) if indices is None else indices
        return [_read(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in places]
    except nvml.NVMLError as error:
        raise ClockError(f"NVML cannot read the clocks: {error}") from None


def _read(nvml: Any, handle: Any) -> Card:
    milliwatts, millijoules = (
        asked(nvml, f"nvmlDeviceGet{name}", handle) for name in ("PowerUsage", "TotalEnergyConsumption")
    )
    bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    return Card(
        name=nvml.nvmlDeviceGetName(handle),
        sm_mhz=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        max_mhz=nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        watts=None if milliwatts is None else milliwatts / 1e3,
        joules=None if millijoules is None else millijoules / 1e3,
        slowed_by=tuple(reasons_of(bits)),
    )


def whitelist(nvml: Any, indices: Sequence[int], low: int = LOW_MHZ) -> list[int]:
    """MHz that all of these cards support, from `low` up, the lowest first.

    Raises:
        ClockError: `low` is below `LEAST_MHZ`, the cards share no clock above, or cannot say.
    """
    if low < LEAST_MHZ:
        raise ClockError(f"low is {low} MHz; give {LEAST_MHZ} or more")
    shared: set[int] | None = None
    try:
        for index in indices:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = max(nvml.nvmlDeviceGetSupportedMemoryClocks(handle))
            own = set(nvml.nvmlDeviceGetSupportedGraphicsClocks(handle, memory))
            shared = own if shared is None else shared & own
    except nvml.NVMLError as error:
        raise ClockError(f"NVML cannot tell which clocks are supported: {error}") from None
    found = sorted(clock for clock in shared or () if clock >= low)
    if not found:
        raise ClockError(f"the cards share no clock of {low} MHz or more; give a lower one")
    return found


class Locks:
    """Locks of a group of cards: the same for all, none outside the whitelist. Begins with none."""

    def __init__(self, nvml: Any, indices: Sequence[int], low: int = LOW_MHZ) -> None:
        """
        Raises:
            ClockError: these are real cards, or `whitelist` raises it.
        """
        if nvml.__name__ == "pynvml":
            raise ClockError("this version locks no clock of a real card: it observes and advises")
        self._nvml = nvml
        self.clocks = whitelist(nvml, indices, low)
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in indices]
        self.reset()

    def lock(self, mhz: int) -> None:
        """Has all cards run at no more than `mhz`; the highest of the whitelist takes the lock away.

        Raises:
            ClockError: it is not in the whitelist, or a card refuses: then none is locked.
        """
        if mhz not in self.clocks:
            raise ClockError(f"{mhz} MHz is not in the whitelist of {self.clocks[0]} to {self.clocks[-1]}")
        if mhz == self.clocks[-1]:
            return self.reset()
        try:
            for handle in self._handles:
                self._nvml.nvmlDeviceSetGpuLockedClocks(handle, self.clocks[0], mhz)
        except self._nvml.NVMLError as error:
            self.reset()
            raise ClockError(f"a card refuses {mhz} MHz: {error}; all are unlocked") from None
        return None

    def reset(self) -> None:
        """Takes all locks away, of every card whatever becomes of the others.

        Raises:
            ClockError: a card refuses.
        """
        refused: list[str] = []
        for handle in self._handles:
            try:
                self._nvml.nvmlDeviceResetGpuLockedClocks(handle)
            except self._nvml.NVMLError as error:
                refused.append(str(error))
        if refused:
            raise ClockError(f"a card refuses to be unlocked: {refused[0]}; run nvidia-smi -rgc")

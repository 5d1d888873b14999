"""The GPU's own energy counter, through NVML."""

from __future__ import annotations


def energy_joules(device: int = 0) -> float | None:
    """Joules that GPU `device` has used since its driver was loaded, or None where NVML cannot say.

    The counter moves every 20 to 100 ms: differences mean something over two seconds or more.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(device)) / 1e3
    except pynvml.NVMLError:
        return None

"""NVML, NVIDIA's library of a GPU's sensors and counters, where it is installed: a GPU in it, by its UUID or number."""

from __future__ import annotations

from typing import Any


def open_gpu(gpu: str | int, nvml: Any = None) -> tuple[Any, Any] | None:
    """NVML and its handle of a GPU, or None: it is not installed, or does not know the GPU.

    Args:
        gpu: a UUID as `torch.cuda.get_device_properties(i).uuid`, in words; or as NVML numbers GPUs.
        nvml: the module; None: `pynvml`, where it is installed.
    """
    if nvml is None:
        try:
            import pynvml as nvml
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
        if isinstance(gpu, int):
            return nvml, nvml.nvmlDeviceGetHandleByIndex(gpu)
        return nvml, nvml.nvmlDeviceGetHandleByUUID(gpu if gpu.startswith("GPU-") else f"GPU-{gpu}")
    except nvml.NVMLError:
        return None


def asked(nvml: Any, name: str, *arguments: Any) -> Any:
    """What a function of NVML says; None: the card has no such sensor."""
    try:
        return getattr(nvml, name)(*arguments)
    except nvml.NVMLError:
        return None

"""NVML, NVIDIA's library of a GPU's sensors and counters, where it is installed: a GPU in it, by its UUID."""

from __future__ import annotations

from typing import Any


def open_gpu(uuid: str, nvml: Any = None) -> tuple[Any, Any] | None:
    """NVML and its handle of a GPU, or None: it is not installed, or does not know the GPU.

    Args:
        uuid: as `torch.cuda.get_device_properties(i).uuid`, in words.
        nvml: the module; None: `pynvml`, where it is installed.
    """
    if nvml is None:
        try:
            import pynvml as nvml
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
        return nvml, nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except nvml.NVMLError:
        return None

"""Where a model runs and in what, by the names that users give; PyTorch's threads."""

from __future__ import annotations

import os
import time

import torch

from hopwell.engine.frontend import ModelError
from hopwell.ops.cpu import cpu_multiplies_bf16, cpu_packs_float16
from hopwell.parallel.layout import Layout, LayoutError

LINK_BYTES = 64 << 20
"""Copied to learn a link's rate."""
ONE_THREAD_BELOW = 256 << 20
"""Bytes of weights below which a step on a CPU is over before a second thread has woken."""


def pick_device(device: str) -> torch.device:
    """A device by name; "auto" is a GPU if there is one.

    Raises:
        ModelError: the name is unknown, or there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ModelError(f"device {device!r} is unknown; known: auto, cpu, cuda, cuda:0, cuda:1, ...")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {device!r} is not here: PyTorch sees {torch.cuda.device_count()} GPUs; give cpu")
    return torch.device(device)


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """A dtype by name; "auto" is bfloat16 but on CPUs that would emulate it: float16 there, or float32.

    Raises:
        ModelError: the name is unknown, or not for this device.
    """
    if dtype == "auto":
        if device.type != "cpu" or cpu_multiplies_bf16():
            return torch.bfloat16
        return torch.float16 if cpu_packs_float16() else torch.float32
    if dtype not in ("bfloat16", "float16", "float32"):
        raise ModelError(f"dtype {dtype!r} is unknown; known: auto, bfloat16, float16, float32")
    if dtype == "float16" and (device.type != "cpu" or not cpu_packs_float16()):
        raise ModelError(f"dtype 'float16' is for x86 CPUs with AVX2; give auto, bfloat16 or float32 on {device}")
    return getattr(torch, dtype)


def gpu_uuid(device: torch.device) -> str:
    """A GPU's name in NVML."""
    return str(torch.cuda.get_device_properties(device).uuid)


def link_rate(device: torch.device) -> float | None:
    """Bytes a second from pinned host memory to a GPU, measured now; None: it is none."""
    if device.type != "cuda":
        return None
    host = torch.empty(LINK_BYTES, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(host, device=device)
    there.copy_(host)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    there.copy_(host)
    torch.cuda.synchronize(device)
    return LINK_BYTES / (time.perf_counter() - began)


def set_threads(weights: int, device: torch.device, ranks: int) -> None:
    """PyTorch's threads in this process: one for a small model on a CPU, and each rank its part of the cores.

    Args:
        weights: bytes of the checkpoint.
    """
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return
    if weights < ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    elif ranks > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks))


def unlaid(kind: str, layout: Layout) -> str | None:
    """Why this version lays no model out so over devices of a kind ("cpu" or "cuda"), and the remedy; None: it does."""
    asked = f"--tp {layout.tp}"
    if kind != "cuda" or layout.world == 1:
        return None
    if layout.ep:
        return f"{asked} --ep {layout.tp} is for CPUs as yet; on GPUs leave --ep out"
    if layout.tp & (layout.tp - 1):
        return f"{asked}: kernels exchange between 2, 4, 8, ... GPUs"
    return None


def own_gpu(device: torch.device, layout: Layout) -> torch.device:
    """A rank's own GPU, current in this process from now on; on a CPU nothing is to be chosen.

    Raises:
        LayoutError: GPUs cannot be laid out so.
    """
    if device.type != "cuda" or layout.world == 1:
        return device
    if (wrong := unlaid(device.type, layout)) is not None:
        raise LayoutError(wrong)
    if (there := torch.cuda.device_count()) < layout.tp:
        asked, gpus = f"--tp {layout.tp}", f"{there} GPU{'' if there == 1 else 's'}"
        raise LayoutError(f"{asked}: this machine has {gpus}; give no more than that")
    own = torch.device("cuda", layout.rank)
    torch.cuda.set_device(own)
    return own

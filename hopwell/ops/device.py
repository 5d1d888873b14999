"""What an op runs on, as far as its kernel's choice depends on it: a small value, so that choosing needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.limits.catalogue import CatalogueError, find_gpu

TRITON = (3, 6), (3, 9)
"""The first release of Triton that compiles all kernels, and the first one that no longer does: Gluon is young."""


@cache
def triton_release() -> tuple[int, int] | None:
    """Of the Triton that is installed; None: there is none."""
    for package in ("triton", "pytorch-triton"):
        try:
            major, minor = metadata.version(package).split(".")[:2]
        except metadata.PackageNotFoundError:
            continue
        return int(major), int(minor)
    return None


def why_no_triton() -> str | None:
    """What keeps the kernels from being compiled here, and what to install; None: nothing."""
    found, (first, last) = triton_release(), TRITON
    if found is not None and first <= found < last:
        return None
    here = "no Triton is installed" if found is None else f"Triton {found[0]}.{found[1]} does not compile the kernels"
    return f"{here}; pip install 'hopwell[gpu]' brings {first[0]}.{first[1]}, and the PyTorch that goes with it"


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or none."""

    name: str
    capability: int = 0
    """90 on Hopper, 100 on Blackwell; 0: no GPU."""
    multiprocessors: int = 0
    triton: bool = True
    """Triton is installed, in a release that compiles the kernels."""
    interpreted: bool = False
    """Kernels run in Triton's interpreter, which has no Gluon."""

    @property
    def has_kernels(self) -> bool:
        """Whether the kernels are for it, a Hopper or a data-centre Blackwell, and Triton compiles them."""
        return self.triton and self.capability // 10 in (9, 10)

    @property
    def has_gluon(self) -> bool:
        """Whether the kernels in Gluon are for it, which are written for Hopper's matrix unit."""
        return self.capability // 10 == 9 and not self.interpreted

    @classmethod
    def named(cls, name: str) -> Device:
        """A GPU of the catalogue, such as "h200", or "cpu".

        Raises:
            CatalogueError: the catalogue has no such GPU, or does not know its multiprocessors.
        """
        if name == "cpu":
            return PLAIN
        gpu = find_gpu(name)
        if gpu.sms is None:
            raise CatalogueError(f"the catalogue does not know how many multiprocessors {gpu.name} has; give another")
        return cls(gpu.name, gpu.sm, gpu.sms)

    @classmethod
    def of_arch(cls, arch: int) -> Device:
        """The usual GPU of a compute capability, 90 or 100."""
        return {90: HOPPER, 100: BLACKWELL}.get(arch) or cls(f"sm_{arch}", arch, HOPPER.multiprocessors)

    @classmethod
    def of(cls, device: torch.device, interpreted: bool = False) -> Device:
        """What a launch on `device` is for: `target` where there is one, the GPU itself, or `HOPPER` where there is
        none: on the meta device launches are recorded, on a CPU they are interpreted."""
        return target.get() or _of(device, interpreted)


@cache
def _of(device: torch.device, interpreted: bool) -> Device:
    if device.type != "cuda":
        return replace(HOPPER, interpreted=interpreted)
    found, triton = torch.cuda.get_device_properties(device), why_no_triton() is None
    return Device(found.name, 10 * found.major + found.minor, found.multi_processor_count, triton, interpreted)


def as_current(device: torch.device) -> AbstractContextManager[object]:
    """A GPU as this thread's, within the block: Triton launches on the thread's, whatever the tensors'. Of a CPU
    nothing."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


PLAIN = Device("plain PyTorch")
"""No kernels: a CPU, or a GPU told to do without."""
HOPPER = Device.named("H200")
BLACKWELL = Device.named("B200")

target: ContextVar[Device | None] = ContextVar("target", default=None)
"""What launches are recorded for, where there is no such device."""
_plain_only: ContextVar[bool] = ContextVar("plain_only", default=False)


@contextmanager
def plain_ops() -> Iterator[None]:
    """Within, every op of this thread computes in plain PyTorch, as on a CPU: what kernels are held to."""
    token = _plain_only.set(True)
    try:
        yield
    finally:
        _plain_only.reset(token)


def on_gpu(x: Tensor) -> bool:
    """Whether an op may take kernels for x: it is on a GPU that they are for, or on the meta device, where launches
    are recorded."""
    return (x.is_meta or (x.is_cuda and has_kernels(x.device))) and not _plain_only.get()


def has_kernels(device: torch.device) -> bool:
    """Whether the kernels are for this GPU, a Hopper or a data-centre Blackwell, and Triton compiles them."""
    return _of(device, False).has_kernels


def serving(x: Tensor) -> Device:
    """What an op's kernel for x is chosen by: `PLAIN` where kernels may not serve."""
    return Device.of(x.device) if on_gpu(x) else PLAIN


def upload(arrays: Sequence[NDArray], device: torch.device) -> list[Tensor]:
    """The arrays on a device, a GPU's in one copy that does not wait for what it is doing.

    Each starts at a multiple of 64 bytes: for a less aligned pointer Triton compiles another kernel.
    """
    starts = np.cumsum([0, *(-(-array.nbytes // 64) * 64 for array in arrays)]).tolist()
    packed = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    host = packed.numpy()
    for start, array in zip(starts, arrays, strict=False):
        host[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    sent = packed.to(device, non_blocking=True)  # PyTorch keeps pinned memory until the copy from it is done
    return [
        sent[start : start + array.nbytes].view(torch.from_numpy(np.empty(0, array.dtype)).dtype).view(array.shape)
        for start, array in zip(starts, arrays, strict=False)
    ]

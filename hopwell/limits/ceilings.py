"""What this GPU, or CPU, really gives: memory bandwidth and matrix rates, measured, since data sheets promise more.

Every "% of limit" is against these. Unlike the rest of this room, this file needs torch.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from hopwell.limits.cost import OpCost
from hopwell.limits.meter import Rates

HOST_BYTES = 1 << 20, 128 << 20
"""That a CPU's reading is measured over, at least and at most."""
HOST_SIZE = 256
"""Of a CPU's square products."""
HOST_ROUNDS, HOST_LEAST, HOST_SECONDS = 25, 2, 0.1
"""Of a CPU's measurement: calls at most and at least, and seconds after which there is no further one."""


@dataclass(frozen=True)
class Ceilings:
    """Rates of one device."""

    device: str
    read_bytes_per_s: float
    """Streaming reads, as a decode step makes them: a sum over more than the caches hold."""
    copy_bytes_per_s: float
    """Bytes read plus bytes written of a copy."""
    bf16_flops_per_s: float
    fp8_flops_per_s: float
    """cuBLAS with one scale a matrix, random data."""

    def floor_of(self, costs: Sequence[OpCost]) -> float:
        """The least time that ops take together (Williams et al., 2009), each at its own format's rate."""
        math = sum(c.flops / (self.fp8_flops_per_s if c.format == "fp8" else self.bf16_flops_per_s) for c in costs)
        return max(sum(c.bytes for c in costs) / self.read_bytes_per_s, math)

    @classmethod
    def measure(cls, gigabytes: float = 4.0, size: int = 8192) -> Ceilings:
        """Measures the current CUDA device, in about two seconds.

        Raises:
            RuntimeError: there is no CUDA device.
        """
        if not torch.cuda.is_available():
            raise RuntimeError("ceilings are measured on a GPU: this machine has none")
        read, copy = _memory_rates(int(gigabytes * 2**30))
        bf16, fp8 = _matrix_rates(size)
        torch.cuda.empty_cache()  # or weights are put into parts of what was read here, all of which stays then
        return cls(torch.cuda.get_device_name(), read, copy, bf16, fp8)


def host_rates(size: int, product: Callable[[], object], flops: int) -> Rates:
    """The ceilings of this CPU with PyTorch's threads as they are.

    Memory is read over and over, as much of it as a model has: what a cache holds of that, a step finds there too.

    Args:
        size: bytes.
        product: the matrix product that serves; PyTorch's own in float32 is measured beside it, and the faster counts.
        flops: its FLOPs.
    """
    low, high = HOST_BYTES
    source = torch.ones(min(max(size, low), high) // 4)
    a, b = (torch.randn(HOST_SIZE, HOST_SIZE) for _ in range(2))
    fastest = max(flops / _host_seconds(product), 2 * HOST_SIZE**3 / _host_seconds(lambda: torch.mm(a, b)))
    return Rates(cpu_name(), source.nbytes / _host_seconds(lambda: torch.sum(source)), {"": fastest})


def cpu_name() -> str:
    """The processor's own name for itself, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _host_seconds(run: Callable[[], object]) -> float:
    """Seconds of a call at its best, of as many as a server's start can wait for: on a CPU others may want the same
    core."""
    times: list[float] = []
    while len(times) < HOST_LEAST or (len(times) < HOST_ROUNDS and sum(times) < HOST_SECONDS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _memory_rates(size: int) -> tuple[float, float]:
    """Bytes per second of a sum over `size` bytes and of a copy of them."""
    source = torch.empty(size // 2**18, 2**16, device="cuda").normal_()
    target, sums = torch.empty_like(source), torch.empty(len(source), device="cuda")
    read = source.nbytes / _seconds(lambda: torch.sum(source, dim=1, out=sums))
    return read, 2 * source.nbytes / _seconds(lambda: target.copy_(source))


def _matrix_rates(size: int) -> tuple[float, float]:
    """FLOP/s of square products in bf16 and in e4m3."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    bf16 = _seconds(lambda: torch.mm(a, b))
    a8, b8, one = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t(), torch.ones((), device="cuda")
    scaled = torch._scaled_mm  # pyright: ignore[reportPrivateImportUsage]
    fp8 = _seconds(lambda: scaled(a8, b8, scale_a=one, scale_b=one, out_dtype=torch.bfloat16))
    return 2 * size**3 / bf16, 2 * size**3 / fp8


def _seconds(run: Callable[[], object], repeats: int = 10, rounds: int = 5) -> float:
    """Seconds a call, the median of `rounds` rounds after a warm-up."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(rounds + 1):
        begin.record()
        for _ in range(repeats):
            run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / repeats)
    return median(times[1:])

"""What this GPU really gives: memory bandwidth and matrix rates, measured, since data sheets promise more.

Every "% of limit" is against these. Unlike the rest of this room, this file needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from hopwell.limits.cost import OpCost


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

    def floor_seconds(self, cost: OpCost) -> float:
        """The least time `cost` takes on this device."""
        flops = self.fp8_flops_per_s if cost.format == "fp8" else self.bf16_flops_per_s
        return cost.floor_seconds(self.read_bytes_per_s, flops)

    def floor_of(self, costs: Sequence[OpCost]) -> float:
        """The least time that several ops take together, each at its own format's rate."""
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
        return cls(torch.cuda.get_device_name(), read, copy, bf16, fp8)


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

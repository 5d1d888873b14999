"""Times of kernels: a roofline of four numbers a family, with where they come from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hopwell.limits.catalogue import Gpu, find_gpu

PATH = Path(__file__).with_name("kernels.toml")
EVIDENCE = ("measured", "same kernel", "transferred", "guessed")
"""How a constant was come by: timed on this GPU; the same kernel timed on its sister; another architecture's or
format's; nobody has timed it."""
TRANSFER = {"measured": 0.0, "same kernel": 0.08, "transferred": 0.2, "guessed": 0.35}
"""Error (of the logarithm) that each adds: H200's constants on H100 8 %, across architectures or formats 20 %."""
STAND_INS = {"int4": ("nvfp4", "fp8", "bf16"), "nvfp4": ("int4", "fp8", "bf16"), "bf16": ("fp8",), "fp8": ("bf16",)}
"""Formats whose constants serve for one that nobody timed, nearest first."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """`launch + ((bytes / bandwidth)^p + (flops / math)^p)^(1/p)` microseconds."""

    family: str
    format: str
    launch: float
    """us."""
    bandwidth: float
    """Bytes a microsecond."""
    math: float
    """FLOPs a microsecond."""
    p: float
    error: float
    """Mean relative error, of the fit and of what it was taken from."""
    evidence: str
    source: str

    def us(self, moved: float, flops: float) -> float:
        """Microseconds of a call."""
        memory, math, p = moved / self.bandwidth, flops / self.math, self.p
        if p == 1:
            return self.launch + memory + math
        return self.launch + (memory**p + math**p) ** (1 / p)


def own_kernel(own: Mapping[tuple[str, str], Kernel], family: str, form: str) -> Kernel | None:
    """What somebody has timed himself of a family, or of it in the nearest format."""
    if found := own.get((family, form)):
        return found
    near = next((own[family, other] for other in STAND_INS.get(form, ()) if (family, other) in own), None)
    if near is None:
        return None
    error = (near.error**2 + TRANSFER["transferred"] ** 2) ** 0.5
    return replace(near, format=form, error=error, evidence="transferred")


@dataclass(frozen=True, slots=True)
class Exchange:
    """`launch + (bytes / rate)^exponent` microseconds of a sum or a gather among GPUs of one NVLink domain."""

    launch: float
    rate: float
    exponent: float
    error: float
    evidence: str
    source: str

    def us(self, moved: float) -> float:
        """Microseconds; `moved` is the whole result, in bytes."""
        return self.launch + (moved / self.rate) ** self.exponent


@cache
def _entries() -> Mapping[tuple[str, str, str, str], Mapping[str, Any]]:
    """By family, format, architecture, and whose they are."""
    found = tomllib.loads(PATH.read_text(encoding="utf-8"))["kernel"]
    return {(e["family"], e["format"], e["arch"], e.get("kernels", "public")): e for e in found}


def architecture(gpu: Gpu) -> str:
    """`hopper` or `blackwell`: whose constants serve."""
    return "blackwell" if gpu.sm >= 100 else "hopper"


@cache
def kernel(family: str, form: str, gpu: Gpu, kernels: str = "public") -> Kernel:
    """The constants of a family on a GPU, or of the nearest that was timed.

    Args:
        form: the weights' format, or the cache's for attention.
        kernels: whose, as `Engine.kernels`; those of others serve for what was not timed of them.
    """
    arch = architecture(gpu)
    other = {"hopper": "blackwell", "blackwell": "hopper"}[arch]
    ways = [(kernels, form, arch), *((kernels, stand_in, arch) for stand_in in STAND_INS.get(form, ()))]
    if kernels != "public":
        ways += [(kernels, each, other) for each in (form, *STAND_INS.get(form, ()))]
    ways += [("public", form, arch), ("public", form, other)]
    ways += [("public", stand_in, arch) for stand_in in STAND_INS.get(form, ())]
    for owner, wanted, where in ways:
        if entry := _entries().get((family, wanted, where, owner)):
            return _scaled(entry, form, gpu, wanted == form and where == arch)
    raise KeyError((family, form, gpu.name))


def timed_kernel(entry: Mapping[str, Any], gpu: Gpu) -> Kernel:
    """An entry as kernels.toml has them, timed on this GPU.

    Raises:
        KeyError, TypeError: it lacks a field, or one is none.
    """
    return _scaled(entry, entry["format"], gpu, True)


def _scaled(entry: Mapping[str, Any], form: str, gpu: Gpu, same: bool) -> Kernel:
    same = same and find_gpu(entry["gpu"]).sm // 10 == gpu.sm // 10  # not A100 by Hopper's, nor RTX 50 by B200's
    evidence = "measured" if same and gpu.name == entry["gpu"] else "same kernel" if same else "transferred"
    error = (entry["error"] ** 2 + TRANSFER[evidence] ** 2) ** 0.5
    return Kernel(
        family=entry["family"],
        format=form,
        launch=entry["launch_us"],
        bandwidth=entry["bandwidth"] * gpu.bandwidth / 1e6,
        math=entry["math"] * peak(gpu, form if entry["family"] not in ATTENTION else "bf16") / 1e6,
        p=entry["p"],
        error=error,
        evidence=evidence,
        source=entry["source"],
    )


ATTENTION = ("decode_attention", "prompt_attention")
"""Families whose mathematics is in bf16 whatever the cache holds."""


def peak(gpu: Gpu, form: str) -> float:
    """FLOP/s of the matrix units for weights of a format; four bits meet bf16 rows where there is no such unit."""
    return {"fp8": gpu.fp8, "nvfp4": gpu.fp4}.get(form) or gpu.bf16


@cache
def exchange(family: str, gpus: int, gpu: Gpu, kernels: str = "public") -> Exchange:
    """Constants of a `sum`, `all_gather` or `reduce_scatter` among 2, 4 or 8 GPUs; of more, those of 8 are a guess."""
    timed = min((n for n in (2, 4, 8) if n >= gpus), default=8)
    arch = architecture(gpu)
    public = _entries()[family, str(timed), arch, "public"]
    entry = _entries().get((family, str(timed), arch, kernels), public)
    own = entry["gpu"] == gpu.name
    evidence = "guessed" if gpus > 8 else "measured" if own else "same kernel"
    reference = {"hopper": 450e9, "blackwell": 900e9}[arch]
    rate = entry["bytes_per_us"] * (gpu.nvlink / reference or 0.05)  # PCIe: a twentieth of NVLink
    error = (entry["error"] ** 2 + TRANSFER[evidence if gpu.nvlink else "guessed"] ** 2) ** 0.5
    found = Exchange(entry["launch_us"], rate, entry["exponent"], error, evidence, entry["source"])
    return found if gpu.nvlink else replace(found, evidence="guessed")

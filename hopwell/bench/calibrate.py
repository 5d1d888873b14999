"""The planner's constants of this GPU: eight families timed, and four numbers fitted to each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from hopwell.bench.families import R1, Case, Families, Sizes
from hopwell.bench.fit import fit_roofline
from hopwell.bench.timing import capture, graph_seconds
from hopwell.limits.catalogue import Gpu
from hopwell.planner.kernels import ATTENTION, architecture, kernel, timed_kernel

FAMILY_SECONDS = 60.0
"""After which no more cases of a family are timed."""
LEAST_CASES = 6
"""Below which four numbers say nothing."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """One case, measured."""

    family: str
    format: str
    what: str
    bytes: int
    flops: int
    us: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A family: as an entry of kernels.toml, and what was predicted of its cases before."""

    entry: dict[str, str | float]
    cases: tuple[Timed, ...]
    before: tuple[float, ...]
    """us of each case by the constants that ship."""
    after: tuple[float, ...]

    def errors(self, predicted: Sequence[float]) -> tuple[float, float]:
        """Mean absolute error, and mean error, relative."""
        off = [us / case.us - 1 for us, case in zip(predicted, self.cases, strict=True)]
        return sum(map(abs, off)) / len(off), sum(off) / len(off)


def time_families(
    families: Families, progress: Progress = lambda *_: None, seconds: float = FAMILY_SECONDS
) -> Iterator[list[Timed]]:
    """Times every family, a list each, in at most `seconds` each and what the last case takes.

    Args:
        progress: told how many families are done, how many there are, and what is timed.
    """
    kinds = families.all()
    for done, ((family, form), cases) in enumerate(kinds.items()):
        began, found = time.monotonic(), list[Timed]()
        for case in cases():
            progress(done, len(kinds), f"{family} {form}: {case.what}")
            us = 1e6 * _seconds(case, families.device)
            found.append(Timed(family, form, case.what, case.cost.bytes, case.cost.flops, us))
            if time.monotonic() - began > seconds and len(found) >= LEAST_CASES:
                break
        yield found
    progress(len(kinds), len(kinds), "")


def _seconds(case: Case, device: torch.device) -> float:
    """Of one run: a CUDA graph's by its events, or by the clock where there are none."""

    def turns() -> None:
        for i in range(case.copies):
            case.run(i)

    if device.type == "cuda":
        return graph_seconds(capture(turns), rounds=3, seconds=0.02) / case.copies
    turns()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        turns()
        times.append(time.perf_counter() - began)
    return median(times) / case.copies


def fit_family(cases: Sequence[Timed], gpu: Gpu, source: str) -> Fitted:
    """Four numbers of one family on a GPU.

    Args:
        source: where the times come from, for whoever reads the constants.
    """
    family, form = cases[0].family, cases[0].format
    rate = "bf16" if family in ATTENTION else form
    points = [(float(case.bytes), float(case.flops), case.us) for case in cases]
    entry: dict[str, str | float] = {
        "family": family, "kernels": "hopwell", "format": form, "arch": architecture(gpu), "gpu": gpu.name,
        "source": source, **fit_roofline(points, gpu, rate),
    }  # fmt: skip
    shipped, own = kernel(family, form, gpu, "hopwell"), timed_kernel(entry, gpu)
    return Fitted(
        entry, tuple(cases), tuple(shipped.us(case.bytes, case.flops) for case in cases),
        tuple(own.us(case.bytes, case.flops) for case in cases),
    )  # fmt: skip


def calibrate(
    gpu: Gpu, source: str, device: str = "cuda", sizes: Sizes = R1, progress: Progress = lambda *_: None
) -> list[Fitted]:
    """Times and fits all families, in at most ten minutes on a GPU; holds up to 10 GB of its memory."""
    return [fit_family(cases, gpu, source) for cases in time_families(Families(sizes, device), progress)]

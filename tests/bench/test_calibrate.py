"""Calibration's GPU part, on a CPU: every family through plain ops and through the kernels, and the fit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

from hopwell.bench.calibrate import fit_family, time_families
from hopwell.bench.families import TRIAL, Families
from hopwell.limits.catalogue import find_gpu
from hopwell.planner import work
from hopwell.planner.kernels import Kernel, kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
H200 = find_gpu("H200")


@pytest.mark.slow
def test_every_family_is_timed_and_fitted() -> None:
    told: list[tuple[int, int]] = []
    found = list(time_families(Families(TRIAL, DEVICE), lambda done, total, _: told.append((done, total))))
    assert len(found) == 8 and told[0] == (0, 8) and told[-1] == (8, 8)
    for cases in found:
        assert len(cases) >= 3 and all(case.us > 0 and case.bytes > 0 and case.flops > 0 for case in cases)
        fitted = fit_family(cases, H200, "a test")
        assert all(map(math.isfinite, (*fitted.before, *fitted.after)))
        # what a busy machine measures follows no law; of times that do, the fit predicts every one
        known = kernel(cases[0].family, cases[0].format, H200, "hopwell")
        lawful = fit_family([replace(case, us=known.us(case.bytes, case.flops)) for case in cases], H200, "a test")
        assert lawful.before == tuple(case.us for case in lawful.cases)
        assert lawful.errors(lawful.after)[0] < 0.1


def test_time_is_bounded() -> None:
    found = list(time_families(Families(TRIAL, DEVICE), seconds=0.0))
    assert all(len(cases) <= 6 for cases in found)


@pytest.mark.usefixtures("small_gpu")
@pytest.mark.parametrize("family", list(Families(TRIAL, DEVICE).all()), ids=" ".join)
def test_kernels_are_called_as_they_want_it(family: tuple[str, str]) -> None:
    """Without a GPU, in Triton's interpreter: the first and the last case of each family."""
    cases = list(Families(TRIAL, DEVICE, kernels=True).all()[family]())
    for case in (cases[0], cases[-1]):
        out = case.run(case.copies - 1)
        # prompts' attention writes into what it was given, decoding's leaves the parts of short sequences unwritten
        if family[0] not in ("prompt_attention", "decode_attention"):
            out = out[0] if isinstance(out, tuple) else out
            assert isinstance(out, torch.Tensor) and out.isfinite().all()


def test_costs_are_the_planner_s() -> None:
    families = Families(TRIAL, DEVICE, kernels=True).all()
    linear = next(families["linear", "bf16"]())
    assert (linear.cost.bytes, linear.cost.flops) == work.linear(1, 256, 256, "bf16")
    decode = next(families["decode_attention", "fp8"]())
    assert (decode.cost.bytes, decode.cost.flops) == work.absorbed_attention(1, 1, 64, 16, 512, 64, "fp8")
    prompt = next(families["prompt_attention", "bf16"]())
    moved, flops = work.prompt_attention(64, 64, 16, 512, 64, 128, "bf16")
    assert (prompt.cost.bytes, prompt.cost.flops) == (moved, flops - 2 * 64 * 16 * 512 * 256)


def test_a_known_kernel_is_found_again() -> None:
    """Times made of four numbers give the four numbers back."""
    from hopwell.bench.calibrate import Timed

    true = Kernel("linear", "fp8", 6.0, 0.8 * H200.bandwidth / 1e6, 0.6 * (H200.fp8 or 0) / 1e6, 1.5, 0, "", "")
    cases = []
    for rows in (1, 8, 64, 512, 2048, 8192):
        for size in (1024, 2048, 7168, 16384):
            moved, flops = map(round, work.linear(rows, size, 4096, "fp8"))
            cases.append(Timed("linear", "fp8", "", moved, flops, true.us(moved, flops)))
    entry = fit_family(cases, H200, "").entry
    for name, value in (("launch_us", 6.0), ("bandwidth", 0.8), ("math", 0.6), ("p", 1.5)):
        assert float(entry[name]) == pytest.approx(value, rel=0.1), name

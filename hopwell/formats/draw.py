"""Random matrices of four bits, of a wanted deviation, as kernels read them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from hopwell.formats.blocks import MXFP4, NVFP4, BlockFormat
from hopwell.formats.elements import E2M1, E8M0_BIAS
from hopwell.formats.matrices import Int4, Int4Zeros, Mxfp4, Nvfp4
from hopwell.formats.packed import Packed, pack

SAMPLE = (512, 1024)
"""Shape of a matrix whose words are drawn from: 65,536 of codes, and of scales 2,048 or more."""

AT_ONCE = 1 << 25
"""Entries that are looked up together: what is drawn for a moment must not take the memory of what stays."""


def look_up(table: Tensor, out: Tensor, generator: torch.Generator) -> None:
    """Fills `out` [count] with entries of a table, each as likely, on their device."""
    for some in out.split(AT_ONCE):
        index = torch.randint(len(table), some.shape, generator=generator, dtype=torch.int32, device=out.device)
        torch.index_select(table, 0, index, out=some)


def draw_four_bits(
    kind: BlockFormat,
    shape: tuple[int, ...],
    deviation: float,
    seed: int,
    device: torch.device | str,
    zero_points: bool = False,
) -> Nvfp4 | Mxfp4 | Int4 | Int4Zeros:
    """A matrix [out, in] of equally likely codes, block scales that differ by up to four times, values of a deviation.

    MXFP4's scales are powers of two: there the deviation is met within a factor of the square root of two. INT4's zero
    points, if there are to be some, are all 0: kernels read them, and values stay even around zero.
    """
    out, width = shape
    generator = torch.Generator(device).manual_seed(seed)
    groups = (out, width // kind.columns)

    def drawn(low: int, high: int, size: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high, size, generator=generator, device=device)

    codes = drawn(0, 256, (out, width // 2)).to(torch.uint8)
    exponents = drawn(0, 3, groups)
    spread = (torch.tensor([1.0, 4.0, 16.0]).mean() ** 0.5).item()
    unit = deviation / (_rms(kind.elements) * spread)
    if kind is NVFP4:
        scales = torch.exp2(exponents.float()).to(torch.float8_e4m3fn)
        return Nvfp4(codes, scales, torch.tensor(unit, device=device))
    if kind is MXFP4:
        base = round(torch.log2(torch.tensor(unit)).item()) + E8M0_BIAS
        return Mxfp4(codes, (exponents + base).to(torch.uint8))
    codes = drawn(1, 16, codes.shape) | (drawn(1, 16, codes.shape) << 4)  # never -8: even around zero
    words, scales = codes.to(torch.uint8).view(torch.int32), (torch.exp2(exponents.float()) * unit).bfloat16()
    if zero_points:
        return Int4Zeros(words, scales, torch.zeros(groups, dtype=torch.int8, device=device), width)
    return Int4(words, scales, width)


def draw_packed(
    kind: BlockFormat,
    shape: tuple[int, ...],
    deviation: float,
    seed: int,
    device: torch.device | str,
    zero_points: bool = False,
) -> Packed:
    """The same as kernels read it: words of codes and of scales, each one of `SAMPLE`'s. To draw codes and pack them
    moves thirty times the bytes."""
    sample = _sample(kind, deviation, torch.device(device), zero_points)
    drawn, generator = Packed.empty(kind, shape, device, zero_points), torch.Generator(device).manual_seed(seed)
    look_up(sample.data.flatten(), drawn.data.view(-1), generator)
    look_up(sample.scales.flatten(), drawn.scales.view(-1), generator)
    drawn.factors.fill_(float(sample.factors[0, 0]))
    return drawn


@lru_cache
def _sample(kind: BlockFormat, deviation: float, device: torch.device, zero_points: bool) -> Packed:
    return pack(draw_four_bits(kind, SAMPLE, deviation, 0, device, zero_points))


def _rms(elements: str) -> float:
    """Of equally likely codes."""
    values = torch.tensor([*E2M1]) if elements == "e2m1" else torch.arange(-7.0, 8.0)
    return values.square().mean().sqrt().item()

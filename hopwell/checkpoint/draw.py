"""Random weights with a wanted deviation, drawn from tables of a normal distribution's quantiles.

A random index into a table is ten times quicker than a normal variate and its quantisation, and gives the same bytes on
every CPU: numpy promises the bits of its generators, and a lookup does not round.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hopwell.formats.draw import look_up
from hopwell.formats.fp8 import E4M3_MAX

ENTRIES = 1 << 16
"""Of every table: two random bytes choose one."""
SCALE_SPREAD = 0.25
"""Block scales vary by so much around their mean: a scale put to the wrong block must show."""


def seed_of(*key: int | str) -> int:
    """63 bits that depend on all of `key`."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def draw_values(
    count: int, seed: int, deviation: float, mean: float = 0.0, dtype: torch.dtype = torch.bfloat16, device: str = "cpu"
) -> Tensor:
    """Normal values: `dtype` [count] on `device`."""
    return _draw(_normal_table(deviation, mean, dtype, device), count, seed)


def draw_codes(count: int, seed: int, gain: float, power_of_two: bool = False, device: str = "cpu") -> Tensor:
    """The codes of FP8 blocks whose values have the deviation `gain`: e4m3 [count] on `device`.

    Args:
        power_of_two: the scales are powers of two, as V3.1 has them (`scale_fmt: ue8m0`).
    """
    stretch = _scale(gain, power_of_two)[1]
    return _draw(_code_table(stretch, device), -(-count // 2), seed).view(torch.float8_e4m3fn)[:count]


def draw_scales(count: int, seed: int, gain: float, power_of_two: bool = False, device: str = "cpu") -> Tensor:
    """The scales that go with `draw_codes`: float32 [count] on `device`."""
    return _draw(_scale_table(gain, power_of_two, device), count, seed)


def draw_choices(count: int, seed: int, choices: tuple[float, ...], dtype: torch.dtype, device: str = "cpu") -> Tensor:
    """Values of which each is one of `choices`: `dtype` [count] on `device`. Of int32, each of the four bytes is."""
    if dtype == torch.int32:
        return _draw(_choice_table(choices, torch.uint8, device), 4 * count, seed).view(dtype)
    return _draw(_choice_table(choices, dtype, device), count, seed)


def _draw(table: Tensor, count: int, seed: int) -> Tensor:
    """`count` entries of a table, each as likely, on the table's device."""
    if table.device.type == "cpu":
        words = np.random.PCG64(seed).random_raw(-(-count // 4))
        return torch.index_select(table, 0, torch.from_numpy(words.view(np.uint16)[:count].astype(np.int32)))
    generator, drawn = torch.Generator(table.device).manual_seed(seed), table.new_empty(count)
    look_up(table, drawn, generator)
    return drawn


@lru_cache
def _normal_table(deviation: float, mean: float, dtype: torch.dtype, device: str) -> Tensor:
    return (_quantiles(ENTRIES) * deviation + mean).to(dtype).to(device)


@lru_cache
def _code_table(stretch: float, device: str) -> Tensor:
    """All pairs of 256 equally likely codes, as int16: a lookup yields two, and is as quick a byte as one of bf16."""
    codes = _codes(stretch).view(torch.uint8)
    return torch.stack((codes.repeat(256), codes.repeat_interleave(256)), 1).view(torch.int16).flatten().to(device)


@lru_cache
def _choice_table(choices: tuple[float, ...], dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(choices).repeat(-(-ENTRIES // len(choices)))[:ENTRIES].to(dtype).to(device)


@lru_cache
def _scale_table(gain: float, power_of_two: bool, device: str) -> Tensor:
    scale = _scale(gain, power_of_two)[0]
    if power_of_two:
        return torch.full((ENTRIES,), scale, device=device)
    spread = 1 + SCALE_SPREAD * torch.linspace(-1, 1, ENTRIES, dtype=torch.float64)
    return (scale * spread / spread.square().mean().sqrt()).float().to(device)


@lru_cache
def _scale(gain: float, power_of_two: bool) -> tuple[float, float]:
    """The mean scale, and what codes are multiplied by to make up for its rounding."""
    ideal = gain / _codes(1.0).double().square().mean().sqrt().item()
    scale = 2.0 ** math.ceil(math.log2(ideal)) if power_of_two else ideal
    return scale, ideal / scale


def _codes(stretch: float) -> Tensor:
    """256 equally likely e4m3 codes of a normal distribution, the largest 448 * stretch."""
    quantiles = _quantiles(256)
    return (quantiles * (E4M3_MAX * stretch / quantiles.max())).to(torch.float8_e4m3fn)


def _quantiles(count: int) -> Tensor:
    """The middles of `count` equal shares of the normal distribution, scaled to deviation 1."""
    quantiles = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    return quantiles / quantiles.square().mean().sqrt()

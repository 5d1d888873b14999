"""Elements and block scales against independent derivations: exhaustive tables, float64 distances, torch's casts."""

from __future__ import annotations

import itertools

import pytest
import torch

from hopwell.formats.blocks import FORMATS, FP8_BLOCK, NVFP4, over_elements, quantize
from hopwell.formats.elements import (
    decode_e2m1,
    encode_e2m1,
    pack_int4_words,
    pack_nibbles,
    round_elements,
    unpack_int4_words,
    unpack_nibbles,
)
from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block

E2M1_BY_FIELDS = [
    # sign, exponent and mantissa bits read as the OCP specification defines them: bias 1, subnormal 0.5
    (-1.0) ** s * (m * 0.5 if e == 0 else (1 + m / 2) * 2.0 ** (e - 1))
    for s, e, m in itertools.product(range(2), range(4), range(2))
]


def test_e2m1_codes_are_sign_exponent_mantissa() -> None:
    codes = torch.arange(16, dtype=torch.uint8)
    values = decode_e2m1(codes)
    assert values.tolist() == E2M1_BY_FIELDS
    assert torch.equal(encode_e2m1(values), codes)  # also -0


@pytest.mark.parametrize("kind", ["e2m1", "int4", "e4m3"])
def test_rounding_takes_the_nearest_and_ties_the_even_code(kind: str) -> None:
    if kind == "e2m1":
        grid = torch.tensor(E2M1_BY_FIELDS[:8], dtype=torch.float64)
    elif kind == "int4":
        grid = torch.arange(0, 8, dtype=torch.float64)
    else:
        grid = torch.arange(0, 127, dtype=torch.uint8).view(torch.float8_e4m3fn).double()
    middles = (grid[1:] + grid[:-1]) / 2
    x = torch.cat((middles, torch.rand(4000, dtype=torch.float64).mul_(grid[-1] * 1.1), grid))
    distance = (x[:, None].clamp(max=grid[-1]) - grid).abs()
    nearest = distance.amin(1, keepdim=True)
    index = torch.arange(len(grid))
    # among equally near ones the even code, which is the even index
    best = torch.where(distance == nearest, index % 2 * 1000 + index, 10**6).argmin(1)
    assert torch.equal(round_elements(kind, x.float()).double(), grid[best])
    negative = round_elements(kind, -x.float()).double()
    bottom = -8.0 if kind == "int4" else -grid[-1].item()
    assert (negative >= bottom).all()
    inside = x < grid[-1]
    assert torch.equal(negative[inside], -grid[best][inside])


def test_nibbles_and_words_lie_as_documented() -> None:
    codes = torch.tensor([[1, 2, 15, 0]], dtype=torch.uint8)
    assert pack_nibbles(codes).tolist() == [[0x21, 0x0F]]
    assert torch.equal(unpack_nibbles(pack_nibbles(codes)), codes)
    values = torch.tensor([[-8.0, -7, 0, 7, 1, 2, 3, 7]])
    expected = sum((int(v) + 8) << (4 * i) for i, v in enumerate(values[0].tolist()))
    assert pack_int4_words(values).item() == expected - (1 << 32)
    ragged = torch.randint(-8, 8, (5, 19)).float()
    assert torch.equal(unpack_int4_words(pack_int4_words(ragged), 19), ragged)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_plain_rounding_is_within_half_a_gap(name: str) -> None:
    torch.manual_seed(0)
    fmt = FORMATS[name]
    w = torch.randn(200, 256) * torch.logspace(-3, 1, 200)[:, None]
    w[3] = 0.0
    q = quantize(w, fmt)
    value = q.dequantize()
    assert (value[3] == 0).all() and q.scale.isfinite().all() and (q.scale > 0).all()
    scale = over_elements(fmt, q.scale * q.tensor_scale, w.shape)
    gap = {"e2m1": 2.0, "int4": 1.0, "e4m3": 32.0}[fmt.elements]
    # a block's scale may itself be rounded (e4m3, bf16: 2**-4 at most) or floored (e8m0), which saturates the peak
    slack = {"e8m0": 2.0, "e4m3": 0.5}.get(fmt.scales, 0.55 if fmt.elements == "int4" else 1e-3)
    assert ((value - w).abs() <= scale * (gap / 2 + slack)).all()
    assert torch.equal(quantize(value, fmt, q.scale, q.tensor_scale).elements, q.elements)  # a fixed point


def test_fp8_block_agrees_with_the_released_layout_bit_for_bit() -> None:
    torch.manual_seed(1)
    w = torch.randn(576, 300)
    data, scale = quantize_fp8_block(w)
    q = quantize(w, FP8_BLOCK)
    assert torch.equal(q.scale, scale) and torch.equal(q.elements, data.float())
    assert torch.equal(q.dequantize(torch.bfloat16), dequantize_fp8_block(data, scale))


@pytest.mark.parametrize("name", ["nvfp4", "mxfp4", "int4_g128"])
def test_rows_that_do_not_end_with_a_block_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="multiple of"):
        quantize(torch.ones(4, 24), FORMATS[name])


def test_nan_is_refused_and_bytes_are_those_of_the_tensors() -> None:
    with pytest.raises(ValueError, match="NaN"):
        quantize(torch.full((1, 16), torch.nan), NVFP4)
    assert NVFP4.nbytes((2048, 7168)) == 2048 * 7168 // 2 + 2048 * 448 + 4
    assert FP8_BLOCK.nbytes((576, 7168)) == 576 * 7168 + 4 * 5 * 56

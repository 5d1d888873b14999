"""FP8 blocks against a derivation in float64 NumPy that decodes e4m3 from its bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block, scale_shape

torch.set_num_threads(1)


def e4m3_values() -> np.ndarray:
    """Every code's value in float64, from the OCP FP8 specification: 4 exponent bits (bias 7), 3 mantissa bits."""
    values = np.empty(256)
    for code in range(256):
        sign, exponent, mantissa = -1.0 if code & 0x80 else 1.0, code >> 3 & 15, code & 7
        if exponent == 15 and mantissa == 7:
            values[code] = math.nan
        elif exponent == 0:
            values[code] = sign * mantissa / 8 * 2.0**-6
        else:
            values[code] = sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return values


E4M3 = e4m3_values()


def expanded(scale: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The scale of every element, looked up one block at a time."""
    full = np.empty((rows, columns))
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            full[128 * i : 128 * (i + 1), 128 * j : 128 * (j + 1)] = scale[i, j]
    return full


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 300), columns=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_dequantisation_is_bit_exact(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    codes[codes & 0x7F == 0x7F] = 0  # NaN
    scale = (2.0 ** rng.uniform(-20, 10, scale_shape((rows, columns)))).astype(np.float32)
    data = torch.from_numpy(codes).view(torch.float8_e4m3fn)

    exact = E4M3[codes] * expanded(scale, rows, columns)  # 4 + 24 bits fit in float64's 53
    assert torch.equal(
        dequantize_fp8_block(data, torch.from_numpy(scale), torch.float32), torch.from_numpy(exact.astype(np.float32))
    )
    # bf16 is a second rounding, to even, of the float32 product
    bits = exact.astype(np.float32).view(np.uint32).astype(np.uint64)
    bf16 = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    got = dequantize_fp8_block(data, torch.from_numpy(scale), torch.bfloat16).view(torch.uint16)
    assert torch.equal(got, torch.from_numpy(bf16))


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 300), columns=st.integers(1, 300), seed=st.integers(0, 2**32 - 1), pow2=st.booleans())
def test_quantisation_picks_the_nearest_code(rows: int, columns: int, seed: int, pow2: bool) -> None:
    rng = np.random.default_rng(seed)
    w = (rng.standard_normal((rows, columns)) * 2.0 ** rng.uniform(-30, 30)).astype(np.float32)
    codes, scale = quantize_fp8_block(torch.from_numpy(w), power_of_two=pow2)
    assert codes.shape == w.shape and codes.dtype == torch.float8_e4m3fn
    assert scale.shape == scale_shape(w.shape) and scale.dtype == torch.float32
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            amax = np.abs(w[128 * i : 128 * (i + 1), 128 * j : 128 * (j + 1)]).max()
            s = scale[i, j].item()
            if pow2:
                assert math.log2(s).is_integer() and s * 448 >= amax > s * 448 / 2 * (1 - 1e-6)
            else:
                assert s == np.float32(amax) / np.float32(448)
    values = E4M3[codes.view(torch.uint8).numpy()]
    assert not np.isnan(values).any()
    # within half a step of the code's binade (2^-9 at least), plus the division's own rounding
    target = w.astype(np.float64) / expanded(scale.numpy().astype(np.float64), rows, columns)
    step = np.exp2(np.maximum(np.floor(np.log2(np.maximum(np.abs(target), 2.0**-20))), -6) - 3)
    assert (np.abs(values - target) <= step / 2 + np.abs(target) * 2.0**-22).all()


def test_a_block_of_zeros_has_scale_one() -> None:
    w = torch.zeros(200, 130)
    w[150, 129] = 3.0
    codes, scale = quantize_fp8_block(w)
    assert scale.tolist() == [[1.0, 1.0], [1.0, pytest.approx(3.0 / 448)]]
    assert torch.equal(dequantize_fp8_block(codes, scale, torch.float32), w)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_requantising_a_quantised_matrix_changes_nothing(seed: int) -> None:
    w = torch.randn(130, 257, generator=torch.Generator().manual_seed(seed))
    codes, scale = quantize_fp8_block(w)
    again, scale_again = quantize_fp8_block(dequantize_fp8_block(codes, scale, torch.float32))
    assert torch.equal(codes.view(torch.uint8), again.view(torch.uint8)) and torch.allclose(
        scale, scale_again, rtol=1e-6
    )


def test_stacked_matrices_are_each_alone() -> None:
    w = torch.randn(3, 140, 70)
    codes, scale = quantize_fp8_block(w)
    for i in range(3):
        one, one_scale = quantize_fp8_block(w[i])
        assert torch.equal(codes[i].view(torch.uint8), one.view(torch.uint8)) and torch.equal(scale[i], one_scale)
        assert torch.equal(dequantize_fp8_block(codes, scale)[i], dequantize_fp8_block(one, one_scale))


def test_what_cannot_be_quantised_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize_fp8_block(torch.tensor([[1.0, math.nan]]))
    with pytest.raises(ValueError, match=r"must be \[5, 56\], found \[4, 56\]"):
        dequantize_fp8_block(torch.empty(576, 7168, dtype=torch.float8_e4m3fn), torch.ones(4, 56))

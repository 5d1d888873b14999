"""The small numbers that a block-scaled format stores: rounding to them, their codes, and codes in bytes and words."""

from __future__ import annotations

import torch
from torch import Tensor

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes of FP4 e2m1 by code (OCP Microscaling specification 1.0, section 5.3.3); bit 3 is the sign."""
PEAK = {"e2m1": 6.0, "int4": 7.0, "e4m3": 448.0}
"""Largest positive element; int4 also holds -8."""
E8M0_BIAS = 127
"""Of the exponents that MXFP4's scales are stored as."""


def round_elements(kind: str, x: Tensor) -> Tensor:
    """The nearest element values, ties to the even code, magnitudes saturated: float32 of x's shape."""
    if kind == "e2m1":
        magnitude = x.abs().clamp_(max=6.0)
        # the gap between neighbours: 1/2 below 2, 1 below 4, 2 above; torch.round takes ties to even
        gap = torch.where(magnitude < 2.0, 0.5, torch.where(magnitude < 4.0, 1.0, 2.0))
        return torch.copysign(torch.round(magnitude / gap) * gap, x)
    if kind == "int4":
        return torch.round(x).clamp_(-8.0, 7.0)
    if kind == "e4m3":
        return x.clamp(-448.0, 448.0).to(torch.float8_e4m3fn).float()
    raise ValueError(f"element kind {kind!r} is unknown; known: {', '.join(PEAK)}")


def encode_e2m1(values: Tensor) -> Tensor:
    """Codes 0 to 15 (uint8) of values that are e2m1 numbers already; -0 keeps its sign."""
    magnitude = values.abs()
    code = torch.where(
        magnitude < 2.0, magnitude * 2.0, torch.where(magnitude < 4.0, magnitude + 2.0, 0.5 * magnitude + 4)
    )
    return code.to(torch.uint8) | (values.signbit().to(torch.uint8) << 3)


def decode_e2m1(codes: Tensor) -> Tensor:
    """Float32 values of codes 0 to 15."""
    table = torch.tensor([*E2M1, *(-x for x in E2M1)], device=codes.device)
    return table[codes.long()]


def pack_nibbles(codes: Tensor) -> Tensor:
    """Codes [..., n], uint8 0 to 15, two a byte, the even column in the low nibble: uint8 [..., n / 2]."""
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


def unpack_nibbles(packed: Tensor) -> Tensor:
    """Undoes `pack_nibbles`."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)


def pack_int4_words(values: Tensor) -> Tensor:
    """Integers -8 to 7, [out, n], as value + 8 in int32 words, element i of eight at bits 4 i: [out, ceil(n / 8)].

    A ragged last word is padded with zero bits (compressed-tensors, `pack-quantized`).
    """
    codes = torch.nn.functional.pad((values + 8).to(torch.int64), (0, -values.shape[-1] % 8))
    words = (codes.unflatten(-1, (-1, 8)) << (4 * torch.arange(8, device=values.device))).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


def unpack_int4_words(words: Tensor, columns: int) -> Tensor:
    """Undoes `pack_int4_words`: float32 [out, columns]."""
    codes = (words.unsqueeze(-1) >> (4 * torch.arange(8, device=words.device, dtype=torch.int32))) & 15
    return codes.flatten(-2)[..., :columns].float() - 8.0

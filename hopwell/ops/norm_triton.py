"""RMSNorm fused with what surrounds it: the sum before (split-K parts, experts' outputs, residual), FP8 after.

The division by the rms is deferred. Scaling a row commutes with the matrix product that follows and does not change its
FP8 codes, so a token is cut into chunks that need not wait for each other: each leaves its sum of squares, and the
product multiplies its result by 1 / rms. At batch 1 that turns one program's work into seven programs' work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.triton_common import (
    cdiv,
    launch,
    let_next_start,
    next_power_of_2,
    quantize_groups,
    to_bf16,
    wait_for_inputs,
)

CHUNK = 1024
"""Values of a row that one program handles."""
MANY = 128
"""Rows above which a program handles more: there are programs enough, and each start costs."""


@dataclass(slots=True)
class Normed:
    """RMSNorm's output before the division by the rms, in the forms its readers want."""

    codes: Tensor | None
    """e4m3 [tokens, width]."""
    scales: Tensor | None
    """float32 [tokens, width / 128]."""
    values: Tensor | None
    """bf16 [tokens, width]."""
    sumsq: Tensor | None
    """float32 [tokens, chunks]: the sum of squares of each chunk; None when no rms is outstanding."""


def empty_rows(rows: int, width: int, codes: bool, device: torch.device) -> Normed:
    """Unwritten rows in FP8 or in bf16."""
    if codes:
        data = torch.empty(rows, width, dtype=torch.float8_e4m3fn, device=device)
        return Normed(data, torch.empty(rows, width // 128, device=device), None, None)
    return Normed(None, None, torch.empty(rows, width, dtype=torch.bfloat16, device=device), None)


@triton.jit(do_not_specialize=["tokens"])
def _add_norm(
    residual,
    parts,
    part_weights,
    weight,
    residual_out,
    codes,
    scales,
    values,
    sumsq,
    tokens,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    CHUNK: tl.constexpr,
    CODES: tl.constexpr,
    VALUES: tl.constexpr,
):
    let_next_start()
    token, chunk = tl.program_id(0), tl.program_id(1)
    row = token.to(tl.int64) * WIDTH
    col = chunk * CHUNK + tl.arange(0, CHUNK // 128)[:, None] * 128 + tl.arange(0, 128)[None, :]
    inside = col < WIDTH
    w = tl.load(weight + col, mask=inside, other=0.0)
    wait_for_inputs()
    x = tl.load(residual + row + col, mask=inside, other=0.0).to(tl.float32)
    added = tl.zeros_like(x)
    for part in tl.static_range(PARTS):
        if PER_TOKEN:  # [tokens, PARTS, WIDTH] bf16, each with a weight
            y = tl.load(parts + row * PARTS + part * WIDTH + col, mask=inside, other=0.0).to(tl.float32)
            added += y * tl.load(part_weights + token * PARTS + part)
        else:  # [PARTS, tokens, WIDTH]
            y = tl.load(parts + (part * tokens + token).to(tl.int64) * WIDTH + col, mask=inside, other=0.0)
            added += y.to(tl.float32)
    if PARTS > 0:
        rounded = to_bf16(x + added)
        tl.store(residual_out + row + col, rounded, mask=inside)
        x = rounded.to(tl.float32)
    tl.store(sumsq + token * tl.num_programs(1) + chunk, tl.sum(x * x))
    y = x * w
    if VALUES:
        tl.store(values + row + col, to_bf16(y), mask=inside)
    if CODES:
        code, scale = quantize_groups(y)
        tl.store(codes + row + col, code, mask=inside)
        group = chunk * (CHUNK // 128) + tl.arange(0, CHUNK // 128)
        tl.store(scales + token * (WIDTH // 128) + group, scale, mask=group < WIDTH // 128)


def chunks_of(tokens: int, width: int) -> tuple[int, int]:
    """Values of a row that one program of `add_norm` handles, and how many programs share a row."""
    chunk = CHUNK if tokens <= MANY else min(4 * CHUNK, next_power_of_2(width))
    return chunk, cdiv(width, chunk)


def add_norm(
    residual: Tensor,
    weight: Tensor,
    parts: Tensor | None = None,
    part_weights: Tensor | None = None,
    codes: bool = True,
    values: bool = False,
) -> tuple[Tensor, Normed]:
    """Adds to the residual what a layer made, and normalises the sum (its rms deferred, see the module).

    Args:
        residual: bf16 [tokens, width].
        weight: float32 [width], the norm's.
        parts: what to add: float32 or bf16 [parts, tokens, width], or, with part_weights [tokens, parts], bf16
            [tokens, parts, width].
        codes: make e4m3 codes and their scales (width a multiple of 128).
        values: make bf16 values.

    Returns:
        The new residual bf16 [tokens, width], and the normalised rows.
    """
    tokens, width = residual.shape
    chunk, chunks = chunks_of(tokens, width)
    count = 0 if parts is None else parts.shape[1] if part_weights is not None else parts.shape[0]
    out = torch.empty_like(residual) if count else residual
    device = residual.device
    normed = Normed(
        torch.empty(tokens, width, dtype=torch.float8_e4m3fn, device=device) if codes else None,
        torch.empty(tokens, width // 128, device=device) if codes else None,
        torch.empty(tokens, width, dtype=torch.bfloat16, device=device) if values else None,
        torch.empty(tokens, chunks, device=device),
    )
    launch(
        _add_norm,
        (tokens, chunks),
        residual,
        parts,
        part_weights,
        weight,
        out,
        normed.codes,
        normed.scales,
        normed.values,
        normed.sumsq,
        tokens,
        WIDTH=width,
        PARTS=count,
        PER_TOKEN=part_weights is not None,
        CHUNK=chunk,
        CODES=codes,
        VALUES=values,
    )
    return out, normed


@triton.jit
def _divide(
    values, sumsq, out, eps, WIDTH: tl.constexpr, CHUNKS: tl.constexpr, CHUNKS_P2: tl.constexpr, BLOCK: tl.constexpr
):
    token = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHUNKS_P2)
    wait_for_inputs()
    let_next_start()
    total = tl.sum(tl.load(sumsq + token * CHUNKS + c, mask=c < CHUNKS, other=0.0))
    x = tl.load(values + token * WIDTH + col, mask=col < WIDTH, other=0.0).to(tl.float32)
    tl.store(out + token * WIDTH + col, to_bf16(x * tl.rsqrt(total / WIDTH + eps)), mask=col < WIDTH)


def divide(normed: Normed, eps: float) -> Tensor:
    """Normalised values divided by their outstanding rms: bf16 [tokens, width]."""
    assert normed.values is not None and normed.sumsq is not None
    tokens, width = normed.values.shape
    chunks = normed.sumsq.shape[1]
    out = torch.empty_like(normed.values)
    launch(
        _divide, (tokens, cdiv(width, CHUNK)), normed.values, normed.sumsq, out, eps,
        WIDTH=width, CHUNKS=chunks, CHUNKS_P2=next_power_of_2(chunks), BLOCK=CHUNK,
    )  # fmt: skip
    return out


@triton.jit
def _add_weighted(parts, shares, out, WIDTH: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = col < WIDTH
    wait_for_inputs()
    let_next_start()
    total = tl.zeros((BLOCK,), tl.float32)
    for part in tl.static_range(PARTS):
        y = tl.load(parts + (token * PARTS + part) * WIDTH + col, mask=inside, other=0.0).to(tl.float32)
        total += y * tl.load(shares + token * PARTS + part)
    tl.store(out + token * WIDTH + col, to_bf16(total), mask=inside)


def add_weighted(parts: Tensor, shares: Tensor) -> Tensor:
    """A token's experts' outputs by their shares: bf16 [tokens, slots, width] and float32 [tokens, slots] -> bf16
    [tokens, width], added in float32 in order of slot."""
    tokens, slots, width = parts.shape
    out = torch.empty(tokens, width, dtype=torch.bfloat16, device=parts.device)
    launch(
        _add_weighted, (tokens, cdiv(width, CHUNK)), parts, shares.contiguous(), out,
        WIDTH=width, PARTS=slots, BLOCK=CHUNK,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["rows"])
def _silu_mul(
    parts,
    codes,
    scales,
    values,
    rows,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    CODES: tl.constexpr,
):
    let_next_start()
    each = tl.arange(0, ROWS * GROUPS)
    row = tl.program_id(0).to(tl.int64) * ROWS + each // GROUPS
    group = tl.program_id(1) * GROUPS + each % GROUPS
    col = group[:, None] * 128 + tl.arange(0, 128)[None, :]
    inside = (row < rows)[:, None] & (col < WIDTH)
    base = parts + row[:, None] * (2 * WIDTH) + col
    wait_for_inputs()
    gate = tl.zeros((ROWS * GROUPS, 128), tl.float32)
    up = tl.zeros((ROWS * GROUPS, 128), tl.float32)
    for _ in tl.static_range(PARTS):
        gate += tl.load(base, mask=inside, other=0.0).to(tl.float32)
        up += tl.load(base + WIDTH, mask=inside, other=0.0).to(tl.float32)
        base += rows.to(tl.int64) * (2 * WIDTH)
    inner = gate * tl.sigmoid(gate) * up
    at = row[:, None] * WIDTH + col
    if CODES:
        code, scale = quantize_groups(inner)
        tl.store(codes + at, code, mask=inside)
        tl.store(scales + row * (WIDTH // 128) + group, scale, mask=(row < rows) & (group < WIDTH // 128))
    else:
        tl.store(values + at, to_bf16(inner), mask=inside)


def silu_mul(parts: Tensor, codes: bool = True) -> Normed:
    """silu(gate) * up of summed split-K parts [parts, rows, 2 width], float32 or bf16, in e4m3 or bf16."""
    count, rows, width = parts.shape[0], parts.shape[1], parts.shape[2] // 2
    out = empty_rows(rows, width, codes, parts.device)
    many = rows > 16 * MANY
    groups = min(16 if many else 8, next_power_of_2(cdiv(width, 128)))
    at_once = 16 // groups if many else 1
    launch(
        _silu_mul,
        (cdiv(rows, at_once), cdiv(width, groups * 128)),
        parts,
        out.codes,
        out.scales,
        out.values,
        rows,
        WIDTH=width,
        PARTS=count,
        ROWS=at_once,
        GROUPS=groups,
        CODES=codes,
        warps=1 if groups * at_once <= 2 else 4,
    )
    return out


@triton.jit
def _quantize(x, codes, scales, WIDTH: tl.constexpr, GROUPS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    col = group[:, None] * 128 + tl.arange(0, 128)[None, :]
    inside = col < WIDTH
    wait_for_inputs()
    code, scale = quantize_groups(tl.load(x + row * WIDTH + col, mask=inside, other=0.0).to(tl.float32))
    let_next_start()
    tl.store(codes + row * WIDTH + col, code, mask=inside)
    tl.store(scales + row * (WIDTH // 128) + group, scale, mask=group < WIDTH // 128)


def quantize(x: Tensor) -> Normed:
    """x [tokens, width], width a multiple of 128, in e4m3 with a scale for each 128 values of a row."""
    tokens, width = x.shape
    x = x.contiguous()
    groups = min(8 if tokens <= MANY else 32, next_power_of_2(width // 128))
    out = empty_rows(tokens, width, True, x.device)
    launch(_quantize, (tokens, cdiv(width // 128, groups)), x, out.codes, out.scales, WIDTH=width, GROUPS=groups)
    return out

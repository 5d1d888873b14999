"""RMSNorm fused with what surrounds it: the sum before (split-K parts, experts' outputs, residual), FP8 after.

The division by the rms is deferred. Scaling a row commutes with the matrix product that follows and does not change its
FP8 data, so a token is cut into chunks that need not wait for each other: each leaves its sum of squares, and the
product multiplies its result by 1 / rms. At batch 1 that turns one program's work into seven programs' work.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.norm_choice import CHUNK, Shape, choose
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import launch, let_next_start, quantize_groups, to_bf16, wait_for_inputs


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
    """Residual + what a layer made, then RMSNorm with its division deferred: x * weight, and each chunk's sum of
    squares.

    Grid (tokens, chunks of CHUNK values). residual bf16 [tokens, WIDTH]; parts float32 or bf16 [PARTS, tokens, WIDTH],
    or with PER_TOKEN bf16 [tokens, PARTS, WIDTH] weighed by part_weights float32 [tokens, PARTS]; weight float32
    [WIDTH].

    Writes residual_out bf16 (rounded before it is normalised), FP8 data with a scale for each 128 values, bf16 values,
    and sumsq float32 [tokens, chunks].
    """
    let_next_start()
    token, chunk = tl.program_id(0), tl.program_id(1)
    col = columns(chunk, CHUNK)
    w = tl.load(weight + col, mask=col < WIDTH, other=0.0)
    wait_for_inputs()
    row = token.to(tl.int64) * WIDTH
    x = tl.load(residual + row + col, mask=col < WIDTH, other=0.0).to(tl.float32)
    if PARTS > 0:
        added = sum_parts(parts, part_weights, token, col, tokens, WIDTH, PARTS, PER_TOKEN)
        x = to_bf16(x + added).to(tl.float32)
        tl.store(residual_out + row + col, x.to(tl.bfloat16), mask=col < WIDTH)
    write_normed(codes, scales, values, sumsq, x, w, token, chunk, col, WIDTH, CHUNK, CODES, VALUES)


@triton.jit
def columns(chunk, CHUNK: tl.constexpr):
    """A chunk's columns, as groups of 128: [CHUNK / 128, 128]."""
    return chunk * CHUNK + tl.arange(0, CHUNK // 128)[:, None] * 128 + tl.arange(0, 128)[None, :]


@triton.jit
def sum_parts(
    parts, part_weights, token, col, tokens, WIDTH: tl.constexpr, PARTS: tl.constexpr, PER_TOKEN: tl.constexpr
):
    """What a layer made of a token's columns, float32: the sum of its parts (`_add_norm`)."""
    inside = col < WIDTH
    added = tl.zeros(col.shape, tl.float32)
    for part in tl.static_range(PARTS):
        if PER_TOKEN:  # [tokens, PARTS, WIDTH] bf16, each with a weight
            row = token.to(tl.int64) * WIDTH
            y = tl.load(parts + row * PARTS + part * WIDTH + col, mask=inside, other=0.0).to(tl.float32)
            added += y * tl.load(part_weights + token * PARTS + part)
        else:  # [PARTS, tokens, WIDTH]
            y = tl.load(parts + (part * tokens + token).to(tl.int64) * WIDTH + col, mask=inside, other=0.0)
            added += y.to(tl.float32)
    return added


@triton.jit
def write_normed(
    codes,
    scales,
    values,
    sumsq,
    x,
    w,
    token,
    chunk,
    col,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    CODES: tl.constexpr,
    VALUES: tl.constexpr,
):
    """x * w in the forms that the next product takes, and the chunk's sum of squares (`_add_norm`)."""
    inside = col < WIDTH
    row = token.to(tl.int64) * WIDTH
    tl.store(sumsq + token * tl.num_programs(1) + chunk, tl.sum(x * x))
    y = x * w
    if VALUES:
        tl.store(values + row + col, to_bf16(y), mask=inside)
    if CODES:
        code, scale = quantize_groups(y)
        tl.store(codes + row + col, code, mask=inside)
        group = chunk * (CHUNK // 128) + tl.arange(0, CHUNK // 128)
        tl.store(scales + token * (WIDTH // 128) + group, scale, mask=group < WIDTH // 128)


def unwritten(tokens: int, width: int, chunks: int, fp8: bool, values: bool, device: torch.device) -> Normed:
    """Where a kernel leaves normalised rows, their rms outstanding, in the forms that are wanted."""
    return Normed(
        torch.empty(tokens, width, dtype=torch.float8_e4m3fn, device=device) if fp8 else None,
        torch.empty(tokens, width // 128, device=device) if fp8 else None,
        torch.empty(tokens, width, dtype=torch.bfloat16, device=device) if values else None,
        torch.empty(tokens, chunks, device=device),
    )


def add_norm(
    residual: Tensor,
    weight: Tensor,
    parts: Tensor | None = None,
    part_weights: Tensor | None = None,
    fp8: bool = True,
    values: bool = False,
) -> tuple[Tensor, Normed]:
    """Adds to the residual what a layer made, and normalises the sum (its rms deferred, see the module).

    Args:
        residual: bf16 [tokens, width].
        weight: float32 [width], the norm's.
        parts: what to add: float32 or bf16 [parts, tokens, width], or, with part_weights [tokens, parts], bf16
            [tokens, parts, width].
        fp8: make e4m3 data and their scales (width a multiple of 128).
        values: make bf16 values.

    Returns:
        The new residual bf16 [tokens, width], and the normalised rows.
    """
    tokens, width = residual.shape
    cut = choose("add_norm", Shape(tokens, width))
    count = 0 if parts is None else parts.shape[1] if part_weights is not None else parts.shape[0]
    out = torch.empty_like(residual) if count else residual
    normed = unwritten(tokens, width, cut.programs, fp8, values, residual.device)
    launch(
        _add_norm,
        (tokens, cut.programs),
        residual,
        parts,
        part_weights,
        weight,
        out,
        normed.fp8,
        normed.scales,
        normed.values,
        normed.sumsq,
        tokens,
        WIDTH=width,
        PARTS=count,
        PER_TOKEN=part_weights is not None,
        CHUNK=cut.values,
        CODES=fp8,
        VALUES=values,
    )
    return out, normed


@triton.jit
def _divide(
    values, sumsq, out, eps, WIDTH: tl.constexpr, CHUNKS: tl.constexpr, CHUNKS_P2: tl.constexpr, BLOCK: tl.constexpr
):
    """The division that `_add_norm` deferred: values bf16 [tokens, WIDTH] times 1 / rms from sumsq [tokens, CHUNKS].

    Grid (tokens, blocks of WIDTH).
    """
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

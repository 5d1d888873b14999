"""Before attention: from the down-projection to cache rows, and from queries to the latent space, with RoPE.

`latent_and_query` turns the down-projection's parts into the cache row and the query's input; `absorb_query` carries
the queries of the up-projection into the latent space (DeepSeek-V2 report, section 2.1.2: W_UK is absorbed into W_UQ).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import sizes
from hopwell.ops.attention_choice import Shape, choose
from hopwell.ops.paging import CacheScales
from hopwell.ops.rows import Normed, empty_rows
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import (
    launch,
    launch_device,
    let_next_start,
    matmul,
    quantize_groups,
    to_bf16,
    to_e4m3,
    wait_for_inputs,
)

PAGE = tl.constexpr(sizes.PAGE)


@triton.jit
def _angles(rope, positions, ROWS: tl.constexpr, DIM: tl.constexpr):
    """cos and sin float32 [ROWS, DIM / 2] of positions [ROWS]: rope [positions, DIM / 2, 2]."""
    angle = rope + positions[:, None] * DIM + tl.arange(0, DIM)[None, :]
    cos, sin = tl.split(tl.reshape(tl.load(angle), (ROWS, DIM // 2, 2)))
    return cos, sin


@triton.jit
def _rotate(x, cos, sin, ROWS: tl.constexpr, DIM: tl.constexpr):
    """RoPE on interleaved pairs: x float32 [ROWS, DIM]."""
    even, odd = tl.split(tl.reshape(x, (ROWS, DIM // 2, 2)))
    return tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (ROWS, DIM))


@triton.jit(do_not_specialize=["tokens", "table_width"])
def _latent_and_query(
    parts,
    q_norm,
    kv_norm,
    rope,
    positions,
    page_table,
    latent,
    codes,
    scales,
    values,
    tokens,
    table_width,
    eps,
    latent_scale,
    rope_scale,
    PARTS: tl.constexpr,
    Q_RANK: tl.constexpr,  # 0: no query compression
    Q_WIDTH: tl.constexpr,  # columns before the latent
    RANK: tl.constexpr,
    ROPE: tl.constexpr,
    GROUPS: tl.constexpr,
    CODES: tl.constexpr,
    OWN_PAGE: tl.constexpr,  # the table holds the page of each token's own position, and no other
):
    """Sums the down-projection's split-K partials; RMSNorm and RoPE make the cache row, RMSNorm the query's input (V2
    report, 2.1.2 and 2.1.3: c^KV, k^R and c^Q).

    Grid (tokens, 2): program 0 writes the cache row [RANK | ROPE] to its page, program 1 normalises the query's Q_RANK
    values, to FP8 with a scale for each 128 or to bf16. parts float32 [PARTS, tokens, Q_WIDTH + RANK + ROPE].

    Where a row goes, its angles and the norms' weights are there before the step begins, and read before the kernel
    before has ended.
    """
    let_next_start()
    token = tl.program_id(0)
    ROW: tl.constexpr = Q_WIDTH + RANK + ROPE
    row = parts + token.to(tl.int64) * ROW
    stride = tokens.to(tl.int64) * ROW
    if tl.program_id(1) == 0:  # the cache row
        c = tl.arange(0, RANK)
        r = tl.arange(0, ROPE)
        one = tl.arange(0, 1)
        position = tl.load(positions + token)
        column = 0 if OWN_PAGE else position // PAGE
        page = tl.load(page_table + token * table_width + column)
        slot = latent + (page.to(tl.int64) * PAGE + position % PAGE) * (RANK + ROPE)
        cos, sin = _angles(rope, position + one, 1, ROPE)
        kv_weight = tl.load(kv_norm + c)
        wait_for_inputs()
        kv = tl.zeros((RANK,), tl.float32)
        k_rope = tl.zeros((1, ROPE), tl.float32)
        for part in tl.static_range(PARTS):
            kv += tl.load(row + part * stride + Q_WIDTH + c)
            k_rope += tl.load(row + part * stride + Q_WIDTH + RANK + r)[None, :]
        kv = kv * tl.rsqrt(tl.sum(kv * kv) / RANK + eps) * kv_weight
        rotated = _rotate(k_rope, cos, sin, 1, ROPE)
        rotated_at = slot + RANK + one[:, None] + r[None, :]
        if latent.dtype.element_ty == tl.float8e4nv:
            tl.store(slot + c, to_e4m3(tl.div_rn(kv, tl.zeros_like(kv) + latent_scale)))
            tl.store(rotated_at, to_e4m3(tl.div_rn(rotated, tl.zeros_like(rotated) + rope_scale)))
        else:
            tl.store(slot + c, to_bf16(kv))
            tl.store(rotated_at, to_bf16(rotated))
    elif Q_RANK > 0:
        col = tl.arange(0, GROUPS)[:, None] * 128 + tl.arange(0, 128)[None, :]
        inside = col < Q_RANK
        q_weight = tl.load(q_norm + col, mask=inside, other=0.0)
        wait_for_inputs()
        q = tl.zeros((GROUPS, 128), tl.float32)
        for part in tl.static_range(PARTS):
            q += tl.load(row + part * stride + col, mask=inside, other=0.0)
        q = q * tl.rsqrt(tl.sum(q * q) / Q_RANK + eps) * q_weight
        if CODES:
            code, scale = quantize_groups(q)
            tl.store(codes + token.to(tl.int64) * Q_RANK + col, code, mask=inside)
            group = tl.arange(0, GROUPS)
            tl.store(scales + token * (Q_RANK // 128) + group, scale, mask=group < Q_RANK // 128)
        else:
            tl.store(values + token.to(tl.int64) * Q_RANK + col, to_bf16(q), mask=inside)


def latent_and_query(
    parts: Tensor,
    q_norm: Tensor | None,
    kv_norm: Tensor,
    rope: Tensor,
    positions: Tensor,
    page_table: Tensor,
    latent: Tensor,
    eps: float,
    fp8: bool = True,
    cache_scales: CacheScales | None = None,
    own_page: bool = False,
) -> Normed | None:
    """Writes new cache rows and makes the query's compressed input.

    Args:
        parts: float32 [parts, tokens, query columns + 576]: the down-projection's.
        q_norm: float32 [q_lora_rank], or None when the query is not compressed.
        kv_norm: float32 [kv_lora_rank].
        rope: float32 [positions, 32, 2], cos and sin.
        positions: int64 [tokens]; page_table: int32 [tokens, pages], each token's sequence's pages, or with `own_page`
            [tokens, 1], the page of the token's position alone.
        latent: [pages, 64, 576] in bf16, or in e4m3 with `cache_scales`; written at each token's position.

    Returns:
        The normalised query input, in FP8 or (without `fp8`) in bf16; None without q_norm.
    """
    count, tokens, width = parts.shape
    rank, rope_dim = kv_norm.shape[0], rope.shape[1] * 2
    q_rank = 0 if q_norm is None else q_norm.shape[0]
    out = None if q_norm is None else empty_rows(tokens, q_rank, fp8, parts.device)
    launch(
        _latent_and_query,
        (tokens, 2 if q_rank else 1),
        parts,
        q_norm,
        kv_norm,
        rope,
        positions,
        page_table,
        latent,
        None if out is None else out.fp8,
        None if out is None else out.scales,
        None if out is None else out.values,
        tokens,
        page_table.shape[1],
        eps,
        1.0 if cache_scales is None else cache_scales.latent,
        1.0 if cache_scales is None else cache_scales.rope,
        PARTS=count,
        Q_RANK=q_rank,
        Q_WIDTH=width - rank - rope_dim,
        RANK=rank,
        ROPE=rope_dim,
        GROUPS=next_power_of_2(cdiv(max(q_rank, 128), 128)),
        CODES=fp8,
        OWN_PAGE=own_page,
        warps=8,
    )
    return out


@triton.jit(do_not_specialize=["tokens"])
def _rotate_query(
    q, rope, positions, q_nope, q_rope, tokens, row_stride, HEADS: tl.constexpr, NOPE: tl.constexpr,
    ROPE: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Splits the heads' queries and applies RoPE to their rotary part, for un-absorbed attention.

    Grid (tiles of BT tokens, HEADS). q float32 or bf16 [tokens, row_stride], heads first, NOPE + ROPE each. Writes
    q_nope bf16 [tokens, HEADS, NOPE] and q_rope bf16 [tokens, HEADS, ROPE].
    """
    head = tl.program_id(1)
    t = tl.program_id(0) * BT + tl.arange(0, BT)
    valid = (t < tokens)[:, None]
    k, r = tl.arange(0, NOPE), tl.arange(0, ROPE)
    rows = q + t.to(tl.int64)[:, None] * row_stride + head * (NOPE + ROPE)
    place = (t.to(tl.int64) * HEADS + head)[:, None]
    at = tl.load(positions + t, mask=t < tokens, other=0)
    cos, sin = _angles(rope, at, BT, ROPE)  # pyright: ignore[reportGeneralTypeIssues]
    wait_for_inputs()
    let_next_start()
    rotary = tl.load(rows + NOPE + r[None, :], mask=valid, other=0.0).to(tl.float32)
    rotated = _rotate(rotary, cos, sin, BT, ROPE)
    tl.store(q_rope + place * ROPE + r[None, :], to_bf16(rotated), mask=valid)
    nope = tl.load(rows + k[None, :], mask=valid, other=0.0).to(tl.float32)
    tl.store(q_nope + place * NOPE + k[None, :], to_bf16(nope), mask=valid)


def rotate_query(
    q: Tensor, heads: int, nope: int, rope: Tensor, positions: Tensor, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Heads' own queries, their rotary part rotated: q [tokens, columns], float32 or bf16, whose first heads * 192
    columns they are -> bf16 [tokens, heads, 128] and bf16 [tokens, heads, 64], or into the tensors `out`."""
    tokens, columns = q.shape
    rope_dim = rope.shape[1] * 2
    q_nope, q_rope = out or (
        torch.empty(tokens, heads, width, dtype=torch.bfloat16, device=q.device) for width in (nope, rope_dim)
    )
    launch(
        _rotate_query, (cdiv(tokens, 32), heads), q, rope, positions, q_nope, q_rope, tokens, columns,
        HEADS=heads, NOPE=nope, ROPE=rope_dim, BT=32,
    )  # fmt: skip
    return q_nope, q_rope


@triton.jit(do_not_specialize=["tokens"])
def _absorb_query(
    parts,
    w_uk,
    rope,
    positions,
    queries,
    tokens,
    row_stride,
    PARTS: tl.constexpr,
    HEADS: tl.constexpr,
    NOPE: tl.constexpr,
    ROPE: tl.constexpr,
    RANK: tl.constexpr,
    BT: tl.constexpr,
    BN: tl.constexpr,
):
    """Carries queries into the latent space: W_UK absorbed into W_UQ (V2 report, 2.1.2), RoPE for the rotary part.

    Grid (HEADS, RANK / BN + 1, tiles of BT tokens); the last chunk is the rotary part. parts float32 or bf16 [PARTS,
    tokens, row_stride], w_uk bf16 [HEADS, NOPE, RANK]. Writes queries bf16 [tokens, HEADS, RANK + ROPE].
    """
    head, chunk = tl.program_id(0), tl.program_id(1)
    t = tl.program_id(2) * BT + tl.arange(0, BT)
    valid = t < tokens
    rows = parts + t.to(tl.int64)[:, None] * row_stride + head * (NOPE + ROPE)
    stride = tokens.to(tl.int64) * row_stride
    out = queries + (t.to(tl.int64) * HEADS + head)[:, None] * (RANK + ROPE)
    if chunk == RANK // BN:  # one program more, for the rotary part
        r = tl.arange(0, ROPE)
        cos, sin = _angles(rope, tl.load(positions + t, mask=valid, other=0), BT, ROPE)  # pyright: ignore[reportGeneralTypeIssues]
        wait_for_inputs()
        let_next_start()
        q_rope = tl.zeros((BT, ROPE), tl.float32)
        for part in tl.static_range(PARTS):
            q_rope += tl.load(rows + part * stride + NOPE + r[None, :], mask=valid[:, None], other=0.0).to(tl.float32)
        rotated = _rotate(q_rope, cos, sin, BT, ROPE)
        tl.store(out + RANK + r[None, :], to_bf16(rotated), mask=valid[:, None])
        return
    k = tl.arange(0, NOPE)
    n = chunk * BN + tl.arange(0, BN)
    w = tl.load(w_uk + (head * NOPE + k)[:, None] * RANK + n[None, :])
    wait_for_inputs()
    let_next_start()  # hazard: not before the wait, for attention reads the cache as soon as it starts
    q = tl.zeros((BT, NOPE), tl.float32)
    for part in tl.static_range(PARTS):
        q += tl.load(rows + part * stride + k[None, :], mask=valid[:, None], other=0.0).to(tl.float32)
    carried = tl.trans(matmul(tl.trans(w), tl.trans(to_bf16(q)), None))  # [BT, BN]
    tl.store(out + n[None, :], to_bf16(carried), mask=valid[:, None])


def absorb_query(parts: Tensor, w_uk: Tensor, rope: Tensor, positions: Tensor) -> Tensor:
    """Queries in the latent space: parts float32 or bf16 [parts, tokens, columns], whose first heads * 192 columns are
    the heads' queries -> bf16 [tokens, heads, 576], the rotary part rotated. w_uk is bf16 [heads, 128, 512]."""
    count, tokens, columns = parts.shape
    heads, nope, rank = w_uk.shape
    rope_dim = rope.shape[1] * 2
    queries = torch.empty(tokens, heads, rank + rope_dim, dtype=torch.bfloat16, device=parts.device)
    cut = choose("query", Shape(tokens, heads, rank), False, launch_device(parts.device))
    launch(
        _absorb_query,
        (heads, rank // cut.columns + 1, cdiv(tokens, cut.tile)),
        parts,
        w_uk,
        rope,
        positions,
        queries,
        tokens,
        columns,
        PARTS=count,
        HEADS=heads,
        NOPE=nope,
        ROPE=rope_dim,
        RANK=rank,
        BT=cut.tile,
        BN=cut.columns,
        warps=4 if cut.tile == 16 else 8,
    )
    return queries

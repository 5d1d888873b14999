"""`attention.mla_attention` on a GPU, one group of sequences at a time, either way.

The absorbed way reuses the decode kernels, a program a token. The un-absorbed way rebuilds keys and values with two
matrix products and attends with online softmax (Milakov and Gimelshein, 2018; FlashAttention, Dao et al., 2022): no
score leaves its multiprocessor, so a prompt's memory grows with its length and not with its square.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import attention_gluon
from hopwell.ops.attention import REBUILT_BYTES, CacheScales, Group, cached_rows
from hopwell.ops.attention_gluon import _prefill_apart
from hopwell.ops.mla_triton import combine_heads, decode
from hopwell.ops.triton_common import cdiv, launch, let_next_start, matmul, to_bf16, wait_for_inputs


def absorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    group: Group,
    scale: float,
    scales: CacheScales | None = None,
) -> Tensor:
    """Queries attend to cache rows: shapes as in `attention.mla_attention`, for one group's tokens."""
    tokens, heads = q_nope.shape[:2]
    q_latent = torch.bmm(q_nope.transpose(0, 1), w_uk).transpose(0, 1)
    pages = group.pages.int().repeat_interleave(group.new_tokens, dim=0)
    queries = torch.cat((q_latent, q_rope), dim=-1)
    cuts, lse = decode(queries, latent, pages, group.positions, scale, scales)
    out = combine_heads(cuts, lse, w_uv, codes=False).values
    assert out is not None
    return out.view(tokens, heads, -1)


def unabsorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    group: Group,
    scale: float,
    scales: CacheScales | None = None,
) -> Tensor:
    """Queries attend to rebuilt keys and values: shapes as in `attention.mla_attention`, for one group's tokens."""
    heads, nope, rank = w_uk.shape
    out = torch.empty(len(q_nope), heads, w_uv.shape[-1], dtype=q_nope.dtype, device=q_nope.device)
    rows = cached_rows(latent, group.pages, q_nope.dtype, scales).flatten(0, 1)
    latents = rows[:, :rank]
    # keys and values of all heads of a long context would be gigabytes
    at_once = max(1, REBUILT_BYTES // (len(rows) * (nope + w_uv.shape[-1]) * rows.element_size()))
    for first in range(0, heads, at_once):
        some = slice(first, first + at_once)
        keys, values = latents @ w_uk[some].transpose(1, 2), latents @ w_uv[some]  # [heads, rows, 128]
        prefill(
            q_nope[:, some], q_rope[:, some], keys, rows[:, rank:], values, group.positions, scale, len(group.lengths),
            out[:, some],
        )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["tokens", "room"])
def _prefill(
    q_nope,
    q_rope,
    keys,
    k_rope,
    values,
    positions,
    out,
    tokens,
    room,  # rows that a sequence has among the keys
    scale_log2,
    q_stride,  # from a token to the next
    rope_stride,
    k_rope_stride,
    out_stride,
    head_stride,  # from a head to the next
    rope_head_stride,
    NOPE: tl.constexpr,
    ROPE: tl.constexpr,
    V: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    # the last queries see the most keys: they start first, and the short ones fill in behind them
    m0 = (tl.num_programs(0) - 1 - tl.program_id(0)) * BM
    head, sequence = tl.program_id(1), tl.program_id(2)
    m = m0 + tl.arange(0, BM)
    c, r, v = tl.arange(0, NOPE), tl.arange(0, ROPE), tl.arange(0, V)
    valid = m < tokens
    wait_for_inputs()
    let_next_start()
    length = tl.load(positions + sequence * tokens + tokens - 1).to(tl.int32) + 1
    rows = (sequence * tokens + m).to(tl.int64)[:, None]
    q = tl.load(q_nope + rows * q_stride + head * head_stride + c[None, :], mask=valid[:, None], other=0.0)
    qr = tl.load(q_rope + rows * rope_stride + head * rope_head_stride + r[None, :], mask=valid[:, None], other=0.0)
    own = (head * tl.num_programs(2) + sequence).to(tl.int64) * room
    keys += own * NOPE
    values += own * V
    k_rope += sequence.to(tl.int64) * room * k_rope_stride
    first = length - tokens  # the first query's position
    seen_by_all = (first + m0 + 1) // BN * BN
    end = tl.minimum(first + m0 + BM, length)

    peak = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, V), tl.float32)
    for edge in tl.static_range(2):  # blocks that every query sees; then those along the diagonal
        for n0 in range(seen_by_all if edge else 0, end if edge else seen_by_all, BN):
            n = n0 + tl.arange(0, BN)
            there = (n < length)[:, None]
            k = tl.load(keys + n[:, None] * NOPE + c[None, :], mask=there, other=0.0)
            kr = tl.load(k_rope + n[:, None] * k_rope_stride + r[None, :], mask=there, other=0.0)
            value = tl.load(values + n[:, None] * V + v[None, :], mask=there, other=0.0)
            scores = matmul(qr, tl.trans(kr), matmul(q, tl.trans(k), None)) * scale_log2
            if edge:
                scores = tl.where(n[None, :] <= (first + m)[:, None], scores, float("-inf"))
            new_peak = tl.maximum(peak, tl.max(scores, axis=1))
            weights = tl.exp2(scores - new_peak[:, None])
            shrink = tl.exp2(peak - new_peak)
            total = total * shrink + tl.sum(weights, axis=1)
            acc = matmul(to_bf16(weights), value, acc * shrink[:, None])
            peak = new_peak
    tl.store(out + rows * out_stride + head * V + v[None, :], to_bf16(acc / total[:, None]), mask=valid[:, None])


def prefill(
    q_nope: Tensor,
    q_rope: Tensor,
    keys: Tensor,
    k_rope: Tensor,
    values: Tensor,
    positions: Tensor,
    scale: float,
    sequences: int = 1,
    out: Tensor | None = None,
) -> Tensor:
    """Causal attention of each sequence's last tokens to all of it. Sequences have equally many of either.

    Args:
        q_nope: bf16 [sequences * tokens, heads, 128]; q_rope: bf16 [.., heads, 64]. Parts of wider rows will do.
        keys: bf16 [heads, sequences * room, 128]; of a sequence's rows those behind its last token are not read.
        k_rope: bf16 [sequences * room, 64], shared by the heads, or part of wider rows.
        values: bf16 [heads, sequences * room, 128].
        positions: int64 [sequences * tokens], each token's position in its sequence.
        out: where to write to, heads side by side.

    Returns:
        bf16 [sequences * tokens, heads, 128].
    """
    tokens, heads, nope = len(q_nope) // sequences, *q_nope.shape[1:]
    room, v = keys.shape[1] // sequences, values.shape[-1]
    if out is None:
        out = torch.empty(len(q_nope), heads, v, dtype=torch.bfloat16, device=q_nope.device)
    arguments = (
        q_nope, q_rope, keys, k_rope, values, positions, out, tokens, room, scale * 1.4426950408889634,
        q_nope.stride(0), q_rope.stride(0), k_rope.stride(0), out.stride(0), q_nope.stride(1), q_rope.stride(1),
    )  # fmt: skip
    shape = {"NOPE": nope, "ROPE": q_rope.shape[-1], "V": v}
    tiles = cdiv(tokens, 128)
    if attention_gluon.suits(q_nope, q_rope, k_rope, out):
        count = attention_gluon.programs(tokens, tiles * heads * sequences, out.device)
        launch(_prefill_apart, (count,), *arguments, heads, sequences, **shape, STAGES=2, REGS=216, COPY_REGS=72)
    else:
        launch(_prefill, (tiles, heads, sequences), *arguments, **shape, BM=128, BN=64, warps=8, stages=3)
    return out

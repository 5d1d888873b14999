"""Prompts' attention, un-absorbed: online softmax (Milakov and Gimelshein, 2018; FlashAttention, Dao et al., 2022), so
that no score leaves its multiprocessor and a prompt's memory grows with its length and not with its square."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.attention_choice import Shape, choose
from hopwell.ops.attention_plan import TILE
from hopwell.ops.attention_prefill_gluon import _prefill_apart
from hopwell.ops.triton_common import launch, launch_device, let_next_start, matmul, to_bf16, wait_for_inputs


@triton.jit(do_not_specialize=["room"])
def _prefill(
    q_nope,
    q_rope,
    keys,
    k_rope,
    values,
    tiles,
    out,
    room,  # rows that a head has among the keys
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
    """Un-absorbed causal attention of prompts (MHA 192/128; V2 report, 2.1.2) with online softmax, a tile of BM
    queries.

    Grid (tiles, heads). q_nope bf16 [tokens, heads, NOPE], q_rope bf16 [tokens, heads, ROPE], keys bf16 [heads, room,
    NOPE], k_rope bf16 [room, ROPE] shared by the heads, values bf16 [heads, room, V]; tiles int32 [tiles, 4] as
    `attention_plan.Unabsorbed` has them. Writes out bf16 [tokens, heads, V].
    """
    tile, head = tiles + 4 * tl.program_id(0), tl.program_id(1)
    m = tl.arange(0, BM)
    c, r, v = tl.arange(0, NOPE), tl.arange(0, ROPE), tl.arange(0, V)
    wait_for_inputs()
    let_next_start()
    first = tl.load(tile + 2)  # the first query's position
    length = first + tl.load(tile + 1)
    valid = m < length - first
    rows = (tl.load(tile) + m).to(tl.int64)[:, None]
    q = tl.load(q_nope + rows * q_stride + head * head_stride + c[None, :], mask=valid[:, None], other=0.0)
    qr = tl.load(q_rope + rows * rope_stride + head * rope_head_stride + r[None, :], mask=valid[:, None], other=0.0)
    key = tl.load(tile + 3).to(tl.int64)
    own = head.to(tl.int64) * room + key
    keys += own * NOPE
    values += own * V
    k_rope += key * k_rope_stride
    seen_by_all = (first + 1) // BN * BN
    end = tl.minimum(first + BM, length)

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
    tiles: Tensor,
    scale: float,
    out: Tensor,
) -> None:
    """Causal attention of each sequence's last tokens to all of it.

    Args:
        q_nope: bf16 [tokens, heads, 128]; q_rope: bf16 [tokens, heads, 64]. Parts of wider rows will do.
        keys: bf16 [heads, rows, 128]; of a sequence's rows those behind its last token are not read.
        k_rope: bf16 [rows, 64], shared by the heads, or part of wider rows.
        values: bf16 [heads, rows, 128].
        tiles: as `Unabsorbed` has them.
        out: bf16 [tokens, heads, 128], heads side by side.
    """
    heads, nope = q_nope.shape[1:]
    arguments = (
        q_nope, q_rope, keys, k_rope, values, tiles, out, keys.shape[1], scale * 1.4426950408889634, q_nope.stride(0),
        q_rope.stride(0), k_rope.stride(0), out.stride(0), q_nope.stride(1), q_rope.stride(1),
    )  # fmt: skip
    shape = {"NOPE": nope, "ROPE": q_rope.shape[-1], "V": values.shape[-1]}
    aligned = not any(
        stride % 16 for stride in (*q_nope.stride()[:2], *q_rope.stride()[:2], k_rope.stride(0), out.stride(0))
    )
    how = choose("prefill", Shape(0, heads, tiles=len(tiles), aligned=aligned), False, launch_device(out.device))
    if how.name == "gluon":
        launch(
            _prefill_apart, (how.programs,), *arguments, len(tiles), heads, **shape, STAGES=2, REGS=216, COPY_REGS=72
        )
    else:
        launch(_prefill, (len(tiles), heads), *arguments, **shape, BM=TILE, BN=64, warps=8, stages=3)

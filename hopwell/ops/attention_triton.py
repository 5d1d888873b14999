"""`attention.mla_attention` on a GPU, for steps too long for a row of the page table each: every sequence in one of two
launches, whatever their lengths.

Short queries take the absorbed way and reuse the decode kernels, a program a token. Prompts take the un-absorbed one:
keys and values are rebuilt with two matrix products and attended to by `attention_prefill_triton`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.ops.attention import REBUILT_BYTES
from hopwell.ops.attention_decode_triton import decode, merge_states
from hopwell.ops.attention_plan import Absorbed, StepPlan, Unabsorbed
from hopwell.ops.attention_prefill_triton import prefill
from hopwell.ops.paging import CacheScales, cached_rows


def attend(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    plan: StepPlan,
    scale: float,
    scales: CacheScales | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """`attention.mla_attention` by a `StepPlan`.

    Args:
        q_nope: bf16 [size, heads, 128]; q_rope: bf16 [size, heads, 64], rotated.
        latent, w_uk, w_uv, scales: as `mla_attention` has them.
        out: where to write to.

    Returns:
        bf16 [size, heads, 128]; rows that repeat the step's last have its result.
    """
    if out is None:
        out = torch.empty(*q_nope.shape[:2], w_uv.shape[-1], dtype=q_nope.dtype, device=q_nope.device)
    for part in plan.parts:
        given = (q_nope[part.rows], q_rope[part.rows], latent, w_uk, w_uv)
        if isinstance(part, Absorbed):
            _absorbed(*given, part, scale, scales, out[part.rows])
        else:
            _unabsorbed(*given, part, scale, scales, out[part.rows])
    if plan.count < len(out):  # what they hold reaches the cache: never an old step's NaN
        out[plan.count :] = out[plan.count - 1]
    return out


def _absorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    part: Absorbed,
    scale: float,
    scales: CacheScales | None,
    out: Tensor,
) -> None:
    q_latent = torch.bmm(q_nope.transpose(0, 1), w_uk).transpose(0, 1)
    queries = torch.cat((q_latent, q_rope), dim=-1)
    cuts, lse = decode(queries, latent, part.pages, part.positions, scale, scales)
    mixed = merge_states(cuts, lse, w_uv, fp8=False).values
    assert mixed is not None
    out.copy_(mixed.view(out.shape))


def _unabsorbed(
    q_nope: Tensor,
    q_rope: Tensor,
    latent: Tensor,
    w_uk: Tensor,
    w_uv: Tensor,
    part: Unabsorbed,
    scale: float,
    scales: CacheScales | None,
    out: Tensor,
) -> None:
    heads, nope, rank = w_uk.shape
    rows = cached_rows(latent, part.pages.unsqueeze(0), q_nope.dtype, scales)[0]
    latents = rows[:, :rank]
    # keys and values of all heads of a long context would be gigabytes
    at_once = max(1, REBUILT_BYTES // (len(rows) * (nope + w_uv.shape[-1]) * rows.element_size()))
    for first in range(0, heads, at_once):
        some = slice(first, first + at_once)
        keys, values = latents @ w_uk[some].transpose(1, 2), latents @ w_uv[some]  # [heads, rows, 128]
        prefill(q_nope[:, some], q_rope[:, some], keys, rows[:, rank:], values, part.tiles, scale, out[:, some])

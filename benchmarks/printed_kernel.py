"""The attention kernel that is printed with the popular claims, emulated in NumPy, beside Hopwell's attention.

    python -m benchmarks.printed_kernel

Written from a description of what such a kernel does; nobody's code. Threads run one after another, as any schedule may
let them; where they race, the order of blocks is an argument. docs/printed-kernel.md holds what this prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from hopwell.ops.attention import mla_attention
from hopwell.ops.paging import AttentionPlan
from hopwell.ops.sizes import PAGE

Array = NDArray[np.float32]
THREADS = 1024
"""The most of a block."""
SHARED = 227 << 10
"""Bytes of shared memory that a block of H100 can have."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What one launch leaves behind, and what it did on the way."""

    out: Array
    """[batch, length, dim]; NaN where nothing was written."""
    writes: NDArray[np.int64]
    """Of the same shape: how often each was written."""
    right_reads: NDArray[np.bool_]
    """Of the same shape: whether all that was read of shared memory had been written, by the last writer."""
    past_scores: int
    """Reads of shared memory at or past dim * dim."""
    outside: int
    """Reads of Q and K before or past their arrays."""
    loads: int
    """Of numbers of Q and K."""
    idle: int
    """Threads of a block that compute no score."""


def offset(block: int, length: int, dim: int) -> int:
    """`blockIdx.x * head_dim * seq_len` in 32 bits, as C's int holds it."""
    return (block * dim * length + (1 << 31)) % (1 << 32) - (1 << 31)


def printed(
    q: Array, k: Array, v: Array, stale: float = 0.0, blocks: Sequence[int] | None = None, threads: int | None = None
) -> Launch:
    """One launch over q, k, v [batch, length, dim].

    Args:
        stale: what lies in shared memory beforehand.
        blocks: in the order in which they write; the default is one a sequence, as it is launched.
    """
    batch, length, dim = q.shape
    count = threads or min(THREADS, max(length * dim, dim * dim))
    thread = np.arange(count)
    flat_q, flat_k, flat_v = q.reshape(-1), k.reshape(-1), v.reshape(-1)
    out = np.full(q.size, np.nan, np.float32)
    writes, right = np.zeros(q.size, np.int64), np.zeros(q.size, np.bool_)
    scoring, mixing = thread[: dim * dim], thread[: length * dim]
    past = outside = loads = 0
    for block in blocks if blocks is not None else range(batch):
        shared = np.full(max(length, dim) * dim, stale, np.float32)
        known = np.zeros(len(shared), np.bool_)
        score = np.zeros(len(scoring), np.float32)
        for step in range(length):  # over the sequence: fault 1
            row = offset(block, length, dim) + step * dim
            at_q, at_k = row + scoring % dim, row + scoring // dim
            outside += int(np.sum((at_q < 0) | (at_q >= q.size)) + np.sum((at_k < 0) | (at_k >= k.size)))
            score += flat_q.take(at_q, mode="clip") * flat_k.take(at_k, mode="clip")
            loads += 2 * len(scoring)
        place = scoring // dim * dim + scoring % dim  # [feature of K, feature of Q]
        shared[place], known[place] = score / np.float32(sqrt(dim)), True
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            weight = np.exp(shared)  # of no difference: fault 7
            summed = (mixing % length)[:, None] * dim + np.arange(dim)
            out[mixing] = weight[mixing] / weight[summed].sum(1, dtype=np.float32) * flat_v[mixing]
        past += int(np.sum(mixing >= dim * dim) + np.sum(summed >= dim * dim))
        writes[mixing] += 1
        right[mixing] = known[mixing] & known[summed].all(1)
    shape = q.shape
    return Launch(
        out.reshape(shape), writes.reshape(shape), right.reshape(shape), past, outside, loads, count - len(scoring)
    )


def hopwell(q: Array, k: Array, v: Array, scale: float | None = None) -> Array:
    """Causal attention of one head on the same arrays, by `ops/attention.py`: latents are keys and values, side by
    side, and what carries a head's queries and outputs in and out of the latent space picks either half."""
    batch, length, dim = q.shape
    pages = -(-length // PAGE)
    latent = torch.zeros(batch * pages, PAGE, 2 * dim + 2)
    rows = torch.from_numpy(np.concatenate((k, v, np.zeros((batch, length, 2), np.float32)), axis=-1))
    latent.view(batch, pages * PAGE, -1)[:, :length] = rows
    half, none = torch.eye(dim), torch.zeros(dim, dim)
    plan = AttentionPlan.build(
        [length] * batch,
        [length] * batch,
        torch.arange(length).repeat(batch),
        torch.arange(batch * pages, dtype=torch.int32).view(batch, pages),
    )
    out = mla_attention(
        torch.from_numpy(q).reshape(-1, 1, dim),
        torch.zeros(batch * length, 1, 2),
        latent,
        torch.cat((half, none), 1)[None],
        torch.cat((none, half), 0)[None],
        plan,
        1 / sqrt(dim) if scale is None else scale,
    )
    return out.view(batch, length, dim).numpy()


def operations(length: int, dim: int) -> tuple[int, int]:
    """FLOPs of the printed kernel's scores, and of attention without a mask."""
    return 2 * length * dim**2, 4 * length**2 * dim


def inputs(batch: int, length: int, dim: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """q, k, v of a normal distribution."""
    drawn = np.random.default_rng(seed).standard_normal((3, batch, length, dim)).astype(np.float32)
    return drawn[0], drawn[1], drawn[2]


def whole(batch: int, length: int, dim: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """q, k, v of small whole numbers, whose sums are exact in any order."""
    drawn = np.random.default_rng(seed).integers(-3, 4, (3, batch, length, dim)).astype(np.float32)
    return drawn[0], drawn[1], drawn[2]


def main() -> None:
    from benchmarks.printed_faults import errors, faults, table

    print(table(faults()))
    print("\nDistance from attention, least, middle, greatest:", *(f"{error:.1f}" for error in errors()))


if __name__ == "__main__":
    main()

"""The sum over ranks fused with the norm that follows it: what `add_norm` does, of all ranks' parts.

Every rank has an inbox in memory that the others can write. A program pushes its rank's parts of a token's chunk, in
bf16, into all inboxes, waits until all have come into its own, adds them in the order of ranks, and goes on as
`add_norm`. **Each value is its own flag**: an inbox holds -0.0 where nothing has come, a value -0.0 travels as +0.0,
and so no order of stores, no fence and no counter is needed. Whoever has read an inbox empties it.

Of many rows each has an owner: parts go to the owner's inbox alone, and what comes back to all is the row that it has
made of them, its residual included. That takes two crossings in place of one, and of four ranks half the bytes.

Two inboxes, used in turn, suffice: a rank's push n + 2 follows the whole of its call n + 1, which needed everybody's
push n + 1, itself or through an owner, which followed the whole of their call n, emptying included: all orders are gone
through in `tests/parallel/test_protocols.py`. hazard: whose turn it is, is a constant of the call's place in a CUDA
graph, so each graph, and each step outside of one, must hold an even number of exchanges. A program waits for the same
program on other ranks alone, which has pushed before it waits: grids may be larger than the GPU, as long as programs
start in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.moe_combine_triton import rank_sum
from hopwell.ops.norm_choice import Shape, choose
from hopwell.ops.norm_triton import add_norm, columns, sum_parts, unwritten, write_normed
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import next_power_of_2
from hopwell.ops.triton_common import INTERPRET, launch, let_next_start, to_bf16, wait_for_inputs

OWNED_FROM = 72
"""Rows that a rank would send, one to each of the others, from which rows have owners."""
EMPTY = -(1 << 15)
"""-0.0 in bf16, as the int16 that has its bits."""


@dataclass(frozen=True, slots=True)
class Inboxes:
    """One rank's inboxes and where the others' are. All begin `EMPTY`."""

    peers: Tensor
    """int64 [world]: the address of each rank's inboxes, int16 [2, world, rows, width], as this rank sees it: multiples
    of 16 bytes."""
    rank: int
    world: int
    """A power of two."""
    rows: int
    """That fit: no call may have more."""
    width: int

    def __post_init__(self) -> None:
        if self.world != next_power_of_2(self.world):
            raise ValueError(f"{self.world} ranks: the exchange is for a power of two")

    @staticmethod
    def values(world: int, rows: int, width: int) -> int:
        """How many int16 one rank's inboxes hold."""
        return 2 * world * rows * width


@triton.jit(do_not_specialize=["tokens", "capacity"])
def _exchange_add_norm(
    residual,
    parts,
    part_weights,
    weight,
    residual_out,
    codes,
    scales,
    values,
    sumsq,
    peers,
    tokens,
    capacity,
    RANK: tl.constexpr,
    WORLD: tl.constexpr,
    TURN: tl.constexpr,
    OWNED: tl.constexpr,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    CHUNK: tl.constexpr,
    CODES: tl.constexpr,
    VALUES: tl.constexpr,
):
    """Residual + all ranks' parts, then RMSNorm with its division deferred: arguments as `_add_norm` has them, and
    peers int64 [WORLD], capacity the rows of an inbox, TURN 0 or 1, OWNED: rows have owners.

    Grid (tokens, chunks of CHUNK values), the same on all ranks. What does not depend on the kernel before is read
    before it has ended: the norm's weights, and the addresses, for which every push would wait.
    """
    let_next_start()
    token, chunk = tl.program_id(0), tl.program_id(1)
    col = columns(chunk, CHUNK)
    inside = col < WIDTH
    w = tl.load(weight + col, mask=inside, other=0.0)
    inboxes = ()
    for peer in tl.static_range(WORLD):  # pyright: ignore[reportGeneralTypeIssues]
        inboxes = inboxes + (_inbox(peers, peer),)  # noqa: RUF005
    owner = token % WORLD
    to_owner = _inbox(peers, owner)
    wait_for_inputs()
    bits = _flagged(to_bf16(sum_parts(parts, part_weights, token, col, tokens, WIDTH, PARTS, PER_TOKEN)))
    stride = capacity.to(tl.int64) * WIDTH
    row = token.to(tl.int64) * WIDTH
    slots = TURN * WORLD * stride + row  # of this row; a rank's is RANK * stride from there
    at = inboxes[RANK] + slots + col
    if OWNED:
        if owner == RANK:
            x = tl.load(residual + row + col, mask=inside, other=0.0).to(tl.float32)
            made = _flagged(to_bf16(x + _taken(at, bits, stride, inside, RANK, WORLD)))
            for peer in tl.static_range(WORLD):
                if peer != RANK:
                    tl.store(inboxes[peer] + slots + RANK * stride + col, made, mask=inside)
        else:
            tl.store(to_owner + slots + RANK * stride + col, bits, mask=inside)
            from_owner = at + owner * stride
            made = tl.load(from_owner, mask=inside, other=0, volatile=True)
            while _empty(made) > 0:
                made = tl.load(from_owner, mask=inside, other=0, volatile=True)
            tl.store(from_owner, tl.full(col.shape, -32768, tl.int16), mask=inside)
        x = _value(made)
    else:
        for peer in tl.static_range(WORLD):
            tl.store(inboxes[peer] + slots + RANK * stride + col, bits, mask=inside)
        x = tl.load(residual + row + col, mask=inside, other=0.0).to(tl.float32)
        x = to_bf16(x + _taken(at, bits, stride, inside, -1, WORLD)).to(tl.float32)
    tl.store(residual_out + row + col, x.to(tl.bfloat16), mask=inside)
    write_normed(codes, scales, values, sumsq, x, w, token, chunk, col, WIDTH, CHUNK, CODES, VALUES)


@triton.jit
def _inbox(peers, rank):
    """Where a rank's inboxes begin."""
    return tl.multiple_of(tl.load(peers + rank).to(tl.pointer_type(tl.int16)), 16)


@triton.jit
def _flagged(values):
    """bf16 values as bits that do not look like nothing: -0.0 as +0.0."""
    bits = values.to(tl.int16, bitcast=True)
    return tl.where(bits == -32768, 0, bits).to(tl.int16)


@triton.jit
def _value(bits):
    """float32 of a bf16 value's bits."""
    if INTERPRET:  # its bf16 are bits, and widening them is a shift
        return (bits.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        return bits.to(tl.bfloat16, bitcast=True).to(tl.float32)


@triton.jit
def _taken(at, bits, stride, inside, OWN: tl.constexpr, WORLD: tl.constexpr):
    """The sum of all ranks' values in the order of ranks, float32: waits until they are in the inbox, and empties it.
    OWN: the rank whose value is `bits` and does not travel, or -1."""
    come = _arrivals(at, bits, stride, inside, OWN, WORLD)
    while _missing(come, WORLD) > 0:
        come = _arrivals(at, bits, stride, inside, OWN, WORLD)
    added = tl.zeros(bits.shape, tl.float32)
    for rank in tl.static_range(WORLD):
        if rank != OWN:
            tl.store(at + rank * stride, tl.full(bits.shape, -32768, tl.int16), mask=inside)
        added += _value(come[rank])
    return added


@triton.jit
def _arrivals(at, bits, stride, inside, OWN: tl.constexpr, WORLD: tl.constexpr):
    """What is in an inbox, from each rank: loads that do not wait for each other."""
    come = ()
    for rank in tl.static_range(WORLD):  # pyright: ignore[reportGeneralTypeIssues]
        if rank == OWN:
            come = come + (bits,)  # noqa: RUF005
        else:
            come = come + (tl.load(at + rank * stride, mask=inside, other=0, volatile=True),)  # noqa: RUF005
    return come


@triton.jit
def _empty(values):
    """How many values have not come. One condition for all threads: per-thread polling would hang in a shuffle."""
    return tl.sum(tl.sum((values == -32768).to(tl.int32), axis=1), axis=0)


@triton.jit
def _missing(come, WORLD: tl.constexpr):
    """The same of all ranks' values."""
    missing = (come[0] == -32768).to(tl.int32)
    for rank in tl.static_range(1, WORLD):  # pyright: ignore[reportGeneralTypeIssues]
        missing += (come[rank] == -32768).to(tl.int32)
    return tl.sum(tl.sum(missing, axis=1), axis=0)


def exchange_add_norm(
    residual: Tensor,
    weight: Tensor,
    parts: Tensor,
    inboxes: Inboxes,
    turn: int,
    part_weights: Tensor | None = None,
    fp8: bool = True,
    values: bool = False,
    owned: bool | None = None,
) -> tuple[Tensor, Normed]:
    """Adds to the residual what all ranks have made of a layer, and normalises the sum, its rms deferred.

    Args:
        residual, weight, parts, part_weights, fp8, values: as `norm_triton.add_norm` has them; `parts` are this
            rank's, the residual is everybody's.
        turn: 0 and 1 in turn, from call to call.
        owned: whether rows have owners; None: where there are many.

    Returns:
        As `add_norm`; bits are equal on all ranks.
    """
    tokens, width = residual.shape
    assert tokens <= inboxes.rows and width == inboxes.width, "the inboxes are for other rows"
    cut = choose("add_norm", Shape(tokens, width))
    if owned is None:  # two ranks send as many bytes either way
        owned = inboxes.world > 2 and tokens * (inboxes.world - 1) >= OWNED_FROM
    out = torch.empty_like(residual)
    normed = unwritten(tokens, width, cut.programs, fp8, values, residual.device)
    launch(
        _exchange_add_norm,
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
        inboxes.peers,
        tokens,
        inboxes.rows,
        RANK=inboxes.rank,
        WORLD=inboxes.world,
        TURN=turn,
        OWNED=owned,
        WIDTH=width,
        PARTS=parts.shape[0] if part_weights is None else parts.shape[1],
        PER_TOKEN=part_weights is not None,
        CHUNK=cut.values,
        CODES=fp8,
        VALUES=values,
    )
    return out, normed


def sum_and_norm(
    residual: Tensor, weight: Tensor, parts: Tensor, shares: Tensor | None, turn: int, fp8: bool, values: bool,
    inboxes: Inboxes, reduce: Callable[[Tensor], object],
) -> tuple[Tensor, Normed]:  # fmt: skip
    """`exchange_add_norm` for any number of rows: arguments as there, `shares` its `part_weights`, and `reduce`, which
    makes of a tensor the sum of all ranks' in place, for more rows than the inboxes have."""
    if len(residual) <= inboxes.rows:
        return exchange_add_norm(residual, weight, parts, inboxes, turn, shares, fp8, values)
    total = rank_sum(parts, shares)
    reduce(total)
    return add_norm(residual, weight, total.unsqueeze(0), None, fp8, values)

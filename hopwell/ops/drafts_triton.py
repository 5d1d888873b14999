"""`drafts` in one launch each, and the inputs of a captured step from tokens and positions that only the GPU knows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import drafts
from hopwell.ops.drafts import COUNTS, Verified
from hopwell.ops.sizes import MAX_DRAFTS, cdiv, next_power_of_2
from hopwell.ops.triton_common import launch, let_next_start, wait_for_inputs

LENGTH, LIMIT, SEED = tl.constexpr(drafts.LENGTH), tl.constexpr(drafts.LIMIT), tl.constexpr(drafts.SEED)
DRAFTED, LAST, TOLD = tl.constexpr(drafts.DRAFTED), tl.constexpr(drafts.LAST), tl.constexpr(COUNTS)
COLUMNS = next_power_of_2(1 + MAX_DRAFTS)
FILL = 256
"""Rows that one program fills in."""


@triton.jit
def _shift_right(x, bits, rest):
    """`random._shift_right`: `rest` has the bits that stay."""
    return (x >> bits) & rest


@triton.jit
def _mix(x):
    """`random.mix`."""
    x = (x ^ _shift_right(x, 30, 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ _shift_right(x, 27, 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ _shift_right(x, 31, 0x1FFFFFFFF)


@triton.jit
def _uniform(seed, position):
    """`random.uniform` of a slot's draw that no token has: token -1."""
    bits = _mix(_mix(seed + position * -7046029254386353131) + 7046029254386353131)
    return (_shift_right(bits, 40, 0xFFFFFF).to(tl.float32) + 0.5) * 5.9604644775390625e-08


@triton.jit
def _store_draw(at, row, slots, length, limit, draft):
    """`drafts._next_draw` of one slot."""
    position = tl.maximum(tl.minimum(length + draft - 2, limit - 1), 0)
    tl.store(at + row, position)
    tl.store(at + slots + row, position + 2)


@triton.jit(do_not_specialize=["stride", "width", "columns"])
def _begin(state, slots, rows, stride, width, columns, COLUMNS: tl.constexpr):
    """`drafts.begin`. Grid (slots,); state int64 [all slots, columns], writes rows int64 [3, stride]."""
    row, column = tl.program_id(0), tl.arange(0, COLUMNS)
    wait_for_inputs()
    let_next_start()
    known = state + tl.load(slots + row) * columns
    length, limit = tl.load(known + LENGTH), tl.load(known + LIMIT)
    source = tl.minimum(column, tl.load(known + DRAFTED))
    keep = column < width
    token = tl.load(known + LAST + source, mask=keep)
    position = tl.maximum(tl.minimum(length, limit) - 1, 0) + source
    out = rows + row * width + column
    tl.store(out, token, mask=keep)
    tl.store(out + stride, position, mask=keep)
    tl.store(out + 2 * stride, position + 1, mask=keep)


@triton.jit(do_not_specialize=["count", "width", "columns", "following", "whole", "part"])
def _verify(
    state, slots, found, told, drawn_out, source, at, count, width, columns, following, whole, part,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """`drafts.verify`. Grid (slots,); found int64 [2, count slots x width], the outputs as `Verified` has them.

    If `whole` is not below 0, so many drafts hold, whatever was drawn, and one more with probability `part`.
    """
    row, column = tl.program_id(0), tl.arange(0, COLUMNS)
    wait_for_inputs()
    let_next_start()
    known = state + tl.load(slots + row) * columns
    length, limit, verified = tl.load(known + LENGTH), tl.load(known + LIMIT), tl.load(known + DRAFTED)
    last = tl.load(known + LAST)
    here = column < width
    drawn = tl.load(found + row * width + column, mask=here, other=-1)
    bits = tl.load(found + (count + row) * width + column, mask=here)
    draft = tl.load(known + LAST + 1 + column, mask=column < columns - LAST - 1, other=-1)
    same = (drawn == draft) & (column < verified)
    one_more = (_uniform(tl.load(known + SEED), length) < part).to(tl.int64)
    unseen, alike = tl.minimum(whole + one_more, verified), tl.min(tl.where(same, COLUMNS, column)).to(tl.int64)
    accepted = tl.where(whole >= 0, unseen, alike)
    drawn = tl.where((whole >= 0) & (column < accepted), draft, drawn)
    alive = length < limit
    gained = tl.where(alive, accepted + 1, 0)
    length += gained
    drafted = tl.where(alive & (length + following <= limit), following, 0)
    last = tl.where(alive, tl.sum(tl.where(column == accepted, drawn, 0)), last)
    tl.store(known + LENGTH, length)
    tl.store(known + DRAFTED, drafted)
    tl.store(known + LAST, last)
    out = told + row * (TOLD + 2 * width + columns - LAST - 1)
    tl.store(out, gained)
    tl.store(out + 1, verified)
    tl.store(out + 2, drafted)
    tl.store(out + TOLD + column, drawn, mask=here)
    tl.store(out + TOLD + width + column, bits, mask=here)
    tl.store(out + TOLD + 2 * width + column, draft, mask=column < columns - LAST - 1)
    tl.store(drawn_out + row * width + column, drawn, mask=here)
    tl.store(source + row, row * width + accepted)
    _store_draw(at, row, count, length, limit, 0)


@triton.jit(do_not_specialize=["count", "width", "columns", "draft"])
def _drafted(state, slots, told, found, at, count, width, columns, draft):
    """`drafts.drafted`. Grid (slots,)."""
    row = tl.program_id(0)
    wait_for_inputs()
    let_next_start()
    known = state + tl.load(slots + row) * columns
    token = tl.load(found + row)
    tl.store(known + LAST + 1 + draft, token)
    tl.store(told + row * (TOLD + 2 * width + columns - LAST - 1) + TOLD + 2 * width + draft, token)
    _store_draw(at, row, count, tl.load(known + LENGTH), tl.load(known + LIMIT), draft + 1)


@triton.jit(do_not_specialize=["rows", "size"])
def _fill(tokens, positions, packed, rows, size, BLOCK: tl.constexpr):
    """Packed int64 [2 size]: tokens, then positions, the last of `rows` over what is left. Grid (blocks of size,)."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    wait_for_inputs()
    let_next_start()
    source, keep = tl.minimum(row, rows - 1), row < size
    tl.store(packed + row, tl.load(tokens + source), mask=keep)
    tl.store(packed + size + row, tl.load(positions + source), mask=keep)


def begin(state: Tensor, slots: Tensor, width: int) -> Tensor:
    """`DraftOps.begin`."""
    count, stride = len(slots) * width, 2 * cdiv(len(slots) * width, 2)  # by 16 bytes, whatever the count: see `fill`
    rows = torch.empty(3, stride, dtype=torch.int64, device=state.device)
    launch(_begin, (len(slots),), state, slots, rows, stride, width, state.shape[1], COLUMNS=COLUMNS, warps=1)
    return rows[:, :count]


def verify(state: Tensor, slots: Tensor, found: Tensor, width: int, following: int, forced: float | None) -> Verified:
    """`DraftOps.verify`."""
    count, columns = len(slots), state.shape[1]
    most = columns - drafts.LAST - 1
    told = torch.empty(count, COUNTS + 2 * width + most, dtype=torch.int64, device=state.device)
    drawn, source = (torch.empty(n, dtype=torch.int64, device=state.device) for n in (count * width, count))
    at = torch.empty(2, count, dtype=torch.int64, device=state.device)
    whole = -1 if forced is None else int(forced - 1)
    part = 0.0 if forced is None else forced - 1 - whole
    launch(
        _verify, (count,), state, slots, found, told, drawn, source, at, count, width, columns, following, whole, part,
        COLUMNS=COLUMNS, warps=1,
    )  # fmt: skip
    return Verified(told, drawn, source, at)


def drafted(state: Tensor, slots: Tensor, told: Tensor, found: Tensor, width: int, draft: int) -> Tensor:
    """`DraftOps.drafted`."""
    count = len(slots)
    at = torch.empty(2, count, dtype=torch.int64, device=state.device)
    launch(_drafted, (count,), state, slots, told, found, at, count, width, state.shape[1], draft, warps=1)
    return at


def run_once(device: torch.device) -> None:
    """Loads all of these kernels."""
    state = torch.zeros(1, drafts.LAST + 2, dtype=torch.int64, device=device)
    slots, found = (torch.zeros(*shape, dtype=torch.int64, device=device) for shape in ((1,), (2, 1)))
    tokens, positions, _ = begin(state, slots, 1)
    verified = verify(state, slots, found, 1, 1, None)
    drafted(state, slots, verified.told, found, 1, 0)
    fill(tokens, positions, torch.empty(2, dtype=torch.int64, device=device), 1)


def fill(tokens: Tensor, positions: Tensor, packed: Tensor, size: int) -> None:
    """A captured step's tokens and positions.

    Args:
        tokens, positions: int64 [rows], at most `size` of them; the last stands for those that lack. Each from a
            multiple of 16 bytes on, or another kernel would be compiled for it.
        packed: int64 [2 size or more]; written.
    """
    launch(_fill, (cdiv(size, FILL),), tokens, positions, packed, len(tokens), size, BLOCK=FILL, warps=4)

"""The two ends of a decode step: tokens to rows of the embedding, logits to tokens."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import launch, let_next_start, wait_for_inputs

PART = 4096
"""Logits of a row that one program looks through."""


@triton.jit
def _embed(tokens, embedding, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """out[row] = embedding[tokens[row]]. Grid (rows, blocks of WIDTH); tokens int64 [rows], embedding [vocabulary,
    WIDTH]."""
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    wait_for_inputs()
    let_next_start()
    token = tl.load(tokens + row).to(tl.int64)
    value = tl.load(embedding + token * WIDTH + col, mask=col < WIDTH)
    tl.store(out + row * WIDTH + col, value, mask=col < WIDTH)


def embed(tokens: Tensor, embedding: Tensor) -> Tensor:
    """embedding[tokens]: int64 [tokens] and [vocabulary, hidden] -> [tokens, hidden]."""
    width = embedding.shape[1]
    out = torch.empty(tokens.shape[0], width, dtype=embedding.dtype, device=embedding.device)
    launch(_embed, (tokens.shape[0], cdiv(width, 2048)), tokens, embedding, out, WIDTH=width, BLOCK=2048)
    return out


@triton.jit
def _best_of_part(logits, best, where, VOCABULARY: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """The largest of BLOCK logits of a row and where it first is. Grid (rows, PARTS); logits float32 [rows,
    VOCABULARY], best float32 and where int32 [rows, PARTS]."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = part * BLOCK + tl.arange(0, BLOCK)
    wait_for_inputs()
    let_next_start()
    value = tl.load(logits + row * VOCABULARY + at, mask=at < VOCABULARY, other=float("-inf"))
    # a row with a NaN must be known by it, wherever it is
    value = tl.where(value == value, value, float("inf"))
    most = tl.max(value)
    tl.store(best + row * PARTS + part, most)
    tl.store(where + row * PARTS + part, tl.min(tl.where(value == most, at, VOCABULARY)))


@triton.jit(do_not_specialize=["rows"])
def _best(best, where, out, rows, PARTS: tl.constexpr, PARTS_P2: tl.constexpr):
    """The largest of a row's parts and where it first is. Grid (rows,); writes out int64 [2, rows]: the place, and the
    bits of the value."""
    row = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, PARTS_P2)
    wait_for_inputs()
    let_next_start()
    value = tl.load(best + row * PARTS + part, mask=part < PARTS, other=float("-inf"))
    most = tl.max(value)
    places = tl.load(where + row * PARTS + part, mask=part < PARTS, other=2147483647)
    tl.store(out + row, tl.min(tl.where(value == most, places, 2147483647)).to(tl.int64))
    tl.store(out + rows + row, most.to(tl.int32, bitcast=True).to(tl.int64))


def argmax(logits: Tensor) -> Tensor:
    """The first of each row's largest values, and that value.

    Args:
        logits: float32 [tokens, vocabulary].

    Returns:
        int64 [2, tokens]: where it is, and the bits of its float32; infinite also where a row holds a NaN.
    """
    tokens, vocabulary = logits.shape
    parts, device = cdiv(vocabulary, PART), logits.device
    best = torch.empty(tokens, parts, device=device)
    where = torch.empty(tokens, parts, dtype=torch.int32, device=device)
    out = torch.empty(2, tokens, dtype=torch.int64, device=device)
    launch(_best_of_part, (tokens, parts), logits, best, where, VOCABULARY=vocabulary, PARTS=parts, BLOCK=PART)
    launch(_best, (tokens,), best, where, out, tokens, PARTS=parts, PARTS_P2=next_power_of_2(parts), warps=1)
    return out

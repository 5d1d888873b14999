"""The two ends of a decode step: tokens to rows of the embedding, logits to tokens."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.triton_common import cdiv, launch, let_next_start, wait_for_inputs


@triton.jit
def _embed(tokens, embedding, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
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
def _argmax(logits, out, VOCABULARY: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    wait_for_inputs()
    let_next_start()
    best = tl.full((BLOCK,), float("-inf"), tl.float32)
    where = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, VOCABULARY, BLOCK):
        at = start + lane
        value = tl.load(logits + row * VOCABULARY + at, mask=at < VOCABULARY, other=float("-inf"))
        where = tl.where(value > best, at, where)
        best = tl.maximum(best, value)
    first = tl.min(tl.where(best == tl.max(best), where, VOCABULARY))
    tl.store(out + row, first.to(tl.int64))


def argmax(logits: Tensor) -> Tensor:
    """The first of each row's largest values: float32 [tokens, vocabulary] -> int64 [tokens]."""
    out = torch.empty(logits.shape[0], dtype=torch.int64, device=logits.device)
    launch(_argmax, (logits.shape[0],), logits, out, VOCABULARY=logits.shape[1], BLOCK=2048, warps=8)
    return out

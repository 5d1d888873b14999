"""Ranks of the fused sum, interpreted: `exchange_rank.py FILE WORLD CALLS` over inboxes in a shared file."""

from __future__ import annotations

import mmap
import random
import sys
import time
from functools import partial

import torch
from forked import fork_ranks
from quick_interpreter import quicken
from torch import Tensor

from hopwell.ops.exchange_triton import EMPTY, Inboxes, exchange_add_norm
from hopwell.ops.norm_triton import add_norm

ROWS, WIDTH = 3, 1280
"""More than one chunk, the last of them ragged."""


def parts_of(call: int, rank: int) -> tuple[Tensor, Tensor | None]:
    """What a rank brings: parts of a product, or experts' outputs with weights; zeros of both signs among them."""
    generator = torch.Generator().manual_seed(1000 * call + rank)
    tokens = 1 + call % ROWS
    if call % 2:
        parts = torch.randn(tokens, 4, WIDTH, generator=generator).bfloat16()
        return parts, torch.rand(tokens, 4, generator=generator)
    parts = torch.randn(2, tokens, WIDTH, generator=generator)
    parts[:, :, ::7] = -0.0
    return parts, None


def share_of(call: int, rank: int) -> Tensor:
    """What of it travels, float32 [tokens, width]."""
    parts, weights = parts_of(call, rank)
    total = torch.zeros(1 + call % ROWS, WIDTH)
    for i in range(4 if weights is not None else 2):
        total += parts[i] if weights is None else parts[:, i].float() * weights[:, i, None]
    return total.bfloat16().float()


def call_by_call(path: str, world: int, calls: int, rank: int) -> None:
    """One rank."""
    values = Inboxes.values(world, ROWS, WIDTH)
    with open(path, "r+b") as file:
        shared = torch.frombuffer(mmap.mmap(file.fileno(), 0), dtype=torch.int16).view(world, values)
    peers = torch.tensor([box.data_ptr() for box in shared])
    inboxes = Inboxes(peers, rank, world, ROWS, WIDTH)
    pause = random.Random(rank)
    for call in range(calls):
        if pause.random() < 0.3:
            time.sleep(0.05 * pause.random())
        generator = torch.Generator().manual_seed(call)
        residual = torch.randn(1 + call % ROWS, WIDTH, generator=generator).bfloat16()
        weight = torch.randn(WIDTH, generator=generator)
        parts, weights = parts_of(call, rank)
        out, normed = exchange_add_norm(
            residual, weight, parts, inboxes, call % 2, weights, values=True, owned=call % 3 == 1
        )
        total = torch.zeros(1 + call % ROWS, WIDTH)
        for each in range(world):
            total += share_of(call, each)
        want, expected = add_norm(residual, weight, total.unsqueeze(0), values=True)
        assert torch.equal(out.view(torch.int16), want.view(torch.int16)), f"call {call}: residual"
        assert normed.fp8 is not None and expected.fp8 is not None and normed.values is not None
        assert torch.equal(normed.fp8.view(torch.uint8), expected.fp8.view(torch.uint8)), f"call {call}: codes"
        assert torch.equal(normed.scales, expected.scales), f"call {call}: scales"  # type: ignore[arg-type]
        assert torch.equal(normed.values, expected.values), f"call {call}: values"  # type: ignore[arg-type]
        assert torch.equal(normed.sumsq, expected.sumsq), f"call {call}: squares"  # type: ignore[arg-type]
    if calls % 2 == 0:
        time.sleep(0.2)  # the others have emptied theirs long before this rank's last call
    assert (shared[rank] == EMPTY).all(), "something was left"


if __name__ == "__main__":
    quicken()
    WORLD, CALLS = map(int, sys.argv[2:])
    fork_ranks(WORLD, partial(call_by_call, sys.argv[1], WORLD, CALLS))

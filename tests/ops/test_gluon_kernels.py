"""Hopper's kernels in Gluon against their plain twins and float64. Gluon has no interpreter: they need the GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hopwell.bench.gpu_correct import FORMS, attention_error, poisoned
from hopwell.formats.fp8 import quantize_fp8_block
from hopwell.ops import (
    attention_gluon,
    attention_triton,
    experts_triton,
    few_rows_gluon,
    linear_triton,
    product_gluon,
)
from hopwell.ops.grouping_triton import group_by_expert
from hopwell.ops.linear import Weight
from hopwell.ops.linear_triton import Tiling
from hopwell.ops.norm_triton import Normed, quantize

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9, reason="needs a Hopper GPU"
)
DEVICE = "cuda"
TWIN = Tiling(128, 128, 1, 8, 3)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator(DEVICE).manual_seed(seed), device=DEVICE)


def weight(*shape: int, fp8: bool, seed: int) -> Weight:
    values = randn(*shape, seed=seed) * 0.05
    return Weight(*quantize_fp8_block(values), "fp8_block") if fp8 else Weight(values.bfloat16())


def rows(count: int, width: int, fp8: bool, chunks: int = 0, seed: int = 0) -> Normed:
    values = randn(count, width, seed=seed).bfloat16()
    found = quantize(values) if fp8 else Normed(None, None, values, None)
    found.sumsq = randn(count, chunks, seed=seed + 1).square() + 1 if chunks else None
    return found


@pytest.mark.parametrize("fp8", [True, False], ids=["fp8", "bf16"])
@pytest.mark.parametrize(
    ("count", "width_out", "width_in", "chunks", "dtype"),
    [(129, 2112, 1024, 0, torch.float32), (1000, 300, 1536, 7, torch.bfloat16), (257, 256, 7168, 2, torch.bfloat16),
     (20_000, 24, 1024, 1, torch.float32)],
)  # fmt: skip
def test_products_are_their_twins(
    count: int, width_out: int, width_in: int, chunks: int, dtype: torch.dtype, fp8: bool
) -> None:
    """Both add the same blocks in the same order, whatever waits for whom: to the bit, but for the order in which the
    chunks of a row's rms are added."""
    x, w = rows(count, width_in, fp8, chunks), weight(width_out, width_in, fp8=fp8, seed=2)
    want = linear_triton.product(x, w, 1e-6, TWIN, dtype)[0]
    for _ in range(20):
        out = torch.full_like(want, float("nan"))
        product_gluon.multiply(x, w, out, 1e-6)
        if fp8 and chunks <= 2:
            assert torch.equal(out, want)
        else:  # neighbouring bf16 values
            torch.testing.assert_close(out.float(), want.float(), atol=1e-2, rtol=2.0**-7)


@pytest.mark.parametrize("fp8", [True, False], ids=["fp8", "bf16"])
@pytest.mark.parametrize("routing", ["spread", "one expert takes all", "some get nothing"])
def test_experts_are_their_twins_to_the_bit(routing: str, fp8: bool) -> None:
    tokens, experts, slots, hidden, width = 700, 9, 3, 1024, 512
    ids = torch.rand(tokens, experts, generator=torch.Generator(DEVICE).manual_seed(3), device=DEVICE)
    if routing == "some get nothing":
        ids[:, 2:5] = -1
    ids = ids.topk(slots).indices.int()
    if routing == "one expert takes all":
        ids[:] = torch.tensor([7, 1, 8], device=DEVICE)
    groups = group_by_expert(ids, experts, 128)
    x, inner = rows(tokens, hidden, fp8, 1), rows(tokens * slots, 2 * width, fp8, seed=5)
    up, down = weight(experts, 2 * width, hidden, fp8=fp8, seed=6), weight(experts, hidden, 2 * width, fp8=fp8, seed=7)
    assert product_gluon.suits(up, x.codes if fp8 else x.values, groups)  # type: ignore[arg-type]
    wants = (
        experts_triton.experts_up(x, up, groups, 1e-6, TWIN),
        experts_triton.experts_down(inner, down, groups, TWIN, 1),
    )
    for _ in range(20):
        gots = (experts_triton.experts_up(x, up, groups, 1e-6), experts_triton.experts_down(inner, down, groups))
        for got, want in zip(gots, wants, strict=True):
            assert torch.equal(got, want) if fp8 else torch.allclose(got.float(), want.float(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("count", [1, 8, 16, 17, 32])
@pytest.mark.parametrize(
    ("width_out", "width_in", "chunks", "fp8"),
    [(2112, 7168, 7, True), (300, 1152, 0, True), (7168, 2048, 1, True), (64, 128, 2, True), (256, 7168, 7, False),
     (3648, 2048, 2, False), (300, 1152, 0, False)],
)  # fmt: skip
def test_products_of_few_rows_are_their_twins(
    width_out: int, width_in: int, chunks: int, fp8: bool, count: int
) -> None:
    cut = linear_triton.tiling(count, width_out, width_in, fp8)
    for seed in range(5):
        x, w = rows(count, width_in, fp8, chunks, seed), weight(width_out, width_in, fp8=fp8, seed=seed + 90)
        data = x.codes if fp8 else x.values
        assert data is not None and few_rows_gluon.suits(w, data, cut.splits)
        with poisoned():
            got, want = linear_triton.product(x, w, 1e-6), linear_triton.product(x, w, 1e-6, cut)
        if fp8 and chunks <= 2:
            assert torch.equal(got, want)
        else:
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "width", "hidden"), [(1, 256, 7168), (9, 256, 300), (40, 512, 1024), (128, 256, 7168)]
)
@pytest.mark.parametrize("routing", ["spread", "one expert takes all"])
def test_second_products_of_few_rows_are_their_twins(tokens: int, width: int, hidden: int, routing: str) -> None:
    experts, slots = 60, 3
    down, up = weight(experts, hidden, width, fp8=True, seed=3), weight(experts, 2 * width, 256, fp8=True, seed=4)
    for seed in range(5):
        drawn = torch.rand(tokens, experts, generator=torch.Generator(DEVICE).manual_seed(seed), device=DEVICE)
        ids = drawn.topk(slots).indices.int()
        if routing == "one expert takes all":
            ids[:] = torch.tensor([7, 1, 8], device=DEVICE)
        with poisoned():
            groups = group_by_expert(ids, experts)
            assert groups.tile <= few_rows_gluon.MOST_ROWS
            experts_triton.experts_up(rows(tokens, 256, True), up, groups)
            inner = rows(tokens * slots, width, True, seed=seed)
            got = experts_triton.experts_down(inner, down, groups)
            want = experts_triton.experts_down(inner, down, groups, *experts_triton.down_tiling(groups, down))
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("sequences", "tokens", "lengths"),
    [(1, 1, [1]), (1, 1, [127]), (1, 66, [166]), (1, 300, [300]), (3, 130, [700, 640, 699]), (2, 64, [64, 64]),
     (1, 2048, [2049]), (1, 8192, [8300]), (5, 1000, [1000, 1001, 1063, 1064, 1127])],
)  # fmt: skip
@pytest.mark.parametrize("heads", [1, 5])
def test_prompts_attention(heads: int, sequences: int, tokens: int, lengths: list[int]) -> None:
    room = max(lengths) + 60
    q, q_rope = (
        randn(sequences * tokens, heads, 128, seed=1).bfloat16(),
        randn(sequences * tokens, heads, 64, seed=2).bfloat16(),
    )
    k, v = (randn(heads, sequences * room, 128, seed=s).bfloat16() for s in (3, 4))
    k_rope = randn(sequences * room, 64, seed=5).bfloat16()
    seen = torch.arange(sequences * room, device=DEVICE) % room < torch.tensor(
        lengths, device=DEVICE
    ).repeat_interleave(room)
    for tensor in (k.transpose(0, 1), k_rope, v.transpose(0, 1)):
        tensor[~seen] = float("nan")
    positions = torch.cat([torch.arange(n - tokens, n, device=DEVICE) for n in lengths])
    out = torch.full_like(q, float("nan"))
    assert attention_gluon.suits(q, q_rope, k_rope, out)
    attention_triton.prefill(q, q_rope, k, k_rope, v, positions, 0.1, sequences, out)
    for index, length in enumerate(lengths):
        own, first = slice(index * tokens, (index + 1) * tokens), index * room
        there = slice(first, first + length)
        scores = torch.einsum("thk,hlk->htl", q[own].float(), k[:, there].float())
        scores += torch.einsum("thk,lk->htl", q_rope[own].float(), k_rope[there].float())
        hidden = torch.arange(length, device=DEVICE) > positions[own].unsqueeze(1)
        weights = (scores * 0.1).masked_fill(hidden, float("-inf")).softmax(-1)
        want = torch.einsum("htl,hlv->thv", weights, v[:, there].float())
        assert ((out[own].float() - want).norm() / want.norm()).item() <= 2.0**-7  # bf16 weights and results


@pytest.mark.parametrize("fp8", [False, True], ids=["bf16 cache", "fp8 cache"])
@pytest.mark.parametrize("heads", [5, 16])
def test_decode_by_hand(heads: int, fp8: bool) -> None:
    for length in (1, 63, 64, 65, 128, 1000, 8192):
        assert attention_error(heads, length, FORMS["by hand"], fp8, seed=length) <= 2.0**-6

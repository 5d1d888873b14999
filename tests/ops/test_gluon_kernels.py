"""Hopper's kernels in Gluon against their plain twins and float64. Gluon has no interpreter: they need the GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from benchmarks.forms import FORMS, FORMS_32, FORMS_128, attention_error, poisoned
from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.fp8 import quantize_fp8_block
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.plain import BF16
from hopwell.ops import (
    linear_persistent_gluon,
    linear_triton,
    moe_choice,
    moe_down_triton,
    moe_experts,
    moe_up_triton,
)
from hopwell.ops.attention_plan import query_tiles
from hopwell.ops.attention_prefill_triton import prefill
from hopwell.ops.device import Device
from hopwell.ops.linear_choice import Shape, Tiling, choose
from hopwell.ops.moe_grouping_triton import group_by_expert
from hopwell.ops.quantize_triton import quantize
from hopwell.ops.rows import Normed
from hopwell.ops.variant import Formats
from hopwell.ops.weight import Weight

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9, reason="needs a Hopper GPU"
)
DEVICE = "cuda"
TWIN = Tiling(128, 128, 1, 8, 3)


def here() -> Device:
    return Device.of(torch.device(DEVICE, 0))


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator(DEVICE).manual_seed(seed), device=DEVICE)


def weight(*shape: int, fp8: bool, seed: int) -> Weight:
    values = randn(*shape, seed=seed) * 0.05
    return Weight(Fp8Block(*quantize_fp8_block(values))) if fp8 else Weight(Plain(values.bfloat16()))


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
        linear_persistent_gluon.multiply(x, w, out, 1e-6)
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
    formats = Formats(up.format, torch.float8_e4m3fn if fp8 else torch.bfloat16)
    assert moe_choice.choose("up", moe_experts.shape_of(groups, up), formats, here()).name == "persistent_gluon"
    wants = (
        moe_up_triton.experts_up(x, up, groups, 1e-6, TWIN),
        moe_down_triton.experts_down(inner, down, groups, TWIN, 1),
    )
    for _ in range(20):
        gots = (moe_up_triton.experts_up(x, up, groups, 1e-6), moe_down_triton.experts_down(inner, down, groups))
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
    formats = Formats(FP8_BLOCK if fp8 else BF16, torch.float8_e4m3fn if fp8 else torch.bfloat16)
    variant = choose("product", Shape(count, width_out, width_in), formats, here())
    assert variant.name == "small_m_gluon"
    for seed in range(5):
        x, w = rows(count, width_in, fp8, chunks, seed), weight(width_out, width_in, fp8=fp8, seed=seed + 90)
        with poisoned():
            got, want = linear_triton.product(x, w, 1e-6), linear_triton.product(x, w, 1e-6, variant.tiling)
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
            formats = Formats(FP8_BLOCK, torch.float8_e4m3fn)
            variant = moe_choice.choose("down", moe_experts.shape_of(groups, down), formats, here())
            assert variant.name == "small_m_gluon"
            moe_up_triton.experts_up(rows(tokens, 256, True), up, groups)
            inner = rows(tokens * slots, width, True, seed=seed)
            got = moe_down_triton.experts_down(inner, down, groups)
            want = moe_down_triton.experts_down(inner, down, groups, variant.tiling, variant.run)
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("query_lens", "seq_lens"),
    [([1], [1]), ([1], [127]), ([66], [166]), ([300], [300]), ([130, 130, 130], [700, 640, 699]), ([64, 64], [64, 64]),
     ([2048], [2049]), ([8192], [8300]), ([1000] * 5, [1000, 1001, 1063, 1064, 1127]),
     ([129, 1, 700, 128, 90], [129, 400, 1500, 3000, 91])],
)  # fmt: skip
@pytest.mark.parametrize("heads", [1, 5])
def test_prompts_attention(heads: int, query_lens: list[int], seq_lens: list[int]) -> None:
    tokens, room = sum(query_lens), max(seq_lens) + 60
    count = room * len(seq_lens)
    q, q_rope = randn(tokens, heads, 128, seed=1).bfloat16(), randn(tokens, heads, 64, seed=2).bfloat16()
    k, v = (randn(heads, count, 128, seed=s).bfloat16() for s in (3, 4))
    k_rope = randn(count, 64, seed=5).bfloat16()
    lengths = torch.tensor(seq_lens, device=DEVICE).repeat_interleave(room)
    unused = torch.arange(count, device=DEVICE) % room >= lengths
    for tensor in (k.transpose(0, 1), k_rope, v.transpose(0, 1)):
        tensor[unused] = float("nan")
    out = torch.full_like(q, float("nan"))
    tiles = query_tiles(query_lens, seq_lens, list(range(0, count, room)))
    prefill(q, q_rope, k, k_rope, v, torch.from_numpy(tiles).to(DEVICE), 0.1, out)
    row = 0
    for index, (new, length) in enumerate(zip(query_lens, seq_lens, strict=True)):
        own, there = slice(row, row + new), slice(index * room, index * room + length)
        scores = torch.einsum("thk,hlk->htl", q[own].float(), k[:, there].float())
        scores += torch.einsum("thk,lk->htl", q_rope[own].float(), k_rope[there].float())
        positions = torch.arange(length - new, length, device=DEVICE)
        hidden = torch.arange(length, device=DEVICE) > positions.unsqueeze(1)
        weights = (scores * 0.1).masked_fill(hidden, float("-inf")).softmax(-1)
        want = torch.einsum("htl,hlv->thv", weights, v[:, there].float())
        assert ((out[own].float() - want).norm() / want.norm()).item() <= 2.0**-7  # bf16 weights and results
        row += new


@pytest.mark.parametrize("fp8", [False, True], ids=["bf16 cache", "fp8 cache"])
@pytest.mark.parametrize("heads", [5, 16])
def test_decode_by_hand(heads: int, fp8: bool) -> None:
    for length in (1, 63, 64, 65, 128, 1000, 8192):
        assert attention_error(heads, length, FORMS["by hand"], fp8, seed=length) <= 2.0**-6


@pytest.mark.parametrize(("heads", "form"), [(17, "32 by hand"), (32, "32 by hand"), (128, "32 by hand"),
                                             (33, "64 rows, by hand"), (128, "64 rows, by hand")])  # fmt: skip
def test_decode_by_hand_of_more_heads(heads: int, form: str) -> None:
    for length in (1, 63, 64, 65, 128, 129, 1000, 8192, 30000):
        assert attention_error(heads, length, (FORMS_32 | FORMS_128)[form], True, seed=length) <= 2.0**-6

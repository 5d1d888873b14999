"""Kernels on a GPU at real sizes and at the extremes: attention in every form, prompts, experts, products.

What a kernel leaves unwritten reads as NaN, and so do the rows that it must not read.
"""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from benchmarks.forms import FORMS, FORMS_32, FORMS_128, attention_error, caches, error, poisoned
from hopwell.formats.fp8 import quantize_fp8_block
from hopwell.formats.matrices import Fp8Block
from hopwell.ops import moe
from hopwell.ops.attention_choice import DecodeVariant
from hopwell.ops.attention_plan import query_tiles
from hopwell.ops.attention_prefill_triton import prefill
from hopwell.ops.device import plain_ops
from hopwell.ops.linear import linear
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
LENGTHS = (1, 63, 64, 65, 1000, 8192, 131072)
ATTENTION = [
    pytest.param(heads, how, fp8, id=f"{heads} heads, {name}, {'fp8' if fp8 else 'bf16'}")
    for heads, forms in ((16, FORMS), (32, FORMS_32), (128, FORMS_128))
    for name, how in forms.items()
    for fp8 in caches(how)
]
HALF_STEP = 2.0**-4
"""Of e4m3 with its 3 bits of mantissa."""


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator(DEVICE).manual_seed(0)


@pytest.mark.parametrize(("heads", "how", "fp8"), ATTENTION)
def test_attention_at_all_lengths(heads: int, how: DecodeVariant, fp8: bool) -> None:
    errors = {length: attention_error(heads, length, how, fp8, seed=length) for length in LENGTHS}
    assert all(found <= 2.0**-6 for found in errors.values()), errors


@pytest.mark.parametrize(
    ("sequences", "tokens", "length"), [(1, 16384, 16384), (1, 200, 5000), (1, 2048, 2049), (3, 130, 700), (2, 64, 64)]
)
def test_attention_of_prompts(sequences: int, tokens: int, length: int, generator: torch.Generator) -> None:
    room = length + 100
    shapes = ((sequences * tokens, 2, 128), (sequences * tokens, 2, 64), (2, sequences * room, 128),
              (sequences * room, 64), (2, sequences * room, 128))  # fmt: skip
    q, q_rope, k, k_rope, v = (torch.randn(shape, generator=generator, device=DEVICE).bfloat16() for shape in shapes)
    starts = torch.arange(sequences, device=DEVICE) * room
    unused = (starts.unsqueeze(1) + torch.arange(length, room, device=DEVICE)).flatten()
    for rows in (k.transpose(0, 1), k_rope, v.transpose(0, 1)):
        rows[unused] = float("nan")
    position = torch.arange(length - tokens, length, device=DEVICE)
    tiles = query_tiles([tokens] * sequences, [length] * sequences, starts.tolist())
    got = torch.full_like(q, float("nan"))
    prefill(q, q_rope, k, k_rope, v, torch.from_numpy(tiles).to(DEVICE), 0.1, got)
    for sequence in range(sequences):
        seen = slice(sequence * room, sequence * room + length)
        for first in range(0, tokens, 1024):
            some = slice(sequence * tokens + first, sequence * tokens + min(first + 1024, tokens))
            scores = torch.einsum("thk,hlk->htl", q[some].float(), k[:, seen].float())
            scores += torch.einsum("thk,lk->htl", q_rope[some].float(), k_rope[seen].float())
            hidden = torch.arange(length, device=DEVICE) > position[first : first + 1024].unsqueeze(1)
            weights = scores.mul_(0.1).masked_fill_(hidden, float("-inf")).softmax(-1)
            want = torch.einsum("htl,hlv->thv", weights, v[:, seen].float())
            assert error(got[some], want) <= 2.0**-6, (sequence, first)


@pytest.fixture(scope="module")
def experts() -> Experts:
    generator = torch.Generator(DEVICE).manual_seed(1)
    return Experts(fp8_weight(generator, 32, 512, 7168), fp8_weight(generator, 32, 7168, 256))


@pytest.mark.parametrize("spread", [True, False], ids=["spread", "one expert takes all"])
@pytest.mark.parametrize("tokens", [1, 16, 17, 300, 4096])
def test_experts(tokens: int, spread: bool, experts: Experts, generator: torch.Generator) -> None:
    x = torch.randn(tokens, 7168, generator=generator, device=DEVICE).bfloat16()
    ids = torch.rand(tokens, 32, generator=generator, device=DEVICE).topk(4).indices
    if not spread:
        ids[:] = torch.tensor([7, 1, 2, 3], device=DEVICE)
    weights = torch.rand(tokens, 4, generator=generator, device=DEVICE)
    with poisoned():
        got = moe.moe(x, ids, weights, experts)
    with plain_ops():
        want = moe.moe(x, ids, weights, experts)
    assert error(got, want) <= 2 * HALF_STEP  # rows are rounded before either product


@pytest.mark.parametrize("tokens", [1, 33, 129, 8192])
def test_products(tokens: int, generator: torch.Generator) -> None:
    weight = fp8_weight(generator, 2112, 7168)
    x = torch.randn(tokens, 7168, generator=generator, device=DEVICE).bfloat16()
    with poisoned():
        got = linear(x, weight)
    with plain_ops():
        want = linear(x, weight)
    assert error(got, want) <= HALF_STEP


def fp8_weight(generator: torch.Generator, *shape: int) -> Weight:
    data, scale = quantize_fp8_block(torch.randn(shape, generator=generator, device=DEVICE) * 0.02)
    return Weight(Fp8Block(data, scale))

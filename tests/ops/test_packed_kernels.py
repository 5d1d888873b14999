"""Kernels for packed weights of four bits against float64 dequantisation: fresh inputs, odd sizes, poisoned outputs.

With a GPU they are compiled; without one they run in Triton's interpreter. Values of NVFP4 and MXFP4 are exact in bf16,
so that only sums are rounded; INT4's are rounded to bf16 once, as those of a matrix that is expanded when it is loaded.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hopwell.formats.blocks import FORMATS, quantize
from hopwell.formats.layouts import packed as from_checkpoint
from hopwell.formats.layouts import to_compressed_tensors
from hopwell.formats.matrices import Int4Zeros, Matrix, combine
from hopwell.formats.mixed import stack_packed
from hopwell.formats.packed import PACKABLE, pack
from hopwell.ops import linear_packed_triton, linear_triton, moe_grouping_triton, moe_packed_triton, moe_triton
from hopwell.ops.linear import linear
from hopwell.ops.linear_choice import Tiling, row_tile
from hopwell.ops.moe import reference as reference_moe
from hopwell.ops.moe_experts import Experts
from hopwell.ops.rows import Normed
from hopwell.ops.weight import Weight

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BF16_STEP = 2.0**-8
LABELS = [str(each.name) for each in PACKABLE]
ALL = [*LABELS, "int4_g32 zeros", "int4_g128 zeros"]


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory a kernel does not write reads as NaN (integers: -1)."""
    real = torch.empty

    def poisoned(*args, **kwargs):
        out = real(*args, **kwargs)
        return out.fill_(float("nan") if out.is_floating_point() else -1)

    monkeypatch.setattr(torch, "empty", poisoned)


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=gen(seed)).to(DEVICE)


def error(out: Tensor, ref: Tensor) -> float:
    """Relative error in the 2-norm; NaN if any value is NaN."""
    return ((out.double() - ref.double()).norm() / ref.double().norm()).item()


def stored(label: str, out: int, width: int, seed: int) -> Matrix:
    """As a checkpoint holds it, rows of sizes that differ a hundredfold."""
    name, _, zeros = label.partition(" ")
    values = torch.randn(out, width, generator=gen(seed)) * torch.logspace(-3, -1, out).unsqueeze(1)
    matrix = from_checkpoint(to_compressed_tensors(quantize(values, FORMATS[name])), (out, width))
    if zeros:
        groups = (out, width // FORMATS[name].columns)
        points = torch.randint(-8, 8, groups, generator=gen(seed + 1)).to(torch.int8)
        return Int4Zeros(matrix.data, matrix.scale, points, width)  # type: ignore[arg-type]
    return matrix


def values_of(matrix: Matrix, label: str) -> Tensor:
    """float64: of INT4 what bf16 leaves of them."""
    return matrix.dequantize(torch.bfloat16 if label.startswith("int4") else torch.float32).double().to(DEVICE)


def packed_weight(label: str, out: int, width: int, seed: int) -> tuple[Weight, Tensor]:
    matrix = stored(label, out, width, seed)
    return Weight(pack(matrix)).to(DEVICE), values_of(matrix, label)


def packed_stack(label: str, experts: int, out: int, width: int, seed: int) -> tuple[Weight, Tensor]:
    each = [packed_weight(label, out, width, seed + 10 * expert) for expert in range(experts)]
    stack = combine([weight.stored for weight, _ in each], torch.stack)
    return Weight(stack), torch.stack([values for _, values in each])


@pytest.mark.parametrize("label", ALL)
@pytest.mark.parametrize(("tokens", "n", "k", "splits"), [(1, 64, 256, 1), (3, 200, 640, 3), (33, 136, 384, 2)])
def test_product(label: str, tokens: int, n: int, k: int, splits: int) -> None:
    x = randn(tokens, k, seed=8).bfloat16()
    weight, w64 = packed_weight(label, n, k, seed=9)
    out = torch.empty(splits, tokens, n, device=DEVICE)
    cut = Tiling(64 if tokens < 16 else 128, row_tile(tokens), splits, 4, 3)
    linear_packed_triton.multiply(Normed(None, None, x, None), weight, out, cut)
    assert error(out.sum(0), x.double() @ w64.T) <= 1e-5


@pytest.mark.parametrize("label", LABELS)
def test_every_value_is_decoded_exactly(label: str) -> None:
    """By the identity; a value an output."""
    weight, w64 = packed_weight(label, 70, 128, seed=3)
    out = torch.empty(1, 128, 70, device=DEVICE)
    x = torch.eye(128, device=DEVICE).bfloat16()
    linear_packed_triton.multiply(Normed(None, None, x, None), weight, out, Tiling(64, 128, 1, 4, 3))
    scale = weight.stored.dequantize(torch.float64)  # factors are no powers of two: rounded once to float32
    assert torch.equal(out[0].T, w64.float()) or (out[0].T.double() - scale).abs().max() <= 2.0**-23 * scale.abs().max()


SECOND = [("nvfp4", 256, 16, 3), ("int4_g32", 512, 32, 2), ("mxfp4", 384, 16, 1), ("nvfp4", 640, 16, 1)]
"""Formats, widths in, rows of a tile, strips of a program."""
ROUTING = {"spread": 9, "one expert takes all": 20, "one token": 1}


def routed(routing: str, experts: int, slots: int) -> Tensor:
    tokens = ROUTING[routing]
    ids = torch.stack([torch.randperm(experts, generator=gen(t))[:slots] for t in range(tokens)])
    if routing == "one expert takes all":
        ids[:, 0], ids[:, 1:] = 4, torch.tensor([1, 5])  # experts 0, 2 and 3 get nothing
    return ids.int().to(DEVICE)


@pytest.mark.parametrize("label", ALL)
@pytest.mark.parametrize("routing", ROUTING)
@pytest.mark.slow
def test_grouped_products(routing: str, label: str) -> None:
    experts, slots, hidden, width = 6, 3, 256, 128
    ids = routed(routing, experts, slots)
    groups = moe_grouping_triton.group_by_expert(ids, experts, 16)
    flat = ids.flatten().long()
    order = flat.argsort(stable=True) if groups.sorted else torch.arange(flat.numel(), device=DEVICE)
    x = Normed(None, None, randn(len(ids), hidden, seed=17).bfloat16(), None)
    up, up64 = packed_stack(label, experts, 2 * width, hidden, seed=18)
    gated = torch.empty(2, flat.numel(), 2 * width, device=DEVICE)
    moe_packed_triton.experts_up(x, up, groups, gated, Tiling(64, 16, 2, 4, 3))
    rows = x.values.double()[order // slots]  # type: ignore[union-attr]
    assert error(gated.sum(0), torch.einsum("ph,pwh->pw", rows, up64[flat[order]])) <= 1e-5

    down, down64 = packed_stack(label, experts, hidden, width, seed=19)
    inner = Normed(None, None, randn(flat.numel(), width, seed=20).bfloat16(), None)
    pairs = torch.zeros(flat.numel(), width, dtype=torch.float64, device=DEVICE)
    pairs[order] = inner.values.double()  # type: ignore[union-attr]
    want = torch.einsum("pw,phw->ph", pairs, down64[flat])
    for run in (1, 3):
        out = torch.empty(flat.numel(), hidden, dtype=torch.bfloat16, device=DEVICE)
        moe_packed_triton.experts_down(inner, down, groups, out, Tiling(64, 16, 1, 4, 3), run)
        assert error(out, want) <= BF16_STEP / 2


@pytest.mark.parametrize(("label", "width", "tile", "run"), SECOND)
def test_second_products_of_short_and_long_reductions(label: str, width: int, tile: int, run: int) -> None:
    """A short one takes `run` strips of the weights a program, the last of which has fewer; a long one a loop."""
    experts, slots, hidden = 6, 3, 320
    ids = routed("one expert takes all", experts, slots)
    groups = moe_grouping_triton.group_by_expert(ids, experts, tile)
    flat = ids.flatten().long()
    order = flat.argsort(stable=True) if groups.sorted else torch.arange(flat.numel(), device=DEVICE)
    down, down64 = packed_stack(label, experts, hidden, width, seed=21)
    inner = Normed(None, None, randn(flat.numel(), width, seed=22).bfloat16(), None)
    pairs = torch.zeros(flat.numel(), width, dtype=torch.float64, device=DEVICE)
    pairs[order] = inner.values.double()  # type: ignore[union-attr]
    out = torch.full((flat.numel(), hidden), float("nan"), dtype=torch.bfloat16, device=DEVICE)
    moe_packed_triton.experts_down(inner, down, groups, out, Tiling(64, tile, 1, 4, 3), run)
    assert error(out, torch.einsum("pw,phw->ph", pairs, down64[flat])) <= BF16_STEP / 2


@pytest.mark.parametrize("routing", ROUTING)
def test_a_layer_s_experts_in_two_formats(routing: str) -> None:
    """A launch a format writes the rows of its experts and no other's."""
    slots, hidden, width = 3, 256, 128
    labels = ["nvfp4", "int4_g32", "int4_g32", "nvfp4", "nvfp4", "int4_g32"]
    ids = routed(routing, 6, slots)
    groups = moe_grouping_triton.group_by_expert(ids, 6, 16)
    flat = ids.flatten().long()
    order = flat.argsort(stable=True) if groups.sorted else torch.arange(flat.numel(), device=DEVICE)
    ups = [packed_weight(label, 2 * width, hidden, seed) for seed, label in enumerate(labels)]
    downs = [packed_weight(label, hidden, width, seed) for seed, label in enumerate(labels)]
    up, down = (Weight(stack_packed([each.stored for each, _ in some])) for some in (ups, downs))  # type: ignore[misc]
    assert up.shape == (6, 2 * width, hidden) and up.stored.nbytes == sum(e.stored.nbytes for e, _ in ups) + 4 * 12
    assert torch.equal(up.dequantize(torch.float32)[4], ups[4][0].dequantize(torch.float32))

    x = Normed(None, None, randn(len(ids), hidden, seed=17).bfloat16(), None)
    gated = torch.empty(1, flat.numel(), 2 * width, device=DEVICE)
    cut = Tiling(64, 16, 1, 4, 3)
    moe_packed_triton.experts_up(x, up, groups, gated, cut)
    rows = x.values.double()[order // slots]  # type: ignore[union-attr]
    want = torch.einsum("ph,pwh->pw", rows, torch.stack([values for _, values in ups])[flat[order]])
    assert error(gated[0], want) <= 1e-5

    inner = Normed(None, None, randn(flat.numel(), width, seed=20).bfloat16(), None)
    out = torch.empty(flat.numel(), hidden, dtype=torch.bfloat16, device=DEVICE)
    moe_packed_triton.experts_down(inner, down, groups, out, cut)
    pairs = torch.zeros(flat.numel(), width, dtype=torch.float64, device=DEVICE)
    pairs[order] = inner.values.double()  # type: ignore[union-attr]
    want = torch.einsum("pw,phw->ph", pairs, torch.stack([values for _, values in downs])[flat])
    assert error(out, want) <= BF16_STEP / 2


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("tokens", [1, 20])
def test_ops_choose_them(label: str, tokens: int) -> None:
    """`linear` and `moe` as the forward pass calls them, and their plain references."""
    x = randn(tokens, 256, seed=40).bfloat16()
    weight, w64 = packed_weight(label, 192, 256, seed=41)
    assert error(linear_triton.linear(x, weight), x.double() @ w64.T) <= BF16_STEP
    assert error(linear(x, weight), x.double() @ w64.T) <= BF16_STEP
    experts = Experts(packed_stack(label, 4, 256, 256, seed=42)[0], packed_stack(label, 4, 256, 128, seed=43)[0])
    ids = torch.stack([torch.randperm(4, generator=gen(t))[:2] for t in range(tokens)]).to(DEVICE)
    shares = randn(tokens, 2, seed=44).sigmoid()
    want = reference_moe(x.float(), ids, shares, experts)
    # two products' results are rounded, and what is between them
    assert error(moe_triton.moe(x, ids, shares, experts), want) <= 2 * BF16_STEP

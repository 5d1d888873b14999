"""Every Triton kernel against its meaning in float64, on fresh inputs, odd sizes and poisoned outputs.

With a GPU the kernels are compiled; without one they run in Triton's interpreter. Tolerances follow from the formats:
bf16 rounds to 2^-9 of a value, e4m3 to 2^-4, float32 sums are exact beside either.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block, round_to_e4m3
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.ops import (
    attention_decode_triton,
    attention_query_triton,
    attention_triton,
    linear_triton,
    moe_down_triton,
    moe_grouping_triton,
    moe_triton,
    moe_up_triton,
    norm_triton,
    quantize_triton,
    router_triton,
    swiglu_triton,
    tokens_triton,
)
from hopwell.ops.attention import mla_attention
from hopwell.ops.attention_choice import Shape, choose
from hopwell.ops.attention_plan import StepPlan
from hopwell.ops.device import BLACKWELL, HOPPER
from hopwell.ops.linear_choice import Tiling, row_tile
from hopwell.ops.moe import reference as reference_moe
from hopwell.ops.moe_experts import Experts
from hopwell.ops.paging import AttentionPlan, CacheScales
from hopwell.ops.rope import RopeConfig, apply_rope
from hopwell.ops.router import RouterConfig
from hopwell.ops.router import select_experts as reference_select
from hopwell.ops.rows import Normed
from hopwell.ops.weight import Weight

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BF16_STEP = 2.0**-8
"""The widest gap between neighbouring bf16 values, relative; rounding errs by at most half of it."""


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory a kernel does not write reads as NaN (integers: -1)."""
    real = torch.empty

    def poisoned(*args, **kwargs):
        out = real(*args, **kwargs)
        if out.dtype == torch.float8_e4m3fn:
            out.view(torch.uint8).fill_(0x7F)
        else:
            out.fill_(float("nan") if out.is_floating_point() else -1)
        return out

    monkeypatch.setattr(torch, "empty", poisoned)


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=gen(seed)).to(DEVICE)


def error(out: Tensor, ref: Tensor) -> float:
    """Relative error in the 2-norm; NaN if any value is NaN."""
    return ((out.double() - ref.double()).norm() / ref.double().norm()).item()


def values_of(q: Normed) -> Tensor:
    """What FP8 rows stand for, float64, without the outstanding rms."""
    assert q.fp8 is not None and q.scales is not None
    return (q.fp8.double().unflatten(-1, (-1, 128)) * q.scales.double().unsqueeze(-1)).flatten(-2)


def fp8_rows(tokens: int, width: int, seed: int) -> tuple[Normed, Tensor]:
    q = quantize_triton.quantize(randn(tokens, width, seed=seed).bfloat16())
    return q, values_of(q)


def fp8_weight(*shape: int, seed: int) -> tuple[Weight, Tensor]:
    data, scale = quantize_fp8_block(randn(*shape, seed=seed) * 0.05)
    return Weight(Fp8Block(data, scale)), dequantize_fp8_block(data, scale, torch.float64)


@pytest.mark.parametrize(("tokens", "width"), [(1, 128), (5, 640), (3, 2048)])
def test_quantize_matches_the_format_to_the_code(tokens: int, width: int) -> None:
    x = (randn(tokens, width, seed=width) * torch.logspace(-6, 3, width, device=DEVICE)).bfloat16()
    q = quantize_triton.quantize(x)
    groups = x.float().unflatten(-1, (-1, 128))
    scale = groups.abs().amax(-1).clamp_min(1e-4) * (1.0 / 448.0)
    assert torch.equal(q.scales, scale)
    codes = (groups / scale.unsqueeze(-1)).clamp(-448, 448).flatten(-2).to(torch.float8_e4m3fn)
    assert torch.equal(q.fp8.float(), codes.float())


@pytest.mark.parametrize(("tokens", "width", "parts"), [(1, 256, 0), (3, 1280, 2), (2, 2048, 5)])
def test_add_norm_sums_normalises_and_quantises(tokens: int, width: int, parts: int) -> None:
    residual = randn(tokens, width, seed=1).bfloat16()
    weight = 1 + 0.1 * randn(width, seed=2)
    added = randn(parts, tokens, width, seed=3) if parts else None
    out, normed = norm_triton.add_norm(residual, weight, added, values=True)
    total = residual.float() if added is None else (residual.float() + added.sum(0)).bfloat16().float()
    assert error(out, total) <= BF16_STEP
    rms = (normed.sumsq.double().sum(-1, keepdim=True) / width + 1e-6).sqrt()
    ref = torch.nn.functional.rms_norm(out.double(), (width,), weight.double(), 1e-6)
    assert error(normed.values.double() / rms, ref) <= BF16_STEP / 2
    assert error(values_of(normed) / rms, ref) <= 2.0**-4


def test_add_norm_weighs_the_experts_outputs() -> None:
    residual, weight = randn(3, 1152, seed=4).bfloat16(), torch.ones(1152, device=DEVICE)
    parts, shares = randn(3, 4, 1152, seed=5).bfloat16(), randn(3, 4, seed=6).sigmoid()
    out, _ = norm_triton.add_norm(residual, weight, parts, shares)
    ref = residual.double() + (parts.double() * shares.double().unsqueeze(-1)).sum(1)
    assert error(out, ref) <= BF16_STEP / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_silu_mul_quantises(dtype: torch.dtype) -> None:
    parts = randn(2, 3, 768, seed=7).to(dtype)
    gate, up = parts.double().sum(0).chunk(2, dim=-1)
    assert error(values_of(swiglu_triton.silu_mul(parts)), torch.nn.functional.silu(gate) * up) <= 2.0**-4


@pytest.mark.parametrize(("tokens", "n", "k", "splits"), [(1, 64, 256, 1), (3, 192, 640, 3), (17, 136, 384, 2)])
def test_fp8_product(tokens: int, n: int, k: int, splits: int) -> None:
    x, x64 = fp8_rows(tokens, k, seed=8)
    weight, w64 = fp8_weight(n, k, seed=9)
    cut = Tiling(64, row_tile(tokens), splits, 4, 3)
    parts = linear_triton.product(x, weight, cut=cut)
    assert parts.shape == (splits, tokens, n)
    # Hopper's FP8 unit aligns the products of a block to about 14 bits
    assert error(parts.sum(0), x64 @ w64.T) <= (2.0**-12 if DEVICE == "cuda" else 1e-6)


@pytest.mark.parametrize(("tokens", "n", "k", "splits"), [(1, 64, 256, 1), (3, 192, 640, 3), (70, 136, 384, 2)])
def test_fp8_weights_meet_bf16_rows(tokens: int, n: int, k: int, splits: int) -> None:
    """Nothing is rounded but the sums: neither the rows, nor the codes that become bf16, nor their scales."""
    x = randn(tokens, k, seed=8).bfloat16()
    weight, w64 = fp8_weight(n, k, seed=9)
    cut = Tiling(64, min(row_tile(tokens), 64), splits, 4, 3)
    parts = linear_triton.product(Normed(None, None, x, None), weight, cut=cut)
    assert error(parts.sum(0), x.double() @ w64.T) <= 1e-5
    weight = replace(weight, rounds_from=tokens + 1)
    assert error(linear_triton.linear(x, weight), x.double() @ w64.T) <= BF16_STEP
    weight = replace(weight, rounds_from=tokens)
    rounded = linear_triton.linear(x, weight)
    want = round_to_e4m3(x.double()) @ w64.T
    assert error(rounded, want) <= BF16_STEP


def test_every_code_is_widened_exactly() -> None:
    """All finite values of e4m3, subnormal ones among them, by the identity."""
    codes = torch.arange(256, dtype=torch.uint8, device=DEVICE)
    codes = codes.masked_fill(codes.bitwise_and(0x7F) == 0x7F, 0).view(64, 4).repeat_interleave(32, dim=1)
    weight = Weight(Fp8Block(codes.view(torch.float8_e4m3fn), torch.ones(1, 1, device=DEVICE)))
    x = torch.eye(128, device=DEVICE).bfloat16()
    out = linear_triton.product(Normed(None, None, x, None), weight).sum(0)
    assert torch.equal(out.T, weight.data.float())


def test_product_applies_an_outstanding_rms() -> None:
    residual, norm = randn(5, 1152, seed=10).bfloat16(), 1 + 0.1 * randn(1152, seed=11)
    _, normed = norm_triton.add_norm(residual, norm, values=True)
    weight = Weight(Plain(randn(70, 1152, seed=12).bfloat16()))
    out = linear_triton.product(normed, weight, eps=1e-6, dtype=torch.bfloat16)
    rows = torch.nn.functional.rms_norm(residual.double(), (1152,), norm.double(), 1e-6)
    assert error(out.sum(0), rows @ weight.data.double().T) <= BF16_STEP
    normed.fp8 = None
    in_codes, w64 = fp8_weight(70, 1152, seed=12)
    out = linear_triton.product(normed, in_codes, eps=1e-6, dtype=torch.bfloat16)
    assert error(out.sum(0), rows @ w64.T) <= BF16_STEP


@pytest.mark.parametrize(("tokens", "n", "k"), [(2, 96, 192), (33, 64, 72)])
def test_bf16_product(tokens: int, n: int, k: int) -> None:
    x, w = randn(tokens, k, seed=13).bfloat16(), randn(n, k, seed=14).bfloat16()
    parts = linear_triton.product(Normed(None, None, x, None), Weight(Plain(w)))
    assert error(parts.sum(0), x.double() @ w.double().T) <= 1e-5


ROUTERS = {
    "r1": (RouterConfig(8, 8, 4, "sigmoid", True, 2.5), 256),
    "kimi": (RouterConfig(8, 1, 1, "sigmoid", True, 2.827), 384),
    "v2-lite": (RouterConfig(6, 1, 1, "softmax", False, 1.0), 64),
    "v2": (RouterConfig(6, 8, 3, "softmax", False, 16.0), 160),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_select_experts_is_the_reference(name: str) -> None:
    config, experts = ROUTERS[name]
    parts = randn(3, 4, experts, seed=15)
    bias = randn(experts, seed=16) * 0.1 if config.scoring == "sigmoid" else None
    ids, weights = router_triton.select_experts(parts, bias, config, shared=2)
    want_ids, want_weights = reference_select(parts.sum(0), bias, config)
    order, want_order = ids[:, : config.top_k].long().argsort(-1), want_ids.argsort(-1)
    assert torch.equal(ids[:, : config.top_k].long().gather(1, order), want_ids.gather(1, want_order))
    torch.testing.assert_close(weights[:, : config.top_k].gather(1, order), want_weights.gather(1, want_order))
    assert ids[:, config.top_k :].tolist() == [[experts, experts + 1]] * 4
    assert (weights[:, config.top_k :] == 1).all()


@pytest.mark.parametrize("codes", [True, False], ids=["e4m3 rows", "bf16 rows"])
@pytest.mark.parametrize("routing", ["spread", "one expert takes all", "one token"])
def test_grouped_products_compute_the_experts(routing: str, codes: bool) -> None:
    experts, slots, hidden, width = 6, 3, 256, 128
    tokens = {"spread": 9, "one expert takes all": 20, "one token": 1}[routing]
    ids = torch.stack([torch.randperm(experts, generator=gen(t))[:slots] for t in range(tokens)])
    if routing == "one expert takes all":
        ids[:, 0], ids[:, 1:] = 4, torch.tensor([1, 5])  # experts 0, 2 and 3 get nothing
    ids = ids.int().to(DEVICE)
    groups = moe_grouping_triton.group_by_expert(ids, experts, 16)
    flat = ids.flatten().long()
    order = flat.argsort(stable=True) if groups.sorted else torch.arange(flat.numel(), device=DEVICE)
    assert not groups.sorted or torch.equal(groups.pairs.long(), order)

    x, x64 = fp8_rows(tokens, hidden, seed=17)
    if not codes:
        values = randn(tokens, hidden, seed=17).bfloat16()
        x, x64 = Normed(None, None, values, None), values.double()
    up, up64 = fp8_weight(experts, 2 * width, hidden, seed=18)
    down, down64 = fp8_weight(experts, hidden, width, seed=19)
    gated = moe_up_triton.experts_up(x, up, groups, cut=Tiling(64, 16, 2, 4, 3))
    ref = torch.einsum("ph,pwh->pw", x64[order // slots], up64[flat[order]])
    assert error(gated.sum(0), ref) <= (2.0**-12 if DEVICE == "cuda" else 1e-6)

    inner = swiglu_triton.silu_mul(gated, codes)
    out = moe_down_triton.experts_down(inner, down, groups, run=3)
    pairs = torch.empty(tokens * slots, width, dtype=torch.float64, device=DEVICE)
    pairs[order] = values_of(inner) if inner.values is None else inner.values.double()
    ref = torch.einsum("pw,phw->ph", pairs, down64[flat])
    assert error(out.flatten(0, 1), ref) <= BF16_STEP / 2


@pytest.mark.parametrize(
    ("tokens", "rounds_from"), [(1, None), (1, 100), (130, None), pytest.param(130, 100, marks=pytest.mark.slow)]
)
def test_linear_and_moe_stand_in_for_the_references(tokens: int, rounds_from: int | None) -> None:
    x = randn(tokens, 128, seed=40).bfloat16()
    weight, w64 = fp8_weight(192, 128, seed=41)
    # rounding to e4m3 errs by 2^-4 at most; in bf16 only results are rounded, each of the two products' to 2^-9
    weight = replace(weight, rounds_from=rounds_from)
    tolerance = 2.0**-4 if weight.takes_fp8(tokens) else BF16_STEP
    assert error(linear_triton.linear(x, weight), x.double() @ w64.T) <= tolerance
    experts = Experts(fp8_weight(4, 256, 128, seed=42)[0], fp8_weight(4, 128, 128, seed=43)[0])
    ids = torch.stack([torch.randperm(4, generator=gen(t))[:2] for t in range(tokens)]).to(DEVICE)
    shares = randn(tokens, 2, seed=44).sigmoid()
    wide = Experts(*(Weight(Plain(w.dequantize(torch.float32))) for w in (experts.gate_up, experts.down)))
    ref = reference_moe(x.float(), ids, shares, wide)
    gate_up, down = (replace(each, rounds_from=rounds_from) for each in (experts.gate_up, experts.down))
    experts = Experts(gate_up, down)
    assert error(moe_triton.moe(x, ids, shares, experts), ref) <= 2 * tolerance


@pytest.mark.parametrize("vocabulary", [1000, 4096, 10_007])
def test_argmax_finds_the_first_of_the_largest(vocabulary: int) -> None:
    logits = randn(6, vocabulary, seed=50)
    logits[1, 17], logits[1, -1] = 100.0, 100.0
    logits[2] = float("-inf")
    logits[3, vocabulary // 2] = float("nan")
    logits[4, -1] = float("inf")
    places, bits = tokens_triton.argmax(logits).cpu()
    best = bits.int().view(torch.float32)
    assert places[1] == 17 and places[2] == 0 and places[4] == vocabulary - 1
    assert best[2] == float("-inf") and not torch.isfinite(best[3:5]).any()
    for row in (0, 1, 5):
        want, where = logits[row].cpu().max(dim=0)
        assert best[row] == want and (row == 1 or places[row] == where)


ROPE = RopeConfig(64, factor=40.0).table(400, DEVICE)


@pytest.mark.parametrize("cached", ["bf16", "fp8"])
@pytest.mark.parametrize("q_rank", [0, 384])
def test_latent_and_query(q_rank: int, cached: str) -> None:
    heads, rank = 2, 128
    columns = q_rank or heads * 192
    parts = randn(2, 3, columns + rank + 64, seed=20)
    q_norm = 1 + 0.1 * randn(q_rank, seed=21) if q_rank else None
    kv_norm = 1 + 0.1 * randn(rank, seed=22)
    positions = torch.tensor([0, 63, 130], device=DEVICE)
    table = torch.tensor([[5, 0, 0], [1, 0, 0], [2, 3, 4]], dtype=torch.int32, device=DEVICE)
    latent = torch.zeros(6, 64, rank + 64, dtype=torch.bfloat16, device=DEVICE)
    scales = CacheScales(0.01, 0.02, rank) if cached == "fp8" else None
    if scales is not None:
        latent = latent.to(torch.float8_e4m3fn)
    out = attention_query_triton.latent_and_query(
        parts, q_norm, kv_norm, ROPE, positions, table, latent, 1e-6, cache_scales=scales
    )
    total = parts.double().sum(0)
    kv = torch.nn.functional.rms_norm(total[:, columns : columns + rank], (rank,), kv_norm.double(), 1e-6)
    rotated = apply_rope(total[:, columns + rank :].float().unsqueeze(1), ROPE[positions])[:, 0]
    ref = torch.cat((kv, rotated.double()), -1)
    if scales is not None:  # the reference's own codes, but where float32 sums fall on the other side of a tie
        codes = latent.float()[torch.tensor([5, 1, 4]), positions.cpu() % 64]
        assert (codes != scales.encode(ref).float()).float().mean() < 0.01
        latent = scales.decode(latent, torch.float32)
    written = latent[torch.tensor([5, 1, 4]), positions.cpu() % 64]
    assert error(written, ref) <= (BF16_STEP / 2 if scales is None else 2.0**-4)
    assert latent.count_nonzero() == written.count_nonzero()  # nothing else was touched
    if q_norm is not None:
        assert out is not None
        ref = torch.nn.functional.rms_norm(total[:, :q_rank], (q_rank,), q_norm.double(), 1e-6)
        assert error(values_of(out), ref) <= 2.0**-4


def test_absorb_query() -> None:
    heads, rank, tokens = 3, 128, 5
    parts = randn(2, tokens, heads * 192 + 7, seed=23)
    w_uk = (randn(heads, 128, rank, seed=24) * 0.1).bfloat16()
    positions = torch.arange(tokens, device=DEVICE) * 37
    queries = attention_query_triton.absorb_query(parts, w_uk, ROPE, positions)
    q = parts.sum(0)[:, : heads * 192].view(tokens, heads, 192)
    carried = torch.einsum("thk,hkr->thr", q[..., :128].bfloat16().double(), w_uk.double())
    rotated = apply_rope(q[..., 128:], ROPE[positions]).double()
    assert error(queries, torch.cat((carried, rotated), -1)) <= BF16_STEP / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotate_query(dtype: torch.dtype) -> None:
    heads, tokens = 3, 35
    q = randn(tokens, heads * 192 + 7, seed=23).to(dtype)
    positions = torch.arange(tokens, device=DEVICE) * 3
    out = torch.cat(attention_query_triton.rotate_query(q, heads, 128, ROPE, positions), -1)
    own = q[:, : heads * 192].float().view(tokens, heads, 192)
    ref = torch.cat((own[..., :128], apply_rope(own[..., 128:], ROPE[positions])), -1)
    assert error(out, ref) <= BF16_STEP / 2


@pytest.mark.parametrize(
    ("heads", "lengths", "splits"),
    [(16, [1, 64, 65], 2), (5, [200], 4), pytest.param(40, [130, 7], 1, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(("codes", "cached"), [(True, "bf16"), (False, "blackwell"), (False, "fp8"), (False, "ahead")])
def test_decode_and_combine(heads: int, lengths: list[int], splits: int, codes: bool, cached: str) -> None:
    rank, tokens, scale = 512, len(lengths), 0.1
    queries = randn(tokens, heads, rank + 64, seed=25).bfloat16()
    pages = max(-(-n // 64) for n in lengths)
    table = torch.randperm(tokens * pages, generator=gen(26)).view(tokens, pages).int().to(DEVICE)
    latent = randn(tokens * pages, 64, rank + 64, seed=27).bfloat16()
    for row, length in enumerate(lengths):  # what a sequence does not own must not reach it
        latent[table[row].long()] = (
            latent[table[row].long()]
            .flatten(0, 1)
            .index_fill_(0, torch.arange(length, pages * 64, device=DEVICE), float("nan"))
            .view(pages, 64, -1)
        )
    w_uv = (randn(heads, rank, 128, seed=28) * 0.1).bfloat16()
    positions = torch.tensor(lengths, device=DEVICE) - 1
    scales = None
    if cached == "fp8":
        scales = CacheScales(0.01, 0.02, rank)
        codes_of = scales.encode(latent)  # keeps NaN
        latent = scales.decode(codes_of, torch.float32)
        cuts, lse = attention_decode_triton.decode(queries, codes_of, table, positions, scale, scales, splits=splits)
    else:
        how = None if cached == "bf16" else choose("decode", Shape(tokens, heads), False, BLACKWELL)
        if cached == "ahead":
            how = replace(
                choose("decode", Shape(1, heads), False, replace(HOPPER, interpreted=DEVICE == "cpu")), ahead=True
            )
        cuts, lse = attention_decode_triton.decode(queries, latent, table, positions, scale, splits=splits, how=how)
    out = attention_decode_triton.merge_states(cuts, lse, w_uv, fp8=codes)
    refs = []
    for row, length in enumerate(lengths):
        rows = latent[table[row].long()].flatten(0, 1)[:length].double()
        weights = (queries[row].double() @ rows.T * scale).softmax(-1)
        refs.append(torch.einsum("hr,hrv->hv", weights @ rows[:, :rank], w_uv.double()).flatten())
    ref = torch.stack(refs)
    # bf16 attention weights and bf16 means before the last product: two roundings, averaged over many terms
    assert error(values_of(out) if codes else out.values, ref) <= (2.0**-4 if codes else BF16_STEP)
    assert math.isfinite(lse.max().item())


@pytest.mark.parametrize(
    ("query_lens", "seq_lens"),
    [([1, 1], [1, 70]), ([3], [66]), ([130], [135]), ([64], [64]), ([9, 9], [140, 120]),
     pytest.param([1, 5, 130, 150], [90, 5, 200, 150], marks=pytest.mark.slow)],
)  # fmt: skip
@pytest.mark.parametrize("absorbed", [True, False, None])
def test_attention_of_a_step_is_the_reference(
    query_lens: list[int], seq_lens: list[int], absorbed: bool | None
) -> None:
    heads, rank, tokens, scale = 2, 128, sum(query_lens), 0.1
    pages = [-(-n // 64) for n in seq_lens]
    table = torch.arange(len(pages) * max(pages), dtype=torch.int32).view(len(pages), -1).flip(0)
    latent = randn(table.numel(), 64, rank + 64, seed=50).bfloat16()
    size = tokens + 3
    q_nope, q_rope = randn(size, heads, 128, seed=51).bfloat16(), randn(size, heads, 64, seed=52).bfloat16()
    w_uk = (randn(heads, 128, rank, seed=53) * 0.1).bfloat16()
    w_uv = (randn(heads, rank, 128, seed=54) * 0.1).bfloat16()
    plan = StepPlan.build(query_lens, seq_lens, table.numpy(), latent.device, size, absorbed)
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    assert plan.positions.tolist() == [*positions.tolist(), *[positions[-1].item()] * 3]
    out = torch.full_like(q_nope, float("nan"))
    attention_triton.attend(q_nope, q_rope, latent, w_uk, w_uv, plan, scale, out=out)
    assert torch.equal(out[tokens:], out[tokens - 1].expand(3, -1, -1))
    q_nope, q_rope, out = q_nope[:tokens], q_rope[:tokens], out[:tokens]
    exact = [t.double().cpu() for t in (q_nope, q_rope, latent, w_uk, w_uv)]
    plain = AttentionPlan.build(query_lens, seq_lens, positions, table)
    ref = mla_attention(*exact, plain, scale, absorbed=True)
    # queries or keys, attention weights and results are rounded to bf16: a chain of three
    assert error(out.cpu(), ref) <= 2 * BF16_STEP

"""The reference ops against float64 derivations on random inputs, and their independence from the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hopwell.formats.matrices import Plain
from hopwell.ops import attention, moe, moe_experts, norm, paging, rope, router
from hopwell.ops.linear import linear
from hopwell.ops.swiglu import feed_forward
from hopwell.ops.weight import Weight

SEEDS = st.integers(0, 2**31)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 9), st.integers(1, 300))
def test_rms_norm(seed: int, tokens: int, width: int) -> None:
    g = generator(seed)
    x, w = torch.randn(tokens, width, generator=g), torch.randn(width, generator=g)
    want = x.double() / (x.double().pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * w.double()
    assert torch.allclose(norm.rms_norm(x, w, 1e-6).double(), want, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 20), st.integers(1, 5), st.sampled_from([2, 8, 64]))
def test_rope_turns_pairs_and_keeps_lengths(seed: int, tokens: int, heads: int, dim: int) -> None:
    g = generator(seed)
    x = torch.randn(tokens, heads, dim, generator=g)
    table = rope.RopeConfig(dim=dim).table(5000)
    positions = torch.randint(0, 5000, (tokens,), generator=g)
    got = rope.apply_rope(x, table[positions]).double()
    angle = positions.double()[:, None] * 10000.0 ** (-torch.arange(0, dim, 2).double() / dim)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    even, odd = x[..., 0::2].double(), x[..., 1::2].double()
    want = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
    assert (got - want).abs().max() < 2e-3  # float32 angles at position 5000 are good to 5000 * 2^-24
    assert torch.allclose(got.norm(dim=-1), x.double().norm(dim=-1), rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("before", [0, 6, 7])
def test_rotation_in_place_is_the_rotation(before: int, dtype: torch.dtype) -> None:
    """Of a part of wider rows, which stay as they are; also where its pairs begin at an odd place."""
    wide = torch.randn(5, 3, before + 8, generator=generator(before)).to(dtype)
    table = rope.RopeConfig(dim=8).table(5) * 2
    turned = wide.clone()
    rope.rotate(turned[..., before:], torch.view_as_complex(table).unsqueeze(1))
    assert torch.equal(turned[..., before:], rope.apply_rope(wide[..., before:], table))
    assert torch.equal(turned[..., :before], wide[..., :before]) and not torch.equal(turned, wide)


def test_yarn_leaves_fast_pairs_and_stretches_slow_ones() -> None:
    """R1's own numbers: of 32 pairs, 0 to 10 keep their frequency and 23 to 31 turn 40 times slower."""
    plain = rope.RopeConfig(dim=64).inverse_frequencies()
    yarn = rope.RopeConfig(dim=64, factor=40.0).inverse_frequencies()
    ratio = yarn / plain
    assert torch.allclose(ratio[:11], torch.ones(11))
    assert torch.allclose(ratio[23:], torch.full((9,), 1 / 40))
    assert ((ratio[11:23] < 1) & (ratio[11:23] > 1 / 40)).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 12), st.sampled_from([(1, 1, 6), (4, 2, 5), (8, 4, 4)]), st.booleans())
def test_router(seed: int, tokens: int, shape: tuple[int, int, int], sigmoid: bool) -> None:
    groups, kept, size = shape
    g = generator(seed)
    config = router.RouterConfig(
        top_k=min(4, kept * size),
        n_group=groups,
        topk_group=kept,
        scoring="sigmoid" if sigmoid else "softmax",
        norm_topk_prob=sigmoid,
        routed_scaling_factor=2.5,
    )
    logits = torch.randn(tokens, groups * size, generator=g)
    bias = torch.randn(groups * size, generator=g) * 0.2 if sigmoid else None
    ids, weights = router.select_experts(logits, bias, config)
    for row in range(tokens):
        score = logits[row].double().sigmoid() if sigmoid else logits[row].double().softmax(-1)
        biased = score if bias is None else score + bias
        rank = [biased[i * size : (i + 1) * size].sort(descending=True).values for i in range(groups)]
        best = sorted(range(groups), key=lambda i: -float(rank[i][: 2 if sigmoid else 1].sum()))[:kept]
        allowed = [e for e in range(groups * size) if e // size in best]
        chosen = sorted(allowed, key=lambda e: -float(biased[e]))[: config.top_k]
        total = sum(float(score[e]) for e in chosen) if sigmoid else 1.0
        assert sorted(ids[row].tolist()) == sorted(chosen)
        for e, w in zip(ids[row].tolist(), weights[row].tolist(), strict=True):
            assert w == pytest.approx(2.5 * float(score[e]) / total, rel=1e-5)


def random_experts(seed: int, count: int, width: int, hidden: int, dtype: torch.dtype) -> moe_experts.Experts:
    g = generator(seed)
    gate_up = torch.randn(count, 2 * width, hidden, generator=g) * hidden**-0.5
    down = torch.randn(count, hidden, width, generator=g) * width**-0.5
    return moe_experts.Experts(Weight(Plain(gate_up.to(dtype))), Weight(Plain(down.to(dtype))))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 9), st.integers(1, 20), st.integers(1, 33), st.booleans())
def test_moe(seed: int, tokens: int, count: int, width: int, hidden: int, fuse: bool) -> None:
    experts = random_experts(seed, count, width, hidden, torch.float32)
    g = generator(seed + 1)
    x = torch.randn(tokens, hidden, generator=g)
    top_k = int(torch.randint(1, count + 1, (1,), generator=g))
    ids = torch.stack([torch.randperm(count, generator=g)[:top_k] for _ in range(tokens)])
    weights = torch.rand(tokens, top_k, generator=g)
    want = torch.zeros(tokens, hidden, dtype=torch.float64)
    for row in range(tokens):
        for e, w in zip(ids[row].tolist(), weights[row].tolist(), strict=True):
            gate, up = (experts.gate_up.data[e].double() @ x[row].double()).chunk(2)
            want[row] += w * (experts.down.data[e].double() @ (gate * gate.sigmoid() * up))
    got = moe.moe(x, ids, weights, experts.fuse() if fuse else experts)
    assert torch.allclose(got.double(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width", "taken"), [(8, True), (256, True), (12, False)])
def test_a_shared_expert_beside_the_routed_ones(width: int, taken: bool) -> None:
    """Of one width of 8, of two of 128; one of another width stays a network of its own."""
    experts, g = random_experts(9, 4, 128 if width == 256 else 8, 10, torch.float32), generator(10)
    gate_up, down = torch.randn(2 * width, 10, generator=g), torch.randn(10, width, generator=g)
    shared = (Weight(Plain(gate_up)), Weight(Plain(down)))
    x, ids = torch.randn(6, 10, generator=g), torch.tensor([[0, 3]]).expand(6, -1)
    weights = torch.rand(6, 2, generator=g)
    both = experts.fuse(shared)
    assert both.with_shared == taken and not experts.fuse().with_shared
    want = moe.moe(x, ids, weights, experts)
    if taken:
        want = want + feed_forward(x, *shared)
    assert torch.allclose(moe.moe(x, ids, weights, both), want, rtol=1e-4, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(st.tuples(st.integers(1, 70), st.integers(0, 150)), min_size=1, max_size=5), st.booleans())
def test_attention(seed: int, lengths: list[tuple[int, int]], absorbed: bool) -> None:
    g = generator(seed)
    heads, nope, rope_dim, rank, v = 3, 10, 6, 20, 8
    query_lens = [q for q, _ in lengths]
    seq_lens = [q + cached for q, cached in lengths]
    pages = [-(-s // 64) for s in seq_lens]
    order = torch.randperm(sum(pages), generator=g).tolist()
    table = torch.zeros(len(lengths), max(pages), dtype=torch.int32)
    for i, count in enumerate(pages):
        table[i, :count] = torch.tensor([order.pop() for _ in range(count)])
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    plan = paging.AttentionPlan.build(query_lens, seq_lens, positions, table)
    latent = torch.full((sum(pages), 64, rank + rope_dim), 1e4)
    rows = [torch.randn(s, rank + rope_dim, generator=g) for s in seq_lens]
    for i, row in enumerate(rows):  # what earlier steps wrote
        for p in range(seq_lens[i] - query_lens[i]):
            latent[table[i, p // 64], p % 64] = row[p]
    new = [row[-q:] for row, q in zip(rows, query_lens, strict=True)]
    paging.write_latents(latent, torch.cat(new), plan)
    tokens = sum(query_lens)
    q_nope, q_rope = torch.randn(tokens, heads, nope, generator=g), torch.randn(tokens, heads, rope_dim, generator=g)
    w_uk, w_uv = torch.randn(heads, nope, rank, generator=g), torch.randn(heads, rank, v, generator=g)
    got = attention.mla_attention(q_nope, q_rope, latent, w_uk, w_uv, plan, 0.1, absorbed)
    start = 0
    for i, (q, s) in enumerate(zip(query_lens, seq_lens, strict=True)):
        row = rows[i].double()
        for j in range(q):
            visible = row[: s - q + j + 1]
            for h in range(heads):
                keys = torch.cat((visible[:, :rank] @ w_uk[h].double().T, visible[:, rank:]), dim=-1)
                query = torch.cat((q_nope[start + j, h], q_rope[start + j, h])).double()
                p = (keys @ query * 0.1).softmax(0)
                want = p @ (visible[:, :rank] @ w_uv[h].double())
                assert torch.allclose(got[start + j, h].double(), want, rtol=1e-3, atol=2e-3)
            if j > 2:
                break
        start += q


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 matrix unit on this CPU")
@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 8, 13, 16, 31, 64, 200])
def test_a_row_does_not_depend_on_its_batch(tokens: int) -> None:
    """What batch-invariant mode rests on: in bf16 on a CPU, each op gives a row the same bits in any batch."""
    g = generator(tokens)
    x = torch.randn(256, 384, generator=g).bfloat16()
    weight = Weight(Plain((torch.randn(576, 384, generator=g) / 20).bfloat16())).prepare()
    gate, bias = torch.randn(16, 384, generator=g), torch.randn(16, generator=g) * 0.1
    config = router.RouterConfig(top_k=4, n_group=4, topk_group=2)
    part = x[7 : 7 + tokens]
    assert torch.equal(linear(part, weight), linear(x, weight)[7 : 7 + tokens])
    ids, weights = router.route(x, gate, bias, config)
    part_ids, part_weights = router.route(part, gate, bias, config)
    assert torch.equal(part_ids, ids[7 : 7 + tokens]) and torch.equal(part_weights, weights[7 : 7 + tokens])
    for fuse in (True, False):
        experts = random_experts(3, 16, 128, 384, torch.bfloat16)
        experts = experts.fuse() if fuse else experts
        whole = moe.moe(x, ids, weights, experts)
        assert torch.equal(moe.moe(part, part_ids, part_weights, experts), whole[7 : 7 + tokens])
    assert torch.equal(norm.rms_norm(part, x[0], 1e-6), norm.rms_norm(x, x[0], 1e-6)[7 : 7 + tokens])


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 matrix unit on this CPU")
@pytest.mark.parametrize("width", [384, 1024, 1536, 4096])
def test_a_lone_row_is_as_one_of_many(width: int) -> None:
    """Over many rows, for a difference in the order of a sum shows in few: 3 of 10,000 values at width 4096."""
    g = generator(width)
    x = torch.randn(256, width, generator=g).bfloat16()
    weight = Weight(Plain((torch.randn(384, width, generator=g) / width**0.5).bfloat16())).prepare()
    many = linear(x, weight)
    for row in range(len(x)):
        assert torch.equal(linear(x[row : row + 1], weight)[0], many[row])

"""Before a GPU serves: are its kernels right? One layer of each kind, by kernels and by plain PyTorch, side by side."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.decode import Decoder
from hopwell.model.shape_classes import LONG
from hopwell.model.transformer import Dense, Transformer
from hopwell.ops.attention import PAGE, AttentionPlan, cached_rows, mla_attention
from hopwell.ops.experts_triton import experts_down, experts_up
from hopwell.ops.grouping_triton import group_by_expert
from hopwell.ops.linear import Weight, plain_ops
from hopwell.ops.linear_triton import product
from hopwell.ops.norm_triton import Normed, chunks_of

TOLERANCE = 0.3
"""Of a chain, relative. FP8 products round their inputs to e4m3 and a near tie may send a token to another expert: a
few percent each. Wrong addresses and lost sums show as errors near 1, or as NaN."""
ATTENTION_TOLERANCE = 2.0**-5
"""Of attention alone: a chain of three roundings to bf16, with room for a softmax that picks single rows."""
SHARPNESS = 8.0
"""Standard deviation of the scores."""
CASES: tuple[tuple[list[int], list[int]], ...] = (
    ([1], [150]),
    ([1, 1, 1, 1], [1, 65, 128, 300]),
    ([3, 17], [90, 17]),
    ([1, 140], [77, 200]),
)
"""New tokens and tokens in all of each sequence: decoding, drafts and short chunks, and a step too long for a graph.
They launch no kernel that serving does not: none is compiled for the check alone."""


PRODUCT_TOLERANCE = 2.0**-6
"""Of a long step's products: their results are rounded to bf16, and the matrix unit keeps 14 bits of a block's sum."""


def kernel_fault(decoder: Decoder, longest: int = 0) -> str | None:
    """What is wrong with the kernels' results on this device, or None.

    The model's first dense and first MoE layer compute small steps over a cache of random rows; then the products of a
    step of `longest` rows, for which there are kernels of their own.
    """
    kinds: dict[type, int] = {}
    for index, layer in enumerate(decoder.model.layers):
        kinds.setdefault(type(layer.network), index)
    chosen = sorted(kinds.values())
    model = copy.copy(decoder.model)
    model.layers, model.mtp = [decoder.model.layers[i] for i in chosen], None
    few = Decoder(model, [decoder.experts[i] for i in chosen])
    for query_lens, seq_lens in CASES:
        if max(seq_lens) > model.config.max_position_embeddings:
            continue
        try:
            fault = _attention_fault(model, query_lens, seq_lens) or _chain_fault(model, few, query_lens, seq_lens)
        except Exception as error:  # a kernel that does not fit this GPU, or does not compile for it
            fault = f"they fail: {_first_line(error)}"
        if fault:
            return f"with {query_lens} new tokens over {seq_lens}, {fault}"
    if longest >= LONG:
        try:
            fault = _products_fault(few, longest)
        except Exception as error:
            fault = f"they fail: {_first_line(error)}"
        if fault:
            return f"with {longest} rows, {fault}"
    return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


@torch.inference_mode()
def _products_fault(decoder: Decoder, rows: int) -> str | None:
    """Each product of a long step: some of its rows, with the first and the last of its weights' rows."""
    device = decoder.model.device
    generator = torch.Generator(device).manual_seed(rows)
    some = torch.arange(rows - 1, 0, -max(1, rows // SAMPLES), device=device)

    def random(count: int, width: int) -> Tensor:
        return torch.randn(count, width, generator=generator, device=device, dtype=decoder.model.dtype)

    def entering(count: int, weight: Weight, normed: bool) -> Normed:
        """Rows as they come to a weight: from a norm, their rms outstanding, or from another product."""
        width = weight.shape[-1]
        found = Normed(None, None, random(count, width), None)
        if weight.takes_codes(count):
            scales = torch.rand(count, width // 128, generator=generator, device=device) + 0.5
            found = Normed(random(count, width).to(torch.float8_e4m3fn), scales, None, None)
        if normed:
            chunks = chunks_of(count, width)[1]
            found.sumsq = torch.rand(count, chunks, generator=generator, device=device) + width / chunks
        return found

    eps = decoder.model.config.rms_norm_eps
    for layer, experts in zip(decoder.model.layers, decoder.experts, strict=True):
        a, network = layer.attention, layer.network
        weights = [(a.qkv_a, True, torch.float32), (a.q_b, False, torch.bfloat16), (a.o, False, torch.bfloat16)]
        if isinstance(network, Dense):
            weights += [(network.gate_up, True, torch.bfloat16), (network.down, False, torch.bfloat16)]
        for weight, normed, dtype in weights:
            if weight is None:
                continue
            x = entering(rows, weight, normed)
            got = product(x, weight, eps, dtype=dtype).sum(0)[some]
            for part in _ends(weight):
                want = _values(x, some, eps) @ _dequantized(weight, part).T
                if fault := _fault(f"rows of {list(weight.shape)}", got[:, part], want, PRODUCT_TOLERANCE):
                    return fault
        if experts is None:
            continue
        count, router = experts.experts.count, decoder.model.config.router
        drawn = torch.rand(rows, count - experts.shared, generator=generator, device=device).topk(router.top_k).indices
        shared = torch.arange(count - experts.shared, count, device=device).expand(rows, -1)
        ids = torch.cat((drawn, shared), dim=1).int()
        groups = group_by_expert(ids, count)
        if groups.pairs is None:
            continue
        pairs, slots = groups.pairs.long(), ids.shape[1]
        places = torch.arange(len(pairs) - 1, 0, -max(1, len(pairs) // SAMPLES), device=device)
        of = ids.flatten().long()[pairs[places]]
        for down, weight in ((False, experts.experts.gate_up), (True, experts.experts.down)):
            x = entering(len(pairs) if down else rows, weight, not down)
            if down:
                got = experts_down(x, weight, groups).flatten(0, 1)[pairs[places]]
            else:
                got = experts_up(x, weight, groups, eps, dtype=torch.bfloat16).sum(0)[places]
            values = _values(x, places if down else pairs[places] // slots, eps)
            for part in _ends(weight):
                want = torch.einsum("pk,pnk->pn", values, _dequantized(weight, part, of))
                if fault := _fault(f"experts' rows of {list(weight.shape)}", got[:, part], want, PRODUCT_TOLERANCE):
                    return fault
    return None


SAMPLES = 32
"""Rows of a long product that are computed again."""


def _ends(weight: Weight) -> tuple[slice, slice]:
    """The first and the last block of a matrix's rows."""
    out = weight.shape[-2]
    return slice(0, min(out, 128)), slice((out - 1) // 128 * 128, out)


def _dequantized(weight: Weight, part: slice, experts: Tensor | None = None) -> Tensor:
    """Some of a matrix's rows in float32; of a stack, those of the given experts."""
    data = weight.data[..., part, :]
    scale = None if weight.scale is None else weight.scale[..., part.start // 128 : part.start // 128 + 1, :]
    if experts is not None:
        data, scale = data.view(torch.uint8)[experts].view(data.dtype), None if scale is None else scale[experts]
    return Weight(data, scale, weight.format).dequantize(torch.float32)


def _values(rows: Normed, some: Tensor, eps: float) -> Tensor:
    """What rows stand for, in float32."""
    if rows.codes is None:
        assert rows.values is not None
        found = rows.values[some].float()
    else:
        assert rows.scales is not None
        codes = rows.codes.view(torch.uint8)[some].view(torch.float8_e4m3fn).float()
        found = (codes.unflatten(1, (-1, 128)) * rows.scales[some].unsqueeze(2)).flatten(1)
    if rows.sumsq is None:
        return found
    return found * (rows.sumsq[some].sum(1, keepdim=True) / found.shape[1] + eps).rsqrt()


def _batch(model: Transformer, query_lens: list[int], seq_lens: list[int]) -> tuple[ForwardBatch, Tensor]:
    """Random tokens, and a cache of random rows on pages in random order."""
    device, generator = model.device, torch.Generator().manual_seed(sum(seq_lens))
    pages = -(-max(seq_lens) // PAGE)
    count = pages * len(seq_lens)
    table = torch.randperm(count, generator=generator).view(len(seq_lens), pages).int().to(device)
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)]).to(device)
    tokens = torch.randint(model.config.vocab_size, (len(positions),), generator=generator).to(device)
    latent = model.new_latent(count)
    latent.copy_(torch.randn(latent.shape, generator=generator).to(latent.dtype))
    return ForwardBatch(tokens, positions, query_lens, seq_lens, table), latent


@torch.inference_mode()
def _attention_fault(model: Transformer, query_lens: list[int], seq_lens: list[int]) -> str | None:
    """Attention alone, sharp enough that each query hangs on a few rows: in a whole layer a wrong page would be lost
    among hundreds that are averaged."""
    batch, latent = _batch(model, query_lens, seq_lens)
    a, rows = model.layers[0].attention, latent[0]
    plan = AttentionPlan.build(query_lens, seq_lens, batch.positions, batch.page_table)
    generator = torch.Generator().manual_seed(1)
    heads, nope = a.w_uk.shape[:2]
    own = torch.randn(len(batch.tokens), heads, model.config.qk_head_dim, generator=generator)
    q_nope, q_rope = own.to(model.device, model.dtype).split((nope, model.config.qk_rope_head_dim), dim=-1)
    with plain_ops():
        some = cached_rows(rows, batch.page_table[:1, :1].long(), torch.float32, a.cache_scales)[0]
        queries = torch.cat((torch.einsum("thk,hkr->thr", q_nope.float(), a.w_uk.float()), q_rope.float()), dim=-1)
        scale = SHARPNESS / (queries @ some.T).std().item()
        want = mla_attention(q_nope, q_rope, rows, a.w_uk, a.w_uv, plan, scale, True, a.cache_scales)
    got = mla_attention(q_nope, q_rope, rows, a.w_uk, a.w_uv, plan, scale, None, a.cache_scales)
    return _fault("attention", got, want, ATTENTION_TOLERANCE)


@torch.inference_mode()
def _chain_fault(model: Transformer, decoder: Decoder, query_lens: list[int], seq_lens: list[int]) -> str | None:
    """Whole layers, as a graph would hold them or op by op."""
    batch, latent = _batch(model, query_lens, seq_lens)
    expected = latent.clone()
    with plain_ops():
        want = model.forward(batch, expected)
    if len(batch.tokens) < LONG:
        sequence = torch.repeat_interleave(torch.arange(len(query_lens)), torch.tensor(query_lens)).to(model.device)
        got = decoder.forward(batch.tokens, batch.positions, batch.page_table[sequence], latent)
    else:
        got = decoder.forward_long(batch, latent)
    return _fault("hidden states", got, want, TOLERANCE) or _fault("the cache", latent, expected, TOLERANCE)


def _fault(name: str, got: Tensor, want: Tensor, tolerance: float) -> str | None:
    error = ((got.float() - want.float()).norm() / want.float().norm()).item()
    if math.isnan(error):
        return f"{name} hold NaN"
    return None if error <= tolerance else f"{name} are {error:.2g} off the reference"

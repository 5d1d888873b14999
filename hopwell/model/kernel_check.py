"""Before a GPU serves: are its kernels right? One layer of each kind, by kernels and by plain PyTorch, side by side."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.product_check import sampled_products
from hopwell.model.shape_classes import LONG
from hopwell.model.transformer import Transformer, alone
from hopwell.ops.attention import mla_attention
from hopwell.ops.attention_plan import StepPlan
from hopwell.ops.attention_triton import attend
from hopwell.ops.device import plain_ops
from hopwell.ops.exchange import Exchange
from hopwell.ops.paging import AttentionPlan, cached_rows
from hopwell.ops.sizes import PAGE

TOLERANCE = 0.3
"""Of a chain, relative. FP8 products round their inputs to e4m3: a few percent each. Wrong addresses and lost sums show
as errors near 1, or as NaN."""
FEW_TOKENS, DRAWS = 8, 4
"""Up to so many new tokens, so many draws of tokens and cached rows may be tried: where a router's scores nearly tie,
roundings send a token to another expert, and two of eight are a third of its hidden state. Of many tokens that averages
out; a wrong kernel is wrong with every draw."""
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


def kernel_fault(fused: FusedTransformer, longest: int = 0) -> str | None:
    """What is wrong with the kernels' results on this device, or None.

    The model's first dense and first MoE layer compute small steps over a cache of random rows; then the products of a
    step of `longest` rows, for which there are kernels of their own.
    """
    kinds: dict[type, int] = {}
    for index, layer in enumerate(fused.model.layers):
        kinds.setdefault(type(layer.network), index)
    chosen = sorted(kinds.values())
    model = replace(fused.model, layers=[fused.model.layers[i] for i in chosen], mtp=None)
    exchange = model.exchange
    if model.layout.dp_attention:  # a rank's share is a model by itself, with all heads
        model = alone(model)
    few = FusedTransformer(model)
    for query_lens, seq_lens in CASES:
        if max(seq_lens) > model.config.max_position_embeddings:
            continue
        tries = DRAWS if sum(query_lens) <= FEW_TOKENS else 1
        for check, draws in ((partial(_attention_fault, model), 1), (partial(_chain_fault, model, few), tries)):
            for draw in range(draws):
                try:
                    fault = check(query_lens, seq_lens, draw)
                except Exception as error:  # a kernel that does not fit this GPU, or does not compile for it
                    fault = f"they fail: {_first_line(error)}"
                if (fault := _agreed(exchange, fault, model.device)) is None:
                    break
            else:
                return f"with {query_lens} new tokens over {seq_lens}, {fault}"
    if longest >= LONG:
        try:
            fault = _products_fault(few, longest)
        except Exception as error:
            fault = f"they fail: {_first_line(error)}"
        if (fault := _agreed(exchange, fault, model.device)) is not None:
            return f"with {longest} rows, {fault}"
    return None


def _agreed(exchange: Exchange | None, fault: str | None, device: torch.device) -> str | None:
    """A fault of any rank is everybody's: they compute alike, or wait for each other for ever."""
    if exchange is None:
        return fault
    faults = exchange.sum(torch.tensor([float(fault is not None)], device=device)).item()
    return fault or ("the kernels of another rank are wrong" if faults else None)


@torch.inference_mode()
def _products_fault(fused: FusedTransformer, rows: int) -> str | None:
    """Each product of a long step, in samples."""
    found = (_fault(name, got, want, PRODUCT_TOLERANCE) for name, got, want in sampled_products(fused, rows))
    return next(filter(None, found), None)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _batch(model: Transformer, query_lens: list[int], seq_lens: list[int], draw: int) -> tuple[ForwardBatch, Tensor]:
    """Random tokens, and a cache of random rows on pages in random order."""
    device, generator = model.device, torch.Generator().manual_seed(sum(seq_lens) + 7919 * draw)
    pages = -(-max(seq_lens) // PAGE)
    count = pages * len(seq_lens)
    table = torch.randperm(count, generator=generator).view(len(seq_lens), pages).int().to(device)
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)]).to(device)
    tokens = torch.randint(model.config.vocab_size, (len(positions),), generator=generator).to(device)
    latent = model.new_latent(count)
    latent.copy_(torch.randn(latent.shape, generator=generator).to(latent.dtype))
    return ForwardBatch(tokens, positions, query_lens, seq_lens, table), latent


@torch.inference_mode()
def _attention_fault(model: Transformer, query_lens: list[int], seq_lens: list[int], draw: int) -> str | None:
    """Attention alone, sharp enough that each query hangs on a few rows: in a whole layer a wrong page would be lost
    among hundreds that are averaged."""
    batch, latent = _batch(model, query_lens, seq_lens, draw)
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
    mine = StepPlan.build(query_lens, seq_lens, batch.host_pages, model.device)
    got = attend(q_nope, q_rope, rows, a.w_uk, a.w_uv, mine, scale, a.cache_scales)
    return _fault("attention", got, want, ATTENTION_TOLERANCE)


@torch.inference_mode()
def _chain_fault(
    model: Transformer, fused: FusedTransformer, query_lens: list[int], seq_lens: list[int], draw: int
) -> str | None:
    """Whole layers, as a graph would hold them or op by op."""
    batch, latent = _batch(model, query_lens, seq_lens, draw)
    expected = latent.clone()
    with plain_ops():
        want = model.forward(batch, expected)
    if len(batch.tokens) < LONG:
        sequence = torch.repeat_interleave(torch.arange(len(query_lens)), torch.tensor(query_lens)).to(model.device)
        got = fused.forward(batch.tokens, batch.positions, batch.page_table[sequence], latent)
    else:
        got = fused.forward_long(batch, latent)
    return _fault("hidden states", got, want, TOLERANCE) or _fault("the cache", latent, expected, TOLERANCE)


def _fault(name: str, got: Tensor, want: Tensor, tolerance: float) -> str | None:
    error = ((got.float() - want.float()).norm() / want.float().norm()).item()
    if math.isnan(error):
        return f"{name} hold NaN"
    return None if error <= tolerance else f"{name} are {error:.2g} off the reference"

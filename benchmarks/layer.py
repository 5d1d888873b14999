"""Every kernel of an MoE layer's decode step at a model's real sizes: microseconds, GB/s, percent of the limit.

Each is timed over the layers of a model in turn, so that its weights come from memory and not from a cache. What a
kernel costs beside its bytes is mostly a start and an end; in a step they overlap with its neighbours'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.step_inputs import random_inputs
from hopwell.bench.models import bench_config
from hopwell.bench.timing import capture, graph_seconds
from hopwell.cli.bench_gpu import BATCHES, Batch, CacheDtype, Context, Model, Plot, measured_ceilings, show
from hopwell.cli.result import Out
from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.matrices import Format
from hopwell.formats.plain import BF16
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.model.fused import FusedTransformer
from hopwell.model.latent_cache import with_cache
from hopwell.model.random_weights import random_transformer
from hopwell.model.transformer import AllExperts, Layer, MoE
from hopwell.ops import (
    attention,
    attention_decode_triton,
    attention_query_triton,
    linear,
    moe,
    moe_down_triton,
    moe_grouping_triton,
    moe_up_triton,
    norm,
    norm_triton,
    router,
    router_triton,
    swiglu_triton,
)
from hopwell.ops.linear_triton import product


@dataclass(frozen=True)
class Case:
    """One op at one shape."""

    op: str
    run: Callable[[int], object]
    """Runs it with the weights of the n-th MoE layer."""
    cost: OpCost


@dataclass(frozen=True)
class OpRow:
    """One op, measured."""

    op: str
    batch: int
    context: int
    us: float
    gb_per_s: float
    percent_of_limit: float


def decode_cases(fused: FusedTransformer, batch: int, context: int) -> list[Case]:
    """The kernels of a decoder's MoE layer, in order, each fed by the one before."""
    model, c = fused.model, fused.model.config
    fp8, eps, rope = c.weight_block_size is not None, c.rms_norm_eps, model.rope_table
    fmt = FP8_BLOCK if fp8 else BF16
    moe_layers = [(layer, layer.network) for layer in model.layers if isinstance(layer.network, MoE)]
    stacks = [(layer, network.joined) for layer, network in moe_layers if network.joined is not None]

    def at(index: int) -> tuple[Layer, AllExperts]:
        return stacks[index % len(stacks)]

    inputs = random_inputs(model, batch, context)
    positions, table, latent = inputs.positions, inputs.page_table, inputs.latent
    layer, experts = at(0)
    a, hidden, heads = layer.attention, c.hidden_size, c.num_attention_heads
    residual = torch.randn(batch, hidden, device=model.device).bfloat16()
    _, normed = norm_triton.add_norm(residual, layer.input_norm, fp8=fp8, values=True)
    down = product(normed, a.qkv_a, eps)
    query = attention_query_triton.latent_and_query(
        down, a.q_a_norm, a.kv_a_norm, rope, positions, table, latent[0], eps, fp8, a.cache_scales
    )
    q = down if query is None or a.q_b is None else product(query, a.q_b)
    queries = attention_query_triton.absorb_query(q, a.w_uk, rope, positions)
    cuts, lse = attention_decode_triton.decode(queries, latent[0], table, positions, c.softmax_scale, a.cache_scales)
    merged = attention_decode_triton.merge_states(cuts, lse, a.w_uv, fp8=fp8)
    attended = product(merged, a.o)
    logits = product(normed, experts.gate, eps)
    ids, shares = router_triton.select_experts(logits, None, c.router, experts.shared)
    count, width = experts.experts.count, c.moe_intermediate_size
    groups = moe_grouping_triton.group_by_expert(ids, count)
    gated = moe_up_triton.experts_up(normed, experts.experts.gate_up, groups, eps)
    inner = swiglu_triton.silu_mul(gated, fp8)
    out = moe_down_triton.experts_down(inner, experts.experts.down, groups)
    distinct, slots = ids.unique().numel(), ids.shape[1]
    both = moe.cost(batch, hidden, width, slots, distinct, fmt)

    def matrix(width_in: int, width_out: int, weight_format: Format = fmt) -> OpCost:
        return linear.cost(batch, width_in, width_out, weight_format)

    cases = [
        Case("norm, residual, quantise", lambda i: norm_triton.add_norm(residual, at(i)[0].post_norm, attended),
             norm.cost(batch, hidden, residual=True)),
        Case("norm after experts", lambda i: norm_triton.add_norm(residual, at(i)[0].input_norm, out, shares),
             norm.cost(batch, hidden, residual=True)),
        Case("qkv_a", lambda i: product(normed, at(i)[0].attention.qkv_a, eps), matrix(hidden, a.qkv_a.shape[0])),
        Case("latent and query", lambda i: attention_query_triton.latent_and_query(
            down, a.q_a_norm, a.kv_a_norm, rope, positions, table, latent[i % len(latent)], eps, fp8,
            at(i)[0].attention.cache_scales),
            norm.cost(batch, a.qkv_a.shape[0])),
        Case("absorb query", lambda i: attention_query_triton.absorb_query(q, at(i)[0].attention.w_uk, rope, positions),
             matrix(heads * c.qk_nope_head_dim, c.kv_lora_rank, BF16)),
        Case("attention", lambda i: attention_decode_triton.decode(
            queries, latent[i % len(latent)], table, positions, c.softmax_scale, at(i)[0].attention.cache_scales),
            attention.cost([1] * batch, [context] * batch, heads, cache_bytes=latent.dtype.itemsize)),
        Case("combine heads", lambda i: attention_decode_triton.merge_states(
            cuts, lse, at(i)[0].attention.w_uv, fp8=fp8),
             matrix(heads * c.v_head_dim, c.kv_lora_rank, BF16)),
        Case("o", lambda i: product(merged, at(i)[0].attention.o), matrix(heads * c.v_head_dim, hidden)),
        Case("router", lambda i: product(normed, at(i)[1].gate, eps),
             router.cost(batch, hidden, c.n_routed_experts, c.router.top_k)),
        Case("select experts", lambda i: router_triton.select_experts(logits, None, c.router, experts.shared),
             OpCost(4 * batch * (c.n_routed_experts + 2 * slots), 0, "fp32")),
        Case("experts up", lambda i: moe_up_triton.experts_up(normed, at(i)[1].experts.gate_up, groups, eps),
             OpCost(both.bytes * 2 // 3, both.flops * 2 // 3, both.format)),
        Case("silu, mul, quantise", lambda i: swiglu_triton.silu_mul(gated, fp8), norm.cost(batch * slots, 2 * width)),
        Case("experts down", lambda i: moe_down_triton.experts_down(inner, at(i)[1].experts.down, groups),
             OpCost(both.bytes // 3, both.flops // 3, both.format)),
    ]  # fmt: skip
    if query is not None and c.q_lora_rank is not None:
        q_b = [layer.attention.q_b for layer, _ in stacks]
        matrices = [w for w in q_b if w is not None]
        cases.insert(4, Case("q_b", lambda i: product(query, matrices[i % len(matrices)]),
                             matrix(c.q_lora_rank, heads * c.qk_head_dim)))  # fmt: skip
    return cases


def op_rows(
    name: str,
    batches: list[int],
    contexts: list[int],
    ceilings: Ceilings,
    layers: int = 8,
    device: str = "cuda",
    cache_dtype: str = "auto",
) -> Iterator[OpRow]:
    """Times every kernel of a model's decode step, over `layers` layers' weights in turn."""
    fused = FusedTransformer(with_cache(random_transformer(bench_config(name, layers), device), cache_dtype))
    for context in contexts:
        for batch in batches:
            for case in decode_cases(fused, batch, context):
                graph = capture(lambda run=case.run: [run(i) for i in range(layers)])
                seconds = graph_seconds(graph, rounds=3, seconds=0.01) / layers
                percent = 100 * ceilings.floor_of([case.cost]) / seconds
                yield OpRow(case.op, batch, context, 1e6 * seconds, case.cost.bytes / seconds / 1e9, percent)


def layer_rows(
    name: str, batches: list[int], contexts: list[int], limit: Ceilings, layers: int = 8, cache_dtype: str = "auto"
) -> list[dict[str, Any]]:
    """`op_rows`, with a row for the sum of each layer: its kernels run apart, in a step they overlap."""
    rows: list[dict[str, Any]] = []
    for context in contexts:
        for batch in batches:
            found = [asdict(row) for row in op_rows(name, [batch], [context], limit, layers, cache_dtype=cache_dtype)]
            us = sum(row["us"] for row in found)
            moved = sum(row["gb_per_s"] * row["us"] for row in found)
            floor = sum(row["percent_of_limit"] / 100 * row["us"] for row in found)
            whole = {"op": "layer", "batch": batch, "context": context, "us": us, "gb_per_s": moved / us,
                     "percent_of_limit": 100 * floor / us}  # fmt: skip
            rows += [{"model": name, **row, "limit_us": row["percent_of_limit"] / 100 * row["us"]}
                     for row in [*found, whole]]  # fmt: skip
    return rows


def main(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Annotated[int, typer.Option(min=2, help="Layers whose weights take turns.")] = 8,
    cache_dtype: CacheDtype = "auto",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Microseconds of each kernel of an MoE layer beside its limit, and of all of them together."""
    limit = measured_ceilings()
    rows = layer_rows(model, batch or BATCHES, context or [1024], limit, layers, cache_dtype)
    show(rows, "layer", out, plot, model=model, ceilings=asdict(limit))


if __name__ == "__main__":
    script(main)

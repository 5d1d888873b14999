"""Decode steps of whole models at real sizes, random weights, beside the least time that their bytes take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hopwell.bench.models import bench_config, random_transformer
from hopwell.bench.timing import capture, graph_joules, graph_seconds
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.model.activations import use_activations
from hopwell.model.config import ModelConfig
from hopwell.model.decode import Decoder
from hopwell.model.latent_cache import use_cache
from hopwell.model.transformer import Transformer
from hopwell.ops import attention, linear, moe, norm, router, tokens_triton
from hopwell.ops.attention import PAGE


@dataclass(frozen=True)
class StepRow:
    """One decode step, measured."""

    model: str
    layers: int
    batch: int
    context: int
    distinct_experts: float
    """Mean over the MoE layers: what the random router chose."""
    ms: float
    gigabytes: float
    """The least the step can move."""
    gb_per_s: float
    percent_of_limit: float
    """The least time that its bytes and FLOPs take at the measured ceilings, beside the time."""
    millijoules_per_token: float | None
    limit_ms: float
    cache_dtype: str = "auto"
    activations: str | None = None


def step_costs(
    config: ModelConfig,
    query_lens: list[int],
    seq_lens: list[int],
    distinct: float,
    drawn: int | None = None,
    cache_bytes: int = 2,
) -> list[OpCost]:
    """The least that each op of a step costs: weights of what is touched once, caches once, activations in and out.

    Args:
        query_lens, seq_lens: new tokens of each sequence, and all of its tokens.
        distinct: routed experts touched in an MoE layer, the mean.
        drawn: rows of which logits are wanted; None: one a sequence.
        cache_bytes: of a cached value.
    """
    c, hidden = config, config.hidden_size
    fmt = "plain" if c.weight_block_size is None else "fp8_block"
    heads, tokens = c.num_attention_heads, sum(query_lens)
    absorbed = max(query_lens) < attention.UNABSORBED_FROM

    def matrix(width_in: int, width_out: int) -> OpCost:
        return linear.cost(tokens, width_in, width_out, fmt)

    query = c.q_lora_rank or heads * c.qk_head_dim
    total = [linear.cost(len(query_lens) if drawn is None else drawn, hidden, c.vocab_size, "plain")]
    for layer in range(c.num_hidden_layers):
        total += [norm.cost(tokens, hidden, residual=True)] * 2
        total += [matrix(hidden, query + c.latent_dim), matrix(heads * c.v_head_dim, hidden)]
        if c.q_lora_rank is not None:
            total.append(matrix(c.q_lora_rank, heads * c.qk_head_dim))
        if absorbed:  # into latent space and out of it, a matrix a head
            for width in (c.qk_nope_head_dim, c.v_head_dim):
                total.append(linear.cost(tokens, width * heads, c.kv_lora_rank, "plain"))
        total.append(attention.cost(query_lens, seq_lens, heads, cache_bytes=cache_bytes, absorbed=absorbed))
        if not c.is_moe(layer):
            total += [matrix(hidden, 2 * c.intermediate_size), matrix(c.intermediate_size, hidden)]
            continue
        width, shared = c.moe_intermediate_size, c.n_shared_experts
        total.append(router.cost(tokens, hidden, c.n_routed_experts, c.router.top_k))
        total.append(moe.cost(tokens, hidden, width, c.router.top_k + shared, round(distinct) + shared, fmt))
    return total


def decode_rows(
    name: str,
    batches: Iterable[int],
    contexts: Iterable[int],
    ceilings: Ceilings,
    layers: int | None = None,
    energy: bool = False,
    device: str = "cuda",
    cache_dtype: str = "auto",
    activations: str | None = None,
) -> Iterator[StepRow]:
    """Times a decode step, greedy sampling included, for every batch and context.

    Args:
        ceilings: what the device gives at most.
        layers: cut the model to this depth.
        energy: read the energy counter over two seconds of steps as well.
        activations: as `use_activations` has them. The limit is that of e4m3 rows for all.
    """
    config = bench_config(name, layers)
    model = random_transformer(config, device)
    use_cache(model, cache_dtype)
    use_activations(model, activations)
    decoder = Decoder.of(model)
    for context in contexts:
        for batch in batches:
            inputs = random_inputs(model, batch, context)
            distinct = _distinct(decoder, inputs)
            graph = capture(partial(_greedy_step, decoder, inputs))
            seconds = graph_seconds(graph)
            joules = graph_joules(graph, seconds) if energy else None
            cached = inputs.latent.dtype.itemsize
            costs = step_costs(config, [1] * batch, [context] * batch, distinct, cache_bytes=cached)
            moved, limit = sum(cost.bytes for cost in costs), ceilings.floor_of(costs)
            yield StepRow(
                name, config.num_hidden_layers, batch, context, distinct, seconds * 1e3, moved / 1e9,
                moved / seconds / 1e9, 100 * limit / seconds, None if joules is None else 1e3 * joules / batch,
                1e3 * limit, cache_dtype, activations,
            )  # fmt: skip
            del inputs, graph  # the next cache may need their memory


@dataclass(frozen=True)
class StepInputs:
    """A decode step's inputs: `batch` sequences of `context` tokens, the last one new, on pages in random order."""

    tokens: Tensor
    positions: Tensor
    page_table: Tensor
    latent: Tensor


def random_inputs(model: Transformer, batch: int, context: int) -> StepInputs:
    """Random tokens and a cache full of random latents."""
    pages, device = -(-context // PAGE), model.device
    latent = model.new_latent(batch * pages)
    for layer in latent:
        layer.copy_(torch.randn(layer.shape, device=device, dtype=torch.bfloat16))
    return StepInputs(
        torch.randint(model.config.vocab_size, (batch,), device=device),
        torch.full((batch,), context - 1, device=device),
        torch.randperm(batch * pages, device=device).int().view(batch, pages),
        latent,
    )


def _greedy_step(decoder: Decoder, inputs: StepInputs) -> Tensor:
    return tokens_triton.argmax(decoder.step(inputs.tokens, inputs.positions, inputs.page_table, inputs.latent))


def _distinct(decoder: Decoder, inputs: StepInputs) -> float:
    """Experts that a step touches, the mean over MoE layers."""
    chosen: list[int] = []
    top_k = decoder.model.config.router.top_k

    def count(expert_ids: Tensor) -> None:
        chosen.append(expert_ids[:, :top_k].unique().numel())

    decoder.step(inputs.tokens, inputs.positions, inputs.page_table, inputs.latent, on_route=count)
    return sum(chosen) / max(len(chosen), 1)

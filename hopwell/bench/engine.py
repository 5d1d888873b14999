"""Decode steps of whole models at real sizes, random weights, beside the least time that their bytes take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hopwell.bench.models import bench_config
from hopwell.bench.steps import DecodeSteps, Measured
from hopwell.engine.graphs import GraphedModel
from hopwell.formats.plain import BF16
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.model import schema
from hopwell.model.build import held_format
from hopwell.model.config import ModelConfig
from hopwell.model.random_weights import random_transformer
from hopwell.model.schema import Row
from hopwell.model.settings import ModelSettings
from hopwell.ops import attention, linear, moe, norm, router
from hopwell.ops.attention_choice import way


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
    drafts: int = 0
    tokens_per_step: float = 1.0
    """Of a sequence: with drafts, as many as were to be accepted."""
    tokens_per_s_user: float = 0.0
    gpus: int = 1


def step_row(
    model: str, config: ModelConfig, batch: int, context: int, distinct: float, measured: Measured,
    costs: Sequence[OpCost], ceilings: Ceilings, **how: Any,
) -> StepRow:  # fmt: skip
    """What was measured of a step beside the least that its ops cost.

    Args:
        how: the row's fields that say how it was run.
    """
    seconds, tokens, joules = measured
    moved, limit = sum(cost.bytes for cost in costs), ceilings.floor_of(costs)
    return StepRow(
        model=model,
        layers=config.num_hidden_layers,
        batch=batch,
        context=context,
        distinct_experts=distinct,
        ms=1e3 * seconds,
        gigabytes=moved / 1e9,
        gb_per_s=moved / seconds / 1e9,
        percent_of_limit=100 * limit / seconds,
        millijoules_per_token=None if joules is None else 1e3 * joules / (batch * tokens),
        limit_ms=1e3 * limit,
        tokens_per_step=tokens,
        tokens_per_s_user=tokens / seconds,
        **how,
    )


def step_costs(
    config: ModelConfig,
    query_lens: list[int],
    seq_lens: list[int],
    distinct: float,
    drawn: int | None = None,
    cache_bytes: int = 2,
    pools: int = 1,
) -> list[OpCost]:
    """The least that each op of a step costs: weights of what is touched once, caches once, activations in and out.

    Args:
        query_lens, seq_lens: new tokens of each sequence, and all of its tokens.
        distinct: routed experts touched in an MoE layer, the mean.
        drawn: rows of which logits are wanted; None: one a sequence.
        cache_bytes: of a cached value.
        pools: ranks that attend for as many of the sequences each, where that is data parallel.
    """
    own = -(-len(query_lens) // pools)
    tokens, drawn = sum(query_lens), len(query_lens) if drawn is None else drawn
    total = [linear.cost(drawn, config.hidden_size, config.vocab_size, BF16)]
    for layer in range(config.num_hidden_layers):
        total += _attention_costs(config, layer, query_lens[:own], seq_lens[:own], cache_bytes)
        total += _network_costs(config, layer, tokens, distinct)
    return total


def _attention_costs(
    c: ModelConfig, layer: int, query_lens: list[int], seq_lens: list[int], cache_bytes: int
) -> list[OpCost]:
    """A layer's attention, with the norm before it."""
    hidden, heads, tokens = c.hidden_size, c.num_attention_heads, sum(query_lens)
    absorbed = way(max(query_lens)).name == "absorbed"

    def matrix(row: Row, width_in: int, width_out: int) -> OpCost:
        return linear.cost(tokens, width_in, width_out, held_format(c, row, layer, packed=True))

    query = c.q_lora_rank or heads * c.qk_head_dim
    found = [norm.cost(tokens, hidden, residual=True)]
    found.append(matrix(schema.KV_A, hidden, query + c.latent_dim))
    found.append(matrix(schema.O, heads * c.v_head_dim, hidden))
    if c.q_lora_rank is not None:
        found.append(matrix(schema.Q_B, c.q_lora_rank, heads * c.qk_head_dim))
    if absorbed:  # into latent space and out of it, a matrix a head
        for width in (c.qk_nope_head_dim, c.v_head_dim):
            found.append(linear.cost(tokens, width * heads, c.kv_lora_rank, BF16))
    ranks = c.kv_lora_rank, c.qk_rope_head_dim
    found.append(attention.cost(query_lens, seq_lens, heads, *ranks, cache_bytes, absorbed))
    return found


def _network_costs(c: ModelConfig, layer: int, tokens: int, distinct: float) -> list[OpCost]:
    """A layer's network, with the norm before it."""
    hidden, found = c.hidden_size, [norm.cost(tokens, c.hidden_size, residual=True)]
    if not c.is_moe(layer):
        gate, down = (held_format(c, row, layer, packed=True) for row in (schema.DENSE.gate, schema.DENSE.down))
        found.append(linear.cost(tokens, hidden, 2 * c.intermediate_size, gate))
        found.append(linear.cost(tokens, c.intermediate_size, hidden, down))
        return found
    width, shared, top_k = c.moe_intermediate_size, c.n_shared_experts, c.router.top_k
    routed, own = (held_format(c, row, layer, packed=True) for row in (schema.EXPERT.down, schema.SHARED.down))
    alike = shared if own == routed else 0
    found.append(router.cost(tokens, hidden, c.n_routed_experts, top_k))
    found.append(moe.cost(tokens, hidden, width, top_k + alike, round(distinct) + alike, routed))
    if shared > alike:
        found.append(moe.cost(tokens, hidden, width, shared, shared, own))
    return found


def decode_costs(
    config: ModelConfig,
    batch: int,
    context: int,
    drafts: int,
    distinct: tuple[float, float],
    cache_bytes: int = 2,
    pools: int = 1,
) -> list[OpCost]:
    """The least that a decode step costs, with its drafts: the rows that are verified; the MTP layer over them, then a
    row a sequence and draft, and the head's logits for each.

    Args:
        distinct: routed experts touched by all rows of a step, and by one a sequence.
        cache_bytes, pools: as `step_costs` has them.
    """
    lens = [1 + drafts] * batch, [context] * batch
    total = step_costs(config, *lens, distinct[0], batch * (1 + drafts), cache_bytes, pools)
    layer, hidden = replace(config, num_hidden_layers=1, first_k_dense_replace=0), config.hidden_size
    projection = held_format(config, schema.MTP_PROJECTION, config.num_hidden_layers, packed=True)
    for draft in range(drafts):
        rows, touched = (1, distinct[1]) if draft else (1 + drafts, distinct[0])
        total.append(linear.cost(-(-batch // pools) * rows, 2 * hidden, hidden, projection))
        total += step_costs(layer, [rows] * batch, [context] * batch, touched, batch, cache_bytes, pools)
    return total


def decode_rows(
    name: str,
    batches: Iterable[int],
    contexts: Iterable[int],
    ceilings: Ceilings,
    layers: int | None = None,
    energy: bool = False,
    device: str = "cuda",
    settings: ModelSettings | None = None,
    drafts: int = 0,
    acceptance: float = 1.0,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Iterator[StepRow]:
    """Times decode steps, greedy sampling included, for every batch and context, as the engine's runner runs them.

    Args:
        ceilings: what the device gives at most.
        layers: cut the model to this depth.
        energy: read the energy counter over two seconds of steps as well.
        settings: the limit is that of e4m3 rows for all formats of activations.
        drafts: of the MTP layer, a step; they are verified and drafted as served.
        acceptance: tokens a step of a sequence with drafts, on average.
        progress: told how many rows are done, how many there are, and of which the next is.

    Raises:
        ConfigError: no such config, or no MTP layer to draft with.
    """
    config, settings, batches = bench_config(name, layers, drafts > 0), settings or ModelSettings(), list(batches)
    contexts, done = list(contexts), 0
    model = random_transformer(config, device, packed=settings.four_bits == "packed")
    graphed, width = GraphedModel(settings.of(model), max_rows=max(batches) * (1 + drafts)), 1 + drafts
    for context in contexts:
        steps = DecodeSteps(graphed, max(batches), context, drafts, acceptance)
        for batch in batches:
            progress(done, len(contexts) * len(batches), f"batch {batch} over {context}")
            done += 1
            distinct = steps.distinct(batch * width, graphed.model)
            one = distinct if not drafts else steps.distinct(batch, graphed.model)
            measured = steps.measure(batch, rounds=5)
            joules = steps.measure(batch, seconds=2.0).joules if energy else None
            cached = steps.runner.latent.dtype.itemsize
            costs = decode_costs(config, batch, context, drafts, (distinct, one), cached)
            yield step_row(
                name, config, batch, context, distinct, measured._replace(joules=joules), costs, ceilings,
                cache_dtype=settings.cache_dtype, activations=settings.activations, drafts=drafts,
            )  # fmt: skip
        steps.runner.close()  # the next cache may need its memory

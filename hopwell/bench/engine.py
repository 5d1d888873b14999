"""Decode steps of whole models at real sizes, random weights, beside the least time that their bytes take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hopwell.bench.models import bench_config, random_transformer
from hopwell.bench.timing import capture, graph_joules, graph_seconds
from hopwell.limits.cost import OpCost
from hopwell.model.config import ModelConfig
from hopwell.model.decode import Decoder
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
    """The bytes at the measured read bandwidth, beside the time."""
    millijoules_per_token: float | None


def step_cost(config: ModelConfig, batch: int, context: int, distinct: float) -> OpCost:
    """The least a decode step costs: weights of what is touched once, caches once, activations in and out."""
    c, hidden = config, config.hidden_size
    fmt = "plain" if c.weight_block_size is None else "fp8_block"
    heads = c.num_attention_heads

    def matrix(width_in: int, width_out: int) -> OpCost:
        return linear.cost(batch, width_in, width_out, fmt)

    query = c.q_lora_rank or heads * c.qk_head_dim
    total = linear.cost(batch, hidden, c.vocab_size, "plain")
    for layer in range(c.num_hidden_layers):
        total += norm.cost(batch, hidden, residual=True) + norm.cost(batch, hidden, residual=True)
        total += matrix(hidden, query + c.latent_dim) + matrix(heads * c.v_head_dim, hidden)
        if c.q_lora_rank is not None:
            total += matrix(c.q_lora_rank, heads * c.qk_head_dim)
        for width in (c.qk_nope_head_dim, c.v_head_dim):
            total += linear.cost(batch, width * heads, c.kv_lora_rank, "plain")
        total += attention.cost([1] * batch, [context] * batch, heads)
        if not c.is_moe(layer):
            total += matrix(hidden, 2 * c.intermediate_size) + matrix(c.intermediate_size, hidden)
            continue
        width, shared = c.moe_intermediate_size, c.n_shared_experts
        total += router.cost(batch, hidden, c.n_routed_experts, c.router.top_k)
        total += moe.cost(batch, hidden, width, c.router.top_k + shared, round(distinct) + shared, fmt)
    return total


def decode_rows(
    name: str,
    batches: Iterable[int],
    contexts: Iterable[int],
    bytes_per_s: float,
    layers: int | None = None,
    energy: bool = False,
    device: str = "cuda",
) -> Iterator[StepRow]:
    """Times a decode step, greedy sampling included, for every batch and context.

    Args:
        bytes_per_s: what the device reads at most, as `Ceilings` measured it.
        layers: cut the model to this depth.
        energy: read the energy counter over two seconds of steps as well.
    """
    config = bench_config(name, layers)
    decoder = Decoder.of(random_transformer(config, device))
    for context in contexts:
        for batch in batches:
            inputs = random_inputs(config, batch, context, device)
            distinct = _distinct(decoder, inputs)
            graph = capture(partial(_greedy_step, decoder, inputs))
            seconds = graph_seconds(graph)
            joules = graph_joules(graph, seconds) if energy else None
            cost = step_cost(config, batch, context, distinct)
            yield StepRow(
                name, config.num_hidden_layers, batch, context, distinct, seconds * 1e3, cost.bytes / 1e9,
                cost.bytes / seconds / 1e9, 100 * cost.bytes / bytes_per_s / seconds,
                None if joules is None else 1e3 * joules / batch,
            )  # fmt: skip
            del inputs, graph  # the next cache may need their memory


@dataclass(frozen=True)
class StepInputs:
    """A decode step's inputs: `batch` sequences of `context` tokens, the last one new, on pages in random order."""

    tokens: Tensor
    positions: Tensor
    page_table: Tensor
    latent: Tensor


def random_inputs(config: ModelConfig, batch: int, context: int, device: str) -> StepInputs:
    """Random tokens and a cache full of random latents."""
    pages = -(-context // PAGE)
    shape = (config.num_hidden_layers, batch * pages, PAGE, config.latent_dim)
    return StepInputs(
        torch.randint(config.vocab_size, (batch,), device=device),
        torch.full((batch,), context - 1, device=device),
        torch.randperm(batch * pages, device=device).int().view(batch, pages),
        torch.randn(shape, device=device, dtype=torch.bfloat16),
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

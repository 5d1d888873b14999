"""The least that each op must move and compute, on one GPU: (bytes, FLOPs).

The same numbers as the `cost()` of `hopwell/ops/`, which needs torch; tests/planner/test_work.py holds them together.
"""

from __future__ import annotations

BYTES_PER_WEIGHT = {"bf16": 2.0, "fp8": 1.0 + 4 / 128**2, "nvfp4": 0.5625, "int4": 0.53125}
"""With scales: FP8 blocks of 128 x 128, NVFP4 groups of 16 with an e4m3 scale, INT4 groups of 64 with bf16's."""
CACHE_BYTES = {"bf16": 2, "fp8": 1}
"""Of a cached value."""


def linear(tokens: float, width_in: float, width_out: float, weights: str) -> tuple[float, float]:
    """Weights once, activations in bf16 in and out."""
    matrix = width_in * width_out
    return BYTES_PER_WEIGHT[weights] * matrix + 2 * tokens * (width_in + width_out), 2 * tokens * matrix


def heads_product(tokens: float, heads: float, width_in: int, width_out: int) -> tuple[float, float]:
    """One bf16 matrix a head: queries into the latent space, outputs out of it."""
    matrix = heads * width_in * width_out
    return 2 * matrix + 2 * tokens * heads * (width_in + width_out), 2 * tokens * matrix


def absorbed_attention(
    sequences: float, queries: float, context: float, heads: float, rank: int, rope: int, cache: str
) -> tuple[float, float]:
    """Each of `sequences` brings `queries` tokens to `context` cached rows, its own among them; each row is read once
    for all heads."""
    row, tokens = rank + rope, sequences * queries
    pairs = sequences * (queries * (context - queries) + queries * (queries + 1) / 2)
    moved = CACHE_BYTES[cache] * row * sequences * context + 2 * tokens * heads * (row + rank)
    return moved, 2 * heads * (row + rank) * pairs


def prompt_attention(
    tokens: float, context: float, heads: float, rank: int, rope: int, head: float, cache: str
) -> tuple[float, float]:
    """One prompt's `tokens` new rows, the last of `context`; keys and values, `head` wide on average, are rebuilt for
    every head."""
    pairs = tokens * (context - tokens) + tokens * (tokens + 1) / 2
    rebuilt = 2 * context * heads * rank * 2 * head
    moved = CACHE_BYTES[cache] * (rank + rope) * context + 2 * tokens * heads * (2 * head + rope)
    return moved, 2 * heads * (2 * head + rope) * pairs + rebuilt


def distinct_experts(experts: int, top_k: int, tokens: float) -> float:
    """How many of `experts` at least one of `tokens` chooses, if all are equally likely."""
    return experts * (1 - (1 - top_k / experts) ** tokens)


def arrivals(tokens: float, top_k: float, groups: int) -> float:
    """How many of `tokens` choose an expert of one of `groups` that share all experts out."""
    return tokens * (1 - (1 - 1 / groups) ** top_k)


def routed_experts(
    tokens: float, hidden: int, width: float, top_k: float, distinct: float, weights: str
) -> tuple[float, float]:
    """`distinct` experts of `width` read once; each of the tokens that come here meets `top_k` of them on average."""
    matrix = 3 * hidden * width
    return BYTES_PER_WEIGHT[weights] * matrix * distinct + 4 * tokens * hidden, 2 * tokens * top_k * matrix

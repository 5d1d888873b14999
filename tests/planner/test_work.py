"""The planner's bytes and FLOPs are those of the ops' own `cost()`."""

from __future__ import annotations

from hopwell.ops import attention, linear, moe
from hopwell.planner import work


def close(found: tuple[float, float], cost: object) -> bool:
    moved, flops = found
    return abs(moved - cost.bytes) <= 1 + 1e-9 * cost.bytes and abs(flops - cost.flops) <= 1  # type: ignore[attr-defined]


def test_linears_and_experts_cost_what_the_ops_say() -> None:
    for tokens, width_in, width_out in ((1, 7168, 2112), (33, 1536, 24576)):
        assert close(work.linear(tokens, width_in, width_out, "fp8"), linear.cost(tokens, width_in, width_out))
    found = work.routed_experts(8, 7168, 2048, 8, 57, "fp8")
    assert close(found, moe.cost(8, 7168, 2048, 8, 57))


def test_attention_costs_what_the_op_says() -> None:
    for sequences, queries, context, heads, name, size in ((1, 1, 1024, 128, "bf16", 2), (7, 3, 5000, 16, "fp8", 1)):
        found = work.absorbed_attention(sequences, queries, context, heads, 512, 64, name)
        assert close(found, attention.cost([queries] * sequences, [context] * sequences, heads, cache_bytes=size))
    found = work.prompt_attention(100, 300, 16, 512, 64, 128, "bf16")
    assert close(found, attention.cost([100], [300], 16, absorbed=False))


def test_distinct_experts() -> None:
    assert work.distinct_experts(256, 8, 1) == 8
    assert abs(work.distinct_experts(256, 8, 32) - 163) < 1 and work.distinct_experts(256, 8, 10_000) > 255.9

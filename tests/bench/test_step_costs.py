"""What a step costs at least: bytes and FLOPs of the shapes, and the limit that follows."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")

from hopwell.bench.engine import step_costs
from hopwell.bench.models import bench_config
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.model.config import ConfigError


def test_a_step_of_r1_costs_what_its_tensors_weigh() -> None:
    config = bench_config("r1-tp8")
    cost = sum(step_costs(config, [1], [1], 8), OpCost(0, 0))
    # from the shapes: attention 187.1 M weights of R1 less seven eighths of what tensor parallelism shares out
    attention = 7168 * 2112 + 1536 * 3072 + 2048 * 7168 + 2 * (2 * 16 * 128 * 512)
    moe = 9 * 3 * 7168 * 256 + 2 * 256 * 7168
    dense, head = 3 * 7168 * 2304, 2 * 16160 * 7168
    weights = 61 * attention + 58 * moe + 3 * dense + head
    assert cost.bytes == pytest.approx(weights, rel=0.01)  # activations, scales and norms are the rest
    longer = sum(step_costs(config, [1], [1001], 8), OpCost(0, 0))
    assert longer.bytes - cost.bytes == 1000 * 576 * 2 * 61
    assert longer.flops > cost.flops
    halved = sum(step_costs(config, [1], [1001], 8, cache_bytes=1), OpCost(0, 0))
    assert longer.bytes - halved.bytes == 1001 * 576 * 61


def test_a_prompt_of_r1_costs_what_its_products_take() -> None:
    """16,384 tokens of one GPU's share: FLOPs from the shapes, written out once more."""
    config, tokens = bench_config("r1-tp8"), 16384
    costs = step_costs(config, [tokens], [tokens], 256)
    weights = 7168 * 2112 + 1536 * 3072 + 2048 * 7168  # read by every token, in each layer
    experts, dense = 9 * 3 * 7168 * 256 + 256 * 7168, 3 * 7168 * 2304
    pairs = tokens * (tokens + 1) // 2
    heads = 16 * (2 * (128 + 64 + 128) * pairs + 2 * tokens * 512 * 256)
    want = 2 * tokens * (61 * weights + 58 * experts + 3 * dense) + 61 * heads + 2 * 7168 * 16160
    want += 2 * 61 * 4 * tokens * 7168  # norms
    assert sum(c.flops for c in costs) == want
    assert {c.format for c in costs if c.flops > 1e12} == {"fp8", "bf16"}


def test_the_limit_is_the_slower_of_memory_and_matrix_unit() -> None:
    limit = Ceilings("test", read_bytes_per_s=4e12, copy_bytes_per_s=4e12, bf16_flops_per_s=8e14, fp8_flops_per_s=1e15)
    assert limit.floor_of([OpCost(4_000_000, 0)]) == pytest.approx(1e-6)
    assert limit.floor_of([OpCost(1, 8_000_000_000)]) == pytest.approx(1e-5)
    assert limit.floor_of([OpCost(1, 1_000_000_000, "fp8")]) == pytest.approx(1e-6)
    both = [OpCost(1, 8_000_000_000), OpCost(1, 1_000_000_000, "fp8")]
    assert limit.floor_of(both) == pytest.approx(1.1e-5)
    assert limit.floor_of([OpCost(80_000_000, 1), *both]) == pytest.approx(2e-5)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ConfigError, match="r1-tp9"):
        bench_config("r1-tp9")

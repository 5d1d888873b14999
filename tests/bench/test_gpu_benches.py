"""The GPU benches: costs add up, and every case runs (interpreted and small without a GPU)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

from hopwell.bench.engine import random_inputs, step_cost
from hopwell.bench.models import bench_config, random_transformer
from hopwell.bench.ops import decode_cases
from hopwell.limits.ceilings import Ceilings
from hopwell.limits.cost import OpCost
from hopwell.model.config import ConfigError
from hopwell.model.decode import Decoder
from hopwell.ops.router import RouterConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def test_a_step_of_r1_costs_what_its_tensors_weigh() -> None:
    config = bench_config("r1-tp8")
    cost = step_cost(config, 1, 1, 8)
    # from the shapes: attention 187.1 M weights of R1 less seven eighths of what tensor parallelism shares out
    attention = 7168 * 2112 + 1536 * 3072 + 2048 * 7168 + 2 * (2 * 16 * 128 * 512)
    moe = 9 * 3 * 7168 * 256 + 2 * 256 * 7168
    dense, head = 3 * 7168 * 2304, 2 * 16160 * 7168
    weights = 61 * attention + 58 * moe + 3 * dense + head
    assert cost.bytes == pytest.approx(weights, rel=0.01)  # activations, scales and norms are the rest
    longer = step_cost(config, 1, 1001, 8)
    assert longer.bytes - cost.bytes == 1000 * 576 * 2 * 61
    assert longer.flops > cost.flops


def test_every_op_case_runs_and_costs_something() -> None:
    config = replace(
        bench_config("r1-tp8", layers=2), vocab_size=160, hidden_size=256, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=8, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
        max_position_embeddings=256, router=RouterConfig(2, 4, 2, "sigmoid", True, 2.5),
    )  # fmt: skip
    decoder = Decoder.of(random_transformer(config, DEVICE))
    cases = decode_cases(decoder, batch=2, context=65)
    assert len({case.op for case in cases}) == len(cases) == 14
    for case in cases:
        case.run(0)
        assert case.cost.bytes > 0, case.op


def test_inputs_fill_the_cache_with_each_sequences_own_pages() -> None:
    inputs = random_inputs(bench_config("v2-lite", layers=2), batch=3, context=130, device="cpu")
    assert inputs.latent.shape == (2, 9, 64, 576)
    assert sorted(inputs.page_table.flatten().tolist()) == list(range(9))


def test_the_limit_is_the_slower_of_memory_and_matrix_unit() -> None:
    limit = Ceilings("test", read_bytes_per_s=4e12, copy_bytes_per_s=4e12, bf16_flops_per_s=8e14, fp8_flops_per_s=1e15)
    assert limit.floor_seconds(OpCost(4_000_000, 0)) == pytest.approx(1e-6)
    assert limit.floor_seconds(OpCost(1, 8_000_000_000)) == pytest.approx(1e-5)
    assert limit.floor_seconds(OpCost(1, 1_000_000_000, "fp8")) == pytest.approx(1e-6)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ConfigError, match="r1-tp9"):
        bench_config("r1-tp9")

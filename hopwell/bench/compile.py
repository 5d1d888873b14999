"""Compiles a model's kernels for Hopper and Blackwell without a GPU: `python -m hopwell.bench.compile r1-tp8`.

Prints a JSON list, one entry a kernel and architecture: registers, local memory, shared memory, matrix instructions.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch

from hopwell.bench.models import bench_config, random_transformer
from hopwell.model.decode import Decoder
from hopwell.ops import attention_triton, tokens_triton
from hopwell.ops.aot import Launch, compile_all, record


def model_launches(model: str, batches: list[int]) -> list[Launch]:
    """The distinct kernels of decode steps at these batches (a dense layer, an MoE layer, the head, the choice), and
    the attention of a prompt."""
    config = bench_config(model, layers=2)
    decoder = Decoder.of(random_transformer(config, "meta"))
    latent = torch.empty(2, 64, 64, config.latent_dim, dtype=torch.bfloat16, device="meta")

    def step(batch: int) -> None:
        ids = torch.empty(batch, dtype=torch.int64, device="meta")
        table = torch.empty(batch, 32, dtype=torch.int32, device="meta")
        tokens_triton.argmax(decoder.step(ids, ids, table, latent))

    def prompt(tokens: int, length: int) -> None:
        heads, nope, rope = config.num_attention_heads, config.qk_nope_head_dim, config.qk_rope_head_dim
        shapes = ((tokens, heads, nope), (tokens, heads, rope), (heads, length, nope), (length, rope))
        q_nope, q_rope, keys, k_rope, values = (
            torch.empty(shape, dtype=torch.bfloat16, device="meta")
            for shape in (*shapes, (heads, length, config.v_head_dim))
        )
        attention_triton.prefill(q_nope, q_rope, keys, k_rope, values, config.softmax_scale)

    launches = {launch: None for batch in batches for launch in record(lambda b=batch: step(b))}
    return [*launches, *record(lambda: prompt(2048, 4096))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--archs", type=int, nargs="+", default=[90, 100])
    options = parser.parse_args()
    print(
        json.dumps(
            [asdict(c) for c in compile_all(model_launches(options.model, options.batches), options.archs)], indent=1
        )
    )

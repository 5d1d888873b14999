"""Compiles a model's decode step for Hopper and Blackwell without a GPU: `python -m hopwell.bench.compile r1-tp8`.

Prints a JSON list, one entry a kernel and architecture: registers, local memory, shared memory, matrix instructions.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch

from hopwell.bench.models import bench_config, random_transformer
from hopwell.model.decode import Decoder
from hopwell.ops import tokens_triton
from hopwell.ops.aot import Compiled, Launch, compile_all, record


def decode_launches(model: str, batches: list[int]) -> list[Launch]:
    """The distinct kernels of decode steps at these batches: one dense layer, one MoE layer, the head, the choice."""
    config = bench_config(model, layers=2)
    decoder = Decoder.of(random_transformer(config, "meta"))
    latent = torch.empty(2, 64, 64, config.latent_dim, dtype=torch.bfloat16, device="meta")

    def step(batch: int) -> None:
        ids = torch.empty(batch, dtype=torch.int64, device="meta")
        table = torch.empty(batch, 32, dtype=torch.int32, device="meta")
        tokens_triton.argmax(decoder.step(ids, ids, table, latent))

    launches = {launch: None for batch in batches for launch in record(lambda b=batch: step(b))}
    return list(launches)


def compile_decode(model: str, batches: list[int], archs: list[int]) -> list[Compiled]:
    """See `decode_launches`, compiled."""
    return compile_all(decode_launches(model, batches), archs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--archs", type=int, nargs="+", default=[90, 100])
    options = parser.parse_args()
    print(json.dumps([asdict(c) for c in compile_decode(options.model, options.batches, options.archs)], indent=1))

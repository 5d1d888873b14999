"""Ranks of the chain of kernels, interpreted: `fused_rank.py FOLDER WORLD tp|dp`. The folder has a checkpoint, a file
of inboxes and one to meet in; the ranks leave their results there."""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from forked import fork_ranks
from quick_interpreter import quicken
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.graphs import GraphedModel
from hopwell.model import schema
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.fused import FusedTransformer
from hopwell.model.loading import Loader
from hopwell.model.sharding import Shard
from hopwell.model.transformer import Transformer
from hopwell.ops.device import Device, target
from hopwell.ops.exchange_triton import Inboxes
from hopwell.parallel.gpus import GpuExchange
from hopwell.parallel.group import open_group
from hopwell.parallel.layout import Layout

ROWS, FUSED_ROWS = 3, 2
"""Of the first step, whose sums the process group makes, and of the second, whose sums the kernel makes."""
STEPS = 2


def model_of(folder: Path, shard: Shard | None) -> Transformer:
    """The model, or a rank's share of it, in bf16 as the kernels want it."""
    checkpoint = Checkpoint.open(folder)
    config = ModelConfig.from_dict(checkpoint.config)
    source = WeightSource(checkpoint)
    for name in schema.unread(config):
        source.skip(name)
    loader = Loader(source, config, torch.device("cpu"), torch.bfloat16, shard=shard)
    loader.joins_experts = True
    return loader.transformer()


def steps(model: Transformer) -> list[Tensor]:
    """Logits and a draft of steps that follow each other, and the latents they leave."""
    fused, latent = FusedTransformer(model), model.new_latent(4)
    generator = torch.Generator().manual_seed(9)
    latent.copy_(torch.randn(latent.shape, generator=generator))
    table = torch.tensor([[2, 0], [1, 3], [0, 0]], dtype=torch.int32)
    found = []
    for step in range(STEPS):
        rows = ROWS - step
        tokens, positions = torch.tensor([7, 100, 3])[:rows] + step, torch.tensor([5, 65, 0])[:rows] + step
        hidden, scores = fused.forward_and_score(tokens, positions, table[:rows], latent)
        found += [hidden, scores, fused.draft(hidden, tokens + 1, positions, table[:rows], latent)]
    return [*found, latent]


BATCHES: tuple[tuple[list[int], list[int], list[list[int]]], ...] = (
    ([1, 1, 1], [66, 6, 1], [[1, 0], [3, 0], [2, 0]]),
    ([1], [3], [[3, 0]]),
    ([5, 1], [70, 2], [[2, 3], [0, 0]]),
    ([3], [6], [[0, 1]]),
)
"""New tokens and lengths of sequences, and their pages, of which rank 0 has two and rank 1 as many where attention is
data parallel: decoding, with a rank without rows, and steps too long for a graph, likewise."""


def batches_of(model: Transformer) -> list[Tensor]:
    """Hidden states, logits and a draft of batches that follow each other, as an engine has them computed, and this
    rank's latents."""
    graphed = GraphedModel(model, sizes=(2,) if model.layout.dp_attention else (3,), max_rows=8)
    latent, generator = graphed.new_latent(4), torch.Generator().manual_seed(9)
    shape = (latent.shape[0], 4, *latent.shape[2:])
    first, count = model.layout.rank * 2, 4 // model.layout.pools
    latent[:, :count] = torch.randn(shape, generator=generator)[:, first : first + count].to(latent.dtype)
    found = []
    for query_lens, seq_lens, pages in BATCHES:
        positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
        tokens = positions * 7 % 90 + 3
        batch = ForwardBatch(tokens, positions, query_lens, seq_lens, torch.tensor(pages, dtype=torch.int32))
        hidden, scores = graphed.step(batch, latent)
        found += [each.clone() for each in (hidden, scores)]
        found.append(graphed.draft(hidden.clone(), replace(batch, tokens=tokens + 1), latent).clone())
    return [*found, latent[:, :count]]


def compute(folder: Path, world: int, dp_attention: bool, rank: int) -> None:
    """One rank."""
    target.set(Device("small", 90, 16, interpreted=True))
    width = ModelConfig.from_file(folder).hidden_size
    with (folder / "inboxes").open("r+b") as file:
        shared = torch.frombuffer(mmap.mmap(file.fileno(), 0), dtype=torch.int16).view(world, -1)
    peers = torch.tensor([box.data_ptr() for box in shared])
    layout = Layout(world, rank=rank, dp_attention=dp_attention)
    open_group(os.open(folder / "meeting", os.O_RDWR), layout, torch.device("cpu"), lambda: False)
    exchange = GpuExchange(Inboxes(peers, rank, world, FUSED_ROWS, width), shared)
    what = batches_of if dp_attention else steps
    torch.save(what(model_of(folder, Shard(layout, exchange))), folder / f"{rank}.pt")


if __name__ == "__main__":
    quicken()
    WORLD = int(sys.argv[2])
    fork_ranks(WORLD, partial(compute, Path(sys.argv[1]), WORLD, sys.argv[3] == "dp"))

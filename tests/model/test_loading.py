"""Experts brought by several threads, as to a GPU: the same model, every tensor once, the same fault told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model import NANO, schema
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.model.tree import Apart

DEVICE = torch.device("cpu")


def loader(checkpoint: Checkpoint, readers: int, told: list[int]) -> Loader:
    source = WeightSource(checkpoint, lambda done, total, name: told.append(done))
    config = ModelConfig.from_dict(checkpoint.config)
    for name in schema.unread(config):
        source.skip(name)
    found = Loader(source, config, DEVICE, torch.bfloat16)
    found.keeps_formats, found.readers = True, readers
    return found


def test_several_threads_bring_the_same_model() -> None:
    models, told = [], [list[int](), list[int]()]
    for readers, done in zip((1, 8), told, strict=True):
        checkpoint = Checkpoint.open(NANO)
        each = loader(checkpoint, readers, done)
        models.append(each.transformer())
        each.source.finish()
        assert done == sorted(done) and done[-1] == checkpoint.total_bytes
    assert len(told[0]) == len(told[1])
    one, several = map(Apart, models)
    assert one.tree == several.tree and len(one.runs) > 50
    assert all(map(torch.equal, one.runs, several.runs))


def test_the_first_of_several_faults_is_told() -> None:
    checkpoint = Checkpoint.open(NANO)
    for expert in (9, 3):
        name = f"model.layers.2.mlp.experts.{expert}.down_proj.weight"
        checkpoint.tensors[name] = replace(checkpoint.tensors[name], shape=(7, 7))
    with pytest.raises(CheckpointError, match=r"experts\.3\.down_proj\.weight has shape \[7, 7\]"):
        loader(checkpoint, 8, []).transformer()

"""Where a model's weights come from: a checkpoint, converted as it is read, a packed snapshot, or random numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.engine.device import pick_dtype
from hopwell.model import loading
from hopwell.model.config import ModelConfig
from hopwell.model.loading import load_transformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.sharding import Shard
from hopwell.model.snapshot import Progress, Snapshot, Target
from hopwell.model.synthesis import drawn_at_load
from hopwell.model.transformer import Transformer
from hopwell.parallel.layout import Layout

Weights = Checkpoint | SyntheticWeights | Snapshot


def open_weights(path: Path) -> Weights:
    """What a folder holds; no weights are read yet.

    Raises:
        CheckpointError, ConfigError: it is missing or corrupt, or a snapshot of another version.
    """
    if Snapshot.is_at(path):
        return Snapshot.open(path)
    return drawn_at_load(path) or Checkpoint.open(path)


def config_of(weights: Weights) -> ModelConfig:
    """The whole model's config, without an MTP layer where there are no tensors of one.

    Raises:
        ConfigError: config.json cannot be honoured.
    """
    return weights.model_config if isinstance(weights, Snapshot) else loading.config_of(weights)


def files_of(weights: Weights) -> tuple[list[Path], int]:
    """The files that a load reads, all ranks' together, and how many bytes that is; none where weights are drawn."""
    if isinstance(weights, SyntheticWeights):
        return [], 0
    if isinstance(weights, Snapshot):
        return [weights.path / part.file for part in weights.parts], weights.nbytes
    return sorted({tensor.shard for tensor in weights.tensors.values()}), weights.total_bytes


def dtype_for(weights: Weights, dtype: str, device: torch.device, packed: bool, layout: Layout) -> torch.dtype:
    """A dtype by name, as `pick_dtype` has it; "auto" is a snapshot's own.

    Raises:
        ModelError: it is unknown, or not for this device.
        CheckpointError: a snapshot was packed for something else than these settings.
    """
    if not isinstance(weights, Snapshot):
        return pick_dtype(dtype, device)
    own = weights.target
    wanted = own.kind if dtype in ("auto", own.dtype) else pick_dtype(dtype, device)
    weights.check(Target.of(device, wanted, packed, layout))
    return wanted


def load_weights(
    weights: Weights,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None,
    shard: Shard | None,
    packed: bool,
) -> Transformer:
    """The model, or a rank's share of it; arguments and errors as `load_transformer` has them."""
    if isinstance(weights, Snapshot):
        return weights.load(device, dtype, progress, shard, packed)
    if isinstance(weights, SyntheticWeights) and device.type == "cuda":  # others, faster: in the form that it computes
        config = config_of(weights)
        return random_transformer(config, device, weights.seed, packed, shard=shard, progress=progress)
    return load_transformer(weights, device, dtype, progress, shard, packed)

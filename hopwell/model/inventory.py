"""What a checkpoint of a config holds, and how a folder's shard headers differ from it."""

from __future__ import annotations

from hopwell.checkpoint.audit import Fault, audit
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import WeightReader
from hopwell.checkpoint.spec import TensorSpec
from hopwell.model import schema
from hopwell.model.config import ModelConfig

REMEDY = "fetch the file again, or convert the checkpoint anew"


def inventory(config: ModelConfig) -> list[TensorSpec]:
    """The tensors of a checkpoint of `config`, in the order of the forward pass: see `schema.tensors`."""
    return list(schema.tensors(config))


def check_headers(checkpoint: WeightReader, config: ModelConfig) -> None:
    """Holds shard headers to the config, before any weight is read.

    Raises:
        CheckpointError: a tensor is missing, surplus or not stored as anything that is read here.
    """
    faults = header_faults(checkpoint, config)
    if faults:
        more = f" (and {len(faults) - 1:,} faults more: hopwell inspect)" if len(faults) > 1 else ""
        raise CheckpointError(f"{checkpoint.path}: tensor {faults[0].name} {faults[0].text}{more}; {REMEDY}")


def header_faults(checkpoint: WeightReader, config: ModelConfig) -> list[Fault]:
    """All that shard headers and config disagree about, in the order of the model."""
    return audit(checkpoint, inventory(config), schema.unread(config))

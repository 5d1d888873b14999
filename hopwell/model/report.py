"""Everything that `hopwell inspect` tells about a model, from its config.json and, where there are any, its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hopwell.checkpoint.audit import Fault, audit_values, by_module, kind_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import unread_weights
from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.labels import Label
from hopwell.limits.catalogue import catalogue
from hopwell.model import place_of
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import Fit, PartSize, Weights, fits, latent_bytes, part_sizes, weight_bytes
from hopwell.model.inventory import header_faults, inventory
from hopwell.model.quantization import Quantization
from hopwell.model.schema import MTP_PARTS
from hopwell.model.shipped import find_config


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model, measured without loading it."""

    name: str
    architecture: str
    parts: list[PartSize]
    weights: Weights
    latents: dict[str, int]
    """Bytes a token by the format of the cache, MTP layer included."""
    fits: list[Fit]
    warnings: list[str]
    """Fields of the config that are not known, and how the index disagrees with the shards."""
    faults: list[Fault] | None
    """None: there are no shards to be held to the config."""

    @property
    def tensors(self) -> int:
        return sum(part.tensors for part in self.parts)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    @property
    def parameters(self) -> int:
        """Of the main model."""
        return sum(part.parameters for part in self.parts if part.part not in MTP_PARTS)

    @property
    def mtp_parameters(self) -> int:
        """Of the MTP layer, without its copies."""
        return sum(part.parameters for part in self.parts if part.part == "mtp")

    @property
    def active(self) -> int:
        """Parameters that one token reads."""
        return sum(part.active for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        faults = None
        if self.faults is not None:
            kinds = Counter(fault.kind for fault in self.faults)
            faults = {"counts": dict(kinds), "faults": [asdict(fault) for fault in self.faults]}
        return {
            "name": self.name,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "active_parameters": self.active,
            "mtp_parameters": self.mtp_parameters,
            "tensors": self.tensors,
            "bytes": self.bytes,
            "gpu_bytes": self.weights.total,
            "latent_bytes_per_token": self.latents,
            "parts": [asdict(part) for part in self.parts],
            "fits": [asdict(fit) for fit in self.fits],
            "warnings": self.warnings,
            "accounting": faults,
        }


def inspect_model(
    model: str | None, read: bool = False, progress: Callable[[int, int, str], None] | None = None, packed: bool = False
) -> ModelReport:
    """Measures what a user names: a checkpoint's folder, a config.json, a shipped or a hub name; None is nano.

    Args:
        read: read every value of a folder's tensors too.
        progress: called with bytes read, bytes in all and the tensor's name.
        packed: a GPU keeps matrices of four bits packed.

    Raises:
        ConfigError: there is no config, or it cannot be honoured.
        CheckpointError: a shard cannot be read.
    """
    path = place_of(model)
    config = ModelConfig.from_dict(find_config(model))
    specs = inventory(config)
    warnings = config.warnings
    if path.is_dir() and (found := unread_weights(path)):
        warnings = [*warnings, f"{path.name}: {found}"]
    stored = faults = layouts = None
    if path.is_dir() and any(path.glob("*.safetensors")):
        checkpoint = Checkpoint.open(path)
        stored = list(checkpoint.tensors.values())
        warnings = warnings + checkpoint.warnings
        faults = header_faults(checkpoint, config)
        if read:
            faults += audit_values(checkpoint, progress)
        layouts = {name: kind_of(module) for name, module in by_module(stored).items()}
    elif read:
        if path.is_dir():
            Checkpoint.open(path)  # says why there is none
        raise CheckpointError(f"{model}: holds no *.safetensors file to read; give the folder that does")
    elif config.weight_block_size is None:  # the inventory has R1's own blocks already
        stored = [tensor for spec in specs for tensor in as_described(spec, config.quantization)]
        formats = {spec.module: config.quantization.format_of(spec.module) for spec in specs}
        layouts = {module: label or Label.PLAIN for module, label in formats.items()}
    weights = weight_bytes(specs, layouts, packed, config.quantization)
    return ModelReport(
        name=path.name if path.exists() else str(model),
        architecture=describe(config),
        parts=part_sizes(config, specs, stored),
        weights=weights,
        latents={"bf16": latent_bytes(config), "fp8": latent_bytes(config, 1)},
        fits=fits(config, weights, catalogue().values()),
        warnings=warnings,
        faults=faults,
    )


def as_described(spec: TensorSpec, quantization: Quantization) -> Iterator[TensorSpec]:
    """The tensors in which a checkpoint holds one of the inventory, by what its config says of formats."""
    label = quantization.format_of(spec.module) if spec.quantisable else None
    if label is None:
        yield spec
        return
    for suffix, (shape, dtype) in quantization.tensors(label, (spec.shape[0], spec.shape[1])).items():
        yield TensorSpec(f"{spec.module}.{suffix}", shape, dtype, spec.part)


def describe(config: ModelConfig) -> str:
    """One line: type, depth, attention, experts."""
    c = config
    moe = c.num_hidden_layers - c.first_k_dense_replace
    layers = f"{c.num_hidden_layers} layers ({c.first_k_dense_replace} dense, {moe} with experts)"
    mtp = " and an MTP layer" if c.num_nextn_predict_layers else ""
    experts = f"{c.router.top_k} of {c.n_routed_experts} experts and {c.n_shared_experts} shared"
    return f"{c.model_type}, {layers}{mtp}, {c.num_attention_heads} heads, width {c.hidden_size}, {experts}"

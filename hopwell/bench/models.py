"""Models at real sizes with random weights: what the kernel, layer and engine benches time."""

from __future__ import annotations

from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.shipped import shipped_config, shipped_names, truncate


def bench_config(name: str, layers: int | None = None, mtp: bool = False) -> ModelConfig:
    """A shipped config; `layers` cuts its depth, to one dense layer and the rest MoE.

    Args:
        mtp: with its MTP layer.

    Raises:
        ConfigError: no config of that name is shipped, or it has no MTP layer.
    """
    values = shipped_config(name)
    if values is None:
        raise ConfigError(f"{name!r} is no shipped config; there are: {', '.join(shipped_names())}")
    if layers is not None:
        values = truncate(values, layers, min(layers, 1))
    if mtp and not values.get("num_nextn_predict_layers"):
        raise ConfigError(f"{name} has no MTP layer, so there are no drafts to measure")
    return ModelConfig.from_dict({**values, "num_nextn_predict_layers": int(mtp)})

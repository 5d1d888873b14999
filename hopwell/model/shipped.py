"""The family's configs that ship with the package, and the synthetic models derived from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopwell.model import CONFIGS, place_of, shipped_name
from hopwell.model.config import ConfigError, ModelConfig, read_config
from hopwell.model.hub import HubError, fetch
from hopwell.model.schema import AXES


@dataclass(frozen=True, slots=True)
class Preset:
    """A shipped config, cut to a size that one GPU holds."""

    config: str
    layers: int | None = None
    dense: int | None = None
    tensor_parallel: int = 1


PRESETS = {
    "r1-tp8": Preset("deepseek-r1", tensor_parallel=8),
    "r1-slice": Preset("deepseek-r1", layers=4, dense=1),
    "v2-lite": Preset("deepseek-v2-lite"),
}
"""`r1-tp8`: what one of eight tensor-parallel GPUs holds of R1. `r1-slice`: R1 at full width, 1 dense layer, 3 MoE."""


def shipped_names() -> list[str]:
    """Names that `shipped_config` knows."""
    return [*sorted(path.stem for path in CONFIGS.glob("*.json")), *PRESETS]


def shipped_config(name: str) -> dict[str, Any] | None:
    """The config.json of a shipped config or preset, or None if there is none of that name."""
    if preset := PRESETS.get(name.lower()):
        config = json.loads((CONFIGS / f"{preset.config}.json").read_text(encoding="utf-8"))
        return truncate(tensor_parallel_share(config, preset.tensor_parallel), preset.layers, preset.dense)
    path = CONFIGS / f"{shipped_name(name)}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.parent == CONFIGS and path.exists() else None


def find_config(model: str | None) -> dict[str, Any]:
    """The config.json of what a user names: a folder, a file, a shipped config or preset, a hub name; None is nano.

    Only of a hub name is anything fetched, and then config.json alone.

    Raises:
        ConfigError: there is none, or it is not a JSON object.
    """
    if model is not None and not str(model).strip():
        raise ConfigError("the model's name is empty; give a folder, a file or a name")
    path = place_of(model)
    if path.exists():
        return read_config(path / "config.json" if path.is_dir() else path)
    shipped = shipped_config(str(model))
    return _from_hub(str(model)) if shipped is None else shipped


def _from_hub(model: str) -> dict[str, Any]:
    known = f"shipped configs are {', '.join(shipped_names())}"
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ConfigError(f"{model}: no such folder or file; {known}")
    try:
        return read_config(fetch(model, ["config.json"]) / "config.json")
    except HubError as error:
        raise ConfigError(f"{model}: no such folder or file here, and the hub does not give it: {error}") from None


def truncate(
    config: Mapping[str, Any], layers: int | None = None, dense: int | None = None, mtp: bool | None = None
) -> dict[str, Any]:
    """A config with another depth: `layers` decoder layers, the first `dense` of them without experts, MTP or not.

    Raises:
        ConfigError: the config cannot be honoured, or more dense layers are asked for than there are layers.
    """
    whole = ModelConfig.from_dict(config)
    layers = whole.num_hidden_layers if layers is None else layers
    dense = min(whole.first_k_dense_replace, layers) if dense is None else dense
    if not 0 <= dense <= layers or not layers:
        raise ConfigError(f"{dense} dense layers of {layers} layers cannot be; give --dense at most --layers")
    depth = {"num_hidden_layers": layers, "first_k_dense_replace": dense}
    return {**config, **depth, **({} if mtp is None else {"num_nextn_predict_layers": int(mtp)})}


def tensor_parallel_share(config: Mapping[str, Any], gpus: int) -> dict[str, Any]:
    """The config of what one GPU computes when `gpus` share every layer: heads, widths and vocabulary divided.

    A config has one vocabulary: the embedding, of which each GPU has the whole, counts as many rows as its head.

    Raises:
        ConfigError: a field does not divide.
    """
    fields = [field for axis in AXES.values() for field in axis]
    for field in fields:
        if field in config and config[field] % gpus:
            raise ConfigError(f"config.json: {field} is {config[field]}, which {gpus} GPUs cannot share evenly")
    return {**config, **{field: config[field] // gpus for field in fields if field in config}}

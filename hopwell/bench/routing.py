"""How evenly the routers of synthetic checkpoints spread random tokens, without writing the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.probe import probe
from hopwell.model.shipped import cut, find_config


def routing_rows(models: Iterable[str], routers: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each of the first `routers` routers of each model, behind one dense layer; weights as of `synth`."""
    for model in models:
        values = cut(find_config(model), layers=routers + 1, dense=1, mtp=False)
        config = ModelConfig.from_dict(values)
        about = {"model": model, "experts": config.n_routed_experts, "top_k": config.router.top_k}
        for row in probe(SyntheticWeights(values, inventory(config), seed), routers, seed):
            yield about | {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(row).items()}

"""How evenly the routers of synthetic checkpoints spread random tokens, without writing the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from benchmarks import script
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.probe import probe
from hopwell.model.shipped import find_config, truncate

DEFAULT = ("v2-lite", "r1-tp8", "r1-slice", "kimi-k2")


def routing_rows(models: Iterable[str], routers: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each of the first `routers` routers of each model, behind one dense layer; weights as of `synth`."""
    for model in models:
        values = truncate(find_config(model), layers=routers + 1, dense=1, mtp=False)
        config = ModelConfig.from_dict(values)
        about = {"model": model, "experts": config.n_routed_experts, "top_k": config.router.top_k}
        for row in probe(SyntheticWeights(values, inventory(config), seed), routers, seed):
            yield about | {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(row).items()}


def main(
    model: Annotated[list[str] | None, typer.Argument(help=f"Default: {', '.join(DEFAULT)}.")] = None,
    routers: Annotated[int, typer.Option(min=1, help="Of each model; each but the first makes a layer's experts.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 63) - 1, help="Of weights and tokens.")] = 0,
    out: Out = None,
) -> None:
    """Experts that 128 random tokens touch in a synthetic checkpoint, and the busiest one's load."""
    rows = list(routing_rows(model or DEFAULT, routers, seed))
    print_rows(rows)
    if out is not None:
        write_result(out, "routing", rows, seed=seed)


if __name__ == "__main__":
    script(main)

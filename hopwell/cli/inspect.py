"""`hopwell inspect`: what a model consists of."""

from __future__ import annotations

from typing import Annotated

import typer


def inspect(
    model: Annotated[
        str | None, typer.Argument(help="A checkpoint's folder, a config.json or a shipped name; default: nano.")
    ] = None,
) -> None:
    """Parameters by part, formats, bytes and latents of a model, from its config.json."""
    from hopwell.cli.tables import print_rows
    from hopwell.model.config import ModelConfig
    from hopwell.model.inventory import PARTS, inventory
    from hopwell.model.shipped import find_config

    config = ModelConfig.from_dict(find_config(model))
    specs = inventory(config)
    print_rows([
        {
            "part": words,
            "tensors": f"{sum(s.part == part for s in specs):,}",
            "parameters": f"{sum(s.numel for s in specs if s.part == part and not s.name.endswith('_scale_inv')):,}",
            "bytes": f"{sum(s.nbytes for s in specs if s.part == part):,}",
        }
        for part, words in PARTS.items()
    ])  # fmt: skip

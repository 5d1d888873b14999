"""`hopwell bench routing`: how evenly synthetic checkpoints route."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT = ("v2-lite", "r1-tp8", "r1-slice", "kimi-k2")


def routing(
    model: Annotated[list[str] | None, typer.Argument(help=f"Default: {', '.join(DEFAULT)}.")] = None,
    routers: Annotated[int, typer.Option(min=1, help="Of each model; each but the first makes a layer's experts.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 63) - 1, help="Of weights and tokens.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Experts that 128 random tokens touch in a synthetic checkpoint, and the busiest one's load."""
    from hopwell.bench.result import write_result
    from hopwell.bench.routing import routing_rows
    from hopwell.cli.tables import print_rows

    rows = list(routing_rows(model or DEFAULT, routers, seed))
    print_rows(rows)
    if out is not None:
        write_result(out, "routing", rows, seed=seed)

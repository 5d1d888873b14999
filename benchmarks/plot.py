"""Percent of the limit by batch, drawn from a result that is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import script
from hopwell.bench.plots import plot_limit
from hopwell.errors import HopwellError


def main(
    result: Annotated[Path, typer.Argument(help="A result's JSON file, of engine, layer or against.")],
    png: Annotated[Path, typer.Argument(help="Picture to write.")],
    title: Annotated[str, typer.Option(help="Above the picture.")] = "Decode: percent of the limit",
) -> None:
    """Draw the percent of the limit by batch from a result that is on disk."""
    try:
        rows = json.loads(result.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HopwellError(f"{result}: not a bench's result: {error}; give the file that --out wrote") from None
    print(plot_limit(rows, png, title))


if __name__ == "__main__":
    script(main)

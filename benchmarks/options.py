"""Options that several scripts have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Work = Annotated[Path | None, typer.Option(help="Keep conversions here, and use those that are.")]

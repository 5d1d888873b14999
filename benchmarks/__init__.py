"""Developers' measurements, run from the checkout's root: `python -m benchmarks.NAME`. README.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hopwell.ops.process import own_process

own_process()  # as the command does, before torch is imported
ROOT = Path(__file__).parents[1]


def script(command: Callable[..., None]) -> None:
    """Runs a function as a command line, as `hopwell` runs its own: a fault in the input is a line and exit code 2."""
    import typer

    from hopwell.cli import main

    settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, context_settings=settings)
    app.command()(command)
    main(app)

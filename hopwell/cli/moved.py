"""The old names of what only developers need: for one version they run the script that took their place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

import hopwell
from hopwell.errors import HopwellError

ROOT = Path(hopwell.__file__).parents[1]
"""Of the checkout, if this package lies in one."""
SCRIPTS = {
    **{name: name for name in (
        "activations", "cache", "gpu", "latent", "layer", "nano", "plot", "prefill", "routing", "scaling",
        "scheduler", "speed", "stress", "turns",
    )},
    "ops": "layer",
    "precision": "precision_linears",
    "peers": "precision_peers",
    "budgets": "precision_budgets",
    "conversion": "precision_conversion",
}  # fmt: skip
"""Names that stood behind `hopwell bench`, and modules of `benchmarks/`."""
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Arguments, `--help` among them, that are the script's to understand."""


def check_checkout(script: str) -> None:
    """
    Raises:
        HopwellError: this package lies in no checkout.
    """
    if not (ROOT / "benchmarks" / f"{script}.py").exists():
        raise HopwellError(
            f"this is in the source repository, not in the package: python -m benchmarks.{script} in a checkout's root"
        )


def run_script(script: str, arguments: Iterable[object]) -> int:
    """Says on stderr what it runs in whose place, runs it, and returns its exit code.

    Raises:
        HopwellError: this package lies in no checkout.
    """
    check_checkout(script)
    print(f"moved: python -m benchmarks.{script}", file=sys.stderr, flush=True)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", f"benchmarks.{script}", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


def add_moved(group: typer.Typer) -> None:
    """Adds every old name to `hopwell bench`, unlisted."""
    for name, script in SCRIPTS.items():
        group.command(name, hidden=True, context_settings=ANYTHING)(_runner(script))


def _runner(script: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        raise typer.Exit(run_script(script, context.args))

    return run

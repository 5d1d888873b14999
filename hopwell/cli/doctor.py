"""`hopwell doctor`: what this machine can run."""

from __future__ import annotations

import platform

import typer


def doctor() -> None:
    """Say what this machine can run, and why not the rest."""
    import torch

    from hopwell.ops.linear import cpu_multiplies_bf16

    typer.echo(f"Python {platform.python_version()}, PyTorch {torch.__version__}")
    typer.echo(f"CPU multiplies bf16: {cpu_multiplies_bf16()}")
    typer.echo(f"GPUs: {torch.cuda.device_count()}")

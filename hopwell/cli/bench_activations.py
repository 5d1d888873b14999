"""`hopwell bench activations`: what rounding the rows before FP8 weights costs in accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def activations(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with FP8 weights; default: nano.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Of text to predict, at least.")] = 16384,
    seed: Annotated[int, typer.Option(help="Of the text.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """KL of predictions with rows in bf16 and rounded to e4m3, beside float32 and beside each other."""
    from dataclasses import asdict

    from hopwell.bench.activations import accuracy_rows
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import load_model

    loaded, exact = load_model(model, device, "bfloat16"), load_model(model, device, "float32")
    rows = [asdict(row) for row in accuracy_rows(loaded.model, exact.model, loaded.path, tokens, seed)]
    print_rows([{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in {**row, "top1": f"{row['top1']:.2%}"}.items()}
                for row in rows])  # fmt: skip
    if out is not None:
        write_result(out, "activations", rows, model=loaded.name, seed=seed)

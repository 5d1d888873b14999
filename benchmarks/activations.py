"""Rows before FP8 weights, rounded to e4m3 or left in bf16: what the rounding costs in accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks import script
from benchmarks.options import Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.cli.texts import knows_nanos_tokens, sampled
from hopwell.engine.loading import load_model
from hopwell.model.activations import with_activations
from hopwell.model.batch import ForwardBatch
from hopwell.model.transformer import Transformer
from hopwell.quantization.divergence import Divergence, batches, kl_rows
from training.nano.text import worked_problems


@dataclass(frozen=True)
class AccuracyRow:
    """How far predictions are from a reference's on the same text, the mean over all positions."""

    reference: str
    activations: str
    tokens: int
    kl: float
    """Nats a token."""
    standard_error: float
    p99: float
    top1: float
    """How often both would say the same token."""


@torch.inference_mode()
def accuracy_rows(model: Transformer, exact: Transformer, folder: Path, tokens: int, seed: int) -> list[AccuracyRow]:
    """The model with rows in bf16 and rounded, each beside float32, and one beside the other.

    Args:
        model, exact: the same checkpoint in bf16 and in float32, where nothing but the weights is rounded.
        folder: of the checkpoint: the text is of its own kind, held-out problems for nano.
    """
    pairs = (("float32", "bf16"), ("float32", "fp8"), ("bf16", "fp8"))
    found: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {pair: [] for pair in pairs}
    if knows_nanos_tokens(folder):
        text = worked_problems(folder, tokens, held_out=True, seed=seed)
    else:
        text = sampled(folder, tokens, seed)
    models = {"float32": exact, **{name: with_activations(model, name) for name in ("bf16", "fp8")}}
    for batch in batches(text):
        said = {name: _predict(one, batch) for name, one in models.items()}
        for reference, name in pairs:
            found[reference, name].append(kl_rows(said[reference], said[name]))
    rows = []
    for (reference, name), parts in found.items():
        kl, same = (torch.cat(each) for each in zip(*parts, strict=True))
        d = Divergence.of(kl, same)
        rows.append(AccuracyRow(reference, name, d.tokens, d.mean, d.standard_error, d.p99, d.top1))
    return rows


def _predict(model: Transformer, batch: ForwardBatch) -> Tensor:
    """Log-probabilities, float32 [tokens, vocabulary]."""
    return model.logits(model.forward(batch, model.new_latent(batch.page_table.numel()))).log_softmax(-1)


def main(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with FP8 weights; default: nano.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Of text to predict, at least.")] = 16384,
    seed: Annotated[int, typer.Option(help="Of the text.")] = 1,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """KL of predictions with rows in bf16 and rounded to e4m3, beside float32 and beside each other."""
    loaded, exact = load_model(model, device, "bfloat16"), load_model(model, device, "float32")
    rows = [asdict(row) for row in accuracy_rows(loaded.model, exact.model, loaded.path, tokens, seed)]
    print_rows([{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in {**row, "top1": f"{row['top1']:.2%}"}.items()}
                for row in rows])  # fmt: skip
    if out is not None:
        write_result(out, "activations", rows, model=loaded.name, seed=seed)


if __name__ == "__main__":
    script(main)

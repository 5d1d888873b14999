"""Nano in four bits, each format: what it solves, its weights packed for their kernels and expanded to bf16.

`python -m benchmarks.nano_formats --out FILE` on a GPU. Both ways hold the same values (NVFP4's and MXFP4's exactly),
so log-probabilities may differ by the rounding of activations alone. On a CPU nothing is packed: accuracy alone is
told.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.options import Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows, rounded
from hopwell.engine.describe import weight_bytes
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.errors import HopwellError
from hopwell.formats.packed import PACKABLE
from hopwell.model import NANO
from training.nano.scoring import measure
from training.nano.tasks import TASKS, held_out_problems

LABELS = tuple(str(kind.name) for kind in PACKABLE)
TEXTS = 8
"""Problems whose tokens' log-probabilities are compared."""


def written(label: str, folder: Path, device: str) -> Path:
    """Nano in a format, rounded plainly."""
    out = folder / label.replace(" ", "_")
    command = [sys.executable, "-m", "hopwell", "quantize", str(NANO), str(out), "--plain", "--format", label]
    layout = "compressed-tensors" if label.startswith("int4") else "modelopt"  # which has no INT4
    done = subprocess.run(
        [*command, "--layout", layout, "--device", device], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HopwellError(f"quantize --format {label}: {done.stderr.strip()}")
    return out


def solved(model: Path, ways: Sequence[str], problems: int, seed: int, device: str) -> Iterator[dict[str, Any]]:
    """A row a way of holding the weights; what follows the first is compared with it, token by token."""
    tasks, first = list(TASKS), None
    for way in ways:
        loaded = load_model(model, device=device, settings={"four_bits": way})
        llm = LLM(loaded, four_bits=way, drafts=1)
        runnable = llm.engine.runner.model
        report = measure(llm, problems, seed, tasks, balance=False)
        prompts = [llm.render(held_out_problems(task, 1, seed)[0].messages) for task in tasks[:TEXTS]]
        scored = llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0))
        found = [token.logprob for one in scored for token in one.prompt_logprobs or () if token is not None]
        first = first or found
        late = getattr(runnable, "late", None)
        yield {
            "four_bits": way, "device": loaded.model.device.type,
            "weight_bytes": sum(weight_bytes(loaded.model).values()),
            "problems": problems * len(tasks), "solved": sum(row.right for row in report.rows),
            "least_of_a_task": min(row.accuracy for row in report.rows),
            "mean_logprob_difference": sum(abs(a - b) for a, b in zip(found, first, strict=True)) / len(found),
            "no_kernels": getattr(runnable, "fault", None) or (loaded.unsuited if device != "cpu" else None),
            "compiled_after_ready": late.names if late is not None else None,
            "by_task": {row.task: row.right for row in report.rows},
        }  # fmt: skip
        llm.close()
        loaded.close()


def all_rows(
    problems: int = 25, seed: int = 11, labels: Sequence[str] = LABELS, device: str = "auto"
) -> list[dict[str, Any]]:
    """Nano as it is, then in each format."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    ways = ("expanded",) if device == "cpu" else ("expanded", "packed")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for label in ("source", *labels):
            model = NANO if label == "source" else written(label, Path(folder), device)
            for row in solved(model, ways[:1] if label == "source" else ways, problems, seed, device):
                rows.append({"format": label, **row})
                print(_told(rows[-1]), flush=True)
    return rows


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "by_task"}


def main(
    problems: Annotated[int, typer.Option(min=1, help="Of each task.")] = 25,
    seed: int = 11,
    format: Annotated[list[str] | None, typer.Option(help="As nvfp4; may be repeated. Default: all.")] = None,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Nano in four bits: what it solves with its weights packed, and expanded."""
    if unknown := [label for label in format or () if label not in LABELS]:
        raise typer.BadParameter(f"{unknown[0]!r} is unknown; known: {', '.join(LABELS)}")
    rows = all_rows(problems, seed, format or LABELS, device)
    print_rows([rounded(_told(row)) for row in rows])
    if out is not None:
        print(write_result(out, "nano-formats", rows, seed=seed))
    if any(row["no_kernels"] or row["compiled_after_ready"] for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

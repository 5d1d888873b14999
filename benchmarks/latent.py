"""What an FP8 latent cache costs in accuracy: the same held-out problems, solved from each cache format.

Nano's answers are long (hundreds of tokens of worked arithmetic), each step reading what the ones before it wrote, so a
fault of the cache adds up. Answers are compared problem by problem: formats differ where one is right and one is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from benchmarks import script
from benchmarks.options import Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows, rounded
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.model.latent_cache import page_bytes
from hopwell.ops.sizes import PAGE
from training.nano.scoring import measure
from training.nano.tasks import TASKS


@dataclass(frozen=True)
class LatentRow:
    """One cache format, measured."""

    cache_dtype: str
    bytes_per_token: int
    problems: int
    right: int
    accuracy: float
    points_lost: float
    """Against the first format."""
    only_first_right: int
    only_this_right: int
    generated_tokens: int
    by_task: dict[str, int]
    """Right answers."""
    seconds: float


def latent_rows(
    loaded: LoadedModel,
    problems: int,
    seed: int,
    formats: Sequence[str] = ("bfloat16", "fp8"),
    tasks: Sequence[str] = tuple(TASKS),
) -> Iterator[LatentRow]:
    """Solves `problems` held-out problems of each task once a format, greedily, without drafts."""
    count = problems * len(tasks)
    first: tuple[float, set[str]] | None = None
    for name in formats:
        started = time.perf_counter()
        llm = LLM(loaded, cache_dtype=name, drafts=0)
        report = measure(llm, problems, seed, tasks, balance=False)
        llm.close()
        right = sum(row.right for row in report.rows)
        wrong = {repr(w.problem.messages) for w in report.wrong}
        first = first or (right / count, wrong)
        yield LatentRow(
            name, page_bytes(loaded.model, PAGE) // PAGE, count, right, right / count, 100 * (first[0] - right / count),
            len(wrong - first[1]), len(first[1] - wrong), report.tokens, {row.task: row.right for row in report.rows},
            time.perf_counter() - started,
        )  # fmt: skip


def main(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with nano's tokenizer; default: nano.")] = None,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems a task.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the problems.")] = 7,
    cache_dtype: Annotated[list[str] | None, typer.Option(help="Formats; default: bfloat16 and fp8.")] = None,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Accuracy of nano's answers from an FP8 latent cache beside the bf16 one, on the same problems."""
    found = latent_rows(load_model(model, device), problems, seed, cache_dtype or ("bfloat16", "fp8"))
    rows = [asdict(row) for row in found]
    print_rows([rounded({k: v for k, v in row.items() if k != "by_task"}) for row in rows])
    if out is not None:
        write_result(out, "latent", rows, model=model or "nano", seed=seed)


if __name__ == "__main__":
    script(main)

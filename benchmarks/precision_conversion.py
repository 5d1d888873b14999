"""What a conversion of R1 takes: experts of R1's width converted for real, and what that makes for all of them."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.options import Device, Threads
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.device import pick_device
from hopwell.formats.blocks import FORMATS
from hopwell.model.shipped import shipped_config, truncate
from hopwell.model.synthesis import synthesise
from hopwell.quantization.compensate import compensate
from hopwell.quantization.convert import Conversion
from hopwell.quantization.hessian import Inputs
from hopwell.quantization.plan import Goal, Settings
from hopwell.quantization.stages import REST, Stages
from hopwell.system import peak_memory_bytes

VOCABULARY = 1024
"""Of the slice: embedding and head are not converted."""


def run(
    work: Path, experts: int, tokens: int, format: str, say: Callable[[str], None], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Synthesises one MoE layer of R1's width with a few experts, half of which read every token, and converts it.

    Attention, shared and dense networks stay in FP8, as they do in the conversions of R1 that keep its accuracy.

    Returns:
        Seconds (by stage, too) and bytes of the experts, peak memory, and hours for R1's 58 layers of 256 experts at
        that rate.
    """
    r1 = shipped_config("deepseek-r1")
    assert r1 is not None
    chosen = max(1, experts // 2)
    small = {"n_routed_experts": experts, "num_experts_per_tok": chosen, "n_group": 1, "topk_group": 1}
    small |= {"vocab_size": VOCABULARY}
    synthesise(truncate(r1 | small, 1, 0, False), work / "slice", 0, probed=0)
    rng = random.Random(0)
    sequences = [[rng.randrange(VOCABULARY) for _ in range(256)] for _ in range(-(-tokens // 256))]
    stages = Stages(device)
    marks: list[tuple[float, float, dict[str, float], str]] = []

    def mark(name: str) -> None:
        stages.turn(REST)
        marks.append((time.perf_counter(), time.process_time(), dict(stages.seconds), name))

    writer = "compressed-tensors" if format.startswith("int4") else "modelopt"
    settings = Settings(Goal(format=format), writer=writer, keep=("attention", "dense", "shared_experts"))
    conversion = Conversion(
        work / "slice", work / "out", settings, sequences, say,
        progress=lambda done, total, name: mark(name), device=device,
    )  # fmt: skip
    # a conversion compiles its kernels once, not once an expert: ahead of the clock
    x = torch.randn(512, 256, device=device)
    compensate(x[:256], Inputs.of(x), FORMATS[format])
    with stages:
        mark("start")
        rows = {row.name: row for row in conversion.candidates.make()}
        of_experts = [row for row in rows.values() if row.part == "routed_experts"]
        mark(of_experts[-1].name)  # the layer's file holds nothing else
    spent = [(b[0] - a[0], b[1] - a[1], a[2], b[2], rows[b[3]]) for a, b in pairwise(marks)]
    own = [each for each in spent if each[-1].part == "routed_experts"]
    seconds, cpu = sum(wall for wall, *_ in own), sum(cpu for _, cpu, *_ in own)
    by_stage = {
        name: sum(after.get(name, 0.0) - before.get(name, 0.0) for _, _, before, after, _ in own) / experts
        for name in stages.seconds
    }
    size = sum(row.source_bytes for row in of_experts)
    before, after = (
        sum(sum(row.formats[format][key]) for row in of_experts) / (3 * experts) for key in ("before", "after")
    )
    moe_layers = r1["num_hidden_layers"] - r1["first_k_dense_replace"]
    return {
        "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "CPU",
        "format": format,
        "experts": experts,
        "calibration_tokens": sum(map(len, conversion.fit)),
        "tokens_an_expert": sum(row.tokens for row in of_experts) / len(of_experts),
        "seconds_an_expert": seconds / experts,
        **{f"seconds_of_{name}": spent for name, spent in by_stage.items()},
        "cpu_seconds_an_expert": cpu / experts,
        "seconds_of_the_rest": sum(wall for wall, *_, row in spent if row.part != "routed_experts"),
        "source_gb_per_second": size / seconds / 1e9,
        "peak_memory_gb": (peak_memory_bytes() or 0) / 1e9,
        "squared_reduction": 1 - after / before,
        "seconds_a_layer_of_256": seconds / experts * r1["n_routed_experts"],
        "hours_for_r1": seconds / experts * r1["n_routed_experts"] * moe_layers / 3600,
    }


def main(
    experts: Annotated[int, typer.Option(min=1, help="Of R1's width, in one layer.")] = 1,
    tokens: Annotated[int, typer.Option(min=2048, help="Of calibration.")] = 4096,
    format: Annotated[str, typer.Option(help="To convert to.")] = "nvfp4",
    work: Annotated[Path | None, typer.Option(help="A new folder for the slice; default: a temporary one.")] = None,
    device: Device = "auto",
    threads: Threads = 2,
    out: Out = None,
) -> None:
    """Seconds, GB/s and memory of `quantize` on experts of R1's width, and the hours that R1 would take."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        row = run((work or Path(place)).absolute(), experts, tokens, format, typer.echo, pick_device(device))
    print_rows([{"": k, "measured": f"{v:.4g}" if isinstance(v, float) else v} for k, v in row.items()])
    if out is not None:
        write_result(out, "precision-conversion", [row], threads=threads)


if __name__ == "__main__":
    script(main)

"""How much of plain rounding's error compensation removes: same format, same tensors, rows that chose nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import script
from benchmarks.options import Threads
from benchmarks.precision_data import LinearCase, minilm_cases
from benchmarks.precision_nano import nano_cases, starving
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError
from hopwell.formats.blocks import FORMATS, FP8_BLOCK, BlockFormat, quantize
from hopwell.formats.layouts import to_compressed_tensors
from hopwell.formats.residual import column_count
from hopwell.model import NANO
from hopwell.quantization.allocate import Choice, allocate_bytes
from hopwell.quantization.compensate import Compensated, Methods, compensate
from hopwell.quantization.hessian import Inputs
from hopwell.quantization.outliers import high_low

PERCENTS = (5, 10, 18, 30, 55)
"""Bytes that residual columns may take."""
EXTRA = (0.05, 0.10, 0.18, 0.25)
"""Bytes beyond the base format's for which the best allocation is reported."""
ABLATIONS = {
    "four_over_six": None,
    "scales": Methods(feedback=False, sweeps=0),
    "gptq": Methods(scales=False, sweeps=0),
    "scales_gptq": Methods(sweeps=0),
    "without_joint": Methods(joint=False),
    "all": Methods(),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One linear in one format: squared errors relative to plain rounding's, on rows that neither fit nor guard saw."""

    set: str
    name: str
    format: str
    shape: tuple[int, int]
    rtn_norm: float
    """Plain rounding: norm of the output error over the output's norm."""
    kept: str
    squared_reduction: float
    norm_reduction: float
    nbytes: int
    """Of the tensors as written to a file."""
    rtn_bytes: int
    seconds: float


@dataclass(slots=True)
class Measured:
    """A row with every alternative at more bytes: (label, bytes, error the guard saw, error on unseen rows)."""

    row: Row
    alternatives: list[tuple[str, int, float, float]]
    rtn: float


def measure(case: LinearCase, fmt: BlockFormat, name: str, extra_bytes: bool = True) -> Measured | None:
    """Compensates one linear in one format, and with `extra_bytes` in every way that takes more. None if the format
    holds the weights exactly, as one does that they were in before."""
    signal = case.judge.error(case.weight)
    plain = quantize(case.weight, fmt)
    rtn = case.judge.error(plain.dequantize() - case.weight)
    if rtn == 0:
        return None
    started = time.perf_counter()
    best = compensate(case.weight, case.inputs, fmt)
    seconds = time.perf_counter() - started

    def unseen(value: Tensor) -> float:
        return case.judge.error(value - case.weight)

    after, size = unseen(best.quantized.dequantize()), file_bytes(to_compressed_tensors(best.quantized))
    row = Row(
        name,
        case.name,
        fmt.name,
        (case.weight.shape[0], case.weight.shape[1]),
        (rtn / signal) ** 0.5,
        best.rung,
        1 - after / rtn,
        1 - (after / rtn) ** 0.5,
        size,
        file_bytes(to_compressed_tensors(plain)),
        seconds,
    )
    alternatives = [("base", size, best.after, after)]
    if extra_bytes:
        alternatives += _alternatives(case, best, unseen)
    return Measured(row, alternatives, rtn)


def _alternatives(
    case: LinearCase, best: Compensated, unseen: Callable[[Tensor], float]
) -> list[tuple[str, int, float, float]]:
    found = []
    fmt = best.quantized.format
    for percent in PERCENTS:
        two = high_low(case.weight, case.inputs, best, column_count(fmt, case.weight.shape, percent))
        size = file_bytes(to_compressed_tensors(two.quantized))
        found.append((f"{fmt.name}+{percent}%", size, two.after, unseen(two.quantized.dequantize())))
    if fmt.bits == 4:
        fp8 = compensate(case.weight, case.inputs, FP8_BLOCK)
        size = file_bytes(to_compressed_tensors(fp8.quantized))
        found.append(("fp8", size, fp8.after, unseen(fp8.quantized.dequantize())))
    return found


def file_bytes(tensors: dict[str, Tensor]) -> int:
    """Bytes that the tensors take in a safetensors file, without its header."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, path)
        return path.stat().st_size - 8 - int.from_bytes(path.read_bytes()[:8], "little")


def summarise(measured: Sequence[Measured]) -> dict[str, Any]:
    """One set in one format: means over its linears, and the best allocation of extra bytes.

    Options are chosen by the errors that calibration's own held-out rows gave; what is reported is measured elsewhere.
    """
    rows = [m.row for m in measured]
    count, base = len(rows), sum(row.rtn_bytes for row in rows)
    result: dict[str, Any] = {
        "set": rows[0].set,
        "format": rows[0].format,
        "linears": count,
        "rtn_norm": sum(r.rtn_norm for r in rows) / count,
        "squared_reduction": sum(r.squared_reduction for r in rows) / count,
        "norm_reduction": sum(r.norm_reduction for r in rows) / count,
        "extra_bytes": sum(r.nbytes for r in rows) / base - 1,
        "worst": min(r.squared_reduction for r in rows),
        "seconds": sum(r.seconds for r in rows),
    }
    result |= {f"{kind}_at_{extra:.0%}": None for extra in EXTRA for kind in ("norm", "squared")}
    if len(measured[0].alternatives) > 1:
        items = {
            str(i): [Choice(label, size, (seen / m.alternatives[0][2]) ** 0.5 * (1 - m.row.norm_reduction))
                     for label, size, seen, _ in m.alternatives]
            for i, m in enumerate(measured)
        }  # fmt: skip
        for extra in EXTRA:
            chosen = allocate_bytes(items, int(base * (1 + extra)))
            after = [
                next(a[3] for a in m.alternatives if a[0] == chosen.chosen[str(i)].label) / m.rtn
                for i, m in enumerate(measured)
            ]
            result[f"norm_at_{extra:.0%}"] = 1 - sum(a**0.5 for a in after) / count
            result[f"squared_at_{extra:.0%}"] = 1 - sum(after) / count
    return result


def ablate(cases: Sequence[LinearCase], fmt: BlockFormat, name: str) -> dict[str, Any]:
    """Mean squared reduction with each method alone and all together, on unseen rows."""
    from hopwell.formats.blocks import tensor_scale_for
    from hopwell.quantization.scales import search_scales

    totals = dict.fromkeys(ABLATIONS, 0.0)
    for case in cases:
        rtn = case.judge.error(quantize(case.weight, fmt).dequantize() - case.weight)
        for label, methods in ABLATIONS.items():
            if methods is None:
                tensor_scale = tensor_scale_for(fmt, case.weight.abs().amax(), room=True)
                scale = search_scales(case.weight, fmt, tensor_scale, None, wide=False)
                q = quantize(case.weight, fmt, scale, tensor_scale)
            else:
                q = compensate(case.weight, case.inputs, fmt, methods).quantized
            totals[label] += 1 - case.judge.error(q.dequantize() - case.weight) / rtn
    return {"set": name, "format": fmt.name} | {k: v / len(cases) for k, v in totals.items()}


def synthetic_expert(rows: int = 2048, columns: int = 7168, tokens: int = 16_384, seed: int = 0) -> LinearCase:
    """A matrix of an R1 expert's size: heavy-tailed weights, inputs with a power-law spectrum and outlier channels."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    chi = torch.zeros(rows, columns)
    for _ in range(6):  # Student's t with six degrees of freedom
        chi += normal(rows, columns).square_()
    weight = normal(rows, columns) * (6.0 / chi).sqrt_() * 0.02
    rank = 1024
    mixing = normal(rank, columns) * torch.arange(1, rank + 1).pow(-0.35).unsqueeze(1) / rank**0.3
    gain = torch.exp(0.5 * normal(columns))
    gain[torch.randperm(columns, generator=generator)[: columns // 200]] *= 8

    def inputs(count: int) -> Tensor:
        return (normal(count, rank) @ mixing + 0.3 * normal(count, columns)) * gain

    return LinearCase("expert gate_proj", weight, Inputs.of(inputs(tokens)), inputs(2048))


def run(
    sets: dict[str, Sequence[LinearCase]],
    formats: Sequence[str],
    extra_bytes: bool,
    ablation: bool,
    say: Callable[[str], None],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Measures every set in every format; with `extra_bytes`, also what more bytes would buy.

    Returns:
        Summaries, ablations, and one row a linear and format.
    """
    summaries, ablations, rows = [], [], []
    for name, cases in sets.items():
        for label in formats:
            fmt = FORMATS[label]
            fits = [c for c in cases if fmt.bits == 8 or c.weight.shape[1] % fmt.columns == 0]
            measured = [m for case in fits if (m := measure(case, fmt, name, extra_bytes)) is not None]
            if not measured:
                say(f"{name} {label}: exact, since its weights were in this format before")
                continue
            summaries.append(summarise(measured))
            rows += [asdict(replace(m.row)) for m in measured]
            if ablation:
                ablations.append(ablate(fits, fmt, name))
            say(f"{name} {label}: squared error {summaries[-1]['squared_reduction']:.1%} lower at no extra bytes")
    return summaries, ablations, rows


def main(
    only: Annotated[list[str] | None, typer.Option(help="minilm, expert, nano or starving; may be repeated.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Only this format; may be repeated.")] = None,
    extra_bytes: Annotated[bool, typer.Option(help="Also what 5 to 25 % more bytes would buy.")] = False,
    ablation: Annotated[bool, typer.Option(help="Each method alone as well.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Of nano's experts, every so manieth.")] = 4,
    threads: Threads = 2,
    out: Out = None,
) -> None:
    """Squared output error against plain rounding in the same format, on rows that nothing was fitted to."""
    torch.set_num_threads(threads)
    makers = {
        "minilm": minilm_cases,
        "expert": lambda: [synthetic_expert()],
        "nano": lambda: nano_cases(NANO, every=every),
    }
    wanted = only or [*makers, "starving"]
    if unknown := set(wanted) - {*makers, "starving"}:
        raise HopwellError(f"--only {min(unknown)} is unknown; known: {', '.join(makers)}, starving")
    formats = format or ["nvfp4", "mxfp4", "int4_g128", "fp8_block"]
    summaries, ablations, rows = run(
        {n: makers[n]() for n in wanted if n in makers}, formats, extra_bytes, ablation, typer.echo
    )
    starved = [starving(NANO)] if "starving" in wanted else []
    shown = ("set", "format", "rtn_norm", "squared_reduction", "norm_reduction", "worst", "norm_at_10%", "norm_at_18%")
    for table in ([{k: row[k] for k in shown} for row in summaries], ablations, starved):
        if table:
            print_rows([{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in table])
    if out is not None:
        write_result(out, "precision", rows, summary=summaries, ablation=ablations, starving=starved)
    worst = min([row["worst"] for row in summaries] + [row["worst_reduction"] for row in starved])
    if worst < 0:
        typer.echo(f"a tensor ended {-worst:.2%} worse than plain rounding", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)

"""The meter's bytes of each op beside the GPU's own counters: what Nsight Compute sees of a decode step's kernels.

    python -m benchmarks.meter_bytes r1-tp8 --layers 3 --batch 8 --batch 128

A step of a model at its real widths with random weights, its kernels one by one. `ncu` empties caches before each and
counts what comes from memory and goes there; the meter says what the op cannot do without. Clocks stay as they are.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from hopwell.bench.models import bench_config
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows, rounded
from hopwell.errors import HopwellError
from hopwell.limits.marks import Lengths, Recorder
from hopwell.model.fused import FusedTransformer
from hopwell.model.op_costs import OpCosts
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.model.transformer import Dense
from hopwell.ops.sizes import PAGE

CONTEXT = 1024
COUNTED = ("dram__bytes_read.sum", "dram__bytes_write.sum")
RANGE = re.compile(r"hopwell_(\d+)_")


class Ranges(Recorder):
    """Puts the kernels between two marks into a range that the profiler names."""

    def start(self) -> None:
        super().start()
        self._open()

    def mark(self, op: str, rows: int | None = None) -> None:
        super().mark(op, rows)
        torch.cuda.nvtx.range_pop()
        self._open()

    def _open(self) -> None:
        torch.cuda.nvtx.range_push(f"hopwell_{len(self.marks)}_")


def step(name: str, layers: int, batch: int, cache_dtype: str, told: Path) -> None:
    """A step under the profiler, which is started for it alone; its ops and their costs are written to a file."""
    model = random_transformer(bench_config(name, layers), "cuda")
    model = ModelSettings(cache_dtype=cache_dtype).of(model)
    pages = -(-CONTEXT // PAGE)
    latent = model.new_latent(batch * pages)
    for layer in latent:
        layer.copy_(torch.randn(layer.shape, device="cuda", dtype=torch.bfloat16))
    tokens = torch.randint(model.config.vocab_size, (batch,), device="cuda")
    positions = torch.full((batch,), CONTEXT - 1, device="cuda")
    table = torch.randperm(batch * pages, device="cuda").int().view(batch, pages)
    with torch.inference_mode():
        FusedTransformer(model).forward_and_score(tokens, positions, table, latent)  # loads the kernels
        recorder = Ranges()
        recorder.batch(Lengths([1] * batch, [CONTEXT] * batch))
        torch.cuda.synchronize()
        torch.cuda.profiler.start()
        FusedTransformer(model.marked(recorder)).forward_and_score(tokens, positions, table, latent)
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()
        costs, kinds = OpCosts(model), ["dense" if isinstance(each.network, Dense) else "MoE" for each in model.layers]
        ops = []
        for mark in recorder.marks:
            cost = costs.of(mark)
            kind = "" if mark.layer is None else kinds[mark.layer]
            ops.append({"layer": kind, "op": mark.op, "bytes": 0 if cost is None else cost.bytes})
    told.write_text(json.dumps(ops), encoding="utf-8")


def counted(text: str) -> Iterator[tuple[int, float]]:
    """The range and the bytes of each counter of each kernel, of what `ncu --csv` prints."""
    lines = text.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if begin is None:
        raise HopwellError(f"ncu has counted nothing: {lines[-1] if lines else 'it printed nothing'}")
    units = {"byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}
    for row in csv.DictReader(lines[begin:]):
        if row["Metric Name"] not in COUNTED or (where := RANGE.search(" ".join(map(str, row.values())))) is None:
            continue
        yield int(where[1]), float(row["Metric Value"].replace(",", "")) * units[row["Metric Unit"]]


def beside(name: str, layers: int, batch: int, cache_dtype: str) -> list[dict[str, Any]]:
    """A row for each kind of op of a step."""
    with tempfile.TemporaryDirectory() as room:
        told = Path(room) / "ops.json"
        command = [
            "ncu", "--csv", "--page", "details", "--nvtx", "--profile-from-start", "off", "--clock-control", "none",
            "--target-processes", "application-only", "--metrics", ",".join(COUNTED), "--print-nvtx-rename", "kernel",
            sys.executable, "-m", "benchmarks.meter_bytes", name, "--layers", str(layers), "--batch", str(batch),
            "--cache-dtype", cache_dtype, "--inner", str(told),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if not told.exists():
            raise HopwellError(f"the step under ncu has failed: {(ran.stderr or ran.stdout).strip()[-300:]}")
        ops = json.loads(told.read_text(encoding="utf-8"))
    seen = [0.0] * (len(ops) + 1)
    for where, size in counted(ran.stdout):
        seen[where] += size
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for op, size in zip(ops, seen, strict=False):
        key = op["layer"], op["op"]
        row = found.setdefault(
            key, {"model": name, "batch": batch, "layer": key[0], "op": key[1], "megabytes": 0.0, "counted": 0.0}
        )
        row["megabytes"] += op["bytes"] / 1e6
        row["counted"] += size / 1e6
    rows = sorted(found.values(), key=lambda row: -row["megabytes"])
    total = {"model": name, "batch": batch, "layer": "", "op": "all"}
    total |= {each: sum(row[each] for row in rows) for each in ("megabytes", "counted")}
    return [{**row, "ratio": row["megabytes"] / row["counted"] if row["counted"] else None} for row in [total, *rows]]


def main(
    model: Annotated[str, typer.Argument(help="A shipped config.")],
    layers: Annotated[int, typer.Option(min=1)] = 3,
    batch: Annotated[list[int] | None, typer.Option(min=1)] = None,
    cache_dtype: str = "auto",
    inner: Annotated[Path | None, typer.Option(hidden=True)] = None,
    out: Out = None,
) -> None:
    """Megabytes of each op by the meter and by the GPU's counters."""
    batches = batch or [8, 128]
    if inner is not None:
        step(model, layers, batches[0], cache_dtype, inner)
        return
    if shutil.which("ncu") is None:
        raise HopwellError("ncu is not on the PATH; it comes with NVIDIA's CUDA toolkit")
    rows = [row for each in batches for row in beside(model, layers, each, cache_dtype)]
    print_rows([rounded(row) for row in rows])
    if out is not None:
        write_result(out, "meter-bytes", rows, context=CONTEXT)


if __name__ == "__main__":
    script(main)

"""Public measurements of the family that AIConfigurator's wheel records, as settings that the planner can be asked."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hopwell.limits.catalogue import find_gpu
from hopwell.planner.engines import find_engine
from hopwell.planner.layout import Layout
from hopwell.planner.model import read_model
from hopwell.planner.serving import Load, Point, Serving
from hopwell.planner.step import Machine

SAMPLE = "aiconfigurator_core/systems/silicon_sample.csv"
PRECISIONS = {"fp8": "fp8", "fp4": "nvfp4", "int4": "int4"}
MODELS = {"deepseek-ai/DeepSeek-V3": "deepseek-r1", "moonshotai/Kimi-K2.5": "kimi-k2"}
"""Under "DeepSeek-V3" stand the rows of R1 whose configuration has a number; those have no MTP, which the file does not
mark: others at the same setting, without a number, are up to twice as fast. K2.5 decodes as K2 does, and has no MTP at
all: its rows need no number."""
NOMINAL = 0.9
"""InferenceX draws lengths from 0.8 to 1.0 of what it names."""
ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    model: str
    gpu: str
    engine: str
    precision: str
    date: str
    layout: Layout
    input: int
    output: int
    users: int
    config: int
    """0: it has no number."""
    tpot_ms: float
    ttft_ms: float

    @property
    def load(self) -> Load:
        return Load(NOMINAL * self.input, NOMINAL * self.output)

    @property
    def tokens_per_s(self) -> float:
        """Output, a GPU."""
        load = self.load
        return self.users * load.output / (self.ttft_ms + load.output * self.tpot_ms) * 1e3 / self.layout.gpus


@dataclass(frozen=True, slots=True)
class Pair:
    """A measurement and what the planner says; of both ms, and output tokens a second a GPU."""

    row: Row
    machine: Machine
    point: Point

    @property
    def tpot(self) -> float:
        """Relative error, signed."""
        return self.point.tpot_ms / self.row.tpot_ms - 1

    @property
    def ttft(self) -> float:
        return self.point.ttft_ms / self.row.ttft_ms - 1

    @property
    def tokens(self) -> float:
        return self.predicted_tokens / self.row.tokens_per_s - 1

    @property
    def predicted_tokens(self) -> float:
        return self.point.requests_per_s * self.row.load.output / self.row.layout.gpus


def public(wheel: Path) -> Iterator[Row]:
    """Rows of aggregated serving on one host, twice recorded ones once."""
    with zipfile.ZipFile(wheel) as file:
        text = file.read(SAMPLE).decode("utf-8")
    rows = [row for row in map(_row, csv.DictReader(io.StringIO(text))) if row is not None]
    seen = set()
    for row in sorted(rows, key=lambda row: not row.config):
        same = replace(row, config=0, date="") if row.model == "kimi-k2" else row
        if same not in seen:
            seen.add(same)
            yield row


def _row(values: dict[str, str]) -> Row | None:
    """One that the planner can be asked, or none."""
    note, gpu = values["silicon_data_source"], values["system"].split("_")[0].upper()
    model = MODELS.get(values["model_path"], "")
    config = re.search(r"config_id=(\d+)", note)
    users = re.search(r"silicon_concurrency=(\d+)", note)
    date = re.search(r"measured=(\d{4}-\d\d-\d\d)", note)
    marked = config is not None or model == "kimi-k2"
    if values["mode"] != "agg" or not model or gpu.startswith("GB") or users is None or date is None or not marked:
        return None
    return Row(
        model, gpu, values["backend"], PRECISIONS[values["precision"]], date[1], layout_of(values),
        int(values["isl"]), int(values["osl"]), int(users[1]), int(config[1]) if config else 0,
        float(values["silicon_tpot_ms"]), float(values["silicon_ttft_ms"]),
    )  # fmt: skip


def layout_of(values: dict[str, str]) -> Layout:
    """Where experts are shared out the file has each size times that number: 64, 1, 8, 8 is TP8 EP8. K2.5's 4, 4, 1, 16
    stands elsewhere in it, to the millisecond, as 4, 1, 1, 4."""
    tp, dp = int(values["tp_size"]), int(values["attention_dp_size"])
    cut, whole = int(values["moe_tp_size"]), int(values["moe_ep_size"])
    if cut == whole > 1:
        return Layout(whole if tp > 1 else 1, whole if dp > 1 else 1, 1, whole)
    if cut == 1 and tp == dp > 1 and whole == tp * dp:
        return Layout(tp, 1, 1, tp)
    return Layout(tp, dp, cut, whole)


def predict(row: Row) -> Pair | None:
    """The planner's view of a row; None where it says that the model does not fit."""
    gpu, engine = find_gpu(row.gpu), find_engine(row.engine)
    machine = Machine(read_model(row.model), engine.precision(row.precision, gpu), row.layout, gpu, engine)
    serving = Serving(machine, row.load)
    return Pair(row, machine, serving.at(row.users, ROUNDS)) if serving.limit >= 1 else None

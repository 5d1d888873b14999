"""What stands behind a figure: shares of a step by how their constants were come by, and the nearest public rows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

from hopwell.limits.catalogue import find_gpu
from hopwell.planner.engines import find_engine
from hopwell.planner.kernels import EVIDENCE
from hopwell.planner.layout import Layout
from hopwell.planner.model import read_model
from hopwell.planner.question import Option, Question
from hopwell.planner.serving import Load
from hopwell.planner.setting import Setting

PATH = Path(__file__).with_name("public.toml")


@dataclass(frozen=True, slots=True)
class PublicRow:
    """R1 as somebody else measured it, and what the planner says of the same."""

    gpu: str
    engine: str
    version: str
    date: str
    precision: str
    layout: Layout
    input: int
    output: int
    users: int
    tpot_ms: float
    ttft_ms: float
    config: int

    @property
    def title(self) -> str:
        where = (
            f"R1 on {self.layout.gpus} x {self.gpu}, {self.precision} {self.layout.name}, {self.engine} {self.version}"
        )
        return f"{where}, {self.date}, {self.input}/{self.output}, {self.users} users"

    def predicted_tpot_ms(self) -> float:
        """ms between tokens of the same configuration, by the model."""
        gpu, engine = find_gpu(self.gpu), find_engine(self.engine)
        setting = Setting(read_model("deepseek-r1"), gpu, engine, engine.precision(self.precision, gpu), self.layout)
        load = Load(_file()["nominal"] * self.input, _file()["nominal"] * self.output)
        return setting.predict(load, self.users, _file()["rounds"]).tpot_ms


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(PATH.read_text(encoding="utf-8"))


@cache
def public_rows() -> tuple[PublicRow, ...]:
    """The selection that ships."""
    names = [field.name for field in fields(PublicRow)]
    rows = ({**dict(zip(names, row, strict=True)), "layout": Layout(*row[5])} for row in _file()["rows"])
    return tuple(PublicRow(**row) for row in rows)


def nearest_rows(option: Option, question: Question) -> list[PublicRow]:
    """The two whose setting is most like an option's."""
    each = max(1.0, option.point.users / option.layout.gpus)

    def distance(row: PublicRow) -> float:
        apart = 4.0 * (row.gpu != option.gpu.name) + 2.0 * (row.precision != option.precision.name)
        apart += 1.0 * (row.engine != option.engine.name) + 0.5 * (row.layout != option.layout)
        apart += abs(log2(row.input / question.load.input)) + abs(log2(row.output / question.load.output))
        return apart + 0.5 * abs(log2(row.users / row.layout.gpus / each))

    return sorted(public_rows(), key=distance)[:2]


def shares(option: Option) -> dict[str, float]:
    """Of a decode step's time, the share that rests on each kind of evidence."""
    found: dict[str, float] = {kind: 0.0 for kind in EVIDENCE}
    for op in option.point.decode:
        found[op.evidence] += op.us / option.point.decode_us
    return found

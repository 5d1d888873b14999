"""A prediction beside what was measured: a line of JSON each in a file that grows, and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hopwell.checkpoint.files import write_text
from hopwell.planner.calibration import Loaded
from hopwell.planner.report import spread
from hopwell.planner.setting import Setting
from hopwell.planner.uncertainty import FIRST_ERROR, Band, band, step_error

FIGURES = {"tpot_ms": "ms a token", "ttft_ms": "ms to first", "tokens_per_s": "tokens/s"}


def predicted(setting: Setting, load: Loaded) -> dict[str, Band]:
    """What the planner says of a load, by the names of `FIGURES`.

    Raises:
        PlanError: the model does not fit with a request of that length.
    """
    serving = setting.serving(load.load)
    point = serving.at(load.users, load.rounds)
    sigma = step_error(serving.machine, point, setting.drafts)
    return {
        "tpot_ms": band(point.tpot_ms, sigma),
        "ttft_ms": band(point.ttft_ms, FIRST_ERROR),
        "tokens_per_s": band(point.requests_per_s * load.output, sigma),
    }


def beside(setting: Setting, load: Loaded) -> dict[str, Any]:
    """Predicted, measured and the relative error of each figure.

    Raises:
        PlanError: as `predicted`.
    """
    said = predicted(setting, load)
    return {
        "users": load.users, "input": load.input, "output": load.output,
        "predicted": {name: said[name]._asdict() for name in FIGURES},
        "measured": {name: getattr(load, name) for name in FIGURES},
        "error": {name: said[name].p50 / getattr(load, name) - 1 for name in FIGURES},
        "within": {name: said[name].p10 <= getattr(load, name) <= said[name].p90 for name in FIGURES},
    }  # fmt: skip


def rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A table of `beside`: a row a load and figure."""
    return [
        {
            "users": f"{each['users']}", "in / out": f"{each['input']:,.0f} / {each['output']:,.0f}", "figure": title,
            "predicted": spread(Band(**each["predicted"][name])), "measured": f"{each['measured'][name]:,.4g}",
            "error": f"{100 * each['error'][name]:+.0f} %",
        }
        for each in found
        for name, title in FIGURES.items()
    ]  # fmt: skip


def append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Adds lines to a file of JSON lines; whoever interrupts leaves it as it was.

    Raises:
        CheckpointError: the file cannot be written.
    """
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, old + "".join(f"{json.dumps(line)}\n" for line in lines))

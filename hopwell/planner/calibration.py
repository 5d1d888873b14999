"""What somebody has measured on his own GPU and of his own server, kept in a folder, and put in place of what ships.

The folder holds measurements, dated, with what they were made on; constants of a server are worked out when it is read,
from predictions of that day's model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from hopwell.checkpoint.files import write_text
from hopwell.errors import HopwellError
from hopwell.limits.catalogue import Gpu, find_gpu
from hopwell.planner.engines import Engine, Served
from hopwell.planner.kernels import Kernel, timed_kernel
from hopwell.planner.model import PlanError
from hopwell.planner.serving import Load
from hopwell.planner.setting import Setting
from hopwell.system import cache_folder

LEAST_ERROR = 0.03
"""Relative: a server's step is not known better, however well three loads agree."""


class Loaded(NamedTuple):
    """One load of a server, as a client saw it."""

    users: int
    rounds: float
    """Requests a user, which all begin at once."""
    input: float
    output: float
    """Tokens, the means."""
    tpot_ms: float
    ttft_ms: float
    tokens_per_s: float

    @property
    def load(self) -> Load:
        return Load(self.input, self.output)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that a folder holds; by itself: nothing."""

    kernels: Mapping[str, Mapping[tuple[str, str], Kernel]] = field(default_factory=dict)
    """Hopwell's, by GPU, then family and format."""
    servers: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    """By engine and GPU."""
    told: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """When and on what, by `kernels` or an engine's name, and GPU."""

    def applied(self, engine: Engine, gpu: Gpu) -> Engine:
        """An engine with what is known of it on a GPU."""
        served = self.servers.get((engine.name, gpu.name))
        engine = with_kernels(engine, self.kernels.get(gpu.name, {}))
        return replace(engine, served=served, error=served.error) if served else engine

    def about(self, engine: Engine, gpu: Gpu) -> list[str]:
        """What of it serves an engine on a GPU, in words."""
        keys = [(engine.name, gpu.name)]
        if engine.own:
            keys.append(("kernels", gpu.name))
        return [self.told[key] for key in keys if key in self.told]


NOTHING = Calibration()


def read_calibration(folder: Path | None = None) -> Calibration:
    """What the folder holds; None: the machine's own. An empty or missing one holds nothing.

    Raises:
        PlanError: a file is not as `write_kernels` and `write_server` make them.
    """
    kernels: dict[str, Mapping[tuple[str, str], Kernel]] = {}
    servers: dict[tuple[str, str], Served] = {}
    told: dict[tuple[str, str], str] = {}
    for path in sorted((folder or place()).glob("*.json")):  # kernels-* come before server-*
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            if path.name.startswith("kernels-"):
                gpu = find_gpu(held["gpu"])
                kernels[gpu.name] = {(e["family"], e["format"]): timed_kernel(e, gpu) for e in held["kernels"]}
                told["kernels", gpu.name] = f"kernels of {held['device']}, measured on {held['date'][:10]}"
            elif path.name.startswith("server-"):
                setting, rows = Setting.from_json(held["setting"]), [Loaded(*row) for row in held["rows"]]
                key = setting.engine.name, setting.gpu.name
                own = with_kernels(setting.engine, kernels.get(setting.gpu.name, {}))
                servers[key] = fit_served(replace(setting, engine=own), rows)
                told[key] = f"{setting.name}: {len(rows)} loads, measured on {held['date'][:10]}"
        except (OSError, ValueError, LookupError, TypeError, HopwellError) as error:
            raise PlanError(
                f"{path}: cannot be read as a calibration ({error}); delete it, calibrate again, or plan with "
                "--no-calibrated"
            ) from None
    return Calibration(kernels, servers, told)


def with_kernels(engine: Engine, own: Mapping[tuple[str, str], Kernel]) -> Engine:
    """An engine with kernels timed by whoever asks, if they are its own."""
    return replace(engine, own=own) if own and engine.kernels == "hopwell" else engine


def place() -> Path:
    """The machine's folder of calibrations."""
    return cache_folder() / "planner"


def write_kernels(
    entries: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    gpu: Gpu,
    about: Mapping[str, Any],
    folder: Path | None = None,
) -> Path:
    """Keeps a GPU's kernels, in place of what was kept of it; whole or not at all.

    Args:
        entries: families with their four numbers, as kernels.toml has them.
        rows: what was timed.
        about: date, device, versions.
    """
    return _write(
        f"kernels-{gpu.name}", {**about, "gpu": gpu.name, "kernels": list(entries), "rows": list(rows)}, folder
    )


def write_server(
    setting: Setting, rows: Sequence[Loaded], about: Mapping[str, Any], folder: Path | None = None
) -> Path:
    """Keeps what a server has shown, in place of what was kept of the engine on that GPU."""
    held = {**about, "setting": setting.as_json(), "columns": Loaded._fields, "rows": [list(row) for row in rows]}
    return _write(f"server-{setting.engine.name}-{setting.gpu.name}", held, folder)


def _write(name: str, held: Mapping[str, Any], folder: Path | None) -> Path:
    path = (folder or place()) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(held, indent=1) + "\n")
    return path


def fit_served(setting: Setting, rows: Sequence[Loaded]) -> Served:
    """A factor on steps, the host's time and a factor on the rest of the first token's, from a few loads.

    Raises:
        PlanError: the model does not hold a request of such a load.
    """
    plain = replace(setting, engine=replace(setting.engine, served=None))
    off = [log(row.tpot_ms / plain.predict(row.load, row.users, row.rounds).tpot_ms) for row in rows]
    step = exp(sum(off) / len(off))
    spread = sqrt(sum((each - log(step)) ** 2 for each in off) / max(1, len(off) - 1))
    known = Served(step, 0.0, 1.0, max(LEAST_ERROR, spread))
    rest = replace(setting, engine=replace(setting.engine, served=known))
    points = [(rest.predict(row.load, row.users, row.rounds).ttft_ms, row.ttft_ms) for row in rows]
    host, factor = line(points)
    return replace(known, host_us=1e3 * host, first=factor)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares of relative errors: what to add and to multiply by, neither negative."""
    best = (float("inf"), 0.0, 1.0)
    weight = sum((x / y) ** 2 for x, y in points)
    for share in range(101):
        add = min(y for _, y in points) * share / 100
        factor = max(0.0, sum((x / y) * (1 - add / y) for x, y in points) / weight)
        best = min(best, (sum(((add + factor * x) / y - 1) ** 2 for x, y in points), add, factor))
    return best[1], best[2]

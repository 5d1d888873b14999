"""One server as it runs: model, GPUs, engine, precision, layout and drafts, all given; and what is predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hopwell.limits.catalogue import Gpu, find_gpu, parse_cluster
from hopwell.planner.engines import Engine, find_engine
from hopwell.planner.layout import Layout, layouts
from hopwell.planner.model import Model, PlanError, Precision
from hopwell.planner.serving import Load, Point, Serving
from hopwell.planner.step import Machine


@dataclass(frozen=True, slots=True)
class Setting:
    """One replica."""

    model: Model
    gpu: Gpu
    engine: Engine
    precision: Precision
    layout: Layout
    drafts: int = 0

    @property
    def name(self) -> str:
        mtp = f", MTP {self.drafts}" if self.drafts else ""
        where = f"{self.layout.gpus} x {self.gpu.name}"
        return f"{self.model.name} on {where}, {self.engine.title} {self.precision.name} {self.layout.name}{mtp}"

    def serving(self, load: Load) -> Serving:
        """The replica under a load.

        Raises:
            PlanError: it does not hold one request of it.
        """
        machine = Machine(self.model, self.precision, self.layout, self.gpu, self.engine)
        serving = Serving(machine, load, self.drafts)
        if serving.limit < 1:
            raise PlanError(f"{self.name}: does not fit with one request of that length; is --layout right?")
        return serving

    def predict(self, load: Load, users: float, rounds: float = 0.0) -> Point:
        """What `users` of a closed loop see; `rounds` as `Serving.at` has them.

        Raises:
            PlanError: it does not hold one request of that load.
        """
        return self.serving(load).at(users, rounds)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": asdict(self.model), "gpu": self.gpu.name, "engine": self.engine.name,
            "precision": self.precision.name, "layout": asdict(self.layout), "drafts": self.drafts,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Setting:
        """
        Raises:
            KeyError, TypeError, HopwellError: it is no setting.
        """
        gpu, engine = find_gpu(values["gpu"]), find_engine(values["engine"])
        precision, layout = engine.precision(values["precision"], gpu), Layout(**values["layout"])
        return cls(Model(**values["model"]), gpu, engine, precision, layout, values["drafts"])


def parse_setting(
    model: Model, gpus: str, engine: str, precision: str | None, layout: str | None, drafts: int
) -> Setting:
    """A setting in words.

    Args:
        gpus: as 8xh200.
        precision: None: as the model was released.
        layout: as the planner and engines name it, such as TP8, DP8 EP8; None: heads and experts cut among all GPUs.

    Raises:
        CatalogueError, PlanError: the message names the option at fault and what it may be.
    """
    count, gpu = parse_cluster(gpus, "--gpus")
    profile = find_engine(engine, "--engine")
    name = precision or model.stored
    if name not in profile.precisions:
        raise PlanError(
            f"--precision: {name!r} is not known of {profile.title}; give {' or '.join(profile.precisions)}"
        )
    ways = {_plain(each.name): each for each in layouts(model, gpu, name, (count,))}
    wanted = _plain(layout) if layout else next(iter(ways), "")
    if wanted not in ways:
        known = ", ".join(each.name for each in ways.values()) or "none: another number of GPUs"
        raise PlanError(f"--layout: {layout!r} is none of {count} x {gpu.name}; give {known}")
    counts = (0, *profile.mtp) if model.num_nextn_predict_layers else (0,)
    if drafts not in counts:
        known = " or ".join(map(str, counts))
        raise PlanError(f"--drafts: {drafts} is not known of {model.name} and {profile.title}; give {known}")
    return Setting(model, gpu, profile, profile.precision(name, gpu), ways[wanted], drafts)


def _plain(layout: str) -> str:
    return "".join(sign for sign in layout.lower() if sign.isalnum()).replace("x", "")

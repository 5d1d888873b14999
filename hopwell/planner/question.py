"""What is asked: a model, GPUs, a load, promises; and the options that answer it."""

from __future__ import annotations

from dataclasses import dataclass

from hopwell.limits.catalogue import Gpu
from hopwell.planner.calibration import NOTHING, Calibration
from hopwell.planner.engines import Engine
from hopwell.planner.layout import Layout
from hopwell.planner.memory import Memory
from hopwell.planner.model import Model, Precision
from hopwell.planner.serving import Load, Point
from hopwell.planner.step import Machine
from hopwell.planner.uncertainty import Band, quotient


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind of GPU, and how many there are of it; None: as many as it takes."""

    gpu: Gpu
    most: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the planner."""

    model: Model
    gpus: tuple[Wanted, ...]
    load: Load
    ttft_ms: float
    tpot_ms: float
    rate: float | None = None
    """Requests a second; else `users` in a closed loop; with neither, one replica at its best."""
    users: float | None = None
    sure: float = 0.8
    """Chance with which promises shall be kept."""
    by: str = "price"
    engines: tuple[str, ...] = ()
    """Empty: those that run the layout today."""
    precisions: tuple[str, ...] = ()
    """Empty: all that the model and the engine allow."""
    mtp: bool = True
    disaggregated: bool = True
    calibration: Calibration = NOTHING
    """What was measured by whoever asks."""
    layouts: tuple[Layout, ...] | None = None
    """Of a replica; None: all that are worth a try."""
    cache: str | None = None
    """Format of the latents: "bf16" or "fp8"; None: the engine's default with a precision."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Replicas that compute prompts alone."""

    layout: Layout
    replicas: int


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve the load, at that load."""

    gpu: Gpu
    engine: Engine
    precision: Precision
    layout: Layout
    drafts: int
    replicas: int
    prompts: Prompts | None
    memory: Memory
    machine: Machine
    point: Point
    """Of one replica."""
    sigma: float
    tpot_ms: Band
    ttft_ms: Band
    tokens_per_s: Band
    """Output tokens of all GPUs together, at the load; without one, at the most that keeps the promises. A rate that
    is given is certain."""
    capacity: Band
    """Output tokens a second of all GPUs together at the most users that keep the promises."""
    most_users: float
    """Of a replica, that keep the promises."""
    watts: Band
    """At the meter, all GPUs."""
    dollars_per_hour: Band

    @property
    def gpus(self) -> int:
        prompts = self.prompts.replicas * self.prompts.layout.gpus if self.prompts else 0
        return self.replicas * self.layout.gpus + prompts

    @property
    def dollars_per_million(self) -> Band:
        """Output tokens."""
        return quotient(self.dollars_per_hour, self.tokens_per_s.times(3600 / 1e6))

    @property
    def joules_per_token(self) -> Band:
        return quotient(self.watts, self.tokens_per_s)

    @property
    def name(self) -> str:
        """`16 x H200, SGLang FP8 TP8, MTP 1`."""
        apart = f" + prompts {self.prompts.layout.name}" if self.prompts else ""
        mtp = f", MTP {self.drafts}" if self.drafts else ""
        return (
            f"{self.gpus} x {self.gpu.name}, {self.engine.title} {self.precision.name} {self.layout.name}{apart}{mtp}"
        )

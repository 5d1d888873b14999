"""What is asked: a model, GPUs, a load, promises; and the options that answer it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from hopwell.limits.catalogue import CatalogueError, Gpu, catalogue, find_gpu
from hopwell.planner.calibration import NOTHING, Calibration
from hopwell.planner.engines import Engine
from hopwell.planner.layout import Layout
from hopwell.planner.memory import Memory
from hopwell.planner.model import Model, PlanError, Precision
from hopwell.planner.serving import Load, Point
from hopwell.planner.step import Machine
from hopwell.planner.uncertainty import Band

CLASSES = {"interactive": (1500.0, 15.0), "server": (2000.0, 80.0), "bulk": (60000.0, 500.0)}
"""Promises of ms to the first token and between tokens: MLPerf's two for R1 (5.1, 6.0), and one for jobs overnight."""


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
    requests_per_s: float
    """Of one of them."""


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
        return _quotient(self.dollars_per_hour, self.tokens_per_s.times(3600 / 1e6))

    @property
    def joules_per_token(self) -> Band:
        return _quotient(self.watts, self.tokens_per_s)

    @property
    def name(self) -> str:
        """`16 x H200, SGLang FP8 TP8, MTP 1`."""
        apart = f" + prompts {self.prompts.layout.name}" if self.prompts else ""
        mtp = f", MTP {self.drafts}" if self.drafts else ""
        return (
            f"{self.gpus} x {self.gpu.name}, {self.engine.title} {self.precision.name} {self.layout.name}{apart}{mtp}"
        )


def _quotient(one: Band, other: Band) -> Band:
    """Of two figures whose errors are independent."""
    spread = ((one.p90 / one.p50 - 1) ** 2 + (other.p90 / other.p50 - 1) ** 2) ** 0.5
    middle = one.p50 / other.p50
    return Band(middle / (1 + spread), middle, middle * (1 + spread))


def parse_gpus(text: str) -> tuple[Wanted, ...]:
    """`h100,16xh200` as GPUs, each with the most that there are.

    Raises:
        PlanError: a GPU is unknown or a count is no number; the message has the nearest names.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(?:(\d+)\s*[xX*]\s*)?(.+)", part)
        count, name = match.groups() if match else (None, part)
        try:
            gpu = find_gpu(name)
        except CatalogueError:
            near = get_close_matches(name.upper(), catalogue(), 3, 0.4) or list(catalogue())
            raise PlanError(f"--gpus: {name!r} is not in the catalogue; nearest are {', '.join(near)}") from None
        if count is not None and int(count) < 1:
            raise PlanError(f"--gpus: {part!r} has no GPU; give a count from 1, or none for as many as it takes")
        found.append(Wanted(gpu, None if count is None else int(count)))
    if not found:
        raise PlanError("--gpus: nothing given; give names as h100,h200,b200 or counts as 16xh100")
    return tuple(found)


UNITS = {
    "tokens": {"": 1.0, "k": 1e3, "m": 1e6},
    "ms": {"": 1.0, "ms": 1.0, "s": 1e3},
}


def parse_number(text: str, option: str, kind: str, low: float, high: float) -> float:
    """`8k` tokens, `2s` or `30ms` as a number of the unit `kind`.

    Raises:
        PlanError: it is none, or out of bounds; the message names the option.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text.lower())
    units = UNITS[kind]
    example = "8k or 8192" if kind == "tokens" else "30ms or 2s"
    if not match or match[2] not in units:
        raise PlanError(f"{option} is {text!r}; give it as {example}")
    value = float(match[1]) * units[match[2]]
    if not low <= value <= high:
        raise PlanError(
            f"{option} is {text!r}; it can be from {low:,.10g} to {high:,.10g}{' ms' if kind == 'ms' else ' tokens'}"
        )
    return value


def parse_load(given: str, made: str, cached: float) -> Load:
    """Tokens of a request.

    Raises:
        PlanError: a length is none.
    """
    return Load(
        parse_number(given, "--input", "tokens", 1, 1e7), parse_number(made, "--output", "tokens", 2, 1e7), cached
    )


def parse_names(text: str, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names with commas between them; none for an empty text.

    Raises:
        PlanError: one is unknown; the message has all.
    """
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if name not in known:
            raise PlanError(f"{option}: {name!r} is not known; give {' or '.join(known)}")
    return names

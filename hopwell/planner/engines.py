"""Engines as profiles: date, version, what they give away beside kernels, and how they start a server."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hopwell.limits.catalogue import Gpu
from hopwell.planner.kernels import Kernel, architecture
from hopwell.planner.layout import Layout
from hopwell.planner.model import Model, PlanError, Precision

PATH = Path(__file__).with_name("engines.toml")
FOUR_BITS = ("nvfp4", "int4")


@dataclass(frozen=True, slots=True)
class Served:
    """What a server of one's own has shown, as constants beside the model's: factors, and the host's time."""

    step: float
    """Of a step's time."""
    host_us: float
    """From a request's arrival to its prompt's first kernel and from its last to the client, in place of `first_us`."""
    first: float
    """Of the rest of the time to the first token."""
    error: float
    """Relative, of a step, once these are in place; in place of the engine's."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine at one version."""

    name: str
    title: str
    version: str
    date: str
    kernels: str
    """Whose constants of kernels.toml serve: `public` tables, or an engine's own."""
    joins_shared: bool
    """Whether the shared expert is one more slice of the routed ones' launch."""
    layer_us: float
    """Norms, RoPE, routing and the gaps between kernels, a layer of a decode step in a CUDA graph."""
    step_us: float
    """Sampling and the host, a decode step."""
    prompt_us: float
    """The same of a step with prompts."""
    prompt_layer_us: float
    passes: float
    """Reads and writes of the hidden state a layer, beside the products'."""
    exchange_saved_us: float
    """Of a sum, what a norm fused into it saves."""
    first_us: Mapping[str, float]
    """From a request's arrival to its prompt's first kernel and from its last to the client, by architecture."""
    memory_fraction: float
    fraction_of_free: bool
    """Whether the fraction is of what weights leave free, or of the whole card."""
    reserve_gib: float
    """For activations, graphs and communication, beside weights and cache."""
    max_sequences: int
    precisions: Mapping[str, Precision]
    mtp: Mapping[int, tuple[float, float, float]]
    """Tokens a step by drafts: P10, median, P90."""
    error: float
    """Relative, of a step, beside the kernels': what a version more or less changes."""
    runs: str
    """Layouts that this version runs: "all", or "tp", tensor-parallel over GPUs of one host, attention cut
    by heads or by sequences."""
    disaggregates: bool
    source: str
    own: Mapping[tuple[str, str], Kernel] = field(default_factory=dict)
    """Kernels timed by whoever asks, by family and format, on the GPU that is asked for."""
    served: Served | None = None
    """What a server of his, on such GPUs, has shown."""
    over_several: float = 0.0
    """Of a decode step over several GPUs, what it takes beside what kernels and exchanges say."""

    def precision(self, name: str, gpu: Gpu) -> Precision:
        """One of `precisions`, with the cache that it has on a GPU."""
        found = self.precisions[name]
        own = gpu.sm >= 100 and found.blackwell_cache
        return replace(found, cache=own) if own else found

    def first_token_us(self, gpu: Gpu, kernels: float) -> float:
        """From a request's arrival to its first token, of which kernels take so long."""
        if self.served:
            return self.served.host_us + self.served.first * kernels
        return self.first_us[architecture(gpu)] + kernels

    def can_run(self, layout: Layout, gpu: Gpu) -> bool:
        """Whether this version lays a model out so; else figures are what kernels allow."""
        if self.runs == "all" or layout.gpus == 1:
            return True
        alike = layout.dp in (1, layout.gpus) and layout.expert_whole == 1 and layout.gpus <= gpu.domain
        return alike and layout.gpus & (layout.gpus - 1) == 0


@cache
def engines() -> Mapping[str, Engine]:
    """All profiles, by name."""
    return {name: _engine(name, entry) for name, entry in tomllib.loads(PATH.read_text(encoding="utf-8")).items()}


def find_engine(name: str, option: str = "--engines") -> Engine:
    """The profile of a name, which a user gave with an option.

    Raises:
        PlanError: there is none; the message names all.
    """
    if name.lower() not in engines():
        raise PlanError(f"{option}: {name!r} is not known; give some of {', '.join(engines())}")
    return engines()[name.lower()]


def precisions_of(model: Model, engine: Engine, gpu: Gpu, wanted: tuple[str, ...]) -> Iterator[Precision]:
    """Those that a model may be served in: as released, or converted to fewer bits."""
    for name in engine.precisions:
        if wanted and name not in wanted:
            continue
        if name == "bf16" and model.stored != "bf16" and "bf16" not in wanted:
            continue
        if name == "fp8" and (gpu.fp8 is None or model.stored in FOUR_BITS):
            continue
        if name == "nvfp4" and gpu.fp4 is None and not (wanted or engine.name == "hopwell"):
            continue
        if name == "int4" and not (wanted or model.stored == "int4" or gpu.fp4 is None):
            continue
        yield engine.precision(name, gpu)


def _engine(name: str, entry: Mapping[str, Any]) -> Engine:
    fields = dict(entry)
    mtp = {int(drafts): (low, middle, high) for drafts, (low, middle, high) in fields.pop("mtp").items()}
    precisions = {label: Precision(label, **formats) for label, formats in fields.pop("precisions").items()}
    return Engine(name=name, mtp=mtp, precisions=precisions, **fields)

"""What `--gpus N` asks, and what is chosen: in a process of its own, for a command that imports no torch and holds no
GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hopwell.control import Child
from hopwell.errors import HopwellError

MAIN = "hopwell.cli.layouts:main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user gave."""

    model: str | None
    gpus: int
    device: str = "auto"
    dtype: str = "auto"
    objective: str = "latency"
    drafts: int | str | None = None
    cache_dtype: str = "auto"
    four_bits: str = "packed"
    tpot_promise_ms: float | None = None
    copies: bool = False
    """Several engines will do."""
    tiers: bool = False
    """There are tiers below the pool, for which ranks must all have the same pages."""

    @classmethod
    def of(
        cls, model: str | None, gpus: int, device: str, dtype: str, settings: Mapping[str, Any], copies: bool = False
    ) -> Asked:
        """With those of an engine's settings that matter, where they were given."""
        names = ("objective", "drafts", "cache_dtype", "four_bits", "tpot_promise_ms")
        told = {name: settings[name] for name in names if settings.get(name) is not None}
        tiers = any(settings.get(name) is not None for name in ("host_cache_gb", "page_store"))
        return cls(model=model, gpus=gpus, device=device, dtype=dtype, copies=copies, tiers=tiers, **told)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A layout as `load_model` takes it, and engines of it."""

    tp: int
    ep: int
    dp_attention: bool
    copies: int
    why: str
    """One line."""


def choose_apart(asked: Asked) -> Chosen:
    """The best layout for the devices of this machine, found in a process that takes torch and a GPU's context with it
    when it ends.

    Raises:
        HopwellError: as `layouts.choose_here`.
    """
    child = Child.start(MAIN)
    try:
        child.control.send("start", **asdict(asked))
        answer = child.control.receive()
    finally:
        child.process.kill()
        child.process.wait()
        child.control.close()
    if answer is None:
        raise HopwellError(f"--gpus {asked.gpus}: the process that looks at the devices has died; see the log")
    if answer.kind == "failed":
        raise HopwellError(answer.fields["reason"])
    return Chosen(**answer.fields)

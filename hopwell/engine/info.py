"""What an engine tells of itself: to the APIs before it, and in a server's banner."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hopwell.cache.prefix import PAGE
from hopwell.engine import wire
from hopwell.engine.config import EngineConfig
from hopwell.engine.describe import weight_bytes
from hopwell.engine.engine import Engine
from hopwell.engine.loaded import LoadedModel
from hopwell.model.activations import entering
from hopwell.model.latent_cache import CACHE_DTYPES
from hopwell.model.snapshot import Snapshot


def info_of(engine: Engine, loaded: LoadedModel | None = None, **phases: float) -> wire.Info:
    """What an engine knows of itself, and of the model that it runs.

    Args:
        phases: seconds of the start, before the model's own.
    """
    in_force = _in_force(engine, loaded)
    return wire.Info(
        model_len=engine.model_len,
        vocab_size=engine.vocab_size,
        batch_invariant=in_force["batch_invariant"],
        settings=asdict(engine.config) | in_force,
        energy=engine.energy is not None,
        about={} if loaded is None else _about(engine, loaded),
        phases=phases if loaded is None else phases | loaded.phases,
        limits={} if loaded is None else loaded.limits,
        pages_of="" if engine.tiering is None else engine.tiering.pages_of,
        snapshot=loaded is not None and Snapshot.is_at(loaded.path),
    )


def _in_force(engine: Engine, loaded: LoadedModel | None) -> dict[str, Any]:
    """What settings of `EngineConfig` that leave a choice have come to, and the layout."""
    latent = engine.runner.latent.dtype
    found: dict[str, Any] = {
        "batch_invariant": engine.config.batch_invariant and (loaded is None or loaded.batch_invariant),
        "hold_prompts": engine.config.hold_prompts and engine.config.objective != "latency",
        "max_model_len": engine.model_len,
        "cache_tokens": engine.metrics.pages_total * PAGE,
        "cache_dtype": next((name for name, dtype in CACHE_DTYPES.items() if dtype == latent), str(latent)[6:]),
    }
    if loaded is None:
        return found
    layout = loaded.layout
    return found | {
        "activations": entering(loaded.model, engine.config.activations),
        "device": loaded.model.device.type,
        "graphs": engine.config.graphs and loaded.model.device.type == "cuda",
        "tp": layout.tp,
        "ep": layout.tp if layout.ep else 1,
        "dp_attention": layout.dp_attention,
    }


def _about(engine: Engine, loaded: LoadedModel) -> dict[str, str]:
    """An engine in a few lines, for a server's banner."""
    c, model, layout = engine.config, loaded.model, loaded.layout
    weights = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in weight_bytes(model).items())
    cache_dtype = "" if c.cache_dtype == "auto" else f" in {c.cache_dtype}"
    shared = f", a part on each of {layout.pools} ranks" if layout.dp_attention else ""
    each = "" if layout.world == 1 else " on rank 0"
    tiers = "" if c.host_cache_gb is None else f", {c.host_cache_gb:g} GB of host memory below"
    tiers += "" if c.disk_cache is None else f", {c.disk_cache_gb:g} GB in {c.disk_cache}"
    tiers += "" if c.page_store is None else f", pages shared through {c.page_store}"
    activations = "" if c.activations is None else f", {c.activations} activations"
    return {
        "model": f"{'' if layout.world == 1 else f'{layout.name} '}on {model.device} ({loaded.path})",
        "precision": f"{str(model.dtype).removeprefix('torch.')}, matrices {weights}{each}{activations}",
        "cache": f"{engine.metrics.pages_total * PAGE:,} tokens{cache_dtype}{shared}, prefix reuse"
        f" {f'on ({c.cache_policy})' if c.prefix_cache else 'off'}{tiers}",
        "limits": f"{engine.model_len:,} tokens a request, {c.max_seqs:,} at once, {c.max_waiting:,} waiting,"
        f" {c.max_batch_tokens:,} tokens a step",
        **({} if c.objective == "latency" else {"objective": _objective(c)}),
        "drafts": (f"as many as pay, {c.drafts} a step at most" if c.adaptive_drafts else f"{c.drafts} a step")
        + (", accepted unseen: answers are wrong" if c.forced_acceptance else ""),
    }


def _objective(config: EngineConfig) -> str:
    """What is held for an objective."""
    steps = "steps come as slowly as promises let them" if config.objective == "energy" else "steps follow each other"
    prompts = ", prompts wait for others" if config.hold_prompts else ""
    promise = config.tpot_promise_ms
    return f"{config.objective}: {steps}{prompts}" + ("" if promise is None else f"; {promise:g} ms a token promised")

"""What a loaded model is made of, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import torch

from hopwell.cache.prefix import PAGE
from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import Layout


def weight_bytes(model: Transformer) -> dict[str, int]:
    """Bytes in memory of the model's matrices by format, the largest first; plain ones are named by their dtype."""
    total: Counter[str] = Counter()
    for weight in _weights(model):
        total[weight.format.name] += weight.stored.nbytes
    return dict(total.most_common())


def matrix_dtypes(model: Transformer) -> set[torch.dtype]:
    """The dtypes that the model's matrices are stored in."""
    return {weight.data.dtype for weight in _weights(model)}


def precision(model: Transformer) -> str:
    """What the model computes in, in a few words: "bfloat16", or "float32, matrices in float16"."""
    name = str(model.dtype).removeprefix("torch.")
    return f"{name}, matrices in float16" if torch.float16 in matrix_dtypes(model) else name


def about(engine: Engine, path: object, model: Transformer, layout: Layout) -> dict[str, str]:
    """An engine in a few lines, for a server's banner.

    Args:
        path: where the model was read from.
        model: this rank's share, whose bytes are told.
    """
    c = engine.config
    weights = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in weight_bytes(model).items())
    cache_dtype = "" if c.cache_dtype == "auto" else f" in {c.cache_dtype}"
    shared = f", a part on each of {layout.pools} ranks" if layout.dp_attention else ""
    each = "" if layout.world == 1 else " on rank 0"
    tiers = "" if c.host_cache_gb is None else f", {c.host_cache_gb:g} GB of host memory below"
    tiers += "" if c.disk_cache is None else f", {c.disk_cache_gb:g} GB in {c.disk_cache}"
    tiers += "" if c.page_store is None else f", pages shared through {c.page_store}"
    activations = "" if c.activations is None else f", {c.activations} activations"
    return {
        "model": f"on {model.device} ({path})" if layout.world == 1 else f"{layout.name} on {model.device} ({path})",
        "precision": f"{str(model.dtype).removeprefix('torch.')}, matrices {weights}{each}{activations}",
        "cache": f"{engine.metrics.pages_total * PAGE:,} tokens{cache_dtype}{shared}, prefix reuse"
        f" {f'on ({c.cache_policy})' if c.prefix_cache else 'off'}{tiers}",
        "limits": f"{engine.model_len:,} tokens a request, {c.max_seqs:,} at once, {c.max_waiting:,} waiting,"
        f" {c.max_batch_tokens:,} tokens a step",
        **({} if c.objective == "latency" else {"objective": objective_words(c)}),
        "drafts": (f"as many as pay, {c.drafts} a step at most" if c.adaptive_drafts else f"{c.drafts} a step")
        + (", accepted unseen: answers are wrong" if c.forced_acceptance else ""),
    }


def _weights(part: object) -> Iterator[Weight]:
    if isinstance(part, Weight):
        yield part
    elif isinstance(part, MoE) and part.joined is not None:
        yield from _weights(replace(part, joined=None))  # the same memory
    elif isinstance(part, list):
        for one in part:
            yield from _weights(one)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _weights(getattr(part, field.name))


def objective_words(config: EngineConfig) -> str:
    """What is held for an objective."""
    steps = "steps come as slowly as promises let them" if config.objective == "energy" else "steps follow each other"
    prompts = ", prompts wait for others" if config.hold_prompts else ""
    promise = config.tpot_promise_ms
    return f"{config.objective}: {steps}{prompts}" + ("" if promise is None else f"; {promise:g} ms a token promised")

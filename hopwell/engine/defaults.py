"""An engine's settings where nobody gave them: by the model, the device and the memory at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from hopwell.engine.config import EngineConfig, EngineConfigError, check_fits, check_types
from hopwell.model.latent_cache import page_bytes, step_bytes
from hopwell.model.settings import ModelSettings
from hopwell.model.transformer import Transformer
from hopwell.ops.device import has_kernels
from hopwell.ops.sizes import MAX_DRAFTS, PAGE
from hopwell.system import memory_bytes

AUTO = "auto"
"""As many drafts as pay."""
CPU_CACHE_BYTES = 1 << 30
"""Taken from the system only as pages are first used."""
CPU_BATCH_TOKENS = 512
GPU_CACHE_SHARE = 0.9
"""Of the memory that the weights and the longest step leave free."""


def engine_config(settings: Mapping[str, Any], device: torch.device, has_mtp: bool) -> EngineConfig:
    """Settings by name; those not given as they suit the device, and a model with or without an MTP layer.

    Raises:
        EngineConfigError: a setting is unknown, out of range, of another type, or would have no effect.
    """
    known = {field.name for field in fields(EngineConfig)}
    if unknown := settings.keys() - known:
        raise EngineConfigError(f"setting {min(unknown)!r} is unknown; known: {', '.join(sorted(known))}")
    drafts = settings.get("drafts", 0)
    if isinstance(drafts, str) and drafts != AUTO:
        raise EngineConfigError(f"drafts is {drafts!r}; give 0 to {MAX_DRAFTS}, or {AUTO!r}")
    check_types({**settings, "drafts": 0 if drafts == AUTO else drafts})
    if settings.get("prefix_cache") is False and settings.get("cache_policy") is not None:
        raise EngineConfigError("cache_policy needs prefix_cache; leave it on, or leave cache_policy out")
    if settings.get("four_bits") == "packed" and device.type != "cuda":
        raise EngineConfigError(f"four_bits is 'packed', which is for GPUs, not for {device.type}; leave it out")
    if settings.get("max_degrees") is not None and device.type != "cuda":
        raise EngineConfigError(f"max_degrees needs a GPU's sensors, through NVML; there are none on {device.type}")
    if settings.get("graphs") and device.type != "cuda":
        raise EngineConfigError(f"graphs are CUDA's, and there are none on {device.type}; leave it out")
    if settings.get("hold_prompts") and settings.get("objective", "latency") == "latency":
        raise EngineConfigError("hold_prompts is for the objectives throughput and energy; leave it out")
    chosen = {"drafts": int(has_mtp), **settings}
    if chosen["drafts"] == AUTO:
        chosen |= {"drafts": MAX_DRAFTS if has_mtp else 0, "adaptive_drafts": has_mtp}
    if device.type == "cuda":  # determinism costs half the speed there: only if asked for
        chosen.setdefault("batch_invariant", False)
        chosen.setdefault("four_bits", "packed" if has_kernels(device) else "expanded")
        chosen.setdefault("overlap", True)
    chosen.setdefault("meter", device.type == "cpu")
    if device.type == "cpu":  # a short chunk's attention stays in the CPU's cache
        seqs = chosen.get("max_seqs", EngineConfig().max_seqs)
        chosen.setdefault("max_batch_tokens", max(CPU_BATCH_TOKENS, seqs * (1 + chosen["drafts"])))
    return EngineConfig(**chosen)


def model_settings(config: EngineConfig) -> ModelSettings:
    """What of an engine's settings its forward pass must know.

    Raises:
        ActivationsError, CacheFormatError, FourBitsError: a format is unknown.
    """
    return ModelSettings(
        cache_dtype=config.cache_dtype,
        activations=config.activations,
        four_bits=config.four_bits,
        batch_invariant=config.batch_invariant,
    )


def cache_pages(model: Transformer, config: EngineConfig) -> int:
    """Pages of the latent cache: as configured, or what memory holds, at most what all slots can fill; of all ranks'
    where each has its own, as many each."""
    c, pools = model.config, model.layout.pools
    if config.cache_tokens is not None:
        if config.cache_tokens < PAGE * pools:
            each = f" for each of {pools} ranks" if pools > 1 else ""
            raise EngineConfigError(f"cache_tokens is {config.cache_tokens}; give {PAGE * pools} or more{each}")
        on_gpu = model.device.type == "cuda"
        memory = torch.cuda.mem_get_info(model.device)[0] if on_gpu else memory_bytes()
        check_fits("cache_tokens", config.cache_tokens, page_bytes(model, PAGE) / PAGE, memory)
        return config.cache_tokens // PAGE // pools * pools
    a_page = page_bytes(model, PAGE)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(model.device)[0] - step_bytes(c, config.max_batch_tokens)
        room = max(0, int(free * GPU_CACHE_SHARE))
    else:
        room = CPU_CACHE_BYTES
    length = config.max_model_len or c.max_position_embeddings
    pages = min(room // a_page, -(-config.max_seqs // pools) * -(-length // PAGE)) * pools
    if not pages:
        raise EngineConfigError(f"memory for the cache is {room:,} bytes, less than one page; free some")
    return pages

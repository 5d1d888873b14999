"""The format of a model's latent cache: its own dtype, or e4m3 codes with two scales a layer.

Scales may be calibrated. Without, they follow from the weights so that no value can saturate: a norm of n values puts
none above sqrt(n) times its weight, and a row of a matrix takes no normalised input further than its own length times
sqrt(n). e4m3 has 15 binary orders of full precision below its largest value, and what occurs lies 5 to 7 below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from hopwell.errors import HopwellError
from hopwell.formats.fp8 import E4M3_MAX
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.model.transformer import Transformer, map_layers
from hopwell.ops.attention import REBUILT_BYTES
from hopwell.ops.paging import CacheScales

CACHE_DTYPES = {"auto": None, "bfloat16": torch.bfloat16, "fp8": torch.float8_e4m3fn}


class CacheFormatError(HopwellError):
    """A format that the latent cache of this model cannot have on this device; the message says why."""


def check_cache(name: str, scales: Sequence[CacheScales] | None = None) -> None:
    """
    Raises:
        CacheFormatError: the name is unknown, or its format has no scales.
    """
    if name not in CACHE_DTYPES:
        raise CacheFormatError(f"cache_dtype is {name!r}; known: {', '.join(CACHE_DTYPES)}")
    if scales is not None and name != "fp8":
        raise CacheFormatError(f"scales were given for cache_dtype {name!r}; only fp8 has scales")


def with_cache(model: Transformer, name: str, scales: Sequence[CacheScales] | None = None) -> Transformer:
    """The model with latent caches of a format, over the same weights.

    Args:
        name: a key of `CACHE_DTYPES`; "auto" is the model's own dtype.
        scales: for "fp8", one a layer in the order of `Transformer.attentions`; None: bounds from the weights.

    Raises:
        CacheFormatError: the name is unknown, the device cannot compute with it, or the scales do not fit.
    """
    check_cache(name, scales)
    fp8, layers = name == "fp8", [*model.layers, *([model.mtp.layer] if model.mtp else [])]
    if fp8 and model.device.type == "cuda" and torch.cuda.get_device_capability(model.device) < (8, 9):
        raise CacheFormatError("cache_dtype is 'fp8', which this GPU does not know; give bfloat16")
    if scales is not None and len(scales) != len(layers):
        raise CacheFormatError(f"{len(scales)} cache scales for {len(layers)} layers; give one a layer")
    if fp8 and scales is None:
        scales = [bounding_scales(layer.attention, layer.input_norm) for layer in layers]
    each = iter(scales or [None] * len(layers))
    found = map_layers(model, lambda layer: replace(layer, attention=replace(layer.attention, cache_scales=next(each))))
    return replace(found, cache_dtype=CACHE_DTYPES[name])


def bounding_scales(attention: MLA, input_norm: torch.Tensor) -> CacheScales:
    """Scales with which no row of this layer can saturate.

    Args:
        input_norm: float32 [hidden], the weight of the norm before `attention`.
    """
    c = attention.config
    latent = math.sqrt(c.kv_lora_rank) * attention.kv_a_norm.abs().max().item()
    key = attention.qkv_a.dequantize(torch.float32)[-c.qk_rope_head_dim :] * input_norm  # [64, hidden]
    pairs = key.square().sum(dim=-1).view(-1, 2).sum(dim=-1)  # RoPE turns pairs: their length is what stays
    rope = math.sqrt(c.hidden_size * pairs.max().item()) * c.rope.table_mscale
    return CacheScales(max(latent, 1e-6) / E4M3_MAX, max(rope, 1e-6) / E4M3_MAX, c.kv_lora_rank)


def page_bytes(model: Transformer, page: int) -> int:
    """Bytes of `page` tokens of the latent cache over all layers."""
    dtype = model.cache_dtype or model.dtype
    return len(model.attentions) * page * model.config.latent_dim * dtype.itemsize


def step_bytes(config: ModelConfig, rows: int) -> int:
    """About what a step of so many rows takes beside weights and cache, at most: on a GPU, by kernels.

    An MoE layer holds each row's experts' inner values and outputs at once; attention, the keys and values rebuilt.
    """
    c = config
    experts = (c.router.top_k + c.n_shared_experts) * (3 * c.moe_intermediate_size + c.hidden_size)
    dense = 3 * c.intermediate_size
    queries = 3 * c.num_attention_heads * c.qk_head_dim
    return 2 * rows * (max(experts, dense) + queries + 8 * c.hidden_size) + REBUILT_BYTES

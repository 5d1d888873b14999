"""RoPE's settings, from `rope_scaling` (as released) or `rope_parameters` (as transformers 5 writes).

They mean what they mean in transformers' `deepseek_v3` and `deepseek_v2`. What DeepSeek's own code and transformers
compute differently is refused, by the field that they disagree about.
"""

from __future__ import annotations

import math

from hopwell.model.reading import ConfigError, FieldReader
from hopwell.ops.rope import RopeConfig

KNOWN = frozenset({
    "rope_theta", "rope_type", "type", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale",
    "mscale_all_dim", "attention_factor", "truncate", "partial_rotary_factor", "finetuned",
})  # fmt: skip


def read_rope(read: FieldReader, dim: int) -> RopeConfig:
    """The settings for rotary keys of `dim` values.

    Raises:
        ConfigError: a field is out of range, unknown, or means different things to different implementations.
    """
    name = "rope_scaling" if read.values.get("rope_scaling") else "rope_parameters"
    found = read.values.get(name) or {}
    if not isinstance(found, dict):
        raise read.fault(name, "an object or null")
    yarn = FieldReader(found, f"{name}.")
    for key, value in found.items():
        if key not in KNOWN and value is not None:
            raise yarn.fault(key, "a field of RoPE or YaRN")
    yarn.expect("partial_rotary_factor", 1.0)
    theta = yarn.number("rope_theta", 1.0, 1e12, read.number("rope_theta", 1.0, 1e12, 10000.0))
    kind = found.get("rope_type") or found.get("type") or ("default" if not found.get("factor") else None)
    if kind == "default":
        return RopeConfig(dim=dim, theta=theta)
    if kind != "yarn":
        kind = "missing" if kind is None else repr(kind)
        raise ConfigError(f"config.json: {name}.type is {kind}, expected 'yarn', 'default' or no scaling")
    factor = yarn.number("factor", 1.0, 1e4)
    fast, slow = yarn.number("beta_fast", 1e-3, 1e4, 32.0), yarn.number("beta_slow", 1e-3, 1e4, 1.0)
    if fast < slow:
        raise yarn.fault("beta_fast", f"at least beta_slow, which is {slow:g}")
    original = read.values.get("original_max_position_embeddings")
    if original is not None:
        yarn.expect("original_max_position_embeddings", original)
    all_dim = yarn.number("mscale_all_dim", 0.0, 10.0, 0.0)
    return RopeConfig(
        dim=dim,
        theta=theta,
        factor=factor,
        original_max_position_embeddings=yarn.integer("original_max_position_embeddings", 1, 1 << 24),
        beta_fast=fast,
        beta_slow=slow,
        truncate=yarn.boolean("truncate", True),
        table_mscale=_table_mscale(yarn, factor),
        softmax_mscale=_mscale(factor, all_dim) if all_dim else 1.0,
    )


def _table_mscale(yarn: FieldReader, factor: float) -> float:
    """What multiplies cos and sin: `attention_factor`, or the ratio of both temperatures."""
    if yarn.values.get("attention_factor") is not None:
        return yarn.number("attention_factor", 1e-3, 1e3)
    mscale, all_dim = (yarn.number(name, 0.0, 10.0, 0.0) for name in ("mscale", "mscale_all_dim"))
    if mscale and all_dim:
        return _mscale(factor, mscale) / _mscale(factor, all_dim)
    if all_dim or yarn.values.get("mscale") not in (None, 1.0):
        other = "mscale" if all_dim else "mscale_all_dim"
        raise ConfigError(
            f"config.json: {yarn.prefix}{other} is missing or 0 while {'mscale_all_dim' if all_dim else 'mscale'} is "
            "given, which transformers and DeepSeek's code read differently; give both"
        )
    return _mscale(factor, 1.0)


def _mscale(factor: float, mscale: float) -> float:
    """YaRN's attention temperature (Peng et al., 2023, eq. 22), scaled by `mscale` as DeepSeek does."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1.0 else 1.0

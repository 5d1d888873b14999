"""The family's `config.json`, checked: R1, V3, V3.1 and Kimi-K2 (`deepseek_v3`), V2 and V2-Lite (`deepseek_v2`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import read_json
from hopwell.errors import HopwellError
from hopwell.ops.rope import RopeConfig
from hopwell.ops.router import RouterConfig

FAMILIES = {"deepseek_v3": "deepseek_v3", "kimi_k2": "deepseek_v3", "deepseek_v2": "deepseek_v2"}


class ConfigError(HopwellError):
    """A field of config.json is missing, of the wrong type or out of range; the message names it."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything the forward pass needs to know, under the names of DeepSeek's own config.json."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    moe_intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    n_routed_experts: int
    n_shared_experts: int
    first_k_dense_replace: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    max_position_embeddings: int
    num_nextn_predict_layers: int
    rms_norm_eps: float
    rope: RopeConfig
    router: RouterConfig
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    weight_block_size: tuple[int, int] | None
    """Rows and columns of an FP8 block when the checkpoint is in R1's format, else None."""
    raw: Mapping[str, Any]
    """config.json as read, for writers that must pass on what they do not interpret."""

    @property
    def qk_head_dim(self) -> int:
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def latent_dim(self) -> int:
        """Values cached per token and layer: the compressed latent and the shared rotary key."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def softmax_scale(self) -> float:
        """1 / sqrt(192), times YaRN's mscale squared (DeepSeek-V3, inference/model.py)."""
        return self.qk_head_dim**-0.5 * self.rope.softmax_mscale**2

    def is_moe(self, layer: int) -> bool:
        """Whether decoder layer `layer` (MTP layers included) routes to experts."""
        return layer >= self.first_k_dense_replace

    @classmethod
    def from_file(cls, path: str | Path) -> ModelConfig:
        """Reads `path`, a config.json or the folder that holds one.

        Raises:
            ConfigError: the file is missing, is not JSON, or holds a field this engine cannot honour.
        """
        path = Path(path)
        return cls.from_dict(read_config(path / "config.json" if path.is_dir() else path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Checks and converts the contents of a config.json.

        Raises:
            ConfigError: naming the field, what it holds and what it may hold.
        """
        read = _Reader(values)
        model_type = read.choice("model_type", tuple(FAMILIES))
        v3 = FAMILIES[model_type] == "deepseek_v3"
        read.expect("hidden_act", "silu", default="silu")
        read.expect("attention_bias", False, default=False)
        read.expect("tie_word_embeddings", False, default=False)
        read.expect("moe_layer_freq", 1, default=1)
        heads = read.integer("num_attention_heads", 1, 1024)
        read.expect("num_key_value_heads", heads, default=heads)

        layers = read.integer("num_hidden_layers", 1, 1000)
        experts = read.integer("n_routed_experts", 1, 4096)
        groups = read.integer("n_group", 1, experts, default=1)
        if experts % groups:
            raise ConfigError(f"config.json: n_group is {groups}, which does not divide n_routed_experts = {experts}")
        topk_group = read.integer("topk_group", 1, groups, default=1)
        top_k = read.integer("num_experts_per_tok", 1, experts // groups * topk_group)
        method = read.choice(
            "topk_method",
            ("noaux_tc",) if v3 else ("greedy", "group_limited_greedy"),
            default="noaux_tc" if v3 else "greedy",
        )
        if method == "greedy" and groups != 1:
            groups = topk_group = 1  # V2's "greedy" ignores groups
        router = RouterConfig(
            top_k=top_k,
            n_group=groups,
            topk_group=topk_group,
            scoring=read.choice("scoring_func", ("sigmoid",) if v3 else ("softmax",), "sigmoid" if v3 else "softmax"),
            norm_topk_prob=read.boolean("norm_topk_prob", default=v3),
            routed_scaling_factor=read.number("routed_scaling_factor", 0.0, 1e3, default=1.0),
        )
        rope_dim = read.integer("qk_rope_head_dim", 2, 1024)
        if rope_dim % 2:
            raise ConfigError(f"config.json: qk_rope_head_dim is {rope_dim}, expected an even number")
        return cls(
            model_type=model_type,
            vocab_size=read.integer("vocab_size", 2, 1 << 24),
            hidden_size=read.integer("hidden_size", 1, 1 << 20),
            intermediate_size=read.integer("intermediate_size", 1, 1 << 20),
            moe_intermediate_size=read.integer("moe_intermediate_size", 1, 1 << 20),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            n_routed_experts=experts,
            n_shared_experts=read.integer("n_shared_experts", 0, 64, default=0),
            first_k_dense_replace=read.integer("first_k_dense_replace", 0, layers, default=0),
            q_lora_rank=read.integer("q_lora_rank", 1, 1 << 20) if values.get("q_lora_rank") is not None else None,
            kv_lora_rank=read.integer("kv_lora_rank", 1, 1 << 16),
            qk_nope_head_dim=read.integer("qk_nope_head_dim", 1, 4096),
            qk_rope_head_dim=rope_dim,
            v_head_dim=read.integer("v_head_dim", 1, 4096),
            max_position_embeddings=read.integer("max_position_embeddings", 1, 1 << 24),
            num_nextn_predict_layers=read.integer("num_nextn_predict_layers", 0, 1, default=0),
            rms_norm_eps=read.number("rms_norm_eps", 1e-12, 1.0, default=1e-6),
            rope=_rope(read, rope_dim),
            router=router,
            bos_token_id=next(iter(read.token_ids("bos_token_id")), None),
            eos_token_ids=read.token_ids("eos_token_id"),
            weight_block_size=_block_size(values),
            raw=values,
        )


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ConfigError: the file is missing, unreadable or holds something else.
    """
    try:
        return read_json(path)
    except CheckpointError as error:
        raise ConfigError(str(error)) from None


class _Reader:
    """Takes typed fields out of a config, with an error that names the field."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self.values, self.prefix = values, prefix

    def _fail(self, name: str, expected: str) -> ConfigError:
        found = repr(self.values[name]) if name in self.values else "missing"
        return ConfigError(f"config.json: {self.prefix}{name} is {found}, expected {expected}")

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._fail(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._fail(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def boolean(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._fail(name, "true or false")
        return value

    def token_ids(self, name: str) -> tuple[int, ...]:
        """A token id, a list of them, or none."""
        value = self.values.get(name)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in ids):
            raise self._fail(name, "a token id or a list of them")
        return tuple(ids)

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self._value(name, default)
        if value not in choices:
            raise self._fail(name, f"one of {', '.join(choices)}")
        return value

    def expect(self, name: str, only: Any, default: Any) -> None:
        if self._value(name, default) != only:
            raise self._fail(name, f"{only!r}, the only value this family uses")


def _rope(read: _Reader, dim: int) -> RopeConfig:
    """RoPE's settings, from `rope_scaling` (as released) or `rope_parameters` (as transformers 5 writes)."""
    values = read.values
    scaling = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(scaling, dict):
        raise ConfigError(f"config.json: rope_scaling is {scaling!r}, expected an object or null")
    yarn = _Reader(scaling, "rope_scaling.")
    theta = read.number("rope_theta", 1.0, 1e12, default=scaling.get("rope_theta", 10000.0))
    kind = scaling.get("type") or scaling.get("rope_type") or "default"
    if kind == "default":
        return RopeConfig(dim=dim, theta=theta)
    if kind != "yarn":
        raise ConfigError(f"config.json: rope_scaling.type is {kind!r}, expected 'yarn' or no scaling")
    factor = yarn.number("factor", 1.0, 1e4)
    mscale, all_dim = yarn.number("mscale", 0.0, 10.0, 1.0), yarn.number("mscale_all_dim", 0.0, 10.0, 0.0)
    return RopeConfig(
        dim=dim,
        theta=theta,
        factor=factor,
        original_max_position_embeddings=yarn.integer("original_max_position_embeddings", 1, 1 << 24),
        beta_fast=yarn.number("beta_fast", 0.0, 1e4, 32.0),
        beta_slow=yarn.number("beta_slow", 0.0, 1e4, 1.0),
        table_mscale=_mscale(factor, mscale) / _mscale(factor, all_dim) if all_dim else _mscale(factor, mscale),
        softmax_mscale=_mscale(factor, all_dim) if all_dim else 1.0,
    )


def _mscale(factor: float, mscale: float) -> float:
    """YaRN's attention temperature (Peng et al., 2023, eq. 22), scaled by `mscale` as DeepSeek does."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1.0 else 1.0


def _block_size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    quantization = values.get("quantization_config") or {}
    if not isinstance(quantization, dict):
        raise ConfigError(f"config.json: quantization_config is {quantization!r}, expected an object or null")
    if quantization.get("quant_method") != "fp8":
        return None
    block = quantization.get("weight_block_size")
    if block != [128, 128]:
        raise ConfigError(f"config.json: quantization_config.weight_block_size is {block!r}, expected [128, 128]")
    return (128, 128)

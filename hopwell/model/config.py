"""The family's `config.json`, checked: R1, V3, V3.1 and Kimi-K2 (`deepseek_v3`), V2 and V2-Lite (`deepseek_v2`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopwell.checkpoint import files
from hopwell.checkpoint.errors import CheckpointError
from hopwell.model.fields import ARCHITECTURES, FIXED, check_kind, unknown_fields
from hopwell.model.quantization import Quantization, read_quantization
from hopwell.model.reading import ConfigError, FieldReader, sizes
from hopwell.model.rope_fields import read_rope
from hopwell.ops.rope import RopeConfig
from hopwell.ops.router import RouterConfig

FAMILIES = {"deepseek_v3": "deepseek_v3", "kimi_k2": "deepseek_v3", "deepseek_v2": "deepseek_v2"}


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
    quantization: Quantization = field(default_factory=Quantization)
    """How linears are stored, by `quantization_config`."""

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

    @property
    def warnings(self) -> list[str]:
        """One line for each field that is not known here; it is passed over."""
        return [f"config.json: {name} is not known here and is passed over" for name in unknown_fields(self.raw)]

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
        read = FieldReader(values)
        model_type = _model_type(read)
        quantization = read_quantization(values)
        v3 = FAMILIES[model_type] == "deepseek_v3"
        for name, only in FIXED.items():
            read.expect(name, only)
        found = sizes(read)
        read.expect("num_key_value_heads", found["num_attention_heads"])
        read.expect("num_mtp_layers", found["num_nextn_predict_layers"])
        experts, rope_dim, nope_dim = (found[s] for s in ("n_routed_experts", "qk_rope_head_dim", "qk_nope_head_dim"))
        for alias in ("num_experts", "num_local_experts"):  # transformers' other names for it
            read.expect(alias, experts)
        if rope_dim % 2:
            raise ConfigError(f"config.json: qk_rope_head_dim is {rope_dim}, expected an even number")
        read.expect("qk_head_dim", nope_dim + rope_dim)
        read.expect("head_dim", rope_dim, nope_dim + rope_dim)
        return cls(
            model_type=model_type,
            **found,
            rms_norm_eps=read.number("rms_norm_eps", 1e-12, 1.0, default=1e-6),
            rope=read_rope(read, rope_dim),
            router=_router(read, v3, experts),
            bos_token_id=next(iter(read.token_ids("bos_token_id")), None),
            eos_token_ids=read.token_ids("eos_token_id"),
            weight_block_size=(128, 128) if quantization.method == "fp8" else None,
            quantization=quantization,
            raw=values,
        )


def read_config(path: Path, beside: Path | None = None) -> dict[str, Any]:
    """A config.json, with what `hf_quant_config.json` beside it adds.

    Raises:
        ConfigError: the file is missing, unreadable or holds something else.
    """
    try:
        return files.read_config(path, beside)
    except CheckpointError as error:
        raise ConfigError(str(error)) from None


def _model_type(read: FieldReader) -> str:
    check_kind(read)
    architectures = read.values.get("architectures")
    if isinstance(architectures, list) and architectures and not set(map(str, architectures)) & set(ARCHITECTURES):
        raise read.fault("architectures", f"one of {', '.join(ARCHITECTURES)}")
    return read.choice("model_type", tuple(FAMILIES))


def _router(read: FieldReader, v3: bool, experts: int) -> RouterConfig:
    """V3's router knows one method; of V2's, "greedy" ignores groups."""
    methods = ("noaux_tc",) if v3 else ("greedy", "group_limited_greedy")
    scoring = "sigmoid" if v3 else "softmax"
    method = read.choice("topk_method", methods, methods[0])
    groups = topk_group = 1
    if method != "greedy":
        groups = read.integer("n_group", 1, experts, null=1)
        if experts % groups:
            raise ConfigError(f"config.json: n_group is {groups}, which does not divide n_routed_experts = {experts}")
        topk_group = read.integer("topk_group", 1, groups, null=groups)
    if not v3:  # DeepSeek's code then leaves routed_scaling_factor out, others do not, transformers ignores it
        read.expect("norm_topk_prob", False)
    return RouterConfig(
        top_k=read.integer("num_experts_per_tok", 1, experts // groups * topk_group),
        n_group=groups,
        topk_group=topk_group,
        scoring=read.choice("scoring_func", (scoring,), scoring),
        norm_topk_prob=read.boolean("norm_topk_prob", None if v3 else False),
        routed_scaling_factor=read.number("routed_scaling_factor", 0.0, 1e3, None if v3 else 1.0),
    )

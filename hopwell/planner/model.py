"""A model as the planner sees it: the sizes in its config.json, and nothing that needs torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hopwell.checkpoint.files import SNAPSHOT_FILE, read_config
from hopwell.errors import HopwellError
from hopwell.model import CONFIGS, NANO, SHORT_NAMES, shipped_name
from hopwell.model.fields import check_kind
from hopwell.model.reading import FieldReader, sizes
from hopwell.planner.work import BYTES_PER_WEIGHT

FAMILY = ("deepseek_v3", "deepseek_v2", "kimi_k2")


class PlanError(HopwellError):
    """A question that cannot be answered as it was put; the message says how to put it."""


@dataclass(frozen=True, slots=True)
class Model:
    """Sizes of a model of the family, under the names of its config.json."""

    name: str
    hidden_size: int
    num_hidden_layers: int
    first_k_dense_replace: int
    num_attention_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    n_routed_experts: int
    n_shared_experts: int
    num_experts_per_tok: int
    intermediate_size: int
    moe_intermediate_size: int
    vocab_size: int
    num_nextn_predict_layers: int
    max_position_embeddings: int
    stored: str
    """The format of its weights as released: bf16, fp8, nvfp4 or int4."""

    @property
    def moe_layers(self) -> int:
        return self.num_hidden_layers - self.first_k_dense_replace

    @property
    def latent_dim(self) -> int:
        """Values cached for a token and layer."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def latent_weights(self) -> int:
        """Of a layer, the weights that make latents and compressed queries: whole on every GPU."""
        return self.hidden_size * ((self.q_lora_rank or 0) + self.latent_dim)

    @property
    def head_weights(self) -> int:
        """Of a layer, the attention weights that belong to heads, without those into and out of the latent space."""
        q_width = self.num_attention_heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)
        return (self.q_lora_rank or self.hidden_size) * q_width + (
            self.num_attention_heads * self.v_head_dim * self.hidden_size
        )

    @property
    def absorbed_weights(self) -> int:
        """Of a layer, those into and out of the latent space."""
        return self.num_attention_heads * (self.qk_nope_head_dim + self.v_head_dim) * self.kv_lora_rank

    @property
    def expert_weights(self) -> int:
        """Of one routed expert."""
        return 3 * self.hidden_size * self.moe_intermediate_size

    @property
    def parameters(self) -> int:
        """All weights, MTP, norms and biases left out."""
        attention = self.latent_weights + self.head_weights + self.absorbed_weights
        dense = 3 * self.hidden_size * self.intermediate_size
        experts = (self.n_routed_experts + self.n_shared_experts) * self.expert_weights
        router = self.hidden_size * self.n_routed_experts
        return (
            self.num_hidden_layers * attention
            + self.first_k_dense_replace * dense
            + self.moe_layers * (experts + router)
            + 2 * self.vocab_size * self.hidden_size
        )


def read_model(name: str) -> Model:
    """The model of a folder, a config.json or a shipped name such as `deepseek-r1`; nothing is fetched.

    Raises:
        PlanError: there is none of that name, or it is a snapshot.
        CheckpointError: config.json cannot be read as JSON.
        ConfigError: a field is missing or wrong, or the model is of another family.
    """
    path = Path(name)
    if (path / SNAPSHOT_FILE).is_file():
        raise PlanError(f"{name} is a snapshot, laid out for one kind of GPUs already; give what it was packed of")
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        path = shipped_path(name)
    return model_of(read_config(path), path.stem if path.stem != "config" else path.resolve().parent.name)


def model_of(values: Mapping[str, Any], name: str) -> Model:
    """The sizes that a config.json holds.

    Raises:
        ConfigError: naming the field, what it holds and what it may hold.
    """
    read = FieldReader(values)
    check_kind(read)
    read.choice("model_type", FAMILY)
    found = sizes(read)
    top_k = read.integer("num_experts_per_tok", 1, found["n_routed_experts"])
    stored = _stored(values.get("quantization_config"))
    return Model(name=name, num_experts_per_tok=top_k, stored=stored, **found)


def shipped_models() -> dict[str, Path]:
    """Names of shipped configs, and where they lie."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.json"))} | {"nano": NANO / "config.json"}


def shipped_path(name: str) -> Path:
    """A shipped config.

    Raises:
        PlanError: there is none of that name.
    """
    if not name.strip():
        raise PlanError("the model's name is empty; give a config.json or a name such as deepseek-r1")
    known = shipped_models()
    plain = shipped_name(name.rpartition("/")[2])
    if plain in known:
        return known[plain]
    names = sorted({*known, *SHORT_NAMES})
    near = get_close_matches(plain, names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise PlanError(f"{name}: no such file or shipped model{hint}; give a config.json or {', '.join(names)}")


def _stored(quantization: Any) -> str:
    """What `quantization_config` says, roughly: the planner needs bytes alone."""
    if not isinstance(quantization, Mapping):
        return "bf16"
    text = json.dumps(quantization).lower()
    method = quantization.get("quant_method")
    if method in ("fp8", "awq", "gptq", "w4afp8"):
        return "fp8" if method == "fp8" else "int4"
    return "nvfp4" if "nvfp4" in text else "int4" if '"num_bits": 4' in text else "fp8" if "fp8" in text else "bf16"


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights by part, and of the cache."""

    name: str
    experts: str
    attention: str
    dense: str
    """Dense and shared networks."""
    cache: str = "bf16"
    blackwell_cache: str | None = None
    """Of engines whose default it is there; None: as elsewhere."""

    def weight(self, part: str) -> float:
        """Bytes of a weight of `experts`, `attention` or `dense`."""
        return BYTES_PER_WEIGHT[getattr(self, part)]

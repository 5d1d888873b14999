"""Typed fields out of a config.json, with an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopwell.errors import HopwellError


class ConfigError(HopwellError):
    """A field of config.json is missing, of the wrong type or out of range; the message names it."""


class FieldReader:
    """Takes fields of an object. Of each, `default` stands for null and for a field that is missing, `null` for null
    alone: where implementations disagree about what a missing field means, none is guessed."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "", file: str = "config.json") -> None:
        self.values, self.prefix, self.file = values, prefix, file

    def integer(self, name: str, low: int, high: int, default: int | None = None, null: int | None = None) -> int:
        """A whole number within limits."""
        value = self._value(name, default, null)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fault(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A number within limits."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fault(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def token_ids(self, name: str, vocabulary: int | None = None) -> tuple[int, ...]:
        """A token id, a list of them, or none; of a vocabulary of so many, if that is given."""
        value = self.values.get(name)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in ids):
            raise self.fault(name, "a token id or a list of them")
        if vocabulary is not None and any(i >= vocabulary for i in ids):
            raise self.fault(name, f"ids below vocab_size, {vocabulary}")
        return tuple(ids)

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of several words."""
        value = self._value(name, default)
        if value not in choices:
            raise self.fault(name, f"one of {', '.join(choices)}")
        return value

    def expect(self, name: str, *allowed: Any) -> None:
        """Refuses all but null, nothing, and what is allowed."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            only = " or ".join(map(repr, allowed))
            raise self.fault(name, f"{only}, the only value that is computed here" if only != "None" else "none")

    def fault(self, name: str, expected: str) -> ConfigError:
        """The one line that says what a field holds, and what it may."""
        found = _short(self.values[name]) if name in self.values else "missing"
        return ConfigError(f"{self.file}: {self.prefix}{name} is {found}, expected {expected}")

    def _value(self, name: str, default: Any, null: Any = None) -> Any:
        value = self.values.get(name)
        return value if value is not None else null if null is not None and name in self.values else default


def sizes(read: FieldReader) -> dict[str, Any]:
    """A model's sizes, under the names of config.json.

    Raises:
        ConfigError: one is missing or wrong.
    """
    layers = read.integer("num_hidden_layers", 1, 1000)
    # the released name, or that of transformers 5
    mtp = "num_nextn_predict_layers" if "num_nextn_predict_layers" in read.values else "num_mtp_layers"
    has_rank = read.values.get("q_lora_rank") is not None
    return {
        "vocab_size": read.integer("vocab_size", 2, 1 << 24),
        "hidden_size": read.integer("hidden_size", 1, 1 << 20),
        "intermediate_size": read.integer("intermediate_size", 1, 1 << 20),
        "moe_intermediate_size": read.integer("moe_intermediate_size", 1, 1 << 20),
        "num_hidden_layers": layers,
        "num_attention_heads": read.integer("num_attention_heads", 1, 1024),
        "n_routed_experts": read.integer("n_routed_experts", 1, 4096),
        "n_shared_experts": read.integer("n_shared_experts", 0, 64, null=0),
        "first_k_dense_replace": read.integer("first_k_dense_replace", 0, layers, null=0),
        "q_lora_rank": read.integer("q_lora_rank", 1, 1 << 20) if has_rank else None,
        "kv_lora_rank": read.integer("kv_lora_rank", 1, 1 << 16),
        "qk_nope_head_dim": read.integer("qk_nope_head_dim", 1, 4096),
        "qk_rope_head_dim": read.integer("qk_rope_head_dim", 2, 1024),
        "v_head_dim": read.integer("v_head_dim", 1, 4096),
        "max_position_embeddings": read.integer("max_position_embeddings", 1, 1 << 24),
        "num_nextn_predict_layers": read.integer(mtp, 0, 1, default=0),
    }


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."

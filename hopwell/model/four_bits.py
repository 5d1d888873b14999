"""What a synthetic checkpoint in four bits consists of: its tensors, and the config that says so to other engines.

Networks and experts are in four bits; attention stays in bf16, as NVIDIA publishes R1, or is in FP8 blocks; the head,
the embedding, routers and the MTP layer stay plain. NVFP4 beside bf16 is written as ModelOpt writes it, all else as
compressed-tensors does: layouts that vLLM loads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.blocks import FORMATS, FP8_BLOCK, BlockFormat
from hopwell.formats.described import compressed_config
from hopwell.formats.elements import E2M1, E8M0_BIAS
from hopwell.formats.labels import Label
from hopwell.formats.packed import PACKABLE
from hopwell.model import schema
from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.inventory import inventory

ATTENTION = ("bf16", "fp8")
PARTS = ("dense", "shared_experts", "routed_experts")
"""In four bits."""
STEPS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""Between a matrix's block scales: one at the wrong block must show."""
INPUT_SCALE = 0.01
"""Of what a module reads, for engines that round it: activations of about 6."""
BYTES = tuple(map(float, range(256)))
PAIRS = tuple(float(low | high << 4) for low in range(1, 16) for high in range(1, 16))
"""Of codes of INT4, never -8: even around zero. Each once for all matrices: R1 has 45,000."""


@dataclass(frozen=True, slots=True)
class FourBits:
    """A synthetic checkpoint's formats."""

    format: BlockFormat
    attention: str

    @classmethod
    def of(cls, name: str, attention: str) -> FourBits:
        """By the names that users give.

        Raises:
            ConfigError: a name is unknown.
        """
        known = {str(each.name): each for each in PACKABLE}
        if name not in known:
            raise ConfigError(f"format {name!r} is unknown; known: {', '.join(known)}")
        if attention not in ATTENTION:
            raise ConfigError(f"attention {attention!r} is unknown; known: {', '.join(ATTENTION)}")
        return cls(known[name], attention)

    @classmethod
    def asked(cls, name: str | None, attention: str | None) -> FourBits | None:
        """By the options --format and --attention; None: neither was given.

        Raises:
            ConfigError: a name is unknown, or attention's format was given alone.
        """
        if name is not None:
            return cls.of(name, attention or "bf16")
        if attention is not None:
            raise ConfigError("--attention needs --format; give both, or leave --attention out")
        return None

    @property
    def names(self) -> tuple[str, str]:
        """As `of` takes them."""
        return str(self.format.name), self.attention

    @property
    def by_modelopt(self) -> bool:
        """Whether ModelOpt's layout is written."""
        return self.format.name == Label.NVFP4 and self.attention == "bf16"

    def specs(self, values: Mapping[str, Any]) -> list[TensorSpec]:
        """The tensors of a checkpoint of a config.json's contents.

        Raises:
            ConfigError: the config cannot be honoured, or a matrix does not divide into groups.
        """
        config = _plain(values)
        return [spec for one in inventory(config) for spec in self._stored(one, self._label(one, config))]

    def described(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """config.json's contents with a description of the formats."""
        config = _plain(values)
        labels = {spec.module: self._label(spec, config) for spec in inventory(config) if len(spec.shape) == 2}
        layered = {module: label for module, label in labels.items() if label is not None}
        ignore = sorted(module for module, label in labels.items() if label is None)
        plain = {name: value for name, value in values.items() if name != "quantization_config"}
        if not self.by_modelopt:
            return plain | {"quantization_config": compressed_config(layered, ignore)}
        return plain | {
            "quantization_config": {
                "quant_method": "modelopt",
                "quant_algo": "NVFP4",
                "group_size": self.format.columns,
                "kv_cache_quant_algo": None,
                "ignore": ignore,
            }
        }

    def modelopt_file(self, described: Mapping[str, Any]) -> dict[str, Any] | None:
        """The contents of hf_quant_config.json, where there is one."""
        if not self.by_modelopt:
            return None
        found = described["quantization_config"]
        body = {name: found[name] for name in ("quant_algo", "group_size", "kv_cache_quant_algo")}
        return {"producer": {"name": "modelopt"}, "quantization": body | {"exclude_modules": found["ignore"]}}

    def _label(self, spec: TensorSpec, config: ModelConfig) -> Label | None:
        layer = schema.layer_of(spec.name)
        if not spec.quantisable or layer is None or layer >= config.num_hidden_layers:
            return None
        if spec.part in PARTS:
            return Label(self.format.name)
        return Label.FP8_BLOCK if spec.part == "attention" and self.attention == "fp8" else None

    def _stored(self, spec: TensorSpec, label: Label | None) -> Iterator[TensorSpec]:
        if label is None:
            yield spec
            return
        shape = (spec.shape[0], spec.shape[1])
        kind = FORMATS[label]
        try:
            kind.check(shape)
        except ValueError as error:
            raise ConfigError(f"{spec.name}: {error}") from None

        def part(suffix: str, size: tuple[int, ...], dtype: torch.dtype, **drawn: Any) -> TensorSpec:
            return replace(spec, name=f"{spec.module}.{suffix}", shape=size, dtype=dtype, **drawn)

        scales = kind.scale_shape(shape)
        if kind is FP8_BLOCK:
            yield part("weight", shape, torch.float8_e4m3fn)
            around = tuple(spec.deviation / 132 * step / _rms_of(STEPS) for step in STEPS)
            yield part("weight_scale", scales, torch.float32, choices=around)
            return
        unit = spec.deviation / (_rms(kind) * _rms_of(STEPS))
        packed = "weight" if self.by_modelopt else "weight_packed"
        if kind.elements == "int4":
            yield part(packed, (shape[0], shape[1] // 8), torch.int32, choices=PAIRS)
            yield part("weight_scale", scales, torch.bfloat16, choices=tuple(unit * step for step in STEPS))
            yield part("weight_shape", (2,), torch.int64, values=tuple(map(float, shape)))
            return
        yield part(packed, (shape[0], shape[1] // 2), torch.uint8, choices=BYTES)
        if kind.scales == "e8m0":
            base = round(torch.log2(torch.tensor(spec.deviation / _rms(kind))).item()) + E8M0_BIAS
            yield part("weight_scale", scales, torch.uint8, choices=(base - 1.0, float(base), float(base), base + 1.0))
            return
        yield part("weight_scale", scales, torch.float8_e4m3fn, choices=STEPS)
        if self.by_modelopt:
            yield part("weight_scale_2", (), torch.float32, values=(unit,))
            yield part("input_scale", (), torch.float32, values=(INPUT_SCALE,))
        else:
            yield part("weight_global_scale", (1,), torch.float32, values=(1 / unit,))
            yield part("input_global_scale", (1,), torch.float32, values=(1 / INPUT_SCALE,))


def _plain(values: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig.from_dict({name: value for name, value in values.items() if name != "quantization_config"})


def _rms(kind: BlockFormat) -> float:
    """Of codes that are drawn."""
    return _rms_of(E2M1) if kind.elements == "e2m1" else _rms_of(tuple(map(float, range(-7, 8))))


@cache
def _rms_of(values: tuple[float, ...]) -> float:
    return (sum(value * value for value in values) / len(values)) ** 0.5

"""What config.json says of how linears are stored. Headers decide what is read; this refuses methods that are not read
here, and tells what a model takes that is not there yet."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopwell.formats.labels import Label
from hopwell.formats.residual import parse_label
from hopwell.model.reading import ConfigError

MODELOPT = {
    "NVFP4": Label.NVFP4,
    "MXFP4": Label.MXFP4,
    "FP8": Label.FP8_TENSOR,
    "FP8_PB_WO": Label.FP8_BLOCK,
    "FP8_PER_CHANNEL_PER_TOKEN": Label.FP8_CHANNEL,
}
"""Formats by ModelOpt's names."""
METHODS = ("fp8", "modelopt", "modelopt_fp4", "modelopt_mixed", "compressed-tensors", "hopwell")
COMPRESSED = ("nvfp4-pack-quantized", "mxfp4-pack-quantized", "pack-quantized", "float-quantized", "mixed-precision")
"""compressed-tensors' formats that are read here."""
SIMPLE = re.compile(r"re:\^?(?:\w|\\\.|\\d\+|\.\*?)*\$?")
NUMBER = "\0"
"""In a glob, digits."""
REMEDY = "fetch the original in FP8 or bf16, or a conversion by ModelOpt or compressed-tensors"


@dataclass(frozen=True, slots=True)
class Quantization:
    """A checkpoint's `quantization_config`, as far as it decides what is stored.

    A format is a name of `formats.blocks.FORMATS`, or "fp8_tensor".
    """

    method: str | None = None
    default: str | None = None
    """Format of every linear that is not named; None: plain."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Formats of modules."""
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()
    """Formats of modules whose names match, after `named`."""
    ignored: re.Pattern[str] | None = None
    """Modules that are plain whatever else is said."""

    def format_of(self, module: str) -> str | None:
        """The format in which a linear is stored, or None where it is plain."""
        if self.ignored is not None and self.ignored.match(module):
            return None
        if module in self.named:
            return self.named[module]
        return next((label for pattern, label in self.patterns if pattern.match(module)), self.default)


def read_quantization(config: Mapping[str, Any]) -> Quantization:
    """The `quantization_config` of a config.json.

    Raises:
        ConfigError: the method, or a part of it that changes what a tensor means, is not read here.
    """
    found = _object(config, "quantization_config", "")
    if found is None:
        return Quantization()
    where = "config.json: quantization_config"
    method = found.get("quant_method", "modelopt" if "quant_algo" in found else None)
    if method not in METHODS:
        raise ConfigError(f"{where}.quant_method is {method!r}, which is not read here; {REMEDY}")
    if method == "fp8":
        return _fp8(found)
    if method == "compressed-tensors":
        return _compressed(found)
    if method == "hopwell":
        return _own(found)
    return _modelopt(found)


def _fp8(found: Mapping[str, Any]) -> Quantization:
    """DeepSeek's own."""
    block = found.get("weight_block_size")
    if block != [128, 128]:
        raise ConfigError(f"config.json: quantization_config.weight_block_size is {block!r}, expected [128, 128]")
    fmt = found.get("fmt", "e4m3")
    if fmt != "e4m3":
        raise ConfigError(f"config.json: quantization_config.fmt is {fmt!r}, expected 'e4m3'")
    return Quantization("fp8", Label.FP8_BLOCK)


def _modelopt(found: Mapping[str, Any]) -> Quantization:
    algorithm = found.get("quant_algo")
    layers = _object(found, "quantized_layers", "quantization_config.") or {}
    entries = {name: entry.get("quant_algo") if isinstance(entry, dict) else entry for name, entry in layers.items()}
    for where, name in (("quant_algo", algorithm), *((f"quantized_layers.{k}", v) for k, v in entries.items())):
        if name not in MODELOPT and not (where == "quant_algo" and name == "MIXED_PRECISION"):
            raise ConfigError(f"config.json: quantization_config.{where} is {name!r}, which is not read here; {REMEDY}")
    ignored = [*_texts(found, "ignore"), *_texts(found, "exclude_modules")]
    named = {name: MODELOPT[str(label)] for name, label in entries.items()}
    below = [f"{name}.*" for name in ignored]
    return Quantization("modelopt", MODELOPT.get(str(algorithm)), named, ignored=_any_of([*ignored, *below]))


def _compressed(found: Mapping[str, Any]) -> Quantization:
    where = "config.json: quantization_config"
    if found.get("transform_config"):
        raise ConfigError(f"{where}.transform_config asks for transforms of what is read; {REMEDY}")
    sparsity = (found.get("sparsity_config") or {}).get("format", "dense")
    if sparsity != "dense":
        raise ConfigError(f"{where}.sparsity_config.format is {sparsity!r}, which is not read here; {REMEDY}")
    named: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    for name, group in (_object(found, "config_groups", "quantization_config.") or {}).items():
        given = group.get("format") or found.get("format") if isinstance(group, dict) else None
        if given not in COMPRESSED:
            raise ConfigError(f"{where}.config_groups.{name}.format is {given!r}, which is not read here; {REMEDY}")
        label = _scheme(group.get("weights") or {}, f"{where}.config_groups.{name}.weights")
        for target in _texts(group, "targets"):
            if target == "Linear":
                patterns.append((re.compile(""), label))
            elif target.startswith("re:"):
                if (pattern := _any_of(_globs([target]))) is not None:
                    patterns.append((pattern, label))
            else:
                named[target] = label
    return Quantization("compressed-tensors", None, named, tuple(patterns), _any_of(_globs(_texts(found, "ignore"))))


def _scheme(weights: Mapping[str, Any], where: str) -> str:
    """The format that compressed-tensors describes."""
    bits, kind, strategy = (weights.get(name) for name in ("num_bits", "type", "strategy"))
    if (bits, kind) == (4, "float"):
        return Label.NVFP4 if strategy == "tensor_group" else Label.MXFP4
    if (bits, kind) == (4, "int"):
        return Label.INT4_G32 if weights.get("group_size") == 32 else Label.INT4_G128
    if (bits, kind) == (8, "float") and strategy in ("block", "channel", "tensor"):
        return f"fp8_{strategy}"
    raise ConfigError(f"{where}: {kind} of {bits} bits by {strategy}, which is not read here; {REMEDY}")


def _own(found: Mapping[str, Any]) -> Quantization:
    formats = _object(found, "formats", "quantization_config.") or {}
    try:
        return Quantization("hopwell", None, {module: parse_label(label)[0].name for module, label in formats.items()})
    except (ValueError, TypeError, AttributeError) as error:
        where = "config.json: quantization_config.formats"
        raise ConfigError(f"{where}: {error}; a newer Hopwell may read it") from None


def _object(values: Mapping[str, Any], name: str, prefix: str) -> Mapping[str, Any] | None:
    found = values.get(name)
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"config.json: {prefix}{name} is {found!r}, expected an object or null")
    return found or None


def _texts(values: Mapping[str, Any], name: str) -> Iterator[str]:
    found = values.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ConfigError(f"config.json: quantization_config: {name} is {found!r}, expected a list of names")
    yield from found


def _any_of(globs: list[str]) -> re.Pattern[str] | None:
    """Names that match one of several patterns of `*`, `?` and `NUMBER`, without backtracking."""
    if not globs:
        return None
    return re.compile("|".join(fnmatch.translate(each).replace(re.escape(NUMBER), "[0-9]+") for each in globs))


def _globs(targets: Iterable[str]) -> list[str]:
    """compressed-tensors' names, and of its expressions those of letters, `.*` and numbers, which match a name's start.

    No other is tried: they come with the checkpoint, and an expression may be written so that it never ends. Nothing
    but what is told of a model without weights, and which kernels are compiled ahead, depends on it.
    """
    found = []
    for target in targets:
        if not target.startswith("re:"):
            found.append(glob.escape(target))
        elif SIMPLE.fullmatch(target):
            text = target.removeprefix("re:").removeprefix("^").replace(r"\d+", NUMBER)
            text = text.replace(r"\.", ".").replace(".*", "*")
            found.append(text.removesuffix("$") if text.endswith("$") else text + "*")
    return found

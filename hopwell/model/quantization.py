"""What config.json says of how linears are stored. Headers decide what is read; this refuses methods that are not read
here, and tells what a model takes that is not there yet."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopwell.formats.int4 import ZERO_OFFSETS, Described, format_of
from hopwell.formats.labels import Label
from hopwell.formats.residual import parse_label
from hopwell.formats.stored import Header, blocks_of, qweight_tensors, signed_int4_tensors, usual_tensors
from hopwell.model.reading import ConfigError

MODELOPT = {
    "NVFP4": Label.NVFP4,
    "MXFP4": Label.MXFP4,
    "FP8": Label.FP8_TENSOR,
    "FP8_PB_WO": Label.FP8_BLOCK,
    "FP8_PER_CHANNEL_PER_TOKEN": Label.FP8_CHANNEL,
}
"""Formats by ModelOpt's names."""
METHODS = (
    *("fp8", "modelopt", "modelopt_fp4", "modelopt_mixed"),
    *("compressed-tensors", "awq", "gptq", "w4afp8", "hopwell"),
)
COMPRESSED = ("nvfp4-pack-quantized", "mxfp4-pack-quantized", "pack-quantized", "float-quantized", "mixed-precision")
"""compressed-tensors' formats that are read here."""
SIMPLE = re.compile(r"re:\^?(?:\w|\\\.|\\d\+|\.\*?)*\$?")
NUMBER = "\0"
"""In a glob, digits."""
VERSIONS = {"awq": ("gemm",), "gptq": tuple(ZERO_OFFSETS)}
"""Of AWQ and GPTQ that are read here."""
IN_A_LAYER = re.compile(r".*\.[0-9]+\.")
"""What AWQ and GPTQ convert unless told otherwise."""
OF_AN_EXPERT = re.compile(r".*\.[0-9]+\..*\.[0-9]+\.")
ALTERNATIVES = re.compile(r"\((?:\?:)?(\w+(?:\|\w+){0,15})\)")
SPELLED_OUT, SPELLED_LENGTH = 64, 500
"""Expressions that one with alternatives becomes at most, unless it is longer than so many characters."""
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
    zero_points: bool = False
    """Whether groups of INT4 have zero points of their own."""
    act_order: bool = False
    """Whether columns are in INT4's groups in any order (GPTQ's desc_act): no kernel reads such packed."""
    group: int | None = None
    """Columns of AWQ's, GPTQ's and W4AFP8's groups; None: all of them."""

    def format_of(self, module: str) -> str | None:
        """The format in which a linear is stored, or None where it is plain."""
        if self.ignored is not None and self.ignored.match(module):
            return None
        if module in self.named:
            return self.named[module]
        return next((label for pattern, label in self.patterns if pattern.match(module)), self.default)

    def tensors(self, label: str, shape: tuple[int, int]) -> dict[str, Header]:
        """The tensors that a matrix [out, in] takes in a format, by suffix."""
        if self.method in VERSIONS:
            return qweight_tensors(self.method, shape, self.group)
        if self.method == "w4afp8" and label != Label.FP8_BLOCK:
            return signed_int4_tensors(shape, self.group or shape[1])
        return usual_tensors(label, shape)


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
    if method in VERSIONS:
        return _int4(found, method)
    if method == "w4afp8":
        return _w4afp8(found)
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
    zero_points = ordered = False
    for name, group in (_object(found, "config_groups", "quantization_config.") or {}).items():
        given = group.get("format") or found.get("format") if isinstance(group, dict) else None
        if given not in COMPRESSED:
            raise ConfigError(f"{where}.config_groups.{name}.format is {given!r}, which is not read here; {REMEDY}")
        weights = group.get("weights") or {}
        label = _scheme(weights, f"{where}.config_groups.{name}.weights")
        zero_points |= weights.get("symmetric") is False
        ordered |= weights.get("actorder") == "group"
        for target in _texts(group, "targets"):
            if target == "Linear":
                patterns.append((re.compile(""), label))
            elif target.startswith("re:"):
                if (pattern := _any_of(_globs([target]))) is not None:
                    patterns.append((pattern, label))
            else:
                named[target] = label
    ignored = _any_of(_globs(_texts(found, "ignore")))
    return Quantization("compressed-tensors", None, named, tuple(patterns), ignored, zero_points, ordered)


def _scheme(weights: Mapping[str, Any], where: str) -> str:
    """The format that compressed-tensors describes."""
    bits, kind, strategy = (weights.get(name) for name in ("num_bits", "type", "strategy"))
    if (bits, kind) == (4, "float"):
        return Label.NVFP4 if strategy == "tensor_group" else Label.MXFP4
    if (bits, kind) == (4, "int"):
        size = weights.get("group_size")
        return Label.INT4_G32 if isinstance(size, int) and size > 0 and size % 128 else Label.INT4_G128
    if (bits, kind) == (8, "float") and strategy in ("block", "channel", "tensor"):
        return f"fp8_{strategy}"
    raise ConfigError(f"{where}: {kind} of {bits} bits by {strategy}, which is not read here; {REMEDY}")


def _int4(found: Mapping[str, Any], method: str) -> Quantization:
    """AWQ's and GPTQ's: one format, and the modules that are left plain. A head in it is known by its tensors."""
    where = "config.json: quantization_config"
    version = format_of(found)
    if version not in VERSIONS[method] or found.get("is_marlin_format"):
        told = "marlin" if found.get("is_marlin_format") else version
        known = " or ".join(VERSIONS[method])
        raise ConfigError(f"{where}: {method}'s version is {told!r}, expected {known}; {REMEDY}")
    for name, only in (("bits", 4), ("zero_point", True), ("pack_dtype", "int32")):
        if (value := found.get(name, only)) != only and (name != "zero_point" or method == "awq"):
            raise ConfigError(f"{where}.{name} is {value!r}, expected {only!r}; {REMEDY}")
    group = found.get("group_size", 128)
    if not isinstance(group, int) or group < -1 or group == 0:
        raise ConfigError(f"{where}.group_size is {group!r}, expected a number of columns, or -1 for all")
    told = Described.of({"quantization_config": {**found, "group_size": group}})
    label = Label.INT4_G128 if told.group is None else blocks_of(told.group)
    chosen = list(_chosen(found))
    return Quantization(
        method,
        patterns=((_parts(chosen) if chosen else IN_A_LAYER, label),),
        ignored=_left_plain(found),
        zero_points=not told.symmetric,
        act_order=method == "gptq" and bool(found.get("desc_act")) and not found.get("static_groups") and group > 0,
        group=told.group,
    )


def _w4afp8(found: Mapping[str, Any]) -> Quantization:
    """Routed experts in INT4, all else of a layer in DeepSeek's FP8 blocks."""
    for name, only in (("group_size", 128), ("weight_block_size", [128, 128])):
        if (value := found.get(name) or only) != only:
            raise ConfigError(f"config.json: quantization_config.{name} is {value!r}, expected {only!r}; {REMEDY}")
    names = [one for name in ("modules_to_not_convert", "ignored_layers", "ignore") for one in _texts(found, name)]
    patterns = ((OF_AN_EXPERT, Label.INT4_G128), (IN_A_LAYER, Label.FP8_BLOCK))
    return Quantization("w4afp8", patterns=patterns, ignored=_parts(names) if names else None, group=128)


def _chosen(found: Mapping[str, Any]) -> Iterator[str]:
    """The modules of a block that GPTQ is told to quantise, of lists that it takes one after another; none: all."""
    name = "modules_in_block_to_quantize"
    lists = found.get(name)
    if isinstance(lists, list):
        lists = [one for each in lists for one in (each if isinstance(each, list) else [each])]
    yield from _texts({name: lists}, name)


def _left_plain(found: Mapping[str, Any]) -> re.Pattern[str] | None:
    """Modules that AWQ and GPTQ leave plain: by parts of their names, and by GPTQModel's `dynamic` expressions."""
    names = list(_texts(found, "modules_to_not_convert"))
    dynamic = _object(found, "dynamic", "quantization_config.") or {}
    for name, changed in dynamic.items():
        for key in ("bits", "group_size", "sym", "desc_act") if not name.startswith("-:") else ():
            if isinstance(changed, dict) and changed.get(key, found.get(key)) != found.get(key):
                where = f"config.json: quantization_config.dynamic.{name}.{key}"
                raise ConfigError(f"{where} is {changed[key]!r}, expected that of all, {found.get(key)!r}; {REMEDY}")
    globs = _any_of(_globs(f"re:{name.removeprefix('-:')}" for name in dynamic if name.startswith("-:")))
    told = [each.pattern for each in (_parts(names) if names else None, globs) if each is not None]
    return re.compile("|".join(told)) if told else None


def _parts(names: Iterable[str]) -> re.Pattern[str]:
    """Modules in whose names one of several stands, from a dot to a dot."""
    told = "|".join(re.escape(name.strip(".")) for name in names)
    return re.compile(rf"(?:.*\.)?(?:{told})(?:\.|$)")


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
    """compressed-tensors' names, and of its expressions those of letters, `.*`, numbers and words to choose among,
    which match a name's start.

    No other is tried: they come with the checkpoint, and an expression may be written so that it never ends. Nothing
    but what is told of a model without weights, and which kernels are compiled ahead, depends on it.
    """
    found = []
    for target in (one for each in targets for one in _spelled_out(each)):
        if not target.startswith("re:"):
            found.append(glob.escape(target))
        elif SIMPLE.fullmatch(target):
            text = target.removeprefix("re:").removeprefix("^").replace(r"\d+", NUMBER)
            text = text.replace(r"\.", ".").replace(".*", "*")
            found.append(text.removesuffix("$") if text.endswith("$") else text + "*")
    return found


def _spelled_out(target: str) -> list[str]:
    """An expression with words to choose among, `(gate|up)_proj`, as one for each of them; others as they are."""
    found = [target]
    if not target.startswith("re:") or len(target) > SPELLED_LENGTH:
        return found
    while len(found) < SPELLED_OUT and (words := ALTERNATIVES.search(found[0])):
        found = [ALTERNATIVES.sub(word, one, count=1) for one in found for word in words[1].split("|")]
    return found

"""What a conversion is asked for, and the checks that come before any work."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.fp8 import SCALES
from hopwell.formats.labels import Label
from hopwell.formats.residual import SHARES, parse_label
from hopwell.limits.catalogue import parse_cluster
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import check_headers, inventory
from hopwell.quantization.hessian import PrecisionError

FEWEST_TOKENS = 2048
SEQUENCE = 512
JUDGED_SHARE = 4
"""One calibration sequence in so many is kept to measure KL on, and fits nothing."""
OWN_LAYOUT = "hopwell"
"""Holds what no other engine loads."""
WRITERS = ("modelopt", "compressed-tensors", OWN_LAYOUT)
PARTS = ("attention", "dense", "shared_experts", "routed_experts")
TOLD_BYTES = 500
"""Of a matrix in a file's header, the index or the report, about."""
LEFT_FOR_CACHE = 60
"""GB, of all GPUs together."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the allocation is to reach; exactly one is set."""

    kl: float | None = None
    """Mean KL to the source, nats a token."""
    error: float | None = None
    """Mean squared output error of the linears, relative to the output's square, a weight counting once."""
    nbytes: int | None = None
    """All tensors of the written checkpoint."""
    bits: float | None = None
    """Mean bits of a weight of the decoder layers' linears."""
    format: str | None = None
    """One format for all linears."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides the result, besides source and calibration."""

    goal: Goal
    writer: str = "modelopt"
    formats: tuple[str, ...] = (Label.NVFP4,)
    """Formats offered beside the source's own."""
    uniform_experts: bool = False
    compensate: bool = True
    """False rounds plainly: the yardstick."""
    keep: tuple[str, ...] = ()
    """Parts that stay as the source has them."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Formats to make of every group that is not kept."""
        return (self.goal.format,) if self.goal.format else self.formats

    def check(self) -> None:
        """
        Raises:
            PrecisionError: a format, writer or part is unknown, or they do not go together.
        """
        for part in self.keep:
            if part not in PARTS:
                raise PrecisionError(f"--keep {part!r} is unknown; known: {', '.join(PARTS)}")
        if self.writer not in WRITERS:
            raise PrecisionError(f"layout {self.writer!r} is unknown; known: {', '.join(WRITERS)}")
        for name in (*self.formats, *([self.goal.format] if self.goal.format else [])):
            try:
                _, percent = parse_label(name)
            except ValueError as error:
                raise PrecisionError(str(error)) from None
            if percent and self.writer != OWN_LAYOUT:
                raise PrecisionError(
                    f"{name}: {self.writer} has no layout for residual columns, and no other engine loads them; use "
                    f"--layout {OWN_LAYOUT}"
                )
            if self.writer == "modelopt" and name.startswith("int4"):
                raise PrecisionError(f"ModelOpt has no layout for {name}; use --layout compressed-tensors")


def with_columns(formats: Sequence[str]) -> tuple[str, ...]:
    """Formats, and each also with residual columns of several sizes."""
    return tuple(label for name in formats for label in (name, *(f"{name}+{share}%" for share in SHARES)))


def parse_budget(text: str) -> Goal:
    """`kl=0.01`, or `error=0.003`.

    Raises:
        PrecisionError: it is something else.
    """
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if name == "kl" and 0 < number < 10:
        return Goal(kl=number)
    if name == "error" and 0 < number < 1:
        return Goal(error=number)
    raise PrecisionError(
        f"--budget is {text!r}; give the mean KL in nats a token, as kl=0.01, or the relative squared output error of "
        "the linears, as error=0.003"
    )


def parse_bytes(text: str) -> Goal:
    """`4.5bpw`, or bytes with a unit: `380GB`.

    Raises:
        PrecisionError: it is something else.
    """
    for suffix, factor in (("bpw", 0.0), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)):
        if text.endswith(suffix):
            try:
                number = float(text.removesuffix(suffix))
            except ValueError:
                break
            if 0 < number < 1e15:
                return Goal(nbytes=int(number * factor)) if factor else Goal(bits=number)
    raise PrecisionError(f"--bytes is {text!r}; give bits a weight, as 4.5bpw, or a size, as 380GB")


def parse_fit(text: str) -> Goal:
    """`8xH100`: the GPUs' usable memory, less 60 GB of latent cache.

    Raises:
        CatalogueError: the GPU is not in the catalogue.
        PrecisionError: nothing is left for weights.
    """
    count, gpu = parse_cluster(text, "--fit")
    room = count * gpu.usable - LEFT_FOR_CACHE * 10**9
    if room <= 0:
        raise PrecisionError(f"--fit {text}: {LEFT_FOR_CACHE} GB of cache leave no room for weights; take more GPUs")
    return Goal(nbytes=room)


def open_source(path: Path) -> tuple[Checkpoint, ModelConfig]:
    """Opens a source; refuses one that cannot be read whole, or whose own error would hide in the result.

    Raises:
        PrecisionError: it is quantised to something other than the released FP8, or was converted before.
        ConfigError, CheckpointError: it is no model that is read here; a tensor is missing, surplus or not known.
    """
    checkpoint = Checkpoint.open(path)
    config = ModelConfig.from_dict(checkpoint.config)
    if (path / REPORT).exists():
        raise PrecisionError(f"{path}: was converted by Hopwell already; convert the original instead")
    method = config.quantization.method
    if method not in (None, "fp8"):
        raise PrecisionError(f"{path}: is quantised already ({method}); convert the FP8 or bf16 original")
    check_headers(checkpoint, config)
    for name, module in by_module(checkpoint.tensors.values()).items():
        if kind_of(module) == Label.OTHER:
            raise PrecisionError(f"{path}: {name} is quantised already; convert the FP8 or bf16 original")
    return checkpoint, config


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix of a decoder layer, as the source has it."""

    name: str
    shape: tuple[int, int]
    nbytes: int
    """With its scales."""
    part: str
    """Of `PARTS`."""

    @property
    def weights(self) -> int:
        """How many it has."""
        return math.prod(self.shape)

    def nbytes_in(self, label: str) -> int:
        """In a format; as the source has it if the format cannot hold it."""
        fmt, percent = parse_label(label)
        if fmt.bits == 4 and self.shape[1] % fmt.columns:
            return self.nbytes
        return int(fmt.nbytes(self.shape) * (1 + percent / 100))


def linears_of(checkpoint: Checkpoint, config: ModelConfig) -> list[Linear]:
    """The matrices of the decoder layers."""
    return [
        Linear(spec.module, (spec.shape[0], spec.shape[1]), bytes_of(checkpoint, [spec.module]), spec.part)
        for spec in inventory(config)
        if spec.part in PARTS and not spec.is_scale
    ]


def bytes_of(checkpoint: Checkpoint, modules: Sequence[str]) -> int:
    """Of linears as the source has them, with their scales."""
    infos = checkpoint.tensors
    return sum(infos[name].nbytes for m in modules for s in ("weight", SCALES) if (name := f"{m}.{s}") in infos)


def room(source_bytes: int, linears: Sequence[Linear], settings: Settings, hidden_bytes: int) -> int:
    """Bytes that a conversion writes at most while it lasts: every candidate, the hidden states before and after a
    layer, and the result.

    Args:
        source_bytes: of all of the source's tensors.
        hidden_bytes: of one layer's hidden states.
    """
    converted = [each for each in linears if each.part not in settings.keep]
    candidates = {label: sum(each.nbytes_in(label) for each in converted) for label in settings.candidates}
    result, goal = source_bytes, settings.goal
    if goal.format is not None:
        result += candidates[goal.format] - sum(each.nbytes for each in converted)
    elif goal.bits is not None:
        weights = sum(each.weights for each in linears)
        result += int(goal.bits * weights / 8) - sum(each.nbytes for each in linears)
    elif goal.nbytes is not None:
        result = goal.nbytes
    told = TOLD_BYTES * len(linears) * (2 + len(candidates))
    return sum(candidates.values()) + min(result, source_bytes) + 2 * hidden_bytes + told


def bytes_below(folder: Path) -> int:
    """Of all files in a folder, which need not be there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cut_sequences(tokens: Sequence[int], name: str) -> list[list[int]]:
    """A text's tokens in stretches of 512.

    Args:
        name: of the text, for errors.

    Raises:
        PrecisionError: there are fewer than 2048.
    """
    check_tokens(len(tokens), name)
    pieces = [list(tokens[i : i + SEQUENCE]) for i in range(0, len(tokens), SEQUENCE)]
    return [piece for piece in pieces if len(piece) >= 64]


def check_tokens(count: int, name: str = "the text to calibrate on") -> None:
    """
    Raises:
        PrecisionError: a text is too short.
    """
    if count < FEWEST_TOKENS:
        raise PrecisionError(f"{name} has {count:,} tokens; give {FEWEST_TOKENS:,} or more")


def identity(
    checkpoint: Checkpoint,
    settings: Settings,
    fit: Sequence[Sequence[int]],
    judge: Sequence[Sequence[int]],
    device: str = "cpu",
) -> dict[str, Any]:
    """What two runs must share for one to go on where the other stopped: whatever decides the candidates, the kind of
    device included, for sums end in other bits on another.

    The goal is not part of it: what cannot be reached is asked for anew, at a price that can be paid.
    """
    layout = sorted((t.name, list(t.shape), str(t.dtype)) for t in checkpoint.tensors.values())
    made = {"formats": settings.candidates, "compensate": settings.compensate, "keep": settings.keep}
    return {
        "source": str(checkpoint.path.resolve()),
        "device": device,
        "tensors": hashlib.sha256(json.dumps(layout).encode()).hexdigest(),
        "settings": json.loads(json.dumps(made)),
        "calibration": _digest(fit),
        "judge": _digest(judge),
    }


def _digest(sequences: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(json.dumps([list(s) for s in sequences]).encode()).hexdigest()


def as_plain(settings: Settings) -> dict[str, Any]:
    """For JSON."""
    return json.loads(json.dumps(asdict(settings)))

"""How large a model is: parameters by part, bytes on disk and in memory, latents a token, GPUs that hold it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from hopwell.checkpoint.header import DTYPE_NAMES, TensorInfo
from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.blocks import FORMATS
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.labels import Label
from hopwell.formats.packed import PACKABLE, STEP
from hopwell.limits.catalogue import Gpu
from hopwell.model.config import ModelConfig
from hopwell.model.quantization import Quantization
from hopwell.model.schema import DENSE, EXPERT, HEADS, KV_A, MTP_PARTS, PARTS, Q_A, SHARED, Q, Row, row_of
from hopwell.parallel.layout import Layout

GPU_COUNTS = (1, 2, 4, 8, 16)
JOINED = {Q_A: (KV_A,), Q: (KV_A,), KV_A: (Q_A, Q)}
"""Matrices that read the same input, of which loads make one."""
for _network in (DENSE, SHARED, EXPERT):
    JOINED |= {_network.gate: (_network.up,), _network.up: (_network.gate,)}


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part of a model."""

    part: str
    words: str
    tensors: int
    parameters: int
    """Scales are not counted."""
    active: int
    """Parameters that one token reads; MTP's are not counted."""
    bytes: int
    formats: dict[str, int]
    """Bytes by the format's name in safetensors, the largest first."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on `count` GPUs of a kind: how many tokens of latent cache there is room for. None: it does not fit."""

    gpu: str
    count: int
    tensor_parallel: int | None
    """Every matrix cut into `count`, each token's latents on every GPU."""
    data_parallel: int | None
    """Attention whole and its own tokens' latents on every GPU, every other matrix cut or shared out."""


def part_sizes(
    config: ModelConfig, specs: Sequence[TensorSpec], stored: Iterable[TensorInfo | TensorSpec] | None = None
) -> list[PartSize]:
    """Every part that the model has, in the order of `PARTS`.

    Args:
        specs: the model's inventory.
        stored: tensors of a checkpoint, which then decide about tensors, bytes and formats.
    """
    modules = {spec.module: spec.part for spec in specs}
    tensors: Counter[str] = Counter()
    formats: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for tensor in specs if stored is None else stored:
        part = modules.get(tensor.name.rpartition(".")[0])
        if part is not None:
            tensors[part] += 1
            formats[part][DTYPE_NAMES[tensor.dtype]] += tensor.nbytes
    parameters = Counter[str]()
    for spec in specs:
        parameters[spec.part] += 0 if spec.is_scale else spec.numel
    return [
        PartSize(
            part, words, tensors[part], parameters[part], active_parameters(config, part, parameters[part]),
            formats[part].total(), dict(formats[part].most_common()),
        )
        for part, words in PARTS.items()
        if parameters[part]
    ]  # fmt: skip


def active_parameters(config: ModelConfig, part: str, parameters: int) -> int:
    """Of a part's parameters, those that one token reads: its row of the embedding, its experts, all of the rest."""
    if part == "embedding":
        return config.hidden_size
    if part == "routed_experts":
        return parameters // config.n_routed_experts * config.router.top_k
    return 0 if part in MTP_PARTS else parameters


def latent_bytes(config: ModelConfig, itemsize: int = 2) -> int:
    """Bytes of cache a token, MTP layer included; `itemsize` is 2 for bf16 and 1 for FP8."""
    return (config.num_hidden_layers + config.num_nextn_predict_layers) * config.latent_dim * itemsize


def resident_bytes(spec: TensorSpec, row: Row, layout: str, packed: bool, zero_points: bool) -> int:
    """Bytes that a tensor takes once it is loaded on a GPU (model/loading.py), a matrix with its scales.

    FP8 blocks stay as they are where the schema has a matrix held as it is stored; other layouts are expanded. MTP's
    copies are not loaded.

    Args:
        row: the tensor's.
        layout: of a matrix, as `kind_of` tells it.
        packed: four bits stay packed where kernels take them, with a factor a row.
        zero_points: INT4 has them, two bytes of their own beside each scale.
    """
    if spec.copy_of is not None or spec.is_scale:
        return 0
    held = row.kind.held
    if held == "float32":
        return 4 * spec.numel
    if layout == Label.FP8_BLOCK and held == "stored":
        return spec.numel + 4 * math.prod(scale_shape(spec.shape))
    if packed and held == "stored" and layout in FORMATS and FORMATS[layout] in PACKABLE and spec.shape[1] % STEP == 0:
        kind = FORMATS[layout]
        zeros = 2 * math.prod(kind.scale_shape(spec.shape)) if zero_points and kind.elements == "int4" else 0
        return kind.nbytes(spec.shape) + zeros + 4 * spec.shape[0]
    return 2 * spec.numel


def weight_bytes(
    specs: Iterable[TensorSpec],
    layouts: Mapping[str, str] | None = None,
    packed: bool = False,
    quantization: Quantization | None = None,
) -> Weights:
    """What a model's weights take on GPUs.

    Args:
        layouts: by module, where a checkpoint says otherwise than its config.
        packed: as `resident_bytes` has it.
        quantization: what config.json tells of zero points, and of columns in an order that no kernel reads packed.
    """
    told = quantization or Quantization()
    attention = cut = copied = routed = 0
    for spec in specs:
        if spec.is_scale:
            continue
        row = row_of(spec.name)
        layout = Label.FP8_BLOCK if spec.dtype == torch.float8_e4m3fn else Label.PLAIN
        stored = layout if layouts is None else _held_layout(spec, row, layouts, layout)
        size = resident_bytes(spec, row, stored, packed and not told.act_order, told.zero_points)
        if row.by_expert:
            routed += size
        elif row.cut is None:
            copied += size
        elif row.axis == HEADS:
            attention += size
        else:
            cut += size
    return Weights(attention, cut, copied, routed)


def _held_layout(spec: TensorSpec, row: Row, layouts: Mapping[str, str], default: str) -> str:
    """A matrix's layout, or plain where that with which it is joined when loaded has another."""
    found = layouts.get(spec.module, default)
    others = JOINED.get(row)
    if others is None:
        return found
    numbers = [int(part) for part in spec.name.split(".") if part.isdigit()]
    joined = [layouts[name] for other in others if (name := other.module(*numbers)) in layouts]
    return found if all(each == found for each in joined) else Label.PLAIN


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a loaded model, by how they are shared out among GPUs."""

    attention: int
    """What heads have of it: cut by tensor parallelism, on every GPU where attention is data parallel."""
    cut: int
    """Head, dense and shared networks: cut in any case."""
    copied: int
    """On every GPU in any case: embedding, routers, norms, and what makes latents of the hidden state."""
    routed: int
    """Routed experts: shared out in any case."""

    @property
    def total(self) -> int:
        return self.attention + self.cut + self.copied + self.routed

    def tensor_parallel(self, count: int) -> int:
        """On each of `count` GPUs."""
        return self.copied - (-(self.attention + self.cut + self.routed) // count)

    def data_parallel(self, count: int) -> int:
        """On each of `count` GPUs, where attention is data parallel."""
        return self.copied + self.attention - (-(self.cut + self.routed) // count)

    def on_each(self, layout: Layout) -> int:
        """On each rank's GPU."""
        return self.data_parallel(layout.tp) if layout.dp_attention else self.tensor_parallel(layout.tp)


def fits(
    config: ModelConfig, weights: Weights, gpus: Iterable[Gpu], counts: Sequence[int] = GPU_COUNTS, itemsize: int = 2
) -> list[Fit]:
    """Tokens of latent cache beside the weights, for every GPU and count.

    Args:
        itemsize: bytes of a cached value: 2 for bf16, 1 for FP8.
    """
    token = latent_bytes(config, itemsize)
    found = []
    for gpu in gpus:
        for count in counts:
            cut = copied = None
            if config.num_attention_heads % count == 0:
                cut = _tokens(gpu.usable - weights.tensor_parallel(count), token)
            if config.n_routed_experts % count == 0:
                copied = _tokens(gpu.usable - weights.data_parallel(count), token)
            found.append(Fit(gpu.name, count, cut, None if copied is None else copied * count))
    return found


def _tokens(room: int, token: int) -> int | None:
    """Whole tokens in `room` bytes; None if there is none."""
    return room // token if room >= token else None

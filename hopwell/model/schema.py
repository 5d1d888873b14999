"""Every tensor of the family, a row each: its name, shape, part and formats, and what of it several GPUs cut.

No other file spells a tensor's name. A row has the name as the released checkpoints have it, with `{layer}` and
`{expert}` for numbers, and its shape as sides whose lengths follow from the config.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from hopwell.checkpoint.spec import TensorSpec
from hopwell.formats.blocks import FORMATS
from hopwell.formats.fp8 import SCALES, scale_shape
from hopwell.formats.labels import Label
from hopwell.model.config import ModelConfig

PARTS = {
    "embedding": "embedding",
    "attention": "attention",
    "dense": "dense networks",
    "shared_experts": "shared experts",
    "routed_experts": "routed experts",
    "router": "routers",
    "norms": "norms",
    "head": "output head",
    "mtp": "MTP layer",
    "mtp_copies": "MTP's copies",
}
"""Parts of a model, with the words for them. MTP's copies are of the embedding and the head."""
MTP_PARTS = ("mtp", "mtp_copies")
"""Parts that the model's main path does not read."""
HEADS = "heads"
AXES = {
    HEADS: ("num_attention_heads", "num_key_value_heads"),
    "width": ("intermediate_size", "moe_intermediate_size"),
    "vocabulary": ("vocab_size",),
}
"""What tensor-parallel GPUs share: by axis, the fields of config.json that are divided among them."""
SWIGLU_DEVIATION = 0.5964
"""Of silu(a) * b, a and b normal: sqrt(E[silu(a)^2]), by which a down projection must make up for its input."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What tensors may be stored in, are held in, and are drawn from where there is no checkpoint."""

    formats: tuple[str, ...]
    """Of `formats.labels.Label`; the first is that of R1's own checkpoint."""
    held: str
    """Once loaded: in "float32", in the "model"'s dtype, or on a GPU as it is "stored"."""
    dtype: torch.dtype = torch.bfloat16
    """Of plain values in a checkpoint."""
    deviation: float | None = None
    """Of random values; None: with which a matrix's output has deviation 1."""
    mean: float = 0.0
    """Of random values."""
    reads: float = 1.0
    """The deviation of a matrix's input."""


PLAIN = (Label.PLAIN,)
ANY = (Label.PLAIN, Label.FP8_TENSOR, *FORMATS)
BLOCKS = (Label.FP8_BLOCK, *(name for name in ANY if name != Label.FP8_BLOCK))

NORM = Kind(PLAIN, "float32", deviation=0.1, mean=1.0)
TABLE = Kind(PLAIN, "model", deviation=1.0)
ROUTER = Kind(PLAIN, "float32")
BIAS = Kind(PLAIN, "float32", torch.float32, deviation=0.005)  # present, and too small to unbalance the experts
LINEAR = Kind(BLOCKS, "stored")
DOWN = Kind(BLOCKS, "stored", reads=SWIGLU_DEVIATION)
ABSORBED = Kind(BLOCKS, "model")  # attention multiplies queries and outputs with its parts, plain
MATRIX = Kind(ANY, "stored")  # R1 leaves it plain, conversions need not


@dataclass(frozen=True, slots=True)
class Side:
    """One dimension of a tensor."""

    length: Callable[[ModelConfig], int]
    axis: str | None = None
    """Of `AXES`, along which tensor-parallel GPUs cut it; None: each has the whole."""


HIDDEN = Side(lambda c: c.hidden_size)
TOKENS = Side(lambda c: c.vocab_size)  # whole, so that GPUs' rows are equal without an exchange
VOCABULARY = Side(lambda c: c.vocab_size, "vocabulary")
QUERY_RANK = Side(lambda c: c.q_lora_rank or 0)
LATENT_RANK = Side(lambda c: c.kv_lora_rank)
LATENT = Side(lambda c: c.latent_dim)
QUERIES = Side(lambda c: c.num_attention_heads * c.qk_head_dim, HEADS)
KEYS_VALUES = Side(lambda c: c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim), HEADS)
VALUES = Side(lambda c: c.num_attention_heads * c.v_head_dim, HEADS)
EXPERTS = Side(lambda c: c.n_routed_experts)
DENSE_WIDTH = Side(lambda c: c.intermediate_size, "width")
EXPERT_WIDTH = Side(lambda c: c.moe_intermediate_size, "width")
SHARED_WIDTH = Side(lambda c: c.n_shared_experts * c.moe_intermediate_size, "width")
TWO_HIDDEN = Side(lambda c: 2 * c.hidden_size)


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of the family."""

    pattern: str
    part: str
    """Of `PARTS`. Of the MTP layer's rows it is that of any layer's; their specs are of the part "mtp"."""
    kind: Kind
    sides: tuple[Side, ...]

    def __hash__(self) -> int:
        """Of the pattern alone, which no other row has: that of all fields is a second of each start of R1."""
        return hash(self.pattern)

    def name(self, layer: int = 0, expert: int = 0) -> str:
        """The tensor's name in a checkpoint."""
        return self.pattern.format(layer=layer, expert=expert)

    def module(self, layer: int = 0, expert: int = 0) -> str:
        """The name without its last component, to which a matrix's layout adds its own."""
        return self.name(layer, expert).rpartition(".")[0]

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        """The logical shape: of the values, however they are stored. Of a matrix [out, in]."""
        return tuple([side.length(config) for side in self.sides])

    def matrix(self, config: ModelConfig) -> tuple[int, int]:
        """The shape of a row that is a matrix: [out, in]."""
        out, width = self.sides
        return out.length(config), width.length(config)

    @property
    def cut(self) -> int | None:
        """The dimension that tensor-parallel GPUs cut, by whole heads where it is one of heads; None: none.

        Gate and up are each cut, so that a GPU's rows of both belong together.
        """
        return next((index for index, side in enumerate(self.sides) if side.axis), None)

    @property
    def axis(self) -> str | None:
        """That of this dimension, of `AXES`."""
        return None if self.cut is None else self.sides[self.cut].axis

    @property
    def by_expert(self) -> bool:
        """Whether expert-parallel GPUs share it out whole, each its own experts."""
        return "{expert}" in self.pattern

    def deviation(self, config: ModelConfig) -> float:
        """Of random values with which activations keep their size."""
        return self._deviation(self.shape(config))

    def _deviation(self, shape: tuple[int, ...]) -> float:
        return 1 / math.sqrt(shape[-1]) / self.kind.reads if self.kind.deviation is None else self.kind.deviation

    def specs(self, config: ModelConfig) -> Callable[[int, int], list[TensorSpec]]:
        """What a checkpoint holds of it, by layer and expert: the tensor, and its scales where the config has FP8
        blocks. What all experts have alike is worked out once: R1 has 45,000 matrices."""
        kind, original, shape = self.kind, COPIES.get(self), self.shape(config)
        spec = partial(
            TensorSpec, part=self.part,
            quantisable=kind.formats != PLAIN,
            deviation=self._deviation(shape),
            mean=kind.mean,
            copy_of=None if original is None else original.name(),
        )  # fmt: skip
        if config.weight_block_size is None or kind.formats[0] != Label.FP8_BLOCK:
            return lambda layer, expert: [spec(self.name(layer, expert), shape, kind.dtype)]
        scales = scale_shape(shape)

        def with_scales(layer: int, expert: int) -> list[TensorSpec]:
            name = self.name(layer, expert)
            module = name.rpartition(".")[0]
            return [spec(name, shape, torch.float8_e4m3fn), spec(f"{module}.{SCALES}", scales, torch.float32)]

        return with_scales


@dataclass(frozen=True, slots=True)
class Network:
    """A SwiGLU network's matrices; gate and up read the same."""

    gate: Row
    up: Row
    down: Row

    def __iter__(self) -> Iterator[Row]:
        return iter((self.gate, self.up, self.down))


def _network(prefix: str, part: str, width: Side) -> Network:
    return Network(
        Row(prefix + "gate_proj.weight", part, LINEAR, (width, HIDDEN)),
        Row(prefix + "up_proj.weight", part, LINEAR, (width, HIDDEN)),
        Row(prefix + "down_proj.weight", part, DOWN, (HIDDEN, width)),
    )


LAYER = "model.layers.{layer}."
ATTENTION = LAYER + "self_attn."
MLP = LAYER + "mlp."

EMBEDDING = Row("model.embed_tokens.weight", "embedding", TABLE, (TOKENS, HIDDEN))
FINAL_NORM = Row("model.norm.weight", "norms", NORM, (HIDDEN,))
HEAD = Row("lm_head.weight", "head", MATRIX, (VOCABULARY, HIDDEN))

INPUT_NORM = Row(LAYER + "input_layernorm.weight", "norms", NORM, (HIDDEN,))
POST_NORM = Row(LAYER + "post_attention_layernorm.weight", "norms", NORM, (HIDDEN,))

# in the papers' letters: W^Q, or W^DQ and W^UQ with W^QR; W^DKV with W^KR; W^UK with W^UV, head by head; W^O
Q = Row(ATTENTION + "q_proj.weight", "attention", LINEAR, (QUERIES, HIDDEN))
Q_A = Row(ATTENTION + "q_a_proj.weight", "attention", LINEAR, (QUERY_RANK, HIDDEN))
Q_A_NORM = Row(ATTENTION + "q_a_layernorm.weight", "norms", NORM, (QUERY_RANK,))
Q_B = Row(ATTENTION + "q_b_proj.weight", "attention", LINEAR, (QUERIES, QUERY_RANK))
KV_A = Row(ATTENTION + "kv_a_proj_with_mqa.weight", "attention", LINEAR, (LATENT, HIDDEN))
KV_A_NORM = Row(ATTENTION + "kv_a_layernorm.weight", "norms", NORM, (LATENT_RANK,))
KV_B = Row(ATTENTION + "kv_b_proj.weight", "attention", ABSORBED, (KEYS_VALUES, LATENT_RANK))
O = Row(ATTENTION + "o_proj.weight", "attention", LINEAR, (HIDDEN, VALUES))

GATE = Row(MLP + "gate.weight", "router", ROUTER, (EXPERTS, HIDDEN))
GATE_BIAS = Row(MLP + "gate.e_score_correction_bias", "router", BIAS, (EXPERTS,))
DENSE = _network(MLP, "dense", DENSE_WIDTH)
SHARED = _network(MLP + "shared_experts.", "shared_experts", SHARED_WIDTH)
EXPERT = _network(MLP + "experts.{expert}.", "routed_experts", EXPERT_WIDTH)

MTP_EMBEDDING = Row(LAYER + "embed_tokens.weight", "mtp_copies", TABLE, (TOKENS, HIDDEN))
MTP_EMBEDDING_NORM = Row(LAYER + "enorm.weight", "mtp", NORM, (HIDDEN,))
MTP_HIDDEN_NORM = Row(LAYER + "hnorm.weight", "mtp", NORM, (HIDDEN,))
MTP_PROJECTION = Row(LAYER + "eh_proj.weight", "mtp", MATRIX, (HIDDEN, TWO_HIDDEN))
MTP_FINAL_NORM = Row(LAYER + "shared_head.norm.weight", "mtp", NORM, (HIDDEN,))
MTP_HEAD = Row(LAYER + "shared_head.head.weight", "mtp_copies", MATRIX, (VOCABULARY, HIDDEN))

COPIES = {MTP_EMBEDDING: EMBEDDING, MTP_HEAD: HEAD}
"""The MTP layer's own embedding and head, and those of which they are copies: never read."""

ROWS = (
    *(EMBEDDING, INPUT_NORM, Q, Q_A, Q_A_NORM, Q_B, KV_A, KV_A_NORM, KV_B, O, POST_NORM),
    *(GATE, GATE_BIAS, *DENSE, *SHARED, *EXPERT, FINAL_NORM, HEAD),
    *(MTP_EMBEDDING, MTP_EMBEDDING_NORM, MTP_HIDDEN_NORM, MTP_PROJECTION, MTP_FINAL_NORM, MTP_HEAD),
)
IGNORED = tuple(
    ATTENTION + name for name in ("rotary_emb.inv_freq", "k_proj.k_scale", "v_proj.v_scale", "k_scale", "v_scale")
)
"""Tensors that some conversions write and that are not needed: a buffer that follows from the config, and scales for an
FP8 cache of keys and values, where this one holds latents."""


def tensors(config: ModelConfig) -> Iterator[TensorSpec]:
    """The tensors of a checkpoint of `config`, in the order of the forward pass.

    Projections are FP8 blocks with float32 scales where `config.weight_block_size` is set, bf16 otherwise. The MTP
    layer follows the decoder's last, with its physical copies of the embedding and the head (DeepSeek-V3,
    README_WEIGHTS.md).
    """
    layers, known = config.num_hidden_layers, dict[Row, Callable[[int, int], list[TensorSpec]]]()

    def specs(row: Row, layer: int = 0, expert: int = 0) -> list[TensorSpec]:
        if row not in known:
            known[row] = row.specs(config)
        return known[row](layer, expert)

    yield from specs(EMBEDDING)
    for layer in range(layers):
        for row, expert in layer_rows(config, layer):
            yield from specs(row, layer, expert)
    yield from specs(FINAL_NORM)
    yield from specs(HEAD)
    for layer in range(layers, layers + config.num_nextn_predict_layers):
        for row in (MTP_EMBEDDING, MTP_EMBEDDING_NORM, MTP_HIDDEN_NORM, MTP_PROJECTION):
            yield from specs(row, layer)
        for row, expert in layer_rows(config, layer):
            yield from (replace(spec, part="mtp") for spec in specs(row, layer, expert))
        for row in (MTP_FINAL_NORM, MTP_HEAD):
            yield from specs(row, layer)


def layer_rows(config: ModelConfig, layer: int) -> Iterator[tuple[Row, int]]:
    """The rows of a decoder layer and, of experts' rows, the expert's number."""
    queries = (Q,) if config.q_lora_rank is None else (Q_A, Q_A_NORM, Q_B)
    for row in (INPUT_NORM, *queries, KV_A, KV_A_NORM, KV_B, O, POST_NORM):
        yield row, 0
    if not config.is_moe(layer):
        yield from ((row, 0) for row in DENSE)
        return
    yield GATE, 0
    if config.router.scoring == "sigmoid":
        yield GATE_BIAS, 0
    if config.n_shared_experts:
        yield from ((row, 0) for row in SHARED)
    for expert in range(config.n_routed_experts):
        yield from ((row, expert) for row in EXPERT)


def unread(config: ModelConfig) -> set[str]:
    """Names of tensors that a checkpoint may hold and that nobody reads, the MTP layer's copies among them."""
    layers, mtp = config.num_hidden_layers, config.num_nextn_predict_layers
    names = {pattern.format(layer=layer) for layer in range(layers + mtp) for pattern in IGNORED}
    return names | {row.name(layer) for layer in range(layers, layers + mtp) for row in COPIES}


def row_of(name: str) -> Row:
    """The row of a tensor of a checkpoint.

    Raises:
        KeyError: the family has none of that name.
    """
    numbers = iter(("{layer}", "{expert}"))
    return _BY_PATTERN[".".join(next(numbers, part) if part.isdigit() else part for part in name.split("."))]


def layer_of(name: str) -> int | None:
    """The number of the layer that a tensor is of, None of one outside layers."""
    start, _, _ = LAYER.partition("{")
    number = name.removeprefix(start).partition(".")[0]
    return int(number) if name.startswith(start) and number.isdigit() else None


_BY_PATTERN = {row.pattern: row for row in ROWS}

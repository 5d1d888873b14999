"""A model out of the schema's rows, wherever their values come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS, FP8_BLOCK
from hopwell.formats.labels import Label
from hopwell.formats.matrices import Format
from hopwell.formats.packed import PACKABLE, STEP
from hopwell.formats.plain import PlainFormat
from hopwell.model import schema
from hopwell.model.config import ModelConfig
from hopwell.model.joined import join_experts
from hopwell.model.mla import MLA
from hopwell.model.schema import Network, Row
from hopwell.model.sharding import Shard, share
from hopwell.model.transformer import MTP, Dense, Layer, MoE, Transformer
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import ONE_RANK


def held_format(config: ModelConfig, row: Row, layer: int, packed: bool) -> Format:
    """How a GPU holds a matrix by what config.json says of it, where values are in bf16.

    Args:
        packed: four bits stay packed where kernels take them.
    """
    if row.kind.held == "stored":
        if config.quantization.method == "fp8":
            blocks = config.weight_block_size is not None and row.kind.formats[0] == Label.FP8_BLOCK
            label = Label.FP8_BLOCK if blocks else None
        else:
            label = config.quantization.format_of(row.module(layer))
        found = FORMATS.get(label or "")
        if found is FP8_BLOCK:
            return FP8_BLOCK
        packs = packed and not config.quantization.act_order
        if packs and found is not None and found in PACKABLE and row.matrix(config)[1] % STEP == 0:
            return found
    return PlainFormat(torch.bfloat16)


def one_of_a_kind(values: Mapping[str, Any]) -> list[int]:
    """Numbers of a config's layers of which one of a kind is left, once it is truncated: the first dense one, the first
    with experts, twice, since what one leaves to the next is a kind too, and the MTP layer."""
    dense = values.get("first_k_dense_replace", 0)
    return [*range(min(dense, 1)), dense, dense, values.get("num_hidden_layers", 0)]


class Builder(ABC):
    """Puts a `Transformer` together. A subclass says where values come from, and in which formats matrices stay.

    hazard: seeds of random weights are numbered as they are asked for, so the order of calls decides their bits.
    """

    joins_experts = True
    """Whether an MoE layer's experts are laid out for the fused chain as well, on the same memory."""

    def __init__(self, config: ModelConfig, shard: Shard | None = None) -> None:
        """
        Args:
            config: of the whole model.
            shard: of several ranks that share it, this one's place; None: there is one.

        Raises:
            LayoutError: they cannot share it.
        """
        self.layout, self.exchange = (ONE_RANK, None) if shard is None else (shard.layout, shard.exchange)
        self.whole, self.config = config, share(config, self.layout)

    @abstractmethod
    def tensor(self, row: Row, layer: int = 0) -> Tensor:
        """A tensor that is never quantised, as the schema has it held: float32 or the model's dtype."""

    @abstractmethod
    def matrix(self, *rows: Row, layer: int = 0) -> Weight:
        """Matrices that read the same input as one, ready for products: [out of all, in]."""

    @abstractmethod
    def absorbed(self, layer: int) -> tuple[Tensor, Tensor]:
        """What attention absorbs of `KV_B`: W_UK [heads, 128, 512] and W_UV [heads, 512, 128], in the model's dtype."""

    @abstractmethod
    def experts(self, layer: int) -> Experts:
        """A layer's routed experts, stacked."""

    def transformer(self) -> Transformer:
        """The whole model, with its MTP layer if the config has one."""
        c = self.config
        layers = [self.layer(index) for index in range(c.num_hidden_layers)]
        embedding = self.tensor(schema.EMBEDDING)
        return Transformer(
            config=c,
            embedding=embedding,
            layers=layers,
            final_norm=self.tensor(schema.FINAL_NORM),
            head=self.matrix(schema.HEAD),
            mtp=self.mtp(c.num_hidden_layers) if c.num_nextn_predict_layers else None,
            rope_table=c.rope.table(c.max_position_embeddings, embedding.device),
            exchange=self.exchange,
            layout=self.layout,
        )

    def mtp(self, layer: int) -> MTP:
        """The MTP layer, which a checkpoint numbers as one more decoder layer."""
        return MTP(
            embedding_norm=self.tensor(schema.MTP_EMBEDDING_NORM, layer),
            hidden_norm=self.tensor(schema.MTP_HIDDEN_NORM, layer),
            projection=self.matrix(schema.MTP_PROJECTION, layer=layer),
            layer=self.layer(layer),
            final_norm=self.tensor(schema.MTP_FINAL_NORM, layer),
        )

    def layer(self, layer: int) -> Layer:
        """A decoder layer."""
        attention = self.attention(layer)
        network = self.moe(layer) if self.config.is_moe(layer) else self.dense(schema.DENSE, layer)
        return Layer(
            input_norm=self.tensor(schema.INPUT_NORM, layer),
            attention=attention,
            post_norm=self.tensor(schema.POST_NORM, layer),
            network=network,
            eps=self.config.rms_norm_eps,
            exchange=self.exchange,
        )

    def attention(self, layer: int) -> MLA:
        """A layer's attention; query and latent are made of the hidden state by one matrix."""
        low_rank = self.config.q_lora_rank is not None
        qkv_a = self.matrix(schema.Q_A if low_rank else schema.Q, schema.KV_A, layer=layer)
        q_a_norm = self.tensor(schema.Q_A_NORM, layer) if low_rank else None
        q_b = self.matrix(schema.Q_B, layer=layer) if low_rank else None
        kv_a_norm = self.tensor(schema.KV_A_NORM, layer)
        w_uk, w_uv = self.absorbed(layer)
        o = self.matrix(schema.O, layer=layer)
        return MLA(self.config, qkv_a, q_a_norm, q_b, kv_a_norm, w_uk, w_uv, o).merge()

    def dense(self, network: Network, layer: int) -> Dense:
        """A dense network or a shared expert."""
        return Dense(self.matrix(network.gate, network.up, layer=layer), self.matrix(network.down, layer=layer))

    def moe(self, layer: int) -> MoE:
        """A layer's router, routed experts and shared expert."""
        gate, bias = self.router(layer)
        experts = self.experts(layer)
        shared = self.dense(schema.SHARED, layer) if self.config.n_shared_experts else None
        if self.joins_experts:
            return join_experts(MoE(self.config.router, gate, bias, experts, shared), self.config.moe_intermediate_size)
        experts = experts.fuse(None if shared is None else (shared.gate_up, shared.down))
        return MoE(self.config.router, gate, bias, experts, shared)

    def router(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """The router's matrix [experts, hidden] and correction bias [experts], float32."""
        gate = self.tensor(schema.GATE, layer)
        return gate, self.tensor(schema.GATE_BIAS, layer) if self.config.router.scoring == "sigmoid" else None

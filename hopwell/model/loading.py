"""From a checkpoint's tensors to a `Transformer`: each taken exactly once, and those that read the same input fused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import WeightReader
from hopwell.formats.fp8 import BLOCK
from hopwell.formats.int4 import with_bf16_scales
from hopwell.formats.matrices import Plain, combine
from hopwell.formats.mixed import stack_packed
from hopwell.formats.packed import STRIP, Packed, pack, why_not
from hopwell.model import schema
from hopwell.model.build import Builder
from hopwell.model.config import ModelConfig
from hopwell.model.schema import Row
from hopwell.model.sharding import Shard, cut
from hopwell.model.transformer import Transformer
from hopwell.ops.device import has_kernels
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight
from hopwell.system import cores

READERS = 8
"""Threads at most that bring a layer's experts to a GPU; each reads, checks and copies one at a time."""


def load_transformer(
    checkpoint: WeightReader,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    progress: Callable[[int, int, str], None] | None = None,
    shard: Shard | None = None,
    packed: bool = False,
) -> Transformer:
    """Reads every tensor of a checkpoint exactly once.

    Args:
        progress: called with bytes read, bytes in all and the tensor's name.
        shard: of several ranks, this one's place; its share of the model is loaded.
        packed: on a GPU, matrices of four bits stay packed, in its kernels' order; else they are expanded.

    Raises:
        ConfigError: config.json cannot be honoured.
        LayoutError: the ranks cannot share this model.
        CheckpointError: a tensor is missing, surplus, misshapen or corrupt; the message names it.
    """
    config = config_of(checkpoint)
    source = WeightSource(checkpoint, progress)
    for name in schema.unread(config):
        source.skip(name)
    model = Loader(source, config, torch.device(device), dtype, shard=shard, packed=packed).transformer()
    source.finish()
    return model


def config_of(checkpoint: WeightReader) -> ModelConfig:
    """A checkpoint's config, without an MTP layer where the tensors have none: some conversions drop it whole.

    Raises:
        ConfigError: config.json cannot be honoured.
    """
    config = ModelConfig.from_dict(checkpoint.config)
    if config.num_nextn_predict_layers and config.num_hidden_layers not in map(schema.layer_of, checkpoint.tensors):
        return replace(config, num_nextn_predict_layers=0)
    return config


class Loader(Builder):
    """Takes tensors from a checkpoint, moves them to the device, fuses what reads the same input."""

    def __init__(
        self,
        source: WeightSource,
        config: ModelConfig,
        device: torch.device,
        dtype: torch.dtype,
        plain_only: bool = False,
        shard: Shard | None = None,
        packed: bool = False,
    ) -> None:
        """
        Args:
            dtype: of activations and plain matrices; float16 is of matrices alone, before float32 activations.
            plain_only: matrices become plain values on any device.
            shard: as `load_transformer` has it.
            packed: those of four bits stay packed where kernels multiply them.
        """
        super().__init__(config, shard)
        self.source, self.device, self.matrices = source, device, dtype
        self.dtype = torch.float32 if dtype == torch.float16 else dtype
        self.keeps_formats = device.type == "cuda" and not plain_only
        self.joins_experts = self.keeps_formats and has_kernels(device)
        self.packs = packed and self.joins_experts and dtype == torch.bfloat16
        self.readers = min(READERS, cores()) if device.type == "cuda" else 1  # a CPU computes with what it reads

    def tensor(self, row: Row, layer: int = 0) -> Tensor:
        dtype = torch.float32 if row.kind.held == "float32" else self.dtype
        return self.source.take(row.name(layer), row.shape(self.whole)).to(self.device, dtype)

    def matrix(self, *rows: Row, layer: int = 0) -> Weight:
        weight = self.fused(*rows, layer=layer)
        return weight.prepare() if self.device.type == "cpu" else weight

    def absorbed(self, layer: int) -> tuple[Tensor, Tensor]:
        c = self.config
        by_head = self.stored(schema.KV_B, layer).dequantize(self.dtype).view(c.num_attention_heads, -1, c.kv_lora_rank)
        w_uk, w_uv = by_head.split((c.qk_nope_head_dim, c.v_head_dim), dim=1)
        return w_uk.contiguous(), w_uv.transpose(1, 2).contiguous()

    def experts(self, layer: int) -> Experts:
        count = self.whole.n_routed_experts
        own = self.layout.span(count) if self.layout.ep else slice(0, count)
        for index in (*range(own.start), *range(own.stop, count)):
            for row in schema.EXPERT:
                self.source.skip_linear(row.module(layer, index))
        each = self._experts(layer, range(own.start, own.stop))
        gate_up, down = stack([gate_up for gate_up, _ in each]), stack([down for _, down in each])
        return Experts(gate_up, down, own.start if self.layout.ep else None)

    def _experts(self, layer: int, indices: range) -> list[tuple[Weight, Weight]]:
        if self.readers == 1:
            return [self.expert(layer, index) for index in indices]
        begin = None
        if self.device.type == "cuda":  # a thread's own is the first one
            begin = partial(torch.cuda.set_device, torch.cuda.current_device())
        with ThreadPoolExecutor(self.readers, "hopwell-reader", begin) as threads:
            return list(threads.map(partial(self.expert, layer), indices))

    def expert(self, layer: int, expert: int) -> tuple[Weight, Weight]:
        """One routed expert's gate and up [2 width, hidden], and its down [hidden, width]."""
        network = schema.EXPERT
        gate_up = self.fused(network.gate, network.up, layer=layer, expert=expert)
        return gate_up, self.stored(network.down, layer, expert)

    def fused(self, *rows: Row, layer: int, expert: int = 0) -> Weight:
        """One matrix, or two that read the same input as one. Formats stay where the seam falls between blocks."""
        weights = [self.stored(row, layer, expert) for row in rows]
        if len(weights) == 1:
            return weights[0]
        first, second = weights
        if first.is_fp8 and second.is_fp8 and first.shape[0] % BLOCK == 0:
            return Weight(combine([first.stored, second.stored], torch.cat))
        if _packed_alike(first, second) and first.shape[0] % STRIP == 0:
            return Weight(combine([first.stored, second.stored], torch.cat))
        return Weight(Plain(torch.cat((self.plain(first).data, self.plain(second).data))))

    def stored(self, row: Row, layer: int = 0, expert: int = 0) -> Weight:
        """A matrix as the device wants it: in its format on a GPU, as plain values on a CPU."""
        weight = self.source.take_linear(row.module(layer, expert), row.matrix(self.whole))
        ready = Weight(with_bf16_scales(weight.stored)) if self.packs else weight
        if self.packs and row.kind.held == "stored" and why_not(ready.stored) is None:
            part = cut(ready, row, self.layout)
            if why_not(part.stored) is None:
                return Weight(pack(part.to(self.device).stored))
        if not weight.has_op:
            weight = Weight(Plain(weight.dequantize(torch.float32)))
        if not self.keeps_formats or not weight.is_fp8:
            return cut(self.plain(weight.to(self.device)), row, self.layout)
        return cut(weight, row, self.layout).to(self.device)

    def plain(self, weight: Weight) -> Weight:
        """A matrix's values in the dtype of matrices."""
        data = weight.dequantize(self.dtype)
        if self.matrices == torch.float16 and data.abs().amax() > torch.finfo(torch.float16).max:
            return Weight(Plain(data))  # beyond float16: it stays as it is
        return Weight(Plain(data.to(self.matrices)))


def _packed_alike(first: Weight, second: Weight) -> bool:
    one, other = first.stored, second.stored
    if not isinstance(one, Packed) or not isinstance(other, Packed):
        return False
    return (one.kind, one.zeros) == (other.kind, other.zeros)


def stack(weights: list[Weight]) -> Weight:
    """One weight [experts, out, in] from a matrix an expert. Packed ones may be in several formats, others become plain
    values then."""
    packed = [weight.stored for weight in weights if isinstance(weight.stored, Packed)]
    if len(packed) == len(weights):
        return Weight(stack_packed(packed))
    if len({type(w.stored) for w in weights}) > 1:
        dtype = next((w.data.dtype for w in weights if isinstance(w.stored, Plain)), torch.bfloat16)
        weights = [Weight(Plain(w.dequantize(dtype))) for w in weights]
    return Weight(combine([w.stored for w in weights], torch.stack))

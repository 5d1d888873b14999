"""A model with random weights, made where it runs: for benches, and on the meta device for shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from hopwell.checkpoint.draw import draw_codes, draw_scales, draw_values, seed_of
from hopwell.formats.blocks import FP8_BLOCK, BlockFormat
from hopwell.formats.draw import draw_packed
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.matrices import Fp8Block, Plain, combine
from hopwell.formats.packed import STRIP, Packed
from hopwell.model import schema
from hopwell.model.build import Builder, held_format
from hopwell.model.config import ModelConfig
from hopwell.model.schema import Row
from hopwell.model.sharding import Shard, cut_side
from hopwell.model.transformer import Layer, Transformer
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight


def random_transformer(
    config: ModelConfig,
    device: torch.device | str,
    seed: int = 0,
    packed: bool = False,
    numbers: Sequence[int] | None = None,
    shard: Shard | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Transformer:
    """Weights of unit gain in the config's own formats, with its MTP layer. On the meta device nothing is stored.

    Args:
        packed: formats of four bits are packed for kernels; else they are drawn in bf16, as a load expands them.
        numbers: of a truncated config, by which layer's name each has its formats.
        shard: of several tensor-parallel ranks, this one's place: its share is drawn, equal on all where all have the
            same.
        progress: called with layers drawn, layers in all, and what was drawn last.

    Raises:
        LayoutError: the ranks cannot share this model.
    """
    return _Drawn(config, torch.device(device), seed, packed, numbers, shard, progress).transformer()


class _Drawn(Builder):
    """Draws what a loaded model holds, fused and stacked: a GPU fills itself in seconds."""

    def __init__(
        self,
        config: ModelConfig,
        device: torch.device,
        seed: int,
        packed: bool,
        numbers: Sequence[int] | None,
        shard: Shard | None,
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        super().__init__(config, shard)
        self.device, self.seed, self.packed, self.numbers = device, seed, packed, numbers
        self._drawn, self._progress = count(), progress

    def layer(self, layer: int) -> Layer:
        built = super().layer(layer)
        if self._progress is not None:
            layers = self.config.num_hidden_layers + self.config.num_nextn_predict_layers
            self._progress(layer + 1, layers, f"layer {layer}")
        return built

    def tensor(self, row: Row, layer: int = 0) -> Tensor:
        if row is schema.GATE_BIAS:  # even routing, whatever the router's scores
            return torch.zeros(row.shape(self.config), device=self.device)
        values = self._values(row.shape(self.config), row.deviation(self.whole), row.kind.mean)
        return values.float() if row.kind.held == "float32" else values

    def matrix(self, *rows: Row, layer: int = 0) -> Weight:
        return self._weight(rows, layer)

    def absorbed(self, layer: int) -> tuple[Tensor, Tensor]:
        c, deviation, own = self.config, schema.KV_B.deviation(self.whole), self._is_cut(schema.KV_B)
        heads, rank = c.num_attention_heads, c.kv_lora_rank
        keys = self._values((heads, c.qk_nope_head_dim, rank), deviation, own=own)
        return keys, self._values((heads, rank, c.v_head_dim), deviation, own=own)

    def experts(self, layer: int) -> Experts:
        stack, network = (self.config.n_routed_experts,), schema.EXPERT
        gate_up = self._weight((network.gate, network.up), layer, stack)
        return Experts(gate_up, self._weight((network.down,), layer, stack))

    def _weight(self, rows: tuple[Row, ...], layer: int, stack: tuple[int, ...] = ()) -> Weight:
        """Rows that read the same as one matrix, or a stack of such, in the checkpoint's format."""
        c, first = self.config, rows[0]
        shape = (*stack, sum(self._height(row) for row in rows), first.matrix(c)[1])
        deviation, own = first.deviation(self.whole), self._is_cut(first)
        number = layer if self.numbers is None else self.numbers[layer]
        formats = {held_format(c, row, number, self.packed) for row in rows}
        kind = formats.pop() if len(formats) == 1 else None
        if kind is not FP8_BLOCK:
            if isinstance(kind, BlockFormat):
                return Weight(self._packed(kind, shape, deviation, own))
            return Weight(Plain(self._values(shape, deviation, own=own)))
        data = torch.empty(shape, dtype=torch.float8_e4m3fn, device=self.device)
        scale = torch.empty(scale_shape(shape), device=self.device)
        if self.device.type != "meta":
            for one in data if stack else [data]:  # a stack's random numbers at once would not fit
                seed = self._seed(own)
                one.copy_(draw_codes(one.numel(), seed, deviation, device=str(self.device)).view(one.shape))
            seed = self._seed(own)
            scale.copy_(draw_scales(scale.numel(), seed, deviation, device=str(self.device)).view(scale.shape))
        return Weight(Fp8Block(data, scale))

    def _is_cut(self, row: Row) -> bool:
        """Whether ranks have parts of a matrix, each its own."""
        return cut_side(row, self.layout) is not None

    def _height(self, row: Row) -> int:
        """Rows of a rank's part of a matrix: of the head, whose vocabulary the rank's config has whole, a span."""
        out = row.matrix(self.config)[0]
        if row is not schema.HEAD:
            return out
        span = self.layout.span(out)
        return span.stop - span.start

    def _packed(self, kind: BlockFormat, shape: tuple[int, ...], deviation: float, own: bool) -> Packed:
        zeros = self.config.quantization.zero_points and kind.elements == "int4"
        if self.device.type == "meta":
            return Packed.empty(kind, shape, "meta", zeros)
        if len(shape) == 2:
            return draw_packed(kind, shape, deviation, self._seed(own), self.device, zeros)
        matrices, out, width = shape
        if out % STRIP == 0:  # matrices of whole strips are one
            drawn = draw_packed(kind, (matrices * out, width), deviation, self._seed(own), self.device, zeros)
            return drawn.map(lambda rows: rows.unflatten(0, (matrices, -1)))
        each = [
            draw_packed(kind, (out, width), deviation, self._seed(own), self.device, zeros) for _ in range(matrices)
        ]
        return combine(each, torch.stack)

    def _values(self, shape: tuple[int, ...], deviation: float, mean: float = 0.0, own: bool = False) -> Tensor:
        """bf16 values of a normal distribution."""
        if self.device.type == "meta":
            return torch.empty(shape, dtype=torch.bfloat16, device="meta")
        drawn = draw_values(math.prod(shape), self._seed(own), deviation, mean, device=str(self.device))
        return drawn.view(shape)

    def _seed(self, own: bool) -> int:
        """Of the next draw: of what ranks have cut, each rank's own."""
        number = next(self._drawn)
        return seed_of(self.seed, number, self.layout.rank) if own and self.layout.rank else seed_of(self.seed, number)

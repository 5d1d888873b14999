"""The forward pass, a linear at a time: what each matrix of a decoder layer is, and what it reads on calibration text.

One layer's attention, or one network's three matrices, are in memory at a time, besides the hidden states.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import WeightReader
from hopwell.model import schema
from hopwell.model.batch import Pass
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.model.mla import LATENT_EPS
from hopwell.model.schema import Network, Row
from hopwell.ops.norm import rms_norm
from hopwell.ops.router import route
from hopwell.ops.sizes import PAGE
from hopwell.ops.swiglu import silu_mul
from hopwell.quantization.divergence import batches
from hopwell.quantization.hessian import Inputs, layer_share

TOKENS_AT_ONCE = 4096
LAYER_SAMPLE = 4096
"""Rows of the whole layer from which an expert's down projection borrows statistics."""


@dataclass(slots=True)
class LinearGroup:
    """Matrices that read the same input and that engines fuse, hence one format and one NVFP4 tensor scale."""

    names: list[str]
    """Modules, without `.weight`."""
    matrices: list[Tensor]
    """float32 [out, in] each."""
    inputs: Inputs
    input_peak: float
    """Largest magnitude read; of the whole layer's where an expert got no token."""
    part: str
    tokens: int
    """Calibration rows that reached it."""

    @property
    def name(self) -> str:
        """The first module's: the group's key everywhere."""
        return self.names[0]


class Walk:
    """Calibration sequences on their way through a checkpoint, in float32.

    Args:
        sequences: tokens of each sequence.
        keep: parts whose groups come without statistics, because nobody will convert them.
        device: where a layer is while it is walked through.
    """

    def __init__(
        self,
        reader: WeightReader,
        config: ModelConfig,
        sequences: Sequence[Sequence[int]],
        keep: Sequence[str] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        self.reader, self.config, self.keep, self.device = reader, config, keep, torch.device(device)
        self.tokens = torch.tensor([t for s in sequences for t in s])
        self.batches = [batch.to(self.device) for batch in batches(sequences, TOKENS_AT_ONCE)]
        self.rope = config.rope.table(max(map(len, sequences)), self.device)

    def embed(self) -> Tensor:
        """Hidden states before the first layer: float32 [tokens, hidden]."""
        table = WeightSource(self.reader).take(schema.EMBEDDING.name(), schema.EMBEDDING.shape(self.config))
        return table[self.tokens].float().to(self.device)

    def layer(self, index: int, hidden: Tensor) -> Iterator[LinearGroup]:
        """Yields every group of layer `index` with its inputs, and moves `hidden` in place to behind the layer."""
        c = self.config
        loader = Loader(WeightSource(self.reader), c, self.device, torch.float32, plain_only=True)
        x = rms_norm(hidden, loader.tensor(schema.INPUT_NORM, index), c.rms_norm_eps)
        hidden += yield from self._attention(loader, index, x)
        x = rms_norm(hidden, loader.tensor(schema.POST_NORM, index), c.rms_norm_eps)
        if c.is_moe(index):
            hidden += yield from self._moe(loader, index, x)
        else:
            hidden += yield from self._network(loader, schema.DENSE, index, x)

    def _attention(self, loader: Loader, layer: int, x: Tensor) -> Generator[LinearGroup, None, Tensor]:
        c = self.config
        mla = loader.attention(layer)
        first = schema.Q if c.q_lora_rank is None else schema.Q_A
        rank = mla.qkv_a.shape[0] - c.latent_dim
        stacked = mla.qkv_a.data
        yield self._group((first, schema.KV_A), layer, [stacked[:rank], stacked[rank:]], x)
        down = x @ stacked.t()
        query, latent = down[:, :rank], down[:, rank : rank + c.kv_lora_rank]
        if mla.q_b is not None and mla.q_a_norm is not None:
            read = rms_norm(query, mla.q_a_norm, LATENT_EPS)
            yield self._group((schema.Q_B,), layer, [mla.q_b.data], read)
        keys_values = torch.cat((mla.w_uk, mla.w_uv.transpose(1, 2)), dim=1).flatten(0, 1)
        read = rms_norm(latent, mla.kv_a_norm, LATENT_EPS)
        yield self._group((schema.KV_B,), layer, [keys_values], read)
        heads = torch.cat([mla.attend(*given) for given in self._batches(x)])
        yield self._group((schema.O,), layer, [mla.o.data], heads)
        return heads @ mla.o.data.t()

    def _batches(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Pass]]:
        """Each batch's rows, with an empty cache."""
        for batch, rows in zip(self.batches, x.split([len(each.tokens) for each in self.batches]), strict=True):
            cache = torch.zeros(batch.page_table.numel(), PAGE, self.config.latent_dim, device=self.device)
            yield rows, cache, Pass.of(batch, self.rope)

    def _moe(self, loader: Loader, layer: int, x: Tensor) -> Generator[LinearGroup, None, Tensor]:
        c, network = self.config, schema.EXPERT
        expert_ids, weights = route(x, *loader.router(layer), c.router)
        total = torch.zeros_like(x)
        of_layer = self._inputs(network.gate.part, x, f"the experts of layer {layer}")
        sample = x[:: max(1, len(x) // LAYER_SAMPLE)]
        for expert in range(c.n_routed_experts):
            rows, slots = (expert_ids == expert).nonzero(as_tuple=True)
            gate_up = [loader.stored(row, layer, expert).data for row in (network.gate, network.up)]
            down = loader.stored(network.down, layer, expert).data
            names = [row.module(layer, expert) for row in network]
            yield self._expert(names[:2], gate_up, x[rows], of_layer, float(x.abs().max()))
            both = torch.cat(gate_up).t()
            inner, usual = silu_mul(x[rows] @ both), silu_mul(sample @ both)
            of_all = self._inputs(network.down.part, usual, names[2])
            yield self._expert(names[2:], [down], inner, of_all, float(usual.abs().max()))
            total.index_add_(0, rows, (inner @ down.t()) * weights[rows, slots].unsqueeze(1))
        if c.n_shared_experts:
            total += yield from self._network(loader, schema.SHARED, layer, x)
        return total

    def _expert(
        self, names: list[str], matrices: list[Tensor], x: Tensor, layer: Inputs, usual_peak: float
    ) -> LinearGroup:
        peak, part = float(x.abs().max()) if len(x) else usual_peak, schema.EXPERT.gate.part
        own = self._inputs(part, x, names[0])
        inputs = own.mixed_with(layer, layer_share(own.tokens, x.shape[1]))
        return LinearGroup(names, matrices, inputs, peak, part, len(x))

    def _group(self, rows: Sequence[Row], layer: int, matrices: list[Tensor], x: Tensor) -> LinearGroup:
        names, part = [row.module(layer) for row in rows], rows[0].part
        return LinearGroup(names, matrices, self._inputs(part, x, names[0]), float(x.abs().max()), part, len(x))

    def _inputs(self, part: str, x: Tensor, name: str) -> Inputs:
        """Statistics of what a part's matrices read; none where it stays as it is."""
        return Inputs.nothing(x.shape[1], self.device) if part in self.keep else Inputs.of(x, name)

    def _network(self, loader: Loader, network: Network, layer: int, x: Tensor) -> Generator[LinearGroup, None, Tensor]:
        gate_up = [loader.stored(row, layer).data for row in (network.gate, network.up)]
        yield self._group((network.gate, network.up), layer, gate_up, x)
        inner = silu_mul(x @ torch.cat(gate_up).t())
        down = loader.stored(network.down, layer).data
        yield self._group((network.down,), layer, [down], inner)
        return inner @ down.t()

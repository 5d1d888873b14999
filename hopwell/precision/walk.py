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
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.ops.attention import PAGE, AttentionPlan
from hopwell.ops.moe import silu_mul
from hopwell.ops.norm import rms_norm
from hopwell.ops.router import route
from hopwell.precision.hessian import Inputs, layer_share

TOKENS_AT_ONCE = 4096
LAYER_SAMPLE = 4096
"""Rows of the whole layer from which an expert's down projection borrows statistics."""


@dataclass(slots=True)
class Group:
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
        share: of an expert's Hessian that is the layer's; None decides by the expert's tokens.
        keep: parts whose groups come without statistics, because nobody will convert them.
        device: where a layer is while it is walked through.
    """

    def __init__(
        self,
        reader: WeightReader,
        config: ModelConfig,
        sequences: Sequence[Sequence[int]],
        share: float | None = None,
        keep: Sequence[str] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        self.reader, self.config, self.share, self.keep = reader, config, share, keep
        self.device = torch.device(device)
        self.lengths = [len(s) for s in sequences]
        self.tokens = torch.tensor([t for s in sequences for t in s])
        self.rope = config.rope.table(max(self.lengths), self.device)

    def embed(self) -> Tensor:
        """Hidden states before the first layer: float32 [tokens, hidden]."""
        c = self.config
        table = WeightSource(self.reader).take("model.embed_tokens.weight", (c.vocab_size, c.hidden_size))
        return table[self.tokens].float().to(self.device)

    def layer(self, index: int, hidden: Tensor) -> Iterator[Group]:
        """Yields every group of layer `index` with its inputs, and moves `hidden` in place to behind the layer."""
        c, prefix = self.config, f"model.layers.{index}."
        loader = Loader(WeightSource(self.reader), c, self.device, torch.float32, plain_only=True)
        x = rms_norm(hidden, loader.norm(prefix + "input_layernorm.weight", c.hidden_size), c.rms_norm_eps)
        hidden += yield from self._attention(loader, prefix + "self_attn.", x)
        x = rms_norm(hidden, loader.norm(prefix + "post_attention_layernorm.weight", c.hidden_size), c.rms_norm_eps)
        if c.is_moe(index):
            hidden += yield from self._moe(loader, prefix + "mlp.", x)
        else:
            hidden += yield from self._network(loader, prefix + "mlp.", c.intermediate_size, x, "dense")

    def _attention(self, loader: Loader, prefix: str, x: Tensor) -> Generator[Group, None, Tensor]:
        c = self.config
        mla = loader.attention(prefix)
        first = "q_proj" if c.q_lora_rank is None else "q_a_proj"
        rank = mla.qkv_a.shape[0] - c.latent_dim
        stacked = mla.qkv_a.data
        names = [prefix + first, prefix + "kv_a_proj_with_mqa"]
        yield self._group(names, [stacked[:rank], stacked[rank:]], x, "attention")
        down = x @ stacked.t()
        query, latent = down[:, :rank], down[:, rank : rank + c.kv_lora_rank]
        if mla.q_b is not None and mla.q_a_norm is not None:
            read = rms_norm(query, mla.q_a_norm, c.rms_norm_eps)
            yield self._group([prefix + "q_b_proj"], [mla.q_b.data], read, "attention")
        keys_values = torch.cat((mla.w_uk, mla.w_uv.transpose(1, 2)), dim=1).flatten(0, 1)
        read = rms_norm(latent, mla.kv_a_norm, c.rms_norm_eps)
        yield self._group([prefix + "kv_b_proj"], [keys_values], read, "attention")
        heads = torch.cat([mla.attend(*given) for given in self._batches(x)])
        yield self._group([prefix + "o_proj"], [mla.o.data], heads, "attention")
        return heads @ mla.o.data.t()

    def _batches(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, AttentionPlan]]:
        """Whole sequences, `TOKENS_AT_ONCE` or one at a time, each with rope, an empty cache and a plan."""
        first = row = 0
        while first < len(self.lengths):
            last, size = first, 0
            while last < len(self.lengths) and (last == first or size + self.lengths[last] <= TOKENS_AT_ONCE):
                size += self.lengths[last]
                last += 1
            lengths = self.lengths[first:last]
            positions = torch.cat([torch.arange(n, device=self.device) for n in lengths])
            pages = -(-max(lengths) // PAGE)
            table = torch.arange(len(lengths) * pages, dtype=torch.int32, device=self.device).view(-1, pages)
            cache = torch.zeros(table.numel(), PAGE, self.config.latent_dim, device=self.device)
            yield (
                x[row : row + size],
                self.rope[positions],
                cache,
                AttentionPlan.build(lengths, lengths, positions, table),
            )
            first, row = last, row + size

    def _moe(self, loader: Loader, prefix: str, x: Tensor) -> Generator[Group, None, Tensor]:
        c = self.config
        width, hidden = c.moe_intermediate_size, c.hidden_size
        expert_ids, weights = route(x, *loader.gate(prefix), c.router)
        total = torch.zeros_like(x)
        kept = "routed_experts" in self.keep
        layer = Inputs.nothing(hidden, self.device) if kept else Inputs.of(x, prefix + "experts")
        sample = x[:: max(1, len(x) // LAYER_SAMPLE)]
        for expert in range(c.n_routed_experts):
            rows, slots = (expert_ids == expert).nonzero(as_tuple=True)
            name = f"{prefix}experts.{expert}."
            gate_up = [loader.stored(name + m, width, hidden).data for m in ("gate_proj", "up_proj")]
            down = loader.stored(name + "down_proj", hidden, width).data
            names = [name + "gate_proj", name + "up_proj"]
            yield self._expert(names, gate_up, x[rows], layer, float(x.abs().max()))
            both = torch.cat(gate_up).t()
            inner, usual = silu_mul(x[rows] @ both), silu_mul(sample @ both)
            of_all = Inputs.nothing(width, self.device) if kept else Inputs.of(usual, name)
            yield self._expert([name + "down_proj"], [down], inner, of_all, float(usual.abs().max()))
            total.index_add_(0, rows, (inner @ down.t()) * weights[rows, slots].unsqueeze(1))
        if c.n_shared_experts:
            shared = c.n_shared_experts * width
            total += yield from self._network(loader, prefix + "shared_experts.", shared, x, "shared_experts")
        return total

    def _expert(self, names: list[str], matrices: list[Tensor], x: Tensor, layer: Inputs, usual_peak: float) -> Group:
        if "routed_experts" in self.keep:
            return self._group(names, matrices, x, "routed_experts", usual_peak)
        own = Inputs.of(x, names[0])
        share = layer_share(own.tokens, x.shape[1]) if self.share is None else self.share
        peak = float(x.abs().max()) if len(x) else usual_peak
        return Group(names, matrices, own.mixed_with(layer, share), peak, "routed_experts", len(x))

    def _group(self, names: list[str], matrices: list[Tensor], x: Tensor, part: str, usual_peak: float = 0.0) -> Group:
        inputs = Inputs.nothing(x.shape[1], self.device) if part in self.keep else Inputs.of(x, names[0])
        return Group(names, matrices, inputs, float(x.abs().max()) if len(x) else usual_peak, part, len(x))

    def _network(self, loader: Loader, prefix: str, width: int, x: Tensor, part: str) -> Generator[Group, None, Tensor]:
        hidden = self.config.hidden_size
        names = [prefix + "gate_proj", prefix + "up_proj"]
        gate_up = [loader.stored(name, width, hidden).data for name in names]
        yield self._group(names, gate_up, x, part)
        inner = silu_mul(x @ torch.cat(gate_up).t())
        down = loader.stored(prefix + "down_proj", hidden, width).data
        yield self._group([prefix + "down_proj"], [down], inner, part)
        return inner @ down.t()

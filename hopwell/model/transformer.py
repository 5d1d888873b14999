"""The forward pass: embedding, decoder layers, and the layer that predicts one token further (MTP)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hopwell.limits.marks import UNMARKED, Lengths, Marks
from hopwell.model.batch import ForwardBatch, Pass
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.model.spread import Spread, lengths_of_ranks
from hopwell.ops.device import upload
from hopwell.ops.exchange import Exchange
from hopwell.ops.linear import linear
from hopwell.ops.moe import moe
from hopwell.ops.moe_experts import Experts
from hopwell.ops.norm import rms_norm
from hopwell.ops.router import RouterConfig, route
from hopwell.ops.sizes import PAGE
from hopwell.ops.swiglu import feed_forward
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import ONE_RANK, Layout


@dataclass(frozen=True, slots=True)
class Dense:
    """A SwiGLU network: gate_up [2 width, hidden], down [hidden, width]."""

    gate_up: Weight
    down: Weight

    def __call__(self, x: Tensor, marks: Marks = UNMARKED) -> Tensor:
        out = feed_forward(x, self.gate_up, self.down)
        marks.mark("dense")
        return out


@dataclass(frozen=True, slots=True)
class AllExperts:
    """A layer's routed experts and, after them, its shared one in slices of the same width (shared-expert fusion)."""

    gate: Weight
    """bf16 [experts, hidden]."""
    experts: Experts
    shared: int
    """How many of `experts` are slices of the shared expert."""


@dataclass(frozen=True, slots=True)
class MoE:
    """Routed experts and the shared one (DeepSeekMoE; V3 report, section 2.1.2)."""

    router: RouterConfig
    gate: Tensor
    """float32 [experts, hidden]."""
    bias: Tensor | None
    """float32 [experts]."""
    experts: Experts
    shared: Dense | None
    joined: AllExperts | None = None
    """The same weights as one stack, for the fused chain: `model/joined.py`."""

    def __call__(self, x: Tensor, marks: Marks = UNMARKED) -> Tensor:
        expert_ids, weights = route(x, self.gate, self.bias, self.router)
        marks.routed(expert_ids)
        marks.mark("router")
        out = moe(x, expert_ids, weights, self.experts)
        marks.mark("experts")
        if self.shared is not None and not self.experts.with_shared:
            out = out + self.shared(x)
            marks.mark("shared")
        return out


@dataclass(frozen=True, slots=True)
class Layer:
    """A decoder layer: pre-norm attention and network, each added to the residual."""

    input_norm: Tensor
    attention: MLA
    post_norm: Tensor
    network: Dense | MoE
    eps: float
    exchange: Exchange | None = None
    """Where several ranks have a share of each, whose outputs are summed."""

    def __call__(self, x: Tensor, latent: Tensor, p: Pass, spread: Spread | None = None) -> Tensor:
        """
        Args:
            latent: as `MLA.attend` has it.
            spread: where attention is data parallel: `x` are this rank's rows.
        """
        marks, normed = p.marks, rms_norm(x, self.input_norm, self.eps)
        marks.mark("input norm")
        share = self.attention(normed, latent, p)
        x = x + (self._whole(share, marks) if spread is None else share)
        normed = rms_norm(x, self.post_norm, self.eps)
        marks.mark("post norm")
        if spread is not None:
            return x + spread.through(self.network, normed, marks)
        return x + self._whole(self.network(normed, marks), marks)

    def _whole(self, share: Tensor, marks: Marks) -> Tensor:
        """What all ranks' shares come to."""
        if self.exchange is None:
            return share
        total = self.exchange.sum(share)
        marks.mark("exchange")
        return total


@dataclass(frozen=True, slots=True)
class MTP:
    """Multi-token prediction (V3 report, section 2.2): one layer that drafts the token after next."""

    embedding_norm: Tensor
    hidden_norm: Tensor
    projection: Weight
    """eh_proj [hidden, 2 hidden]: the embedding's half first."""
    layer: Layer
    final_norm: Tensor


@dataclass(frozen=True, slots=True)
class Transformer:
    """A loaded model of the family: its weights, and how one engine uses them. It holds no request state: pages and
    positions are passed in. Nothing of it changes: other settings are another `Transformer` over the same tensors
    (`ModelSettings.of`)."""

    config: ModelConfig
    embedding: Tensor
    layers: list[Layer]
    final_norm: Tensor
    head: Weight
    """[vocabulary, hidden]; of several ranks each has some rows."""
    mtp: MTP | None
    rope_table: Tensor
    """float32 [max_position_embeddings, 32, 2]: cos and sin of each position."""
    exchange: Exchange | None = None
    """Between ranks that share the model."""
    layout: Layout = ONE_RANK
    """How those share it, and which this one is."""
    absorbed: bool | None = None
    """Which way attention is computed; None lets each query's length decide. Fixed to True, a token's result does
    not depend on how its prompt was cut into chunks."""
    cache_dtype: torch.dtype | None = None
    """Of the latent cache; None: the model's own. `latent_cache.with_cache` gives it, with the layers' scales."""
    marks: Marks = UNMARKED
    """Told after each op of a pass."""

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def has_mtp(self) -> bool:
        return self.mtp is not None

    def marked(self, marks: Marks) -> Transformer:
        """The same model, which tells `marks` after each op."""
        return replace(self, marks=marks)

    def new_latent(self, num_pages: int) -> Tensor:
        """An empty latent cache: [layers, the MTP layer last, num_pages, 64, 576]; this rank's part of the pages, where
        each has its own, and one more that is nobody's. A CPU's takes memory only as pages are first written."""
        pages = num_pages // self.layout.pools + self.layout.dp_attention
        shape = (len(self.attentions), pages, PAGE, self.config.latent_dim)
        dtype = self.cache_dtype or self.dtype
        if self.device.type != "cpu":
            return torch.zeros(shape, dtype=dtype, device=self.device)
        # torch.zeros writes zeros; NumPy's come from the system as they are
        return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        """Zeroes pages that change hands, those of them that are here."""
        own = np.array(pages, np.int64)
        if self.layout.dp_attention:
            pages_here = latent.shape[1] - 1
            own -= self.layout.rank * pages_here
            own = own[(own >= 0) & (own < pages_here)]
        (numbers,) = upload([own], latent.device)
        latent.view(torch.uint8).index_fill_(1, numbers, 0)  # as bytes: PyTorch has no index_fill_ of e4m3

    @property
    def attentions(self) -> list[MLA]:
        """Every layer's attention, the MTP layer's last: one for each layer of the latent cache."""
        return [layer.attention for layer in (*self.layers, *([self.mtp.layer] if self.mtp else []))]

    @torch.inference_mode()
    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """Runs new tokens through all decoder layers and writes their latents.

        Returns:
            Hidden states after the final norm, [tokens, hidden]: what `logits` and `draft` read.
        """
        tokens, p, spread = self._begin(batch, latent)
        marks, x = self.marks, self.embedding[tokens]
        marks.mark("embedding")
        for index, layer in enumerate(self.layers):
            marks.layer(index)
            x = layer(x, latent[index], p, spread)
        marks.layer(None)
        x = rms_norm(x, self.final_norm, self.config.rms_norm_eps)
        marks.mark("final norm")
        return self._of_all(x, spread)

    def _begin(self, batch: ForwardBatch, latent: Tensor) -> tuple[Tensor, Pass, Spread | None]:
        """This rank's tokens, what all layers are told, and how the batch is shared out."""
        spread = self.spread(batch, latent)
        batch = (batch if spread is None else spread.own).to(self.device)
        self.marks.batch(Lengths(batch.query_lens, batch.seq_lens))
        p = Pass.of(batch, self.rope_table, self.absorbed, self.marks)
        self.marks.mark("plan")
        return batch.tokens, p, spread

    def spread(self, batch: ForwardBatch, latent: Tensor) -> Spread | None:
        """How a batch is shared out, where attention is data parallel."""
        if not self.layout.dp_attention:
            return None
        assert self.exchange is not None, "ranks that attend for their own sequences have an exchange"
        return Spread.of(batch, self.exchange, self.layout.rank, self.layout.tp, latent.shape[1] - 1)

    def lengths(self, batch: ForwardBatch, latent: Tensor) -> list[Lengths]:
        """Of the sequences of each rank that attends for its own; of all, where none does."""
        if not self.layout.dp_attention:
            return [Lengths(batch.query_lens, batch.seq_lens)]
        return lengths_of_ranks(batch, self.layout.tp, latent.shape[1] - 1)

    def _of_all(self, x: Tensor, spread: Spread | None) -> Tensor:
        """All ranks' rows, in the batch's order."""
        if spread is None:
            return x
        x = spread.everyone(x)
        self.marks.mark("exchange")
        return x

    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`forward`, and `logits` of some of its rows.

        Args:
            rows: int64 [rows], possibly none; None: all.

        Returns:
            Hidden states [tokens, hidden]; float32 [rows, vocabulary].
        """
        hidden = self.forward(batch, latent)
        if rows is None:
            return hidden, self.logits(hidden)
        if not len(rows):
            return hidden, torch.empty(0, self.config.vocab_size, device=self.device)
        return hidden, self.logits(hidden[rows])

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token: hidden [tokens, hidden] -> float32 [tokens, vocabulary]."""
        scores = linear(hidden, self.head).float()
        self.marks.mark("logits", len(hidden))
        if self.exchange is not None:
            scores = self.exchange.gather(scores, self.config.vocab_size)
            self.marks.mark("exchange", len(hidden))
        return scores

    @torch.inference_mode()
    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """Runs the MTP layer, which has seen the token after each position and predicts the one after that.

        Args:
            hidden: [tokens, hidden], what `forward` or `draft` returned for these positions.
            batch: the same positions; `batch.tokens` are the tokens that follow them.

        Returns:
            [tokens, hidden] for `logits`: row i scores the token two places after position i.

        Raises:
            ValueError: the model has no MTP layer.
        """
        if self.mtp is None:
            raise ValueError("this model has no MTP layer")
        mtp, marks, eps = self.mtp, self.marks, self.config.rms_norm_eps
        marks.layer(len(self.layers))
        tokens, p, spread = self._begin(batch, latent)
        hidden = hidden if spread is None else spread.mine(hidden)
        embedded = rms_norm(self.embedding[tokens], mtp.embedding_norm, eps)
        x = linear(torch.cat((embedded, rms_norm(hidden, mtp.hidden_norm, eps)), dim=-1), mtp.projection)
        marks.mark("projection")
        x = mtp.layer(x, latent[-1], p, spread)
        x = rms_norm(x, mtp.final_norm, eps)
        marks.mark("final norm")
        marks.layer(None)
        return self._of_all(x, spread)


def alone(model: Transformer) -> Transformer:
    """A rank's share by itself: it computes without the others, and other values."""
    found = map_layers(model, lambda layer: replace(layer, exchange=None))
    return replace(found, exchange=None, layout=ONE_RANK)


def map_layers(model: Transformer, change: Callable[[Layer], Layer]) -> Transformer:
    """The model with each layer changed, in order, the MTP layer's last."""
    layers = [change(layer) for layer in model.layers]
    mtp = None if model.mtp is None else replace(model.mtp, layer=change(model.mtp.layer))
    return replace(model, layers=layers, mtp=mtp)

"""The forward pass: embedding, decoder layers, and the layer that predicts one token further (MTP)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hopwell.checkpoint.reader import WeightReader
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.ops.attention import PAGE, AttentionPlan
from hopwell.ops.linear import Weight, linear
from hopwell.ops.moe import Experts, feed_forward, moe
from hopwell.ops.norm import rms_norm
from hopwell.ops.router import RouterConfig, route


@dataclass(slots=True)
class Dense:
    """A SwiGLU network: gate_up [2 width, hidden], down [hidden, width]."""

    gate_up: Weight
    down: Weight

    def __call__(self, x: Tensor) -> Tensor:
        return feed_forward(x, self.gate_up, self.down)


@dataclass(slots=True)
class MoE:
    """Routed experts and the shared one (DeepSeekMoE; V3 report, section 2.1.2)."""

    router: RouterConfig
    gate: Tensor
    """float32 [experts, hidden]."""
    bias: Tensor | None
    """float32 [experts]."""
    experts: Experts
    shared: Dense | None

    def __call__(self, x: Tensor) -> Tensor:
        expert_ids, weights = route(x, self.gate, self.bias, self.router)
        out = moe(x, expert_ids, weights, self.experts)
        return out if self.shared is None else out + self.shared(x)


@dataclass(slots=True)
class Layer:
    """A decoder layer: pre-norm attention and network, each added to the residual."""

    input_norm: Tensor
    attention: MLA
    post_norm: Tensor
    network: Dense | MoE
    eps: float

    def __call__(
        self, x: Tensor, rope: Tensor, latent: Tensor, plan: AttentionPlan, absorbed: bool | None = None
    ) -> Tensor:
        x = x + self.attention(rms_norm(x, self.input_norm, self.eps), rope, latent, plan, absorbed)
        return x + self.network(rms_norm(x, self.post_norm, self.eps))


@dataclass(slots=True)
class MTP:
    """Multi-token prediction (V3 report, section 2.2): one layer that drafts the token after next."""

    embedding_norm: Tensor
    hidden_norm: Tensor
    projection: Weight
    """eh_proj [hidden, 2 hidden]: the embedding's half first."""
    layer: Layer
    final_norm: Tensor


@dataclass(slots=True)
class Transformer:
    """A loaded model of the family. It holds weights and no request state: pages and positions are passed in."""

    config: ModelConfig
    embedding: Tensor
    layers: list[Layer]
    final_norm: Tensor
    head: Weight
    mtp: MTP | None
    absorbed: bool | None = None
    """Which way attention is computed; None lets each query's length decide. Fixed to True, a token's result does
    not depend on how its prompt was cut into chunks."""
    cache_dtype: torch.dtype | None = None
    """Of the latent cache; None: the model's own. `latent_cache.use_cache` sets it, with the layers' scales."""
    rope_table: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.rope_table = self.config.rope.table(self.config.max_position_embeddings, self.device)

    @staticmethod
    def load(
        checkpoint: WeightReader,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> Transformer:
        """Reads every tensor of a checkpoint exactly once.

        Args:
            progress: called with bytes read, bytes in all and the tensor's name.

        Raises:
            ConfigError: config.json cannot be honoured.
            CheckpointError: a tensor is missing, surplus, misshapen or corrupt; the message names it.
        """
        from hopwell.model.loading import load  # a module of its own: names and fusions, no mathematics

        return load(checkpoint, device, dtype, progress)

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def has_mtp(self) -> bool:
        return self.mtp is not None

    def new_latent(self, num_pages: int) -> Tensor:
        """An empty latent cache: [layers, the MTP layer last, num_pages, 64, 576]."""
        shape = (len(self.attentions), num_pages, PAGE, self.config.latent_dim)
        return torch.zeros(shape, dtype=self.cache_dtype or self.dtype, device=self.device)

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
        batch = batch.to(self.device)
        plan = AttentionPlan.build(batch.query_lens, batch.seq_lens, batch.positions, batch.page_table)
        rope = self.rope_table[batch.positions]
        x = self.embedding[batch.tokens]
        for index, layer in enumerate(self.layers):
            x = layer(x, rope, latent[index], plan, self.absorbed)
        return rms_norm(x, self.final_norm, self.config.rms_norm_eps)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token: hidden [tokens, hidden] -> float32 [tokens, vocabulary]."""
        return linear(hidden, self.head).float()

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
        mtp, eps, batch = self.mtp, self.config.rms_norm_eps, batch.to(self.device)
        plan = AttentionPlan.build(batch.query_lens, batch.seq_lens, batch.positions, batch.page_table)
        embedded = rms_norm(self.embedding[batch.tokens], mtp.embedding_norm, eps)
        x = linear(torch.cat((embedded, rms_norm(hidden, mtp.hidden_norm, eps)), dim=-1), mtp.projection)
        x = mtp.layer(x, self.rope_table[batch.positions], latent[-1], plan, self.absorbed)
        return rms_norm(x, mtp.final_norm, eps)

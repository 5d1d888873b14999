"""The forward pass for training: the mathematics of `hopwell.model`, laid out for whole batches and gradients.

Parameters of like layers are stacked, [layers, ...], the MTP layer last. Every expert runs for every token and the
router's weights, zero for most, scale the inner activations: the same sum as visiting the chosen few, in three large
matrix products. Token-wise parts see a flat [tokens, ...] batch of fixed size and are compiled once; attention sees
blocks of sequences of equal padded length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hopwell.model.config import ModelConfig

Parameters = dict[str, Tensor]
Layers = dict[str, tuple[Tensor, ...]]
"""Stacked parameters, taken apart."""

FP8 = ("q_a", "q_b", "kv_a", "kv_b", "o", "dense_gate", "dense_up", "dense_down", "moe_gate", "moe_up", "moe_down")
"""Matrices that R1's format stores in FP8; the shared expert is the last block of the three `moe_` ones."""


def initial(c: ModelConfig, seed: int, device: torch.device) -> Parameters:
    """Random float32 parameters. What writes to the residual starts at zero."""
    rng = torch.Generator(device="cpu").manual_seed(seed)
    layers = c.num_hidden_layers + 1
    moe_layers = layers - c.first_k_dense_replace
    hidden, heads, inner = c.hidden_size, c.num_attention_heads, (c.n_routed_experts + 1) * c.moe_intermediate_size
    rank = c.q_lora_rank or 0

    def matrix(*shape: int, scale: float | None = None) -> Tensor:
        deviation = shape[-1] ** -0.5 * 0.6 if scale is None else scale
        return (torch.randn(*shape, generator=rng) * deviation).to(device)

    def ones(*shape: int) -> Tensor:
        return torch.ones(*shape, device=device)

    return {
        "embed": matrix(c.vocab_size, hidden, scale=0.5),
        "head": matrix(c.vocab_size, hidden, scale=0.02),
        "final_norm": ones(hidden),
        "input_norm": ones(layers, hidden),
        "post_norm": ones(layers, hidden),
        "q_a": matrix(layers, rank, hidden),
        "q_a_norm": ones(layers, rank),
        "q_b": matrix(layers, heads * c.qk_head_dim, rank),
        "kv_a": matrix(layers, c.latent_dim, hidden),
        "kv_a_norm": ones(layers, c.kv_lora_rank),
        "kv_b": matrix(layers, heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank),
        "o": matrix(layers, hidden, heads * c.v_head_dim, scale=0.0),
        "dense_gate": matrix(c.first_k_dense_replace, c.intermediate_size, hidden),
        "dense_up": matrix(c.first_k_dense_replace, c.intermediate_size, hidden),
        "dense_down": matrix(c.first_k_dense_replace, hidden, c.intermediate_size, scale=0.0),
        "router": matrix(moe_layers, c.n_routed_experts, hidden),
        "moe_gate": matrix(moe_layers, inner, hidden),
        "moe_up": matrix(moe_layers, inner, hidden),
        "moe_down": matrix(moe_layers, hidden, inner, scale=0.0),
        "embedding_norm": ones(hidden),
        "hidden_norm": ones(hidden),
        "mtp_norm": ones(hidden),
        "eh_proj": matrix(hidden, 2 * hidden),
    }


@dataclass(frozen=True)
class Block:
    """Sequences of one padded length, a contiguous part of the flat batch."""

    rows: slice
    length: int


@dataclass
class Routing:
    """What the router did in one layer: scores of all experts, and 1 for the chosen, [tokens, experts]."""

    scores: Tensor
    chosen: Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps) * weight.float()).to(x.dtype)


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Interleaved pairs of x [tokens, heads, dim] by rope [tokens, dim / 2, 2], in float32."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rope.unsqueeze(1).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def choose(scores: Tensor, bias: Tensor, c: ModelConfig) -> Tensor:
    """Group-limited top-k by counting betters: for few experts that fuses, where sorting does not.

    Returns:
        1.0 for the chosen experts and 0.0 for the rest, [tokens, experts].
    """
    groups, size = c.router.n_group, c.n_routed_experts // c.router.n_group
    choice = scores + bias
    grouped = choice.unflatten(-1, (groups, size))
    best_two = torch.where(_rank(grouped) < 2, grouped, 0.0).sum(-1)
    kept = (_rank(best_two) < c.router.topk_group).unsqueeze(-1).expand(-1, groups, size).flatten(1)
    return (_rank(torch.where(kept, choice, float("-inf"))) < c.router.top_k).to(scores.dtype)


def _rank(x: Tensor) -> Tensor:
    """How many of the last axis come before each: larger ones, and equal ones to the left."""
    index = torch.arange(x.shape[-1], device=x.device)
    mine, theirs = x.unsqueeze(-1), x.unsqueeze(-2)
    before = (theirs > mine) | ((theirs == mine) & (index < index.unsqueeze(-1)))
    return before.sum(-1)


class Network:
    """The functions of one config, compiled or plain."""

    def __init__(self, c: ModelConfig, compiled: bool) -> None:
        self.c = c
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.attention_in, self.attend_dense = wrap(self._attention_in), wrap(self._attend_dense)
        self.attend_moe, self.mtp_in = wrap(self._attend_moe), wrap(self._mtp_in)
        self.loss = wrap(self._loss)

    def hidden(
        self, p: Parameters, bias: Tensor, tokens: Tensor, rope: Tensor, blocks: list[Block]
    ) -> tuple[Tensor, Layers, list[Routing]]:
        """The main layers.

        Args:
            bias: e_score_correction_bias, [moe layers, experts].
            tokens: [tokens], the blocks one after another.
            rope: cos and sin of each token's position, [tokens, 32, 2].

        Returns:
            The residual before the final norm [tokens, hidden], the parameters by layer, and the routing.
        """
        x, routing = F.embedding(tokens, p["embed"]), []
        layers = {name: p[name].unbind(0) for name in PER_LAYER}
        for i in range(self.c.num_hidden_layers):
            x = self._layer(x, layers, bias, rope, blocks, i, routing)
        return x, layers, routing

    def draft_hidden(
        self,
        p: Parameters,
        layers: Layers,
        bias: Tensor,
        x: Tensor,
        tokens: Tensor,
        rope: Tensor,
        blocks: list[Block],
        routing: list[Routing],
    ) -> Tensor:
        """The MTP layer: `x` from `hidden`, `tokens` those that follow -> its residual before its own final norm."""
        norms = p["final_norm"], p["embedding_norm"], p["hidden_norm"]
        x = self.mtp_in(x, F.embedding(tokens, p["embed"]), *norms, p["eh_proj"])
        return self._layer(x, layers, bias, rope, blocks, self.c.num_hidden_layers, routing)

    def _layer(
        self,
        x: Tensor,
        layers: Layers,
        bias: Tensor,
        rope: Tensor,
        blocks: list[Block],
        i: int,
        routing: list[Routing],
    ) -> Tensor:
        """Decoder layer i, whose routing is appended to `routing`."""
        w = {name: stack[i] for name, stack in layers.items() if name in ATTENTION}
        q, k, v = self.attention_in(x, rope, *(w[n] for n in ATTENTION_IN))
        heads = []
        for block in blocks:
            shape = (-1, block.length, *q.shape[1:])
            parts = [t[block.rows].view(shape).transpose(1, 2) for t in (q, k, v)]
            out = F.scaled_dot_product_attention(*parts, is_causal=True, scale=self.c.softmax_scale)
            heads.append(out.transpose(1, 2).reshape(-1, *q.shape[1:]))
        mixed = torch.cat(heads)
        dense = self.c.first_k_dense_replace
        if i < dense:
            network = (layers[n][i] for n in ("dense_gate", "dense_up", "dense_down"))
            return self.attend_dense(x, mixed, w["o"], w["post_norm"], *network)
        network = (layers[n][i - dense] for n in ("router", "moe_gate", "moe_up", "moe_down"))
        x, scores, chosen = self.attend_moe(x, mixed, w["o"], w["post_norm"], bias[i - dense], *network)
        routing.append(Routing(scores, chosen))
        return x

    def _attention_in(
        self,
        x: Tensor,
        rope: Tensor,
        input_norm: Tensor,
        q_a: Tensor,
        q_a_norm: Tensor,
        q_b: Tensor,
        kv_a: Tensor,
        kv_a_norm: Tensor,
        kv_b: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every head, [tokens, heads, 192]; values padded with zeros."""
        c = self.c
        x = rms_norm(x, input_norm, c.rms_norm_eps)
        q = F.linear(rms_norm(F.linear(x, q_a), q_a_norm, c.rms_norm_eps), q_b).unflatten(-1, (-1, c.qk_head_dim))
        q_nope, q_rope = q.split((c.qk_nope_head_dim, c.qk_rope_head_dim), -1)
        latent, k_rope = F.linear(x, kv_a).split((c.kv_lora_rank, c.qk_rope_head_dim), -1)
        kv = F.linear(rms_norm(latent, kv_a_norm, c.rms_norm_eps), kv_b).unflatten(-1, (c.num_attention_heads, -1))
        k_nope, v = kv.split((c.qk_nope_head_dim, c.v_head_dim), -1)
        k_rope = rotate(k_rope.unsqueeze(1), rope).expand(-1, c.num_attention_heads, -1)
        q = torch.cat((q_nope, rotate(q_rope, rope)), -1)
        return q, torch.cat((k_nope, k_rope), -1), F.pad(v, (0, c.qk_head_dim - c.v_head_dim))

    def _attended(self, x: Tensor, heads: Tensor, o: Tensor) -> Tensor:
        return x + F.linear(heads[..., : self.c.v_head_dim].flatten(1), o)

    def _attend_dense(
        self, x: Tensor, heads: Tensor, o: Tensor, post_norm: Tensor, gate: Tensor, up: Tensor, down: Tensor
    ) -> Tensor:
        """Adds attention's output, then the dense network's."""
        x = self._attended(x, heads, o)
        y = rms_norm(x, post_norm, self.c.rms_norm_eps)
        return x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)

    def _attend_moe(
        self,
        x: Tensor,
        heads: Tensor,
        o: Tensor,
        post_norm: Tensor,
        bias: Tensor,
        router: Tensor,
        gate: Tensor,
        up: Tensor,
        down: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Adds attention's output, then the experts'; also returns the router's scores and choice."""
        c = self.c
        x = self._attended(x, heads, o)
        y = rms_norm(x, post_norm, c.rms_norm_eps)
        scores = F.linear(y.float(), router.float()).sigmoid()
        with torch.no_grad():
            chosen = choose(scores.detach(), bias, c)
        weights = scores * chosen
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20) * c.router.routed_scaling_factor
        weights = F.pad(weights, (0, 1), value=1.0).to(y.dtype)  # the shared expert
        inner = F.silu(F.linear(y, gate)) * F.linear(y, up)
        inner = (inner.unflatten(-1, (-1, c.moe_intermediate_size)) * weights.unsqueeze(-1)).flatten(1)
        return x + F.linear(inner, down), scores, chosen

    def _mtp_in(
        self,
        x: Tensor,
        embedded: Tensor,
        final_norm: Tensor,
        embedding_norm: Tensor,
        hidden_norm: Tensor,
        eh_proj: Tensor,
    ) -> Tensor:
        """What enters the MTP layer: the next token's embedding and the main model's output, normed and projected."""
        eps = self.c.rms_norm_eps
        previous = rms_norm(rms_norm(x, final_norm, eps), hidden_norm, eps)
        return F.linear(torch.cat((rms_norm(embedded, embedding_norm, eps), previous), -1), eh_proj)

    def _loss(self, x: Tensor, norm: Tensor, head: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy over the weighted positions, and how many of them are right."""
        logits = F.linear(rms_norm(x, norm, self.c.rms_norm_eps), head).float()
        losses = F.cross_entropy(logits, targets, reduction="none")
        right = (logits.argmax(-1) == targets).float() * weight
        return (losses * weight).sum() / weight.sum().clamp(min=1), right.sum() / weight.sum().clamp(min=1)


ATTENTION_IN = ("input_norm", "q_a", "q_a_norm", "q_b", "kv_a", "kv_a_norm", "kv_b")
ATTENTION = (*ATTENTION_IN, "o", "post_norm")
PER_LAYER = (*ATTENTION, "dense_gate", "dense_up", "dense_down", "router", "moe_gate", "moe_up", "moe_down")


def balance_loss(routing: list[Routing], blocks: list[Block], real: Tensor, top_k: int) -> Tensor:
    """The sequence-wise balance loss (V3 report, eq. 17-20), mean over sequences and layers.

    Args:
        real: 1.0 for tokens that are not padding, [tokens].
    """
    scores = torch.stack([r.scores / r.scores.sum(-1, keepdim=True) for r in routing])
    chosen = torch.stack([r.chosen for r in routing])
    experts, total, count = scores.shape[-1], scores.new_zeros(()), 0
    for block in blocks:
        mask = real[block.rows].view(1, -1, block.length, 1)
        tokens = mask.sum(2).clamp(min=1)
        part = (len(routing), -1, block.length, experts)
        share = (chosen[:, block.rows].view(part) * mask).sum(2) / tokens * (experts / top_k)
        mean = (scores[:, block.rows].view(part) * mask).sum(2) / tokens
        total = total + (share * mean).sum()
        count += mask.shape[1]
    return total / (count * len(routing))


def loads(routing: list[Routing], real: Tensor) -> Tensor:
    """Tokens each expert got, [moe layers, experts]."""
    return torch.stack([(r.chosen * real.unsqueeze(-1)).sum(0) for r in routing])


def rope_table(c: ModelConfig, length: int, device: torch.device) -> Tensor:
    """cos and sin, float32 [length, 32, 2]."""
    return c.rope.table(length, device)


def parameter_count(p: Parameters) -> int:
    return sum(math.prod(t.shape) for t in p.values())

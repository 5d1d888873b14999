"""The forward pass as a chain of fused kernels: for a few new tokens one that a CUDA graph can hold, for many the same
with another attention.

It computes what `Transformer.forward` does, with the roundings of R1's own inference code: rows that enter an FP8
product are rounded to e4m3 under a scale for each 128 values, or stay in bf16 where `model/activations.py` says so.
Between kernels travel parts of sums, which the next kernel adds: nothing is written twice, and no kernel exists only to
add.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.joined import with_shared
from hopwell.model.mla import LATENT_EPS, MLA
from hopwell.model.shape_classes import LONG
from hopwell.model.spread import Spread
from hopwell.model.transformer import Dense, Layer, Transformer
from hopwell.ops import (
    attention_decode_triton,
    attention_query_triton,
    attention_triton,
    moe_down_triton,
    moe_grouping_triton,
    moe_up_triton,
    norm_triton,
    router_triton,
    swiglu_triton,
    tokens_triton,
)
from hopwell.ops.attention_plan import StepPlan
from hopwell.ops.exchange import Exchange, FusedExchange
from hopwell.ops.linear import linear
from hopwell.ops.linear_triton import product, rows_for
from hopwell.ops.moe_combine_triton import rank_sum
from hopwell.ops.norm import rms_norm
from hopwell.ops.rows import Normed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of a step stand, and whom they attend to."""

    positions: Tensor
    """int64 [tokens]."""
    page_table: Tensor
    """int32 [tokens, pages]: all pages of each row's sequence; of a long step [tokens, 1]: its own position's page."""
    long: bool = False
    """Attention is left to who computes the step: it depends on the sequences, and all else on the number of rows."""
    queries: tuple[Tensor, Tensor] | None = None
    """Where a long step's queries are left, bf16 [tokens, heads, 128] and [tokens, heads, 64]; None: somewhere."""
    counts: Sequence[int] = ()
    """Rows of each rank, where attention is data parallel."""

    def part_dtype(self, tokens: int) -> torch.dtype:
        """Of what travels between kernels: sums of many rows have one part, and in bf16 half the bytes."""
        return torch.bfloat16 if self.long or tokens >= LONG else torch.float32


@dataclass(frozen=True, slots=True)
class Query:
    """What a layer of a long step asks of attention."""

    attention: MLA
    pages: Tensor
    """The layer's latents, [pages, 64, 576]."""
    nope: Tensor
    """bf16 [tokens, heads, 128]."""
    rope: Tensor
    """bf16 [tokens, heads, 64]."""

    def attend(self, plan: StepPlan, scale: float, out: Tensor | None = None) -> Tensor:
        """The answer: bf16 [tokens, heads, 128]."""
        a = self.attention
        return attention_triton.attend(
            self.nope, self.rope, self.pages, a.w_uk, a.w_uv, plan, scale, a.cache_scales, out
        )


Step = Generator[Query, Tensor, T]
"""A step that stops at each attention of a long one, and goes on when it is sent the answer."""


def run(step: Step[T], attend: Callable[[Query], Tensor] | None = None) -> T:
    """A step from end to end."""
    try:
        query = next(step)
        while True:
            assert attend is not None, "a long step asks for attention"
            query = step.send(attend(query))
    except StopIteration as done:
        return done.value


@dataclass(frozen=True, slots=True)
class FusedTransformer:
    """A `Transformer`'s steps on a GPU."""

    model: Transformer
    """Of which each MoE layer's experts are joined."""

    @property
    def packs_experts(self) -> bool:
        """Whether experts are packed in four bits."""
        networks = (layer.network for layer in self.model.layers)
        return any(not isinstance(network, Dense) and network.experts.gate_up.is_packed for network in networks)

    def step(self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """Logits of the next tokens; the new tokens' latents are written.

        Args:
            tokens, positions: int64 [tokens]: one a sequence, or several with a row of the page table each.
            page_table: int32 [tokens, pages].
            latent: bf16 [layers, pages, 64, 576].

        Returns:
            float32 [tokens, vocabulary].
        """
        normed = run(self._hidden(tokens, self._rows(positions, page_table), latent))
        if self.model.layout.dp_attention:
            return self.logits(self._everyone(self._divided(normed), self._rows(positions, page_table)))
        return self._scores(normed)

    def logits(self, hidden: Tensor) -> Tensor:
        """`Transformer.logits` by this file's kernels: bf16 [tokens, hidden] -> float32 [tokens, vocabulary]."""
        return self._scores(rows_for(hidden, self.model.head))

    def _scores(self, normed: Normed) -> Tensor:
        config, exchange = self.model.config, self.model.exchange
        scores = product(normed, self.model.head, config.rms_norm_eps, op="logits")[0]
        self.model.marks.mark("logits")
        if exchange is not None:
            scores = exchange.gather(scores, config.vocab_size)
            self.model.marks.mark("exchange")
        return scores

    def _add_norm(
        self, residual: Tensor, weight: Tensor, parts: Tensor | None, shares: Tensor | None, turn: int, **forms: bool
    ) -> tuple[Tensor, Normed]:
        """Adds what a layer made, on all ranks that share it, and normalises.

        hazard: turns alternate from exchange to exchange, and a step holds an even number of them, so that the next
        begins where this one did: attention's are 0, the networks' 1.
        """
        exchange = self.model.exchange
        if exchange is None or parts is None or self.model.layout.dp_attention:
            return norm_triton.add_norm(residual, weight, parts, shares, **forms)
        assert isinstance(exchange, FusedExchange), "forward_choice lets no other one come here"
        return exchange.add_norm(residual, weight, parts, shares, turn, **forms)

    def forward(self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """Hidden states after the final norm, bf16 [tokens, hidden]: arguments as for `step`.

        Where attention is data parallel every rank calls this with as many rows, its own, and all are given all ranks',
        one rank's after another's: here, by `draft`, and `forward_and_score`.
        """
        return run(self.hidden_step(tokens, self._rows(positions, page_table), latent))

    def _rows(self, positions: Tensor, page_table: Tensor) -> Rows:
        """Of a step that can be captured: each rank has as many."""
        layout = self.model.layout
        return Rows(positions, page_table, counts=[len(positions)] * layout.tp if layout.dp_attention else ())

    def forward_and_score(
        self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `forward` gives and `logits` makes of it."""
        hidden = self.forward(tokens, positions, page_table, latent)
        return hidden, self.logits(hidden)

    def hidden_step(self, tokens: Tensor, rows: Rows, latent: Tensor) -> Step[Tensor]:
        """`forward` by its parts."""
        return self._everyone(self._divided((yield from self._hidden(tokens, rows, latent))), rows)

    def _everyone(self, own: Tensor, rows: Rows) -> Tensor:
        """All ranks' rows, where this one has but its own."""
        if not rows.counts:
            return own
        found = self._exchange.gather_rows(own, rows.counts)
        self.model.marks.mark("exchange")
        return found

    @property
    def _exchange(self) -> Exchange:
        assert self.model.exchange is not None, "ranks that attend for their own sequences have an exchange"
        return self.model.exchange

    def plan(self, batch: ForwardBatch, size: int = 0) -> StepPlan:
        """Who attends to what in a step, filled up to `size` rows."""
        model = self.model
        return StepPlan.build(batch.query_lens, batch.seq_lens, batch.host_pages, model.device, size, model.absorbed)

    @torch.inference_mode()
    def forward_long(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.forward` for a step of any length."""
        return self._long(batch, latent, lambda own, _, rows: self.hidden_step(own, rows, latent))

    def _long(
        self, batch: ForwardBatch, latent: Tensor, begin: Callable[[Tensor, Spread | None, Rows], Step[Tensor]]
    ) -> Tensor:
        """All rows of a long step, in the batch's order.

        Args:
            begin: the step of this rank's tokens.
        """
        spread = self.model.spread(batch, latent)
        own = batch if spread is None else spread.own
        plan = self.plan(own)
        rows = Rows(plan.positions, plan.own_pages, long=True, counts=() if spread is None else spread.counts)
        step = begin(own.tokens.to(self.model.device), spread, rows)
        found = run(step, partial(Query.attend, plan=plan, scale=self.model.config.softmax_scale))
        return found if spread is None else found[spread.order(spread.starts, found.device)]

    def draft(self, hidden: Tensor, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """`Transformer.draft`: bf16 [tokens, hidden] in and out, the other arguments as for `step`.

        Raises:
            ValueError: the model has no MTP layer.
        """
        return run(self._draft(hidden, tokens, self._rows(positions, page_table), latent))

    @torch.inference_mode()
    def draft_long(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.draft` for a step of any length.

        Raises:
            ValueError: the model has no MTP layer.
        """

        def begin(tokens: Tensor, spread: Spread | None, rows: Rows) -> Step[Tensor]:
            return self._draft(hidden if spread is None else spread.mine(hidden), tokens, rows, latent)

        return self._long(batch, latent, begin)

    def _draft(self, hidden: Tensor, tokens: Tensor, rows: Rows, latent: Tensor) -> Step[Tensor]:
        model, eps, mtp = self.model, self.model.config.rms_norm_eps, self.model.mtp
        if mtp is None:
            raise ValueError("this model has no MTP layer")
        model.marks.layer(len(model.layers))
        embedded = rms_norm(tokens_triton.embed(tokens, model.embedding), mtp.embedding_norm, eps)
        x = linear(torch.cat((embedded, rms_norm(hidden, mtp.hidden_norm, eps)), dim=-1), mtp.projection)
        model.marks.mark("projection")
        residual, parts = yield from self._attend(mtp.layer, x, None, None, rows, latent[-1])
        residual, parts, shares = self._feed_forward(mtp.layer, residual, parts, rows)
        _, normed = self._add_norm(residual, mtp.final_norm, parts, shares, 1, fp8=False, values=True)
        hidden = self._divided(normed)
        model.marks.mark("final norm")
        model.marks.layer(None)
        return self._everyone(hidden, rows)

    def _divided(self, normed: Normed) -> Tensor:
        return norm_triton.divide(normed, self.model.config.rms_norm_eps)

    def _hidden(self, tokens: Tensor, rows: Rows, latent: Tensor) -> Step[Normed]:
        """The final norm's output, its rms outstanding."""
        model = self.model
        residual, marks = tokens_triton.embed(tokens, model.embedding), model.marks
        marks.mark("embedding")
        parts: Tensor | None = None
        shares: Tensor | None = None
        for number, (layer, pages) in enumerate(zip(model.layers, latent, strict=False)):
            marks.layer(number)
            residual, parts = yield from self._attend(layer, residual, parts, shares, rows, pages)
            residual, parts, shares = self._feed_forward(layer, residual, parts, rows)
        fp8 = model.head.takes_fp8(tokens.shape[0])
        marks.layer(None)
        _, normed = self._add_norm(residual, model.final_norm, parts, shares, 1, fp8=fp8, values=True)
        marks.mark("final norm")
        return normed

    def _attend(
        self, layer: Layer, residual: Tensor, parts: Tensor | None, shares: Tensor | None, rows: Rows, pages: Tensor
    ) -> Step[tuple[Tensor, Tensor]]:
        a: MLA = layer.attention
        c, eps, rope, marks = self.model.config, layer.eps, self.model.rope_table, self.model.marks
        tokens = residual.shape[0]
        fp8 = a.qkv_a.takes_fp8(tokens)
        residual, normed = self._add_norm(residual, layer.input_norm, parts, shares, 1, fp8=fp8, values=not fp8)
        marks.mark("input norm")
        down = product(normed, a.qkv_a, eps)
        marks.mark("qkv_a")
        q_fp8 = a.q_b is not None and a.q_b.takes_fp8(tokens)
        query = attention_query_triton.latent_and_query(
            down, a.q_a_norm, a.kv_a_norm, rope, rows.positions, rows.page_table, pages, LATENT_EPS, q_fp8,
            a.cache_scales, own_page=rows.long,
        )  # fmt: skip
        marks.mark("latent")
        q = down if query is None or a.q_b is None else product(query, a.q_b, dtype=rows.part_dtype(tokens))
        marks.mark("q_b")
        if not rows.long:
            queries = attention_query_triton.absorb_query(q, a.w_uk, rope, rows.positions)
            marks.mark("absorb")
            cuts, lse = attention_decode_triton.decode(
                queries, pages, rows.page_table, rows.positions, c.softmax_scale, a.cache_scales
            )
            marks.mark("decode")
            heads = attention_decode_triton.merge_states(cuts, lse, a.w_uv, fp8=a.o.takes_fp8(tokens))
            marks.mark("merge")
        else:
            own = attention_query_triton.rotate_query(
                q[0], c.num_attention_heads, c.qk_nope_head_dim, rope, rows.positions, rows.queries
            )
            mixed = (yield Query(a, pages, *own)).flatten(1)
            heads = rows_for(mixed, a.o)
            marks.mark("attention")
        out = product(heads, a.o, dtype=rows.part_dtype(tokens))
        marks.mark("o")
        return residual, out

    def _feed_forward(
        self, layer: Layer, residual: Tensor, parts: Tensor, rows: Rows
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the residual, what to add to it, and the experts' shares of that (None for a dense network).

        Where attention is data parallel, this rank's rows come and go, and all ranks' go through the network.
        """
        if not rows.counts:
            return self._network(layer, residual, parts, rows)
        own, _ = norm_triton.add_norm(residual, layer.post_norm, parts, fp8=False, values=True)
        everyone = self._exchange.gather_rows(own, rows.counts)
        self.model.marks.mark("exchange")
        _, share, weights = self._network(layer, everyone, None, rows)
        total = self._exchange.sum_rows(rank_sum(share, weights), rows.counts)
        self.model.marks.mark("exchange")
        return own, total.unsqueeze(0), None

    def _network(
        self, layer: Layer, residual: Tensor, parts: Tensor | None, rows: Rows
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The same over rows that are all here."""
        eps, network, tokens, marks = layer.eps, layer.network, residual.shape[0], self.model.marks
        if isinstance(network, Dense):
            fp8 = network.gate_up.takes_fp8(tokens)
            residual, normed = self._add_norm(residual, layer.post_norm, parts, None, 0, fp8=fp8, values=not fp8)
            marks.mark("post norm")
            up = product(normed, network.gate_up, eps, dtype=rows.part_dtype(tokens))
            marks.mark("up")
            inner = swiglu_triton.silu_mul(up, network.down.takes_fp8(tokens))
            marks.mark("silu")
            out = product(inner, network.down, dtype=rows.part_dtype(tokens))
            marks.mark("down")
            return residual, out, None
        joined = network.joined
        assert joined is not None, "experts are joined when a model is built for a GPU"
        gate_up, down = joined.experts.gate_up, joined.experts.down
        shared = network.shared if not joined.shared else None
        fp8 = gate_up.takes_fp8(tokens) or (shared is not None and shared.gate_up.takes_fp8(tokens))
        residual, normed = self._add_norm(residual, layer.post_norm, parts, None, 0, fp8=fp8, values=True)
        marks.mark("post norm")
        logits = product(normed, joined.gate, eps)
        marks.mark("router")
        ids, shares = router_triton.select_experts(logits, network.bias, network.router, joined.shared)
        marks.routed(ids)
        groups = moe_grouping_triton.group_by_expert(ids, joined.experts.count, packed=gate_up.is_packed)
        marks.mark("select")
        up = moe_up_triton.experts_up(normed, gate_up, groups, eps, dtype=rows.part_dtype(tokens))
        marks.mark("up")
        inner = swiglu_triton.silu_mul(up, down.takes_fp8(tokens))
        marks.mark("silu")
        outputs = moe_down_triton.experts_down(inner, down, groups)
        marks.mark("down")
        if shared is not None:
            own = swiglu_triton.silu_mul(product(normed, shared.gate_up, eps), shared.down.takes_fp8(tokens))
            outputs, shares = with_shared(outputs, shares, product(own, shared.down).sum(0).bfloat16())
            marks.mark("shared")
        return residual, outputs, shares

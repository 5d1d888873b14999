"""The forward pass as a chain of fused kernels: for a few new tokens one that a CUDA graph can hold, for many the same
with another attention.

It computes what `Transformer.forward` does, with the roundings of R1's own inference code: rows that enter an FP8
product are rounded to e4m3 under a scale for each 128 values, or stay in bf16 where `model/activations.py` says so.
Between kernels travel parts of sums, which the next kernel adds: nothing is written twice, and no kernel exists only to
add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.joined import AllExperts, join_experts
from hopwell.model.mla import MLA
from hopwell.model.transformer import Dense, Layer, MoE, Transformer
from hopwell.ops import (
    experts_triton,
    grouping_triton,
    mla_triton,
    norm_triton,
    query_triton,
    router_triton,
    tokens_triton,
)
from hopwell.ops.attention import PAGE, AttentionPlan, mla_attention
from hopwell.ops.linear import Weight, linear
from hopwell.ops.linear_triton import Tiling, product, rows_for, token_tile
from hopwell.ops.norm import rms_norm
from hopwell.ops.norm_triton import Normed


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of a step stand, and whom they attend to."""

    positions: Tensor
    """int64 [tokens]."""
    page_table: Tensor
    """int32 [tokens, pages]: all pages of each row's sequence; with a plan [tokens, 1]: its own position's page."""
    plan: AttentionPlan | None = None
    """For long steps: sequences attend one group at a time."""

    @classmethod
    def long(cls, batch: ForwardBatch) -> Rows:
        """Of a step of any length."""
        plan = AttentionPlan.build(batch.query_lens, batch.seq_lens, batch.positions, batch.page_table)
        return cls(batch.positions, (plan.slots // PAGE).int().unsqueeze(1), plan)

    @property
    def part_dtype(self) -> torch.dtype:
        """Of what travels between kernels: a long step's sums have one part, and in bf16 half the bytes."""
        return torch.float32 if self.plan is None else torch.bfloat16


@dataclass(slots=True)
class Decoder:
    """A `Transformer`'s steps on a GPU."""

    model: Transformer
    experts: list[AllExperts | None]
    """One a layer, the MTP layer's last; None where the network is dense."""

    @classmethod
    def of(cls, model: Transformer) -> Decoder:
        """Lays the experts out for the kernels. The model goes on working, on the same memory."""
        layers = [*model.layers, *([model.mtp.layer] if model.mtp else [])]
        networks = [layer.network for layer in layers]
        return cls(model, [join_experts(n, model.config) if isinstance(n, MoE) else None for n in networks])

    def step(
        self,
        tokens: Tensor,
        positions: Tensor,
        page_table: Tensor,
        latent: Tensor,
        on_route: Callable[[Tensor], object] | None = None,
    ) -> Tensor:
        """Logits of the next tokens; the new tokens' latents are written.

        Args:
            tokens, positions: int64 [tokens]: one a sequence, or several with a row of the page table each.
            page_table: int32 [tokens, pages].
            latent: bf16 [layers, pages, 64, 576].
            on_route: shown each MoE layer's expert_ids, int32 [tokens, top_k + shared]; not for captured graphs.

        Returns:
            float32 [tokens, vocabulary].
        """
        return self._scores(self._hidden(tokens, Rows(positions, page_table), latent, on_route))

    def logits(self, hidden: Tensor) -> Tensor:
        """`Transformer.logits` by this file's kernels: bf16 [tokens, hidden] -> float32 [tokens, vocabulary]."""
        return self._scores(rows_for(hidden, self.model.head))

    def _scores(self, normed: Normed) -> Tensor:
        rows = normed.codes if normed.values is None else normed.values
        assert rows is not None
        tile = token_tile(rows.shape[0])
        step = 128 if tile <= 32 and rows.shape[1] % 128 == 0 else 64
        cut = Tiling(64, tile, 1, 4, 4, step)  # one split: the logits are complete
        return product(normed, self.model.head, self.model.config.rms_norm_eps, cut=cut)[0]

    def forward(self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """Hidden states after the final norm, bf16 [tokens, hidden]: arguments as for `step`."""
        return self._divided(self._hidden(tokens, Rows(positions, page_table), latent))

    def forward_and_score(
        self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `forward` gives and `logits` makes of it."""
        hidden = self.forward(tokens, positions, page_table, latent)
        return hidden, self.logits(hidden)

    @torch.inference_mode()
    def forward_long(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.forward` for a step of any length."""
        batch = batch.to(self.model.device)
        return self._divided(self._hidden(batch.tokens, Rows.long(batch), latent))

    def draft(self, hidden: Tensor, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """`Transformer.draft`: bf16 [tokens, hidden] in and out, the other arguments as for `step`.

        Raises:
            ValueError: the model has no MTP layer.
        """
        return self._draft(hidden, tokens, Rows(positions, page_table), latent)

    @torch.inference_mode()
    def draft_long(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.draft` for a step of any length.

        Raises:
            ValueError: the model has no MTP layer.
        """
        batch = batch.to(self.model.device)
        return self._draft(hidden, batch.tokens, Rows.long(batch), latent)

    def _draft(self, hidden: Tensor, tokens: Tensor, rows: Rows, latent: Tensor) -> Tensor:
        model, eps, mtp = self.model, self.model.config.rms_norm_eps, self.model.mtp
        if mtp is None:
            raise ValueError("this model has no MTP layer")
        embedded = rms_norm(tokens_triton.embed(tokens, model.embedding), mtp.embedding_norm, eps)
        x = linear(torch.cat((embedded, rms_norm(hidden, mtp.hidden_norm, eps)), dim=-1), mtp.projection)
        residual, parts = self._attend(mtp.layer, x, None, None, rows, latent[-1])
        residual, parts, shares = self._feed_forward(mtp.layer, self.experts[-1], residual, parts, rows)
        _, normed = norm_triton.add_norm(residual, mtp.final_norm, parts, shares, codes=False, values=True)
        return self._divided(normed)

    def _divided(self, normed: Normed) -> Tensor:
        return norm_triton.divide(normed, self.model.config.rms_norm_eps)

    def _hidden(
        self, tokens: Tensor, rows: Rows, latent: Tensor, on_route: Callable[[Tensor], object] | None = None
    ) -> Normed:
        """The final norm's output, its rms outstanding."""
        model = self.model
        residual = tokens_triton.embed(tokens, model.embedding)
        parts: Tensor | None = None
        shares: Tensor | None = None
        for layer, experts, pages in zip(model.layers, self.experts, latent, strict=False):
            residual, parts = self._attend(layer, residual, parts, shares, rows, pages)
            residual, parts, shares = self._feed_forward(layer, experts, residual, parts, rows, on_route)
        codes = model.head.takes_codes(tokens.shape[0])
        _, normed = norm_triton.add_norm(residual, model.final_norm, parts, shares, codes=codes, values=True)
        return normed

    def _attend(
        self, layer: Layer, residual: Tensor, parts: Tensor | None, shares: Tensor | None, rows: Rows, pages: Tensor
    ) -> tuple[Tensor, Tensor]:
        a: MLA = layer.attention
        c, eps, rope = self.model.config, layer.eps, self.model.rope_table
        tokens = residual.shape[0]
        codes = a.qkv_a.takes_codes(tokens)
        residual, normed = norm_triton.add_norm(
            residual, layer.input_norm, parts, shares, codes=codes, values=not codes
        )
        down = product(normed, a.qkv_a, eps)
        q_codes = a.q_b is not None and a.q_b.takes_codes(tokens)
        query = query_triton.latent_and_query(
            down, a.q_a_norm, a.kv_a_norm, rope, rows.positions, rows.page_table, pages, eps, q_codes, a.cache_scales,
            own_page=rows.plan is not None,
        )  # fmt: skip
        q = down if query is None or a.q_b is None else product(query, a.q_b, dtype=rows.part_dtype)
        if rows.plan is None:
            queries = query_triton.absorb_query(q, a.w_uk, rope, rows.positions)
            cuts, lse = mla_triton.decode(
                queries, pages, rows.page_table, rows.positions, c.softmax_scale, a.cache_scales
            )
            heads = mla_triton.combine_heads(cuts, lse, a.w_uv, codes=a.o.takes_codes(tokens))
        else:
            own = query_triton.rotate_query(q[0], c.num_attention_heads, c.qk_nope_head_dim, rope, rows.positions)
            mixed = mla_attention(
                *own, pages, a.w_uk, a.w_uv, rows.plan, c.softmax_scale, self.model.absorbed, a.cache_scales
            ).flatten(1)
            heads = rows_for(mixed, a.o)
        return residual, product(heads, a.o, dtype=rows.part_dtype)

    def _feed_forward(
        self,
        layer: Layer,
        experts: AllExperts | None,
        residual: Tensor,
        parts: Tensor,
        rows: Rows,
        on_route: Callable[[Tensor], object] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the residual, what to add to it, and the experts' shares of that (None for a dense network)."""
        eps, network, tokens = layer.eps, layer.network, residual.shape[0]
        if isinstance(network, Dense):
            codes = network.gate_up.takes_codes(tokens)
            residual, normed = norm_triton.add_norm(residual, layer.post_norm, parts, codes=codes, values=not codes)
            inner = norm_triton.silu_mul(
                product(normed, network.gate_up, eps, dtype=rows.part_dtype), network.down.takes_codes(tokens)
            )
            return residual, product(inner, network.down, dtype=rows.part_dtype), None
        assert experts is not None
        # the network's own weights say how rows enter: the stack's were copied from them when it was made
        codes = network.experts.gate_up.takes_codes(tokens)
        residual, normed = norm_triton.add_norm(residual, layer.post_norm, parts, codes=codes, values=True)
        logits = product(normed, experts.gate, eps)
        ids, shares = router_triton.select_experts(logits, network.bias, network.router, experts.shared)
        if on_route is not None:
            on_route(ids)
        gate_up, down = experts.experts.gate_up, experts.experts.down
        groups = grouping_triton.group_by_expert(ids, experts.experts.count)
        up = experts_triton.experts_up(normed, gate_up, groups, eps, dtype=rows.part_dtype)
        inner = norm_triton.silu_mul(up, network.experts.down.takes_codes(tokens))
        return residual, experts_triton.experts_down(inner, down, groups), shares


def unsuited(model: Transformer) -> str | None:
    """Why the chain of kernels cannot compute this model, or None if it can. Those it cannot run op by op."""
    c, problems = model.config, []
    if model.dtype != torch.bfloat16:
        problems.append(f"it computes in {str(model.dtype).removeprefix('torch.')}")
    head = (c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim)
    if head != (128, 64, 128) or not _power_of_two(c.kv_lora_rank):
        problems.append(f"its heads are {'/'.join(map(str, head))} over a latent of {c.kv_lora_rank}")
    if not _power_of_two(c.router.n_group):
        problems.append(f"it has {c.router.n_group} groups of experts")
    for layer in (*model.layers, *([model.mtp.layer] if model.mtp else [])):
        a, network = layer.attention, layer.network
        weights = [a.qkv_a, a.o, *([a.q_b] if a.q_b else [])]
        if isinstance(network, Dense):
            weights += [network.gate_up, network.down]
        else:
            problems += _unsuited_experts(network, c.moe_intermediate_size)
        problems += [f"a matrix {list(w.shape)} is {fault}" for w in weights if (fault := _fault(w, 1))]
    if fault := _fault(model.head, 1):
        problems.append(f"its head is {fault}")
    return problems[0] if problems else None


def _unsuited_experts(network: MoE, width: int) -> list[str]:
    experts, shared = network.experts, network.shared
    problems = [f"experts {list(w.shape)} are {f}" for w in (experts.gate_up, experts.down) if (f := _fault(w, 64))]
    if shared is not None:
        pairs = ((experts.gate_up, shared.gate_up), (experts.down, shared.down))
        if any(routed.format != one.format for routed, one in pairs) or shared.down.shape[1] % width:
            problems.append("its shared expert has another format or width than its routed ones")
        elif shared.down.shape[1] // width > 16:
            problems.append("its shared expert is wider than 16 routed ones")
    return problems


def _fault(weight: Weight, step: int) -> str | None:
    """What keeps a matrix from the kernels: reductions are in steps of 128 (FP8) or, for experts, 64 (bf16)."""
    if weight.format == "fp8_block":
        return None if weight.shape[-1] % 128 == 0 else "in FP8 and no multiple of 128 wide"
    if weight.data.dtype != torch.bfloat16:
        return f"in {str(weight.data.dtype).removeprefix('torch.')}"
    return None if weight.shape[-1] % step == 0 else f"no multiple of {step} wide"


def _power_of_two(n: int) -> bool:
    return n & (n - 1) == 0

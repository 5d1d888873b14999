"""The forward pass for a few new tokens, as a chain of fused kernels that a CUDA graph can hold.

It computes what `Transformer.forward` does, with the roundings of R1's own inference code: rows that enter an FP8
product are rounded to e4m3 under a scale for each 128 values. Between kernels travel parts of sums, which the next
kernel adds: nothing is written twice, and no kernel exists only to add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.model.config import ModelConfig
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
from hopwell.ops.linear import Weight
from hopwell.ops.linear_triton import Tiling, product, token_tile
from hopwell.ops.moe import Experts
from hopwell.ops.norm_triton import Normed


@dataclass(slots=True)
class AllExperts:
    """A layer's routed experts and, after them, its shared ones in slices of the same width."""

    gate: Weight
    """bf16 [experts, hidden]."""
    experts: Experts
    shared: int
    """How many of `experts` are slices of the shared expert."""


@dataclass(slots=True)
class Decoder:
    """A `Transformer`'s decode step on a GPU."""

    model: Transformer
    experts: list[AllExperts | None]
    """One a layer; None where the network is dense."""

    @classmethod
    def of(cls, model: Transformer) -> Decoder:
        """Lays the experts out for the kernels. The model goes on working, on the same memory."""
        networks = [layer.network for layer in model.layers]
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
        normed = self._hidden(tokens, positions, page_table, latent, on_route)
        cut = Tiling(64, token_tile(tokens.shape[0]), 1, 4, 4)  # one split: the logits are complete
        return product(normed, self.model.head, self.model.config.rms_norm_eps, cut=cut)[0]

    def forward(self, tokens: Tensor, positions: Tensor, page_table: Tensor, latent: Tensor) -> Tensor:
        """Hidden states after the final norm, bf16 [tokens, hidden]: arguments as for `step`."""
        normed = self._hidden(tokens, positions, page_table, latent, None)
        assert normed.values is not None and normed.sumsq is not None
        mean = normed.sumsq.sum(-1, keepdim=True) / normed.values.shape[-1]
        return (normed.values * torch.rsqrt(mean + self.model.config.rms_norm_eps)).bfloat16()

    def _hidden(
        self,
        tokens: Tensor,
        positions: Tensor,
        page_table: Tensor,
        latent: Tensor,
        on_route: Callable[[Tensor], object] | None,
    ) -> Normed:
        """The final norm's output, its rms outstanding."""
        model = self.model
        residual = tokens_triton.embed(tokens, model.embedding)
        parts: Tensor | None = None
        shares: Tensor | None = None
        for layer, experts, pages in zip(model.layers, self.experts, latent, strict=False):
            residual, parts = self._attend(layer, residual, parts, shares, positions, page_table, pages)
            residual, parts, shares = self._feed_forward(layer, experts, residual, parts, on_route)
        _, normed = norm_triton.add_norm(residual, model.final_norm, parts, shares, codes=False, values=True)
        return normed

    def _attend(
        self,
        layer: Layer,
        residual: Tensor,
        parts: Tensor | None,
        shares: Tensor | None,
        positions: Tensor,
        page_table: Tensor,
        pages: Tensor,
    ) -> tuple[Tensor, Tensor]:
        a: MLA = layer.attention
        eps, rope = layer.eps, self.model.rope_table
        fp8 = a.qkv_a.format == "fp8_block"
        residual, normed = norm_triton.add_norm(residual, layer.input_norm, parts, shares, codes=fp8, values=not fp8)
        down = product(normed, a.qkv_a, eps)
        q_fp8 = a.q_b is not None and a.q_b.format == "fp8_block"
        query = query_triton.latent_and_query(
            down, a.q_a_norm, a.kv_a_norm, rope, positions, page_table, pages, eps, q_fp8, a.cache_scales
        )
        q = down if query is None or a.q_b is None else product(query, a.q_b)
        queries = query_triton.absorb_query(q, a.w_uk, rope, positions)
        scale = self.model.config.softmax_scale
        cuts, lse = mla_triton.decode(queries, pages, page_table, positions, scale, a.cache_scales)
        heads = mla_triton.combine_heads(cuts, lse, a.w_uv, codes=a.o.format == "fp8_block")
        return residual, product(heads, a.o)

    def _feed_forward(
        self,
        layer: Layer,
        experts: AllExperts | None,
        residual: Tensor,
        parts: Tensor,
        on_route: Callable[[Tensor], object] | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the residual, what to add to it, and the experts' shares of that (None for a dense network)."""
        eps, network = layer.eps, layer.network
        if isinstance(network, Dense):
            fp8 = network.gate_up.format == "fp8_block"
            residual, normed = norm_triton.add_norm(residual, layer.post_norm, parts, codes=fp8, values=not fp8)
            inner = norm_triton.silu_mul(product(normed, network.gate_up, eps), network.down.format == "fp8_block")
            return residual, product(inner, network.down), None
        assert experts is not None
        fp8 = experts.experts.gate_up.format == "fp8_block"
        residual, normed = norm_triton.add_norm(residual, layer.post_norm, parts, codes=fp8, values=True)
        logits = product(normed, experts.gate, eps)
        ids, shares = router_triton.select_experts(logits, network.bias, network.router, experts.shared)
        if on_route is not None:
            on_route(ids)
        gate_up, down = experts.experts.gate_up, experts.experts.down
        count = experts.experts.count
        groups = grouping_triton.group_by_expert(ids, count, grouping_triton.tile_rows(ids.numel(), count))
        inner = norm_triton.silu_mul(experts_triton.experts_up(normed, gate_up, groups, eps), fp8)
        return residual, experts_triton.experts_down(inner, down, groups), shares


def join_experts(network: MoE, config: ModelConfig) -> AllExperts:
    """Routed and shared experts as one stack: a shared expert of n widths is n experts that every token visits.

    The network's own weights become views of the stack where the layout allows (one shared expert), or stay.
    """
    routed, shared, width = network.experts, network.shared, config.moe_intermediate_size
    gate = Weight(network.gate.bfloat16())
    if shared is None:
        return AllExperts(gate, routed, 0)
    slices = shared.down.shape[1] // width
    gate_rows, up_rows = _rows(shared.gate_up, 0, slices), _rows(shared.gate_up, slices, slices)
    gate_up = _stack(routed.gate_up, _join_rows(gate_rows, up_rows))
    down = _stack(routed.down, _columns(shared.down, slices))
    stacked = Experts(gate_up, down)
    network.experts = Experts(_slice(gate_up, slice(0, routed.count)), _slice(down, slice(0, routed.count)))
    if slices == 1:
        network.shared = Dense(_slice(gate_up, routed.count), _slice(down, routed.count))
    return AllExperts(gate, stacked, slices)


def _map(weight: Weight, change: Callable[[Tensor], Tensor]) -> Weight:
    """The same change to a weight's values and its scales."""
    return Weight(change(weight.data), None if weight.scale is None else change(weight.scale), weight.format)


def _slice(weight: Weight, which: int | slice) -> Weight:
    return _map(weight, lambda t: t[which])


def _rows(weight: Weight, first: int, count: int) -> Weight:
    """Of [2 count * rows, in], the rows of slices first to first + count - 1, as [count, rows, in]."""
    return _map(weight, lambda t: t.view(-1, t.shape[0] // (2 * count), t.shape[1])[first : first + count])


def _columns(weight: Weight, count: int) -> Weight:
    """[out, count * in] -> [count, out, in]."""
    return _map(weight, lambda t: t.view(t.shape[0], count, -1).transpose(0, 1))


def _join_rows(gate: Weight, up: Weight) -> Weight:
    scale = None
    if gate.scale is not None and up.scale is not None:
        scale = torch.cat((gate.scale, up.scale), dim=1)
    return Weight(torch.cat((gate.data, up.data), dim=1), scale, gate.format)


def _stack(first: Weight, second: Weight) -> Weight:
    """Two stacks of matrices as one."""
    if first.format != second.format:
        raise ValueError(f"routed experts in {first.format}, the shared one in {second.format}: convert one of them")
    scale = None
    if first.scale is not None and second.scale is not None:
        scale = torch.cat((first.scale, second.scale))
    return Weight(torch.cat((first.data, second.data)), scale, first.format)

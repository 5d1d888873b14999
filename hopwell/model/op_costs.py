"""What each op of a model's steps must cost at least: the marks of `Transformer.forward` and their `OpCost`s.

Bytes and FLOPs come from the ops' own `cost()`, with the weights' formats as they lie in memory, the experts that the
router really chose, and the lengths really attended to.
"""

from __future__ import annotations

from functools import cached_property

from hopwell.limits.cost import OpCost
from hopwell.limits.marks import Lengths, Mark
from hopwell.model.mla import MLA
from hopwell.model.routed import Chosen, chosen_here
from hopwell.model.transformer import Dense, Layer, MoE, Transformer
from hopwell.ops import attention, linear, moe, norm, router
from hopwell.ops.attention_choice import way
from hopwell.ops.weight import Weight

NOTHING = OpCost(0, 0)


class OpCosts:
    """The costs of one model's ops, as they are marked."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self.itemsize = model.dtype.itemsize
        self.cache_bytes = (model.cache_dtype or model.dtype).itemsize

    @cached_property
    def layers(self) -> list[Layer]:
        """The decoder's, and the MTP layer's last."""
        mtp = self.model.mtp
        return [*self.model.layers, *([mtp.layer] if mtp is not None else [])]

    def of(self, mark: Mark) -> OpCost | None:
        """The least that a marked op can do; None for what no ceiling of memory or matrix units binds: work of the
        host, and exchanges between ranks."""
        lengths = mark.lengths or Lengths((), ())
        rows = lengths.rows if mark.rows is None else mark.rows
        if mark.layer is None:
            return self._outside(mark.op, rows)
        return self._inside(self.layers[mark.layer], mark, rows, lengths)

    def _outside(self, op: str, rows: int) -> OpCost | None:
        """Of an op that is no layer's."""
        c, size = self.model.config, self.itemsize
        match op:
            case "embedding":
                return OpCost(2 * rows * c.hidden_size * size, 0)
            case "final norm":
                return norm.cost(rows, c.hidden_size, residual=True, itemsize=size)
            case "logits":
                return self._matrix(self.model.head, rows)
            case "sampling":
                return OpCost(4 * rows * c.vocab_size, 0)
        return None

    def _inside(self, layer: Layer, mark: Mark, rows: int, lengths: Lengths) -> OpCost | None:
        """Of an op of a layer."""
        a, network, hidden, size = layer.attention, layer.network, self.model.config.hidden_size, self.itemsize
        match mark.op:
            case "input norm" | "post norm":
                return norm.cost(rows, hidden, residual=True, itemsize=size)
            case "final norm":
                return norm.cost(rows, hidden, itemsize=size)
            case "projection":  # of the MTP layer: an embedding and two norms before it
                assert self.model.mtp is not None
                return norm.cost(2 * rows, hidden, itemsize=size) + self._matrix(self.model.mtp.projection, rows)
            case "qkv_a":
                return self._matrix(a.qkv_a, rows)
            case "q_b":
                return self._query(a, rows)
            case "latent":
                return self._latent(a, rows)
            case "attention":
                return self._attention(a, rows, lengths)
            case "absorb":
                return self._heads(a, rows, self.model.config.qk_nope_head_dim)
            case "decode":
                return self._over_cache(a, lengths, absorbed=True)
            case "merge":
                return self._heads(a, rows, self.model.config.v_head_dim)
            case "o":
                return self._matrix(a.merged[1] if a.merged and self._by_merged(a, rows) else a.o, rows)
        if isinstance(network, MoE):
            return self._experts(network, mark, rows)
        match mark.op:
            case "dense":
                return self._network(network, rows)
            case "up":
                return self._matrix(network.gate_up, rows)
            case "silu":
                return self._silu(rows, network.down.shape[1])
            case "down":
                return self._matrix(network.down, rows)
        return None

    def _matrix(self, weight: Weight, rows: int) -> OpCost:
        width_out, width_in = weight.shape
        return linear.cost(rows, width_in, width_out, weight.format, self._enter(weight, rows), self.itemsize)

    def _enter(self, weight: Weight, rows: int) -> str:
        """How rows enter a product with FP8 weights: a CPU widens those."""
        return "fp8" if self.model.device.type == "cuda" and weight.takes_fp8(rows) else "bf16"

    def _by_merged(self, a: MLA, rows: int) -> bool:
        return a.by_merged(rows, self.model.absorbed)

    def _query(self, a: MLA, rows: int) -> OpCost:
        """The query's own norm and its second matrix."""
        if a.q_b is None or a.q_a_norm is None:
            return NOTHING
        weight = a.merged[0] if a.merged and self._by_merged(a, rows) else a.q_b
        return norm.cost(rows, len(a.q_a_norm), itemsize=self.itemsize) + self._matrix(weight, rows)

    def _latent(self, a: MLA, rows: int) -> OpCost:
        """Rotations of queries and key, the latent's norm, and its row in the cache."""
        c = self.model.config
        rotated = 2 * a.w_uk.shape[0] * c.qk_rope_head_dim * self.itemsize
        return OpCost(rows * (rotated + c.latent_dim * (self.itemsize + self.cache_bytes)), 0)

    def _attention(self, a: MLA, rows: int, lengths: Lengths) -> OpCost:
        """Attention each way, and what carries queries into latent space and out of it where that is no matrix of the
        merged ones."""
        c, total = self.model.config, NOTHING
        pairs = list(zip(*lengths, strict=True))
        for absorbed in (True, False):
            mine = [pair for pair in pairs if (way(pair[0], self.model.absorbed).name == "absorbed") == absorbed]
            if not mine:
                continue
            some = Lengths(*([pair[i] for pair in mine] for i in (0, 1)))
            total += self._over_cache(a, some, absorbed)
            if absorbed and not self._by_merged(a, rows):
                total += self._heads(a, some.rows, c.qk_nope_head_dim) + self._heads(a, some.rows, c.v_head_dim)
        return total

    def _over_cache(self, a: MLA, lengths: Lengths, absorbed: bool) -> OpCost:
        """Attention alone."""
        c, (query_lens, seq_lens) = self.model.config, map(list, lengths)
        return attention.cost(
            query_lens, seq_lens, a.w_uk.shape[0], c.kv_lora_rank, c.qk_rope_head_dim, self.cache_bytes, absorbed,
            c.qk_nope_head_dim, self.itemsize,
        )  # fmt: skip

    def _heads(self, a: MLA, rows: int, width: int) -> OpCost:
        """Rows of every head through its matrix of `w_uk` or `w_uv`, between `width` and the latent's rank."""
        heads, rank = a.w_uk.shape[0], self.model.config.kv_lora_rank
        moved = a.w_uk.dtype.itemsize * heads * width * rank + self.itemsize * rows * heads * (width + rank)
        return OpCost(moved, 2 * rows * heads * width * rank)

    def _silu(self, rows: int, width: int) -> OpCost:
        """Both halves in, their product out."""
        return OpCost(3 * rows * width * self.itemsize, 0)

    def _network(self, network: Dense, rows: int) -> OpCost:
        """Both matrices; what is between them need not leave the chip."""
        return self._matrix(network.gate_up, rows) + self._matrix(network.down, rows)

    def _experts(self, network: MoE, mark: Mark, rows: int) -> OpCost | None:
        """Of an op of experts: in the chain of kernels routed and shared ones are one stack."""
        hidden, top_k = self.model.config.hidden_size, network.router.top_k
        in_chain = mark.op in ("select", "up", "silu", "down") and network.joined is not None
        experts = network.joined.experts if network.joined is not None and in_chain else network.experts
        match mark.op:
            case "router":
                return router.cost(rows, hidden, len(network.gate), top_k, self.itemsize)
            case "select":
                return OpCost(4 * rows * (len(network.gate) + 2 * top_k), 0, "fp32")
            case "shared":
                return None if network.shared is None else self._network(network.shared, rows)
        if mark.chosen is None:
            return None
        chosen = mark.chosen if isinstance(mark.chosen, Chosen) else chosen_here(mark.chosen, experts)
        if mark.op == "silu":
            return self._silu(chosen.pairs, experts.width)
        form, enter = experts.gate_up.format, self._enter(experts.gate_up, rows)
        one = moe.cost(rows, hidden, experts.width, 1, chosen.distinct, form, enter, self.itemsize)
        whole = OpCost(one.bytes, one.flops * chosen.pairs // max(rows, 1), one.format)
        match mark.op:  # of three matrices the first product has two
            case "experts" if network.shared is not None and experts.with_shared:
                return whole + self._network(network.shared, rows)
            case "experts":
                return whole
            case "up":
                return OpCost(whole.bytes * 2 // 3, whole.flops * 2 // 3, whole.format)
            case "down":
                return OpCost(whole.bytes // 3, whole.flops // 3, whole.format)
        return None

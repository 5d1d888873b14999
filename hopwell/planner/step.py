"""What one decode step and one prompt take on a GPU of a replica, op by op."""

from __future__ import annotations

from math import log2
from typing import NamedTuple

from hopwell.limits.catalogue import Gpu
from hopwell.planner import work
from hopwell.planner.engines import Engine
from hopwell.planner.kernels import Kernel, exchange, kernel, own_kernel
from hopwell.planner.layout import Layout
from hopwell.planner.model import Model, Precision

ACROSS = (102.0, 288.0, 406.0, 472.0)
"""us of DeepEP's low-latency dispatch and combine on 1, 2, 4 and 8 hosts, 128 tokens a GPU, 7,168 wide (SGLang 0.5.6,
H100, from AIConfigurator's tables)."""
ACROSS_BASE, ACROSS_TOKENS, ACROSS_WIDTH = 50.0, 128, 7168
DISPATCH_RATE, COMBINE_RATE = 90e3, 81e3
"""Bytes a microsecond and GPU of DeepEP for many rows, 8 GPUs a host, ConnectX-7; FP8 there, bf16 back."""
WIDE_BASE, WIDE_SHARE = 12.0, 0.45
"""us, and of NVLink's rate, of DeepEP's dispatch (FP8) and combine (bf16) in one NVLink domain: 102 us on 8 H100, 63 on
GB200, 128 tokens a GPU, 7,168 wide. Up to 8 GPUs rows are gathered, and outputs summed to their owners."""
IMBALANCE = 0.11
"""(max - mean) / mean of tokens a rank with a balancer at 32 ranks (SGLang); without one 1.56."""


class Op(NamedTuple):
    """Calls of one op in a step, on one GPU."""

    name: str
    us: float
    """Of all calls together."""
    error: float
    """Relative."""
    moved: float
    """Bytes of device memory, of all calls."""
    flops: float
    evidence: str = "guessed"
    """How its constants were come by, one of `kernels.EVIDENCE`."""


class Product(NamedTuple):
    """A product of rows with weights, as it enters every step: what it moves and computes is linear in the rows."""

    name: str
    count: int
    """Calls in a step."""
    kernel: Kernel
    weights: float
    """Bytes."""
    row_bytes: float
    row_flops: float

    def op(self, rows: float) -> Op:
        """All its calls in a step of so many rows."""
        moved, flops, count = self.weights + rows * self.row_bytes, rows * self.row_flops, self.count
        kernel, us = self.kernel, self.kernel.us(moved, flops)
        return Op(self.name, count * us, kernel.error, count * moved, count * flops, kernel.evidence)


def total(ops: list[Op]) -> float:
    """us."""
    return sum(op.us for op in ops)


class Machine:
    """One replica: a model in a precision, laid over GPUs, run by an engine. Times are those of its slowest GPU."""

    def __init__(self, model: Model, precision: Precision, layout: Layout, gpu: Gpu, engine: Engine) -> None:
        self.model, self.precision, self.layout, self.gpu, self.engine = model, precision, layout, gpu, engine
        self.prompt_times: dict[tuple[float, ...], float] = {}
        """us by tokens, rows before them and prompts at once; kept by who asks."""
        owner = engine.kernels

        def timed(family: str, form: str) -> Kernel:
            return own_kernel(engine.own, family, form) or kernel(family, form, gpu, owner)

        self.attention_linear = timed("linear", precision.attention)
        self.dense_linear = timed("linear", precision.dense)
        self.plain = timed("linear", "bf16")
        self.decode_attention = timed("decode_attention", precision.cache)
        self.prompt_attention = timed("prompt_attention", precision.cache)
        self.experts = timed("experts_whole" if layout.expert_whole > 1 else "experts_cut", precision.experts)
        self.joined = engine.joins_shared and layout.expert_whole == 1
        self.hosts = -(-layout.gpus // gpu.domain)
        self.sums = exchange("sum", layout.tp, gpu, owner) if layout.tp > 1 else None
        self.gathers = self.scatters = None
        self.wide = layout.dp > 1 and self.hosts == 1 and layout.gpus > 8
        if layout.dp > 1 and self.hosts == 1 and not self.wide:
            self.gathers = exchange("all_gather", layout.gpus, gpu)
            self.scatters = exchange("reduce_scatter", layout.gpus, gpu)
        elif layout.expert_whole > 1 and layout.tp > 1 and layout.dp == 1:
            self.sums = exchange("sum", layout.gpus, gpu, owner)
        self.products, self.latent_space = self._products(), self._latent_space()
        self.head = _product("head", 1, self.plain, model.hidden_size, model.vocab_size / layout.gpus, "bf16")

    def _products(self) -> list[Product]:
        """A layer's products, whole or cut among the GPUs that share a token's heads."""
        m, tp = self.model, self.layout.tp
        heads, attention, dense = m.num_attention_heads / tp, self.precision.attention, self.precision.dense
        q_width = heads * (m.qk_nope_head_dim + m.qk_rope_head_dim)
        q_in, down = m.q_lora_rank or m.hidden_size, (m.q_lora_rank or 0) + m.latent_dim
        found = [
            _product("qkv_a", m.num_hidden_layers, self.attention_linear, m.hidden_size, down, attention),
            _product("q_b", m.num_hidden_layers, self.attention_linear, q_in, q_width, attention),
            _product("o", m.num_hidden_layers, self.attention_linear, heads * m.v_head_dim, m.hidden_size, attention),
            _product("router", m.moe_layers, self.plain, m.hidden_size, m.n_routed_experts, "bf16"),
        ]
        networks = [("dense", m.first_k_dense_replace, m.intermediate_size / tp)]
        if not self.joined:
            networks.append(("shared expert", m.moe_layers, m.n_shared_experts * m.moe_intermediate_size / tp))
        for name, count, width in networks:
            if count and width:
                found.append(_product(f"{name} up", count, self.dense_linear, m.hidden_size, 2 * width, dense))
                found.append(_product(f"{name} down", count, self.dense_linear, width, m.hidden_size, dense))
        return [product for product in found if product.count]

    def _latent_space(self) -> list[Product]:
        m, heads = self.model, self.model.num_attention_heads / self.layout.tp
        found = []
        for width_in, width_out in ((m.qk_nope_head_dim, m.kv_lora_rank), (m.kv_lora_rank, m.v_head_dim)):
            weights, _ = work.heads_product(0, heads, width_in, width_out)
            moved, flops = work.heads_product(1, heads, width_in, width_out)
            found.append(Product("latent space", m.num_hidden_layers, self.plain, weights, moved - weights, flops))
        return found

    def decode(self, batch: float, context: float, drafts: int = 0) -> list[Op]:
        """One step in which each of `batch` sequences of the replica, `context` rows long, checks `drafts` tokens.

        Attention by sequence runs on the GPU with most sequences; its part may be less than one.
        """
        m, queries = self.model, 1 + drafts
        sequences = max(1.0, batch / self.layout.dp)
        rows = sequences * queries
        heads = m.num_attention_heads / self.layout.tp
        cost = work.absorbed_attention(
            sequences, queries, context + drafts, heads, m.kv_lora_rank, m.qk_rope_head_dim, self.precision.cache
        )
        ops = [_op("attention", m.num_hidden_layers, self.decode_attention, *cost)]
        ops += [product.op(rows) for product in self.latent_space]
        self._rest(ops, rows, max(batch, 1.0) * queries, rows, self.engine.step_us, self.engine.layer_us)
        if self.engine.over_several and self.layout.gpus > 1:
            ops.append(Op("over several GPUs", self.engine.over_several * total(ops), 0.3, 0.0, 0.0, "transferred"))
        if drafts:
            layer = total(ops) / m.num_hidden_layers * drafts / queries
            head = self.head.op(sequences)
            ops += [head._replace(name="draft heads", us=head.us * drafts), Op("draft layers", layer, 0.2, 0.0, 0.0)]
        return ops

    def prompt(self, tokens: float, context: float | None = None, prompts: float = 1.0) -> list[Op]:
        """`prompts` prompts of `tokens` at once, each the last of `context` rows; with attention by sequence that many
        on every group."""
        m, heads = self.model, self.model.num_attention_heads / self.layout.tp
        context, head = context or tokens, (m.qk_nope_head_dim + m.v_head_dim) / 2
        moved, flops = work.prompt_attention(
            tokens, context, heads, m.kv_lora_rank, m.qk_rope_head_dim, head, self.precision.cache
        )
        rebuilt = work.heads_product(context, heads, m.kv_lora_rank, m.qk_nope_head_dim + m.v_head_dim)
        ops = [
            _op(
                "attention", m.num_hidden_layers, self.prompt_attention, moved * prompts, (flops - rebuilt[1]) * prompts
            ),
            _op("latent space", m.num_hidden_layers, self.plain, rebuilt[0] * prompts, rebuilt[1] * prompts),
        ]
        rows = tokens * prompts
        self._rest(ops, rows, rows * self.layout.dp, prompts, self.engine.prompt_us, self.engine.prompt_layer_us)
        return ops

    def _rest(
        self, ops: list[Op], rows: float, everyone: float, scored: float, step_us: float, layer_us: float
    ) -> None:
        """All but attention itself: `rows` tokens on this GPU, `everyone`'s tokens in the replica meet the experts,
        `scored` rows meet the head."""
        layers, moe = self.model.num_hidden_layers, self.model.moe_layers
        ops += [product.op(rows) for product in self.products]
        if moe:
            ops.append(self._experts(everyone))
        elementwise = 2 * rows * self.model.hidden_size * self.engine.passes / (0.7 * self.gpu.bandwidth / 1e6)
        ops.append(Op("norms and others", layers * (layer_us + elementwise), 0.2, 0.0, 0.0))
        ops.append(self.head.op(scored))
        ops.append(Op("step", step_us, 0.3, 0.0, 0.0))
        self._exchanges(ops, rows, everyone, layers, moe)

    def _experts(self, tokens: float) -> Op:
        """Those of one GPU. With whole experts shared out, the shared one is a network of each GPU's own rows."""
        m, layout = self.model, self.layout
        distinct = work.distinct_experts(m.n_routed_experts, m.num_experts_per_tok, tokens) / layout.expert_whole
        here = work.arrivals(tokens, m.num_experts_per_tok, layout.expert_whole)
        each = tokens * m.num_experts_per_tok / layout.expert_whole / here
        shared = m.n_shared_experts if self.joined else 0
        width = m.moe_intermediate_size / layout.expert_cut
        moved, flops = work.routed_experts(
            here, m.hidden_size, width, each + shared, distinct + shared, self.precision.experts
        )
        op = _op("routed experts", m.moe_layers, self.experts, moved, flops)
        hot = 1 + IMBALANCE * log2(layout.expert_whole) / 5 if layout.expert_whole > 8 else 1.0
        return op._replace(us=op.us * hot)

    def _exchanges(self, ops: list[Op], rows: float, everyone: float, layers: int, moe: int) -> None:
        width = 2.0 * self.model.hidden_size
        if self.hosts > 1:
            level = min(log2(self.hosts), len(ACROSS) - 1)
            low = int(level)
            timed = ACROSS[low] + (level - low) * (ACROSS[min(low + 1, len(ACROSS) - 1)] - ACROSS[low])
            share = max(rows, 1) / ACROSS_TOKENS * self.model.hidden_size / ACROSS_WIDTH
            slower = 50e9 / (self.gpu.network or 12.5e9)
            sent = rows * self.model.hidden_size * min(self.model.num_experts_per_tok, self.hosts)
            few = (timed - ACROSS_BASE) * share
            us = ACROSS_BASE + slower * min(few, sent / DISPATCH_RATE + 2 * sent / COMBINE_RATE)
            ops.append(Op("exchange across hosts", moe * us, 0.4, 0.0, 0.0, "transferred"))
        elif self.wide:
            sent = 3 * rows * self.model.hidden_size * min(self.model.num_experts_per_tok, self.layout.gpus)
            us = WIDE_BASE + sent / (WIDE_SHARE * self.gpu.nvlink / 1e6)
            ops.append(Op("all to all", moe * us, 0.35, 0.0, 0.0, "transferred"))
        elif self.gathers is not None and self.scatters is not None:
            us = self.gathers.us(width / 2 * everyone) + self.scatters.us(width * everyone)
            error = max(self.gathers.error, self.scatters.error)
            ops.append(Op("gather, scatter", moe * us, error, 0.0, 0.0, self.gathers.evidence))
        if self.sums is not None:
            count = layers if self.layout.dp > 1 else 2 * layers
            us = max(0.0, self.sums.us(width * rows) - self.engine.exchange_saved_us)
            ops.append(Op("sums", count * us, self.sums.error, 0.0, 0.0, self.sums.evidence))


def _product(name: str, count: int, what: Kernel, width_in: float, width_out: float, form: str) -> Product:
    weights, _ = work.linear(0, width_in, width_out, form)
    moved, flops = work.linear(1, width_in, width_out, form)
    return Product(name, count, what, weights, moved - weights, flops)


def _op(name: str, count: float, what: Kernel, moved: float, flops: float) -> Op:
    """`count` equal calls."""
    return Op(name, count * what.us(moved, flops), what.error, count * moved, count * flops, what.evidence)

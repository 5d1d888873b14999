"""Eight families of kernels at a model's real sizes: each op as serving runs it, beside its `cost()`.

On a GPU the kernels themselves are called, as steps call them; elsewhere the ops in plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product as pairs
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.plain import BF16
from hopwell.limits.cost import OpCost
from hopwell.model.shape_classes import LONG
from hopwell.ops import attention, linear, moe
from hopwell.ops.device import has_kernels
from hopwell.ops.moe_experts import Experts
from hopwell.ops.paging import AttentionPlan, CacheScales
from hopwell.ops.sizes import PAGE
from hopwell.ops.weight import Weight

FORMS = {"fp8": FP8_BLOCK, "bf16": BF16}
NOPE, ROPE = 128, 64
T = TypeVar("T", Tensor, Weight)


class Case(NamedTuple):
    """One op at one shape."""

    what: str
    cost: OpCost
    run: Callable[[int], object]
    """Runs it with the n-th copy of what it reads."""
    copies: int
    """That take turns, so that none is found in a cache."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes that are timed."""

    hidden: int
    matrices: tuple[tuple[int, int], ...]
    """In and out."""
    rows: tuple[int, ...]
    cut: tuple[int, int, int]
    """Of experts cut in width: how many, the share of the width, and how many a token meets, the shared one too."""
    whole: tuple[int, int, int]
    plain: tuple[int, int, int, int]
    """Of a bf16 model's experts, behind its hidden size."""
    rank: int
    heads: tuple[int, ...]
    batches: tuple[int, ...]
    contexts: tuple[int, ...]
    prompts: tuple[tuple[int, int], ...]
    """How many at once, and tokens of each."""
    most: int
    """Bytes of what one case reads, all copies together."""


R1 = Sizes(
    7168, ((7168, 2112), (1536, 3072), (2048, 7168), (7168, 4608), (2304, 7168)), (1, 8, 32, 128, 512, 2048, 8192),
    (257, 256, 9), (32, 2048, 1), (2048, 66, 1408, 8), 512, (16, 128), (1, 8, 32, 128), (512, 2048, 8192, 32768),
    ((1, 512), (8, 512), (1, 2048), (4, 2048), (1, 8192), (1, 16384)), 1 << 30,
)  # fmt: skip
"""Of R1 in eight parts, whole experts as of eight GPUs, and V2-Lite's experts in bf16."""
TRIAL = Sizes(
    256, ((256, 256), (256, 512)), (1, 16, 64), (5, 128, 2), (4, 128, 1), (256, 6, 128, 2), 512, (16,), (1, 4),
    (64, 256), ((1, 64), (2, 64), (1, 128)), 1 << 21,
)  # fmt: skip
"""Of nothing real: whether the code runs."""


class Families:
    """The cases of every family on a device."""

    def __init__(self, sizes: Sizes, device: torch.device | str, kernels: bool | None = None) -> None:
        """
        Args:
            kernels: whether the GPU's kernels are called; None: where there are such for the device.
        """
        self.sizes, self.device = sizes, torch.device(device)
        cuda = self.device.type == "cuda"
        self.kernels = (cuda and has_kernels(self.device)) if kernels is None else kernels
        self.random = torch.Generator(self.device).manual_seed(0)

    def all(self) -> dict[tuple[str, str], Callable[[], Iterator[Case]]]:
        """By family and format, as the planner names them."""
        s = self.sizes
        return {
            ("linear", "fp8"): lambda: self.linears("fp8"),
            ("linear", "bf16"): lambda: self.linears("bf16"),
            ("experts_cut", "fp8"): lambda: self.experts("fp8", s.hidden, *s.cut),
            ("experts_whole", "fp8"): lambda: self.experts("fp8", s.hidden, *s.whole),
            ("experts_cut", "bf16"): lambda: self.experts("bf16", *s.plain),
            ("decode_attention", "bf16"): lambda: self.decode_attention(None),
            ("decode_attention", "fp8"): lambda: self.decode_attention(CacheScales(0.02, 0.02, s.rank)),
            ("prompt_attention", "bf16"): self.prompt_attention,
        }

    def linears(self, form: str) -> Iterator[Case]:
        """Products of rows with a matrix."""
        for width_in, width_out in self.sizes.matrices:
            weights = self._copies(lambda i=width_in, o=width_out: self._weight((o, i), form))
            for rows in self.sizes.rows:
                x = self._randn(rows, width_in)
                yield Case(f"{rows} x {width_in} x {width_out}", linear.cost(rows, width_in, width_out, FORMS[form]),
                           self._linear(x, weights), len(weights))  # fmt: skip

    def _linear(self, x: Tensor, weights: list[Weight]) -> Callable[[int], object]:
        if not self.kernels:
            return lambda i: linear.linear(x, weights[i])
        from hopwell.ops.linear_triton import product, rows_for

        given, dtype = rows_for(x, weights[0]), torch.bfloat16 if len(x) >= LONG else torch.float32
        return lambda i: product(given, weights[i], dtype=dtype)

    def experts(self, form: str, hidden: int, count: int, width: int, top_k: int) -> Iterator[Case]:
        """Both products of experts, and SwiGLU between them; tokens choose at random, another choice each turn."""
        gate_up, down = self._weight((count, 2 * width, hidden), form), self._weight((count, hidden, width), form)
        experts = Experts(gate_up, down)
        for rows in self.sizes.rows:
            x = self._randn(rows, hidden)
            turns = 8 if rows * top_k < 2 * count else 1
            chosen = [self._scores(rows, count).topk(top_k).indices for _ in range(turns)]
            distinct = round(sum(ids.unique().numel() for ids in chosen) / turns)
            cost = moe.cost(rows, hidden, width, top_k, distinct, FORMS[form])
            yield Case(f"{rows} rows, {distinct} experts of {width}", cost, self._moe(x, chosen, experts), turns)

    def _moe(self, x: Tensor, chosen: list[Tensor], experts: Experts) -> Callable[[int], object]:
        if not self.kernels:
            shares = torch.full(chosen[0].shape, 1 / chosen[0].shape[1], device=self.device)
            return lambda i: moe.moe(x, chosen[i], shares, experts)
        from hopwell.ops.linear_triton import rows_for
        from hopwell.ops.moe_down_triton import experts_down
        from hopwell.ops.moe_grouping_triton import group_by_expert
        from hopwell.ops.moe_up_triton import experts_up
        from hopwell.ops.swiglu_triton import silu_mul

        groups = [group_by_expert(ids.int(), experts.count, packed=experts.gate_up.is_packed) for ids in chosen]
        rows = rows_for(x, experts.gate_up)
        dtype = torch.bfloat16 if groups[0].tile >= 64 else torch.float32

        def run(i: int) -> object:
            up = experts_up(rows, experts.gate_up, groups[i], dtype=dtype)
            return experts_down(silu_mul(up, fp8=experts.down.takes_fp8(len(x))), experts.down, groups[i])

        return run

    def decode_attention(self, scales: CacheScales | None) -> Iterator[Case]:
        """A new token of each sequence, attending in latent space."""
        s, width = self.sizes, self.sizes.rank + ROPE
        for heads, context, batch in pairs(s.heads, s.contexts, s.batches):
            pages, size = batch * -(-context // PAGE), 2 if scales is None else 1
            if pages * PAGE * width * size > s.most:
                continue
            latents = self._copies(lambda pages=pages: self._latent(pages, scales))
            table = torch.randperm(pages, device=self.device, generator=self.random).int().view(batch, -1)
            positions = torch.full((batch,), context - 1, device=self.device)
            queries = self._randn(batch, heads, width)
            cost = attention.cost([1] * batch, [context] * batch, heads, s.rank, ROPE, size)
            yield Case(f"{batch} x {context}, {heads} heads", cost,
                       self._decode(queries, latents, table, positions, context, scales), len(latents))  # fmt: skip

    def _decode(
        self, queries: Tensor, latents: list[Tensor], table: Tensor, positions: Tensor, context: int,
        scales: CacheScales | None,
    ) -> Callable[[int], object]:  # fmt: skip
        scale = (NOPE + ROPE) ** -0.5
        if not self.kernels:
            batch = len(queries)
            plan = AttentionPlan.build([1] * batch, [context] * batch, positions, table)
            return lambda i: attention.latent_attention(queries, latents[i], self.sizes.rank, plan, scale, scales)
        from hopwell.ops.attention_decode_triton import decode

        return lambda i: decode(queries, latents[i], table, positions, scale, scales)

    def prompt_attention(self) -> Iterator[Case]:
        """Whole prompts, each head's keys and values rebuilt before; rebuilding them is a product, and not counted."""
        s = self.sizes
        for heads, (count, tokens) in pairs(s.heads, s.prompts):
            lengths, rows = [tokens] * count, count * tokens
            cost = attention.cost(lengths, lengths, heads, s.rank, ROPE, absorbed=False, head_dim=NOPE)
            rebuilt = 2 * rows * heads * s.rank * 2 * NOPE if self.kernels else 0
            yield Case(f"{count} x {tokens}, {heads} heads", OpCost(cost.bytes, cost.flops - rebuilt),
                       self._prompt(heads, lengths), 1)  # fmt: skip

    def _prompt(self, heads: int, lengths: list[int]) -> Callable[[int], object]:
        rows, scale = sum(lengths), (NOPE + ROPE) ** -0.5
        nope, rope = self._randn(rows, heads, NOPE), self._randn(rows, heads, ROPE)
        if self.kernels:
            from hopwell.ops.attention_plan import query_tiles
            from hopwell.ops.attention_prefill_triton import prefill

            keys, values = self._randn(heads, rows, NOPE), self._randn(heads, rows, NOPE)
            shared, out = self._randn(rows, ROPE), torch.empty_like(nope)
            firsts = [sum(lengths[:i]) for i in range(len(lengths))]
            tiles = torch.from_numpy(query_tiles(lengths, lengths, firsts)).to(self.device)
            return lambda _: prefill(nope, rope, keys, shared, values, tiles, scale, out)
        each = -(-lengths[0] // PAGE)
        table = torch.arange(each * len(lengths), device=self.device, dtype=torch.int32).view(len(lengths), -1)
        positions = torch.cat([torch.arange(length, device=self.device) for length in lengths])
        plan = AttentionPlan.build(lengths, lengths, positions, table)
        latent = self._latent(table.numel(), None)
        up, down = self._randn(heads, NOPE, self.sizes.rank), self._randn(heads, self.sizes.rank, NOPE)
        return lambda _: attention.mla_attention(nope, rope, latent, up, down, plan, scale, absorbed=False)

    def _copies(self, make: Callable[[], T]) -> list[T]:
        """As many as caches do not hold together, a few hundred MB at most."""
        first = make()
        data = first.data if isinstance(first, Weight) else first
        size = data.numel() * data.element_size()
        count = min(16, max(1, -(-self.sizes.most // 4 // size)))
        return [first, *(make() for _ in range(count - 1))]

    def _weight(self, shape: tuple[int, ...], form: str) -> Weight:
        """Random values of unit gain, a stack's one by one: at once, those of many experts would not fit."""
        one = shape[-2:]
        dtype = torch.float8_e4m3fn if form == "fp8" else torch.bfloat16
        data = torch.empty(shape, dtype=dtype, device=self.device)
        for part in data.view(-1, *one):
            part.copy_(self._randn(*one) * (1.0 if form == "fp8" else one[1] ** -0.5))
        if form == "bf16":
            return Weight(Plain(data))
        return Weight(Fp8Block(data, torch.full(scale_shape(shape), one[1] ** -0.5, device=self.device)))

    def _latent(self, pages: int, scales: CacheScales | None) -> Tensor:
        rows = self._randn(pages, PAGE, self.sizes.rank + ROPE)
        return rows if scales is None else scales.encode(rows)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=self.device, generator=self.random)

    def _scores(self, rows: int, count: int) -> Tensor:
        return torch.rand(rows, count, device=self.device, generator=self.random)

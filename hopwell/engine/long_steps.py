"""Long steps as CUDA graphs: what lies between two layers' attentions depends on the number of rows alone, so it is
captured, a graph a layer, for a closed list of sizes; attention, which depends on the sequences, is launched between
them. The host then gives a layer two to seven launches in place of twenty.

Rows that fill a step up to its size repeat its last row, attention's answer included: they write what that row writes,
where it writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer, Query, Rows, run
from hopwell.ops.attention_plan import StepPlan
from hopwell.ops.device import upload


def long_sizes(most: int) -> tuple[int, ...]:
    """Rows of the captured long steps: of one of at least 256 rows, a third at most are there to fill it up."""
    steps = (size for power in range(8, 24) for size in (1 << power, 3 << (power - 1)))
    return (*(size for size in steps if size < most), most)


@dataclass(frozen=True, slots=True)
class Buffers:
    """What all sizes and layers share, for as many rows as the longest step has."""

    nope: Tensor
    """bf16 [rows, heads, 128]."""
    rope: Tensor
    """bf16 [rows, heads, 64]."""
    mixed: Tensor
    """bf16 [rows, heads, 128]: attention's answer."""
    hidden: Tensor
    """bf16 [rows, hidden]: what the step gives."""

    @classmethod
    def of(cls, fused: FusedTransformer, rows: int) -> Buffers:
        c, heads = fused.model.config, fused.model.config.num_attention_heads
        shapes = (heads, c.qk_nope_head_dim), (heads, c.qk_rope_head_dim), (heads, c.v_head_dim), (c.hidden_size,)
        like = {"dtype": fused.model.dtype, "device": fused.model.device}
        return cls(*(torch.zeros(rows, *shape, **like) for shape in shapes))


class LongStep:
    """Steps of one size over one latent cache."""

    def __init__(self, fused: FusedTransformer, latent: Tensor, size: int, buffers: Buffers, pool: Any = None) -> None:
        """
        Args:
            pool: of CUDA graphs; None where there are none, and the kernels run one by one.
        """
        device = latent.device
        self.fused, self.latent, self.size, self.buffers = fused, latent, size, buffers
        self.tokens = torch.zeros(size, dtype=torch.int64, device=device)
        queries = buffers.nope[:size], buffers.rope[:size]
        own_pages = torch.zeros(size, 1, dtype=torch.int32, device=device)
        self.rows = Rows(torch.zeros_like(self.tokens), own_pages, long=True, queries=queries)
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._queries: list[Query] = []
        if pool is not None:
            self._compute(lambda query: buffers.mixed[:size])  # loads the kernels
            torch.cuda.synchronize()
            self._capture(pool)

    @torch.inference_mode()
    def replay(self, plan: StepPlan, tokens: Tensor, fused: FusedTransformer | None = None) -> Tensor:
        """The step's hidden states, bf16 [plan.count, hidden], valid until the next replay of any size.

        Args:
            plan: filled up to this size.
            tokens: int64 [plan.count], here or in main memory.
            fused: the same model, marked: its kernels run one by one, on the same rows.
        """
        if not tokens.is_cuda:
            (tokens,) = upload([tokens.numpy()], self.latent.device)
        self.tokens[: plan.count] = tokens
        self.tokens[plan.count :] = tokens[-1]
        self.rows.positions.copy_(plan.positions)
        self.rows.page_table.copy_(plan.own_pages)
        scale, mixed = self.fused.model.config.softmax_scale, self.buffers.mixed[: self.size]
        attend = partial(Query.attend, plan=plan, scale=scale, out=mixed)
        if self._graphs and fused is None:
            for graph, query in zip(self._graphs, self._queries, strict=False):  # the last graph asks for nothing
                graph.replay()
                attend(query)
            self._graphs[-1].replay()
        else:
            self._compute(attend, fused)
        return self.buffers.hidden[: plan.count]

    def _compute(self, attend: Any, fused: FusedTransformer | None = None) -> None:
        hidden = run((fused or self.fused).hidden_step(self.tokens, self.rows, self.latent), attend)
        self.buffers.hidden[: self.size].copy_(hidden)

    @torch.inference_mode()
    def _capture(self, pool: Any) -> None:
        step = self.fused.hidden_step(self.tokens, self.rows, self.latent)
        answer = None
        while len(self._queries) == len(self._graphs):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                try:
                    self._queries.append(step.send(answer) if answer is not None else next(step))
                except StopIteration as done:
                    self.buffers.hidden[: self.size].copy_(done.value)
            self._graphs.append(graph)
            answer = self.buffers.mixed[: self.size]


@dataclass(frozen=True, slots=True)
class LongSteps:
    """The captured sizes."""

    steps: tuple[LongStep, ...]

    @classmethod
    def capture(cls, fused: FusedTransformer, latent: Tensor, most: int, pool: Any) -> LongSteps:
        """Of up to `most` rows; the largest first, for the smaller ones fit in its memory."""
        buffers = Buffers.of(fused, most)
        steps = [LongStep(fused, latent, size, buffers, pool) for size in reversed(long_sizes(most))]
        return cls(tuple(reversed(steps)))

    def forward(self, batch: ForwardBatch, fused: FusedTransformer | None = None) -> Tensor | None:
        """`Transformer.forward`, or None for a step that is too long; `fused` as `LongStep.replay` has it."""
        step = next((step for step in self.steps if step.size >= len(batch.tokens)), None)
        if step is None:
            return None
        return step.replay(step.fused.plan(batch, step.size), batch.tokens, fused)

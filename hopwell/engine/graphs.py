"""Small steps as CUDA graphs: captured for a closed list of sizes before the first request, replayed after.

A step of up to 128 rows, decode rows, drafts to check and short chunks alike, is padded to the next captured size and
replayed; a longer one runs kernel by kernel. Padding repeats the last row: it writes what that row writes, where that
row writes it, and visits the same experts, so it moves no more bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch
from hopwell.model.decode import Decoder
from hopwell.model.transformer import Transformer

SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)
"""Rows of a captured step."""


@dataclass(slots=True)
class _Step:
    """One size's fixed inputs, its output, and what computes the one from the others."""

    tokens: Tensor
    positions: Tensor
    page_table: Tensor
    replay: Callable[[], object]
    hidden: Tensor


class GraphedModel:
    """A `Transformer` for the engine's runner whose small steps are replayed graphs.

    The graphs hold the addresses of the latent cache that `new_latent` returned last; on a device without CUDA graphs
    the same kernels run one by one.
    """

    def __init__(self, model: Transformer, sizes: tuple[int, ...] = SIZES) -> None:
        self.model, self.sizes = model, tuple(sorted(sizes))
        self.decoder = Decoder.of(model)
        self.device, self.has_mtp, self.config = model.device, model.has_mtp, model.config
        self.logits, self.draft = model.logits, model.draft
        self._latent: Tensor | None = None
        self._steps: dict[int, _Step] = {}

    def new_latent(self, num_pages: int) -> Tensor:
        """An empty latent cache, and the graphs over it: after this returns, nothing compiles."""
        latent = self.model.new_latent(num_pages)
        self._latent, self._steps = latent, {}
        width = min(num_pages, -(-self.model.config.max_position_embeddings // latent.shape[2]))
        pool = torch.cuda.graph_pool_handle() if latent.is_cuda else None
        for size in reversed(self.sizes):  # the largest first: the smaller ones fit in its memory
            self._steps[size] = self._capture(size, width, latent, pool)
        latent.zero_()  # warming up wrote to the first page
        return latent

    @torch.inference_mode()
    def _capture(self, size: int, width: int, latent: Tensor, pool: tuple[int, int] | None) -> _Step:
        tokens, positions = (torch.zeros(size, dtype=torch.int64, device=self.device) for _ in range(2))
        table = torch.zeros(size, width, dtype=torch.int32, device=self.device)
        run = partial(self.decoder.forward, tokens, positions, table, latent)
        hidden = run()  # compiles the kernels
        if pool is None:
            out = torch.empty_like(hidden)
            return _Step(tokens, positions, table, lambda: out.copy_(run()), out)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            hidden = run()
        return _Step(tokens, positions, table, graph.replay, hidden)

    @torch.inference_mode()
    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.forward`, replayed where a captured size holds the batch."""
        rows = len(batch.tokens)
        size = next((size for size in self.sizes if size >= rows), None)
        if size is None or latent is not self._latent:
            return self.model.forward(batch, latent)
        step = self._steps[size]
        sequence = torch.repeat_interleave(
            torch.arange(len(batch.query_lens)), torch.tensor(batch.query_lens), output_size=rows
        ).to(self.device)
        table = batch.page_table[sequence]
        for target, source in ((step.tokens, batch.tokens), (step.positions, batch.positions)):
            target[:rows].copy_(source)
            target[rows:].copy_(source[-1])
        step.page_table[:rows, : table.shape[1]].copy_(table)
        step.page_table[rows:, : table.shape[1]].copy_(table[-1])
        step.replay()
        return step.hidden[:rows].clone()  # the next replay writes over it

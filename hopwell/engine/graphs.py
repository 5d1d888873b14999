"""Steps as CUDA graphs: captured for a closed list of sizes before the first request, replayed after.

A step of up to 512 rows, decode rows, drafts to check and short prompts alike, is padded to the next captured size and
replayed; one of more prompt is left to `long_steps`. Padding repeats the last row: it writes what that row writes,
where that row writes it, and visits the same experts, so it moves no more bytes.

Where attention is data parallel, sizes are of each rank's rows, all ranks replay the one that holds the fullest rank's,
and long steps are not captured.

In batch-invariant mode there is one size, and a longer step is replayed in pieces of it. Every product is then cut the
same way whatever shares the batch, so a row's bits depend on its own sequence alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hopwell.engine.captured_step import CapturedStep, replay_seconds
from hopwell.engine.device_recorder import tape_of
from hopwell.engine.long_steps import LongSteps
from hopwell.engine.marked_graphs import MarkedGraphs, Twin
from hopwell.limits.marks import Marks, Recorder
from hopwell.model.batch import ForwardBatch
from hopwell.model.forward_choice import choose, choose_step
from hopwell.model.fused import FusedTransformer
from hopwell.model.kernel_check import kernel_fault
from hopwell.model.shape_classes import GRAPH_SIZES, LOGIT_ROWS, eager_batches
from hopwell.model.transformer import Transformer
from hopwell.ops import drafts, drafts_triton, tokens_triton
from hopwell.ops.compile.guard import RecompileGuard
from hopwell.ops.device import Device, as_current, plain_ops
from hopwell.ops.drafts import DraftOps
from hopwell.ops.sizes import MAX_DRAFTS

log = logging.getLogger(__name__)

INVARIANT_SIZE = 64
"""Rows of every step in batch-invariant mode."""


class GraphedModel:
    """A `Transformer` for the engine's runner whose small steps are replayed graphs.

    The graphs hold the addresses of the latent cache that `new_latent` returned last; on a device without CUDA graphs
    the same kernels run one by one. Before the first request the kernels' results are held to plain PyTorch's; should
    they differ, as on a GPU that the kernels were never run on, the model says so and computes without them.
    """

    def __init__(
        self,
        model: Transformer,
        batch_invariant: bool = False,
        max_rows: int = 4096,
        sizes: tuple[int, ...] | None = None,
        phases: dict[str, float] | None = None,
    ) -> None:
        """
        Args:
            model: its experts joined.
            batch_invariant: a row's bits do not depend on its batch; one size is used, the smallest of `sizes`.
            max_rows: rows of the longest step.
            sizes: rows of the captured steps; None: as served.
            phases: where `new_latent` notes the seconds that each of its parts took.
        """
        each = GRAPH_SIZES[-1] // model.layout.pools
        sizes = sizes or ((INVARIANT_SIZE,) if batch_invariant else tuple(s for s in GRAPH_SIZES if s <= each))
        useful = [size for size, before in zip(sorted(sizes), (0, *sorted(sizes)), strict=False) if before < max_rows]
        self.model, self.sizes = model, tuple(useful)[: 1 if batch_invariant else None]
        self.batch_invariant, self.max_rows = batch_invariant, max_rows
        self.phases = {} if phases is None else phases
        self.late = RecompileGuard()
        self.fused = FusedTransformer(model)
        self.device, self.has_mtp, self.config = model.device, model.has_mtp, model.config
        self.fault: str | None = None
        """What was wrong with the kernels' results, if anything was."""
        self.by_kernels = True
        """Else steps are computed without: the kernels were wrong."""
        self._latent: Tensor | None = None
        self._steps: dict[int, CapturedStep] = {}
        self._drafts: dict[int, CapturedStep] = {}
        self._long: LongSteps | None = None
        self._marked: MarkedGraphs | None = None

    def marked(self, marks: Marks) -> MarkedGraphs:
        """The same model, which tells a recorder of its ops: `new_latent` captures a twin of each whole step for it."""
        assert isinstance(marks, Recorder), "replayed marks are for who records them"
        self._marked = MarkedGraphs(self, marks)
        return self._marked

    def new_latent(self, num_pages: int) -> Tensor:
        """An empty latent cache, and the graphs over it: after this returns, nothing compiles."""
        with as_current(self.device):
            return self._prepare(num_pages)

    def _prepare(self, num_pages: int) -> Tensor:
        self.late.stop()
        self._latent, self._steps, self._drafts, self._long = None, {}, {}, None
        self._latent = latent = self.model.new_latent(num_pages)  # in the memory of the one before
        on_gpu = latent.is_cuda
        if on_gpu:
            with self._phase("check"):
                self.fault = kernel_fault(self.fused, 0 if self.batch_invariant else self._longest(latent))
            variant = choose(self.model, Device.of(self.device), fault=self.fault)
            self.by_kernels = variant.name == "fused_chain"
            if not self.by_kernels:
                log.error("kernels are not used on this GPU: %s", variant.why)
                return latent
        width = min(latent.shape[1], -(-self.model.config.max_position_embeddings // latent.shape[2]))
        pool = torch.cuda.graph_pool_handle() if on_gpu else None
        with self._phase("graphs"):
            captures_long = not self.batch_invariant and not self.model.layout.dp_attention
            if captures_long and self._longest(latent) > self.sizes[-1]:
                self._long = LongSteps.capture(self.fused, latent, self._longest(latent), pool)
            for size in reversed(self.sizes):  # the largest first: the smaller ones fit in its memory
                self._steps[size] = self._capture(size, width, latent, pool, draft=False)
                if self.has_mtp:
                    self._drafts[size] = self._capture(size, width, latent, pool, draft=True)
            if self._marked is not None:
                self._capture_twins(self._marked, width, latent, pool)
        if on_gpu:
            with self._phase("long steps"):
                self._load_eager(latent)
                torch.cuda.empty_cache()  # the steps that loaded them held as much again as their graphs
            self.late.start()
        latent.zero_()  # warming up wrote to it
        return latent

    def close(self) -> None:
        """Gives the graphs' memory back, and with it what a process group waits for at its end. No step may follow."""
        self.late.stop()
        self._latent, self._steps, self._drafts, self._long = None, {}, {}, None
        if self._marked is not None:
            self._marked.steps.clear()
            self._marked.drafts.clear()

    def _capture_twins(self, marked: MarkedGraphs, width: int, latent: Tensor, pool: Any) -> None:
        for twins, steps, draft in ((marked.steps, self._steps, False), (marked.drafts, self._drafts, True)):
            twins.clear()
            for size, step in steps.items():
                tape = tape_of(self.device)
                twin = Twin(self._capture(size, width, latent, pool, draft, tape), tape)
                if pool is not None:
                    twin.extra = max(0.0, replay_seconds(twin.step) - replay_seconds(step))
                twins[size] = twin

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if self._latent is not None and self._latent.is_cuda:
            torch.cuda.synchronize()
        self.phases[name] = time.perf_counter() - started

    @torch.inference_mode()
    def _capture(
        self, size: int, width: int, latent: Tensor, pool: Any, draft: bool, tape: Recorder | None = None
    ) -> CapturedStep:
        """
        Args:
            tape: what its ops are told to, and with them the moments of each replay.
        """
        fused = self.fused if tape is None else FusedTransformer(self.model.marked(tape))
        packed = torch.zeros(2 * size + -(-size * width // 2), dtype=torch.int64, device=self.device)
        tokens, positions = packed[:size], packed[size : 2 * size]
        table = torch.zeros(size, width, dtype=torch.int32, device=self.device)
        given = None
        if draft:
            given = torch.zeros(size, self.config.hidden_size, dtype=self.model.dtype, device=self.device)

        def run() -> tuple[Tensor, ...]:
            if tape is not None:
                tape.start()
            if given is not None:
                return (fused.draft(given, tokens, positions, table, latent),)
            return fused.forward_and_score(tokens, positions, table, latent)

        outputs = run()  # compiles the kernels

        def repeat() -> None:
            for target, source in zip(outputs, run(), strict=True):
                target.copy_(source)

        replay: Callable[[], object] = repeat
        if pool is not None:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                outputs = run()
            replay = graph.replay
        return CapturedStep(size, packed, table, given, replay, outputs[0], outputs[1] if len(outputs) > 1 else None)

    def _load_eager(self, latent: Tensor) -> None:
        """Runs every class of long steps once, so that its kernels are there."""
        for count in LOGIT_ROWS:
            rows = torch.zeros(count, self.config.hidden_size, dtype=self.model.dtype, device=self.device)
            self.greedy(self.logits(rows))
        if self.has_mtp:
            drafts_triton.run_once(self.device)
        if self.batch_invariant:  # it has no long steps
            return
        here, packed = Device.of(self.device), self.fused.packs_experts
        for query_lens, seq_lens in eager_batches(self.config, self._longest(latent), here, packed):
            for pool in range(self.model.layout.pools):
                batch = dummy_batch(query_lens, seq_lens, self.device, pool * (latent.shape[1] - 1))
                hidden = self.fused.forward_long(batch, latent)
                if self.has_mtp:
                    self.fused.draft_long(hidden, batch, latent)

    def _longest(self, latent: Tensor) -> int:
        """Rows of the longest step."""
        pages = latent.shape[1] - self.model.layout.dp_attention  # of which one is nobody's
        return min(self.max_rows, pages * latent.shape[2], self.config.max_position_embeddings)

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        """`Transformer.clear`."""
        self.model.clear(latent, pages)

    @torch.inference_mode()
    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`Transformer.step`, replayed where a captured size holds the batch: its graph has scored every row."""
        if not self.by_kernels:
            with plain_ops():
                return self.model.step(batch, latent, rows)
        if not self.is_long(batch, latent):
            hidden, scores = self.replay(self._steps, None, batch)
        else:
            hidden, scores = self.long_step(batch, latent), None
        return self.scored(hidden, scores, rows)

    def scored(self, hidden: Tensor, scores: Tensor | None, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """What `step` returns: hidden states, and the logits of some rows, from `scores` if there are those of all."""
        if rows is None and scores is not None:
            return hidden, scores
        if rows is not None and not len(rows):
            return hidden, torch.empty(0, self.config.vocab_size, device=self.device)
        return hidden, self.logits(hidden if rows is None else hidden[rows])

    def long_step(self, batch: ForwardBatch, latent: Tensor, fused: FusedTransformer | None = None) -> Tensor:
        """The hidden states.

        Args:
            fused: the same model, marked, whose kernels run one by one where a graph of a layer would be replayed.
        """
        if latent is self._latent and self._long is not None:
            hidden = self._long.forward(batch, fused)
            if hidden is not None:
                return hidden
        return (fused or self.fused).forward_long(batch, latent)

    @torch.inference_mode()
    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`Transformer.draft`, replayed where a captured size holds the batch."""
        if not self.by_kernels:
            with plain_ops():
                return self.model.draft(hidden, batch, latent)
        if self.is_long(batch, latent):
            return self.fused.draft_long(hidden, batch, latent)
        return self.replay(self._drafts, hidden, batch)[0]

    @property
    def draft_ops(self) -> DraftOps:
        """By kernels on a GPU."""
        return drafts_triton if self.device.type == "cuda" else drafts

    def takes_positions(self, rows: int) -> bool:
        """Whether a step of so many rows may have positions that only the device knows, as whole graphs may."""
        return self.by_kernels and (self.batch_invariant or rows <= self.sizes[-1])

    def size_of(self, batch: ForwardBatch, latent: Tensor) -> int | None:
        """Of the one graph that holds a step which is not long; None: several must be replayed for it."""
        rows = max(lengths.rows for lengths in self.model.lengths(batch, latent))
        return next((size for size in self.sizes if size >= rows), None)

    def is_long(self, batch: ForwardBatch, latent: Tensor) -> bool:
        """Whether no whole graph holds a step: it is too long, or over another cache than the graphs'."""
        if latent is not self._latent or self.batch_invariant:
            return latent is not self._latent
        each = self.model.lengths(batch, latent)
        return any(choose_step(*one, self.sizes[-1], 1 + MAX_DRAFTS).name == "layer_graphs" for one in each)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """`Transformer.logits`; in batch-invariant mode in pieces of one size."""
        if not self.by_kernels:
            with plain_ops():
                return self.model.logits(hidden)
        if not self.batch_invariant:
            return self.model.logits(hidden)
        size, parts = self.sizes[0], []
        for first in range(0, len(hidden), size):
            piece = hidden[first : first + size]
            padded = torch.nn.functional.pad(piece, (0, 0, 0, size - len(piece)))
            parts.append(self.fused.logits(padded)[: len(piece)])
        return torch.cat(parts)

    def greedy(self, logits: Tensor) -> Tensor | None:
        """`tokens_triton.argmax`, unless the kernels are not used."""
        return None if not self.by_kernels or not logits.is_cuda else tokens_triton.argmax(logits)

    def replay(
        self, steps: dict[int, CapturedStep], hidden: Tensor | None, batch: ForwardBatch
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states and, but for a draft, their logits. Valid until the next replay."""
        assert self._latent is not None, "steps are captured over a cache"
        spread, largest = self.model.spread(batch, self._latent), self.sizes[-1]
        if spread is not None:
            batch, hidden = spread.own, None if hidden is None else spread.mine(hidden)
        own, rows = len(batch.tokens), len(batch.tokens) if spread is None else max(spread.counts)
        table = batch.host_pages
        if len(batch.query_lens) < own:
            table = table.repeat(batch.query_lens, axis=0)
        hidden_parts: list[Tensor] = []
        scores: list[Tensor] = []
        for first in range(0, rows, largest):  # in order: a piece's rows may attend to those of the one before
            count = min(largest, rows - first)
            # of a rank whose rows have ended, the last once more, as to fill up
            piece = slice(min(first, own - 1), min(first + largest, own))
            step = steps[next(size for size in self.sizes if size >= count)]
            step.fill(batch.tokens[piece], batch.positions[piece], table[piece])
            if step.hidden_in is not None and hidden is not None:
                some = hidden[piece]
                step.hidden_in[: len(some)] = some
                if len(some) < step.size:
                    step.hidden_in[len(some) :] = some[-1]
            step.replay()
            for parts, made in ((hidden_parts, step.hidden), (scores, step.logits)):
                if made is not None:  # the next piece's replay writes over it
                    some = made.view(self.model.layout.pools, step.size, -1)[:, :count]
                    parts.append(some.clone() if rows > largest else some)
        found = [_joined(parts) for parts in (hidden_parts, scores) if parts]
        if spread is not None:
            order = spread.order([rank * rows for rank in range(self.model.layout.pools)], self.device)
            found = [each[order] for each in found]
        return found[0], found[1] if scores else None


def _joined(parts: list[Tensor]) -> Tensor:
    """Pieces [ranks, rows, width] as one, a rank after another."""
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).flatten(0, 1)


def dummy_batch(query_lens: list[int], seq_lens: list[int], device: torch.device, first: int = 0) -> ForwardBatch:
    """A batch of these lengths whose sequences all lie on the same pages, from `first` on."""
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    pages = -(-max(seq_lens) // 64)
    table = torch.arange(first, first + pages, dtype=torch.int32).expand(len(query_lens), -1)
    tokens = torch.arange(len(positions)) % 2
    return ForwardBatch(tokens.to(device), positions.to(device), query_lens, seq_lens, table.to(device))

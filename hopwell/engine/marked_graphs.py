"""Captured steps that are measured: a twin of each graph with a mark after each op, replayed in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from hopwell.engine.captured_step import CapturedStep
from hopwell.engine.runnable import Model
from hopwell.limits.marks import Lengths, Recorder
from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.transformer import Transformer
from hopwell.ops.device import plain_ops

T = TypeVar("T")
WHOLE = "step"
"""The op of captured steps that have no twin: in pieces, or a second replay."""


class Graphed(Model, Protocol):
    """What is needed of a `GraphedModel`."""

    model: Transformer
    by_kernels: bool

    def takes_positions(self, rows: int) -> bool: ...
    def greedy(self, logits: Tensor) -> Tensor | None: ...
    def scored(self, hidden: Tensor, scores: Tensor | None, rows: Tensor | None) -> tuple[Tensor, Tensor]: ...
    def is_long(self, batch: ForwardBatch, latent: Tensor) -> bool: ...
    def long_step(self, batch: ForwardBatch, latent: Tensor, fused: FusedTransformer | None = None) -> Tensor: ...
    def size_of(self, batch: ForwardBatch, latent: Tensor) -> int | None: ...
    def replay(
        self, steps: dict[int, CapturedStep], hidden: Tensor | None, batch: ForwardBatch
    ) -> tuple[Tensor, Tensor | None]: ...


@dataclass(slots=True)
class Twin:
    """A captured step that marks its ops: the same kernels, launched alike, on the same inputs."""

    step: CapturedStep
    tape: Recorder
    extra: float = 0.0
    """Seconds that it takes beside the step that marks nothing."""


@dataclass(slots=True)
class MarkedGraphs:
    """A `GraphedModel`, over the same cache and weights, that tells a recorder of its ops."""

    graphed: Graphed
    recorder: Recorder
    steps: dict[int, Twin] = field(default_factory=dict)
    """By size, captured when the model's own are."""
    drafts: dict[int, Twin] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.graphed.device

    @property
    def has_mtp(self) -> bool:
        return self.graphed.has_mtp

    def takes_positions(self, rows: int) -> bool:
        """`GraphedModel.takes_positions`."""
        return self.graphed.takes_positions(rows)

    def new_latent(self, num_pages: int) -> Tensor:
        """`GraphedModel.new_latent`, which captures both."""
        return self.graphed.new_latent(num_pages)

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        """`Transformer.clear`."""
        self.graphed.clear(latent, pages)

    def greedy(self, logits: Tensor) -> Tensor | None:
        """`GraphedModel.greedy`."""
        return self.graphed.greedy(logits)

    @torch.inference_mode()
    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`GraphedModel.step`."""
        if not self.graphed.by_kernels:
            with plain_ops():
                return self.graphed.model.marked(self.recorder).step(batch, latent, rows)
        if self.graphed.is_long(batch, latent):
            self.recorder.batch(Lengths(batch.query_lens, batch.seq_lens))
            hidden, scores = self.graphed.long_step(batch, latent, self._marked), None
        elif (twin := self._twin(self.steps, batch, latent)) is None:
            return self._whole(batch, lambda: self.graphed.step(batch, latent, rows))
        else:
            hidden, scores = self._replay(twin, None, batch)
        scored = self.graphed.scored(hidden, scores, rows)
        if scored[1] is not scores and len(scored[1]):  # the graph had not scored what was asked for
            self.recorder.mark("logits", len(scored[1]))
        return scored

    @torch.inference_mode()
    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        """`GraphedModel.draft`."""
        if not self.graphed.by_kernels:
            with plain_ops():
                return self.graphed.model.marked(self.recorder).draft(hidden, batch, latent)
        if self.graphed.is_long(batch, latent):
            self.recorder.batch(Lengths(batch.query_lens, batch.seq_lens))
            return self._marked.draft_long(hidden, batch, latent)
        if (twin := self._twin(self.drafts, batch, latent)) is None:
            return self._whole(batch, lambda: self.graphed.draft(hidden, batch, latent))
        return self._replay(twin, hidden, batch)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """`GraphedModel.logits`."""
        found = self.graphed.logits(hidden)
        self.recorder.mark("logits", len(hidden))
        return found

    @property
    def _marked(self) -> FusedTransformer:
        """The chain of kernels that tells the recorder."""
        return FusedTransformer(self.graphed.model.marked(self.recorder))

    def _twin(self, twins: dict[int, Twin], batch: ForwardBatch, latent: Tensor) -> Twin | None:
        """What may be replayed for a step that is not long, and has not been since the recorder was started: an event
        tells when it was passed last, and no more."""
        size = self.graphed.size_of(batch, latent)
        twin = None if size is None else twins.get(size)
        return None if twin is None or self.recorder.has_played(twin.tape) else twin

    def _replay(self, twin: Twin, hidden: Tensor | None, batch: ForwardBatch) -> tuple[Tensor, Tensor | None]:
        found = self.graphed.replay({twin.step.size: twin.step}, hidden, batch)
        self.recorder.batch(lengths := Lengths(batch.query_lens, batch.seq_lens))
        self.recorder.play(twin.tape, lengths, twin.extra)
        return found

    def _whole(self, batch: ForwardBatch, run: Callable[[], T]) -> T:
        """Without a look inside."""
        self.recorder.batch(Lengths(batch.query_lens, batch.seq_lens))
        found = run()
        self.recorder.mark(WHOLE)
        return found

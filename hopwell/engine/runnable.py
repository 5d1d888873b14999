"""What the runner asks of a model, and of some models only."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hopwell.limits.marks import Marks
from hopwell.model.batch import ForwardBatch
from hopwell.ops import drafts
from hopwell.ops.drafts import DraftOps


class Model(Protocol):
    """What the runner needs of a model; `hopwell.model.transformer.Transformer` is one."""

    @property
    def device(self) -> torch.device: ...
    @property
    def has_mtp(self) -> bool: ...
    def new_latent(self, num_pages: int) -> Tensor: ...
    def clear(self, latent: Tensor, pages: list[int]) -> None: ...
    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
    def logits(self, hidden: Tensor) -> Tensor: ...
    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor: ...


@runtime_checkable
class Markable(Protocol):
    """A model whose ops can be told apart."""

    def marked(self, marks: Marks) -> Model:
        """The same over the same weights, which tells `marks` after each op."""
        ...


@runtime_checkable
class Positioned(Protocol):
    """A model that may be given positions which only its device knows."""

    def takes_positions(self, rows: int) -> bool:
        """Whether a step of so many rows may have them."""
        ...


@runtime_checkable
class Filling(Protocol):
    """A model of several ranks that each have all pages."""

    def fill(self, pages: list[int], values: Tensor) -> None:
        """Has the other ranks' latent caches hold what rank 0's does: uint8 [pages, layers, 64, bytes of a row], on its
        device. What is called after it finds them."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A model that holds more for its engine than the weights."""

    def close(self) -> None:
        """Gives that back; no step may follow."""
        ...


def draft_ops(model: Model) -> DraftOps:
    """What works out a step's positions where a model computes."""
    return getattr(model, "draft_ops", drafts)


def close_model(model: Model) -> None:
    """Closes a model that has something to give back."""
    if isinstance(model, Closing):
        model.close()

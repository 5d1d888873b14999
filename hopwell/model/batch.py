"""What one forward pass computes, new tokens of several sequences, prefill chunks and decode rows alike; and what its
layers share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.limits.marks import UNMARKED, Marks
from hopwell.ops.paging import AttentionPlan


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """Sequences' new tokens, concatenated. Page j of a sequence holds its positions 64 j to 64 j + 63.

    The tensors may be in main memory, as the runner's are: a model moves what it needs to where it is.
    """

    tokens: Tensor
    """int64 [tokens]."""
    positions: Tensor
    """int64 [tokens]."""
    query_lens: list[int]
    """New tokens of each sequence; they sum to the number of tokens."""
    seq_lens: list[int]
    """Tokens of each sequence that the cache holds once this pass has written its own; at most, where only the device
    knows the positions."""
    page_table: Tensor
    """int32 [sequences, max_pages]."""
    _planned: list[tuple[Tensor, Tensor, AttentionPlan]] = field(default_factory=list, compare=False, repr=False)
    """The plan, once it was made, and of which positions and pages: the same positions with other tokens share it."""

    @property
    def host_pages(self) -> NDArray[np.int32]:
        """`page_table` in main memory, no copy of what is there; zeros on the meta device."""
        table = self.page_table
        return np.zeros(table.shape, np.int32) if table.is_meta else table.cpu().numpy()

    @property
    def plan(self) -> AttentionPlan:
        """Who attends to what: made once for these positions, whose batches differ in their tokens alone."""
        for positions, page_table, plan in self._planned:
            if positions is self.positions and page_table is self.page_table:
                return plan
        plan = AttentionPlan.build(self.query_lens, self.seq_lens, self.positions, self.page_table)
        self._planned[:] = [(self.positions, self.page_table, plan)]
        return plan

    def to(self, device: torch.device) -> ForwardBatch:
        """The same with its tensors on `device`."""
        tokens, positions, page_table = (t.to(device) for t in (self.tokens, self.positions, self.page_table))
        return replace(self, tokens=tokens, positions=positions, page_table=page_table)


@dataclass(frozen=True, slots=True)
class Pass:
    """What all layers of a forward pass are told alike."""

    turns: Tensor
    """cos and sin of the tokens' positions, complex64 [tokens, 1, 32]."""
    plan: AttentionPlan
    absorbed: bool | None = None
    """As `Transformer` has it."""
    marks: Marks = UNMARKED

    @classmethod
    def of(cls, batch: ForwardBatch, rope_table: Tensor, absorbed: bool | None = None, marks: Marks = UNMARKED) -> Pass:
        """
        Args:
            batch: where the model computes.
            rope_table: cos and sin of each position, float32 [positions, 32, 2].
        """
        turns = torch.view_as_complex(rope_table[batch.positions]).unsqueeze(1)
        return cls(turns, batch.plan, absorbed, marks)

"""One captured step: its fixed inputs, what fills them, and its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.ops import drafts_triton


@dataclass(slots=True)
class CapturedStep:
    """One size's fixed inputs, its outputs, and what computes the ones from the others."""

    size: int
    packed: Tensor
    """int64: `size` tokens, `size` positions, and page numbers, two in one value, for as many columns of the table as
    are in use. One copy from main memory fills it."""
    page_table: Tensor
    """int32 [size, columns]."""
    hidden_in: Tensor | None
    """For a draft: what the model's last layer gave."""
    replay: Callable[[], object]
    hidden: Tensor
    logits: Tensor | None
    """float32 [size, vocabulary]; None for a draft."""
    sent: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    """The pages' numbers that `page_table` holds: of 64 steps about one changes a sequence's."""

    def fill(self, tokens: Tensor, positions: Tensor, pages: NDArray[np.int32]) -> None:
        """Takes rows in, and the last one over what is left; columns of the table beyond the rows' stay.

        Args:
            tokens: int64 [rows], here or in main memory.
            positions: int64 [rows], likewise; here only if the tokens are.
            pages: [rows, columns].
        """
        rows, size, columns = len(tokens), self.size, min(pages.shape[1], self.page_table.shape[1])
        table = np.empty((size, columns), np.int32)
        table[:rows], table[rows:] = pages[:, :columns], pages[-1, :columns]
        known = np.array_equal(self.sent[:, :columns], table)
        used = 2 * size + (0 if known else -(-size * columns // 2))
        assert tokens.is_cuda or not positions.is_cuda
        given = [source for source in (tokens, positions) if source.device == self.packed.device and source.is_cuda]
        first = len(given) * size
        if first < used:
            # PyTorch keeps pinned memory until the copy from it is done
            packed = torch.empty(used, dtype=torch.int64, pin_memory=self.packed.is_cuda)
            host = packed.numpy()
            for at, source in ((0, tokens), (size, positions)):
                if at >= first:
                    host[at : at + rows] = source.numpy()
                    host[at + rows : at + size] = host[at + rows - 1]
            if not known:
                host[2 * size :].view(np.int32)[: size * columns] = table.ravel()
            self.packed[first:used].copy_(packed[first:], non_blocking=True)
        if len(given) == 2:
            drafts_triton.fill(tokens, positions, self.packed, size)
        elif given:
            self.packed[:rows] = tokens
            if rows < size:
                self.packed[rows:size] = tokens[-1]
        if not known:
            sent = self.packed[2 * size :].view(torch.int32)[: size * columns].view(size, columns)
            self.page_table[:, :columns] = sent
            self.sent = table


def replay_seconds(step: CapturedStep, repeats: int = 3) -> float:
    """Of a captured step, the least of a few replays."""
    found = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        step.replay()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found)

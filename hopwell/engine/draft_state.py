"""How far each slot has come and what was drafted for it, where the model computes: a step with drafts can be given to
a device before the tokens of the one before are known.

Verification, acceptance and the next drafts' positions are worked out there, by what `speculate` says; what comes of
them is sent to main memory in one piece and read a step later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.engine.batch import Ints
from hopwell.engine.sampler import to_device
from hopwell.ops import drafts
from hopwell.ops.drafts import COUNTS, LAST, DraftOps, Verified


class Progress:
    """A copy of what the runner knows of its slots, and all that follows from steps it has not read."""

    def __init__(
        self, slots: int, most: int, device: torch.device, forced: float | None = None, ops: DraftOps = drafts
    ) -> None:
        """
        Args:
            most: drafts of a step.
            forced: tokens a step should give on average, whatever is drawn; None: as many as are drawn alike.
            ops: what works on it there.
        """
        self._state = torch.zeros(slots, LAST + 1 + most, dtype=torch.int64, device=device)
        self._ops, self._forced = ops, forced
        self._slots, self._sent = np.empty(0, np.int64), torch.empty(0, dtype=torch.int64)

    def load(self, length: Ints, limit: Ints, seed: Ints, drafted: Ints, last: Ints, draft: Ints) -> None:
        """Takes over what main memory says."""
        known = np.concatenate((np.stack((length, limit, seed, drafted, last), axis=1), draft), axis=1)
        self._state.copy_(to_device(known, self._state.device))

    def begin(self, slots: Ints, width: int) -> Going:
        """The next step of some slots, `width` rows each: 1 + the most drafts that one of them has."""
        if not np.array_equal(slots, self._slots):
            self._slots, self._sent = slots.copy(), to_device(slots, self._state.device)
        tokens, positions, places = self._ops.begin(self._state, self._sent, width)
        return Going(self, self._sent, width, tokens, positions, places)


@dataclass(slots=True)
class Going:
    """A step of some slots, where the model computes: `DraftOps`, one after another."""

    _progress: Progress
    _slots: Tensor
    width: int
    tokens: Tensor
    """int64 [slots x width]."""
    positions: Tensor
    """Likewise."""
    places: Tensor
    """Likewise: the positions of the tokens that are drawn from these rows."""
    verified: Verified | None = None

    def verify(self, found: Tensor, following: int) -> Verified:
        """Takes in what was drawn from the rows, int64 [2, slots x width]; `following` drafts are to be made."""
        p = self._progress
        self.verified = p._ops.verify(p._state, self._slots, found, self.width, following, p._forced)
        return self.verified

    def drafted(self, found: Tensor, draft: int) -> Tensor:
        """Takes in a draft of each slot, int64 [2, slots]; returns where the one after it is drawn."""
        assert self.verified is not None
        p = self._progress
        return p._ops.drafted(p._state, self._slots, self.verified.told, found, self.width, draft)


@dataclass(slots=True)
class Told:
    """A step with drafts as main memory hears of it."""

    drawn: Ints
    """[rows, width]."""
    best: NDArray[np.float32]
    """[rows, width]: the highest logits."""
    gained: Ints
    verified: Ints
    drafted: Ints
    draft: Ints
    """[rows, drafts]: the next step's."""

    @classmethod
    def of(cls, told: Ints, drafts: int) -> Told:
        """`Verified.told`.

        Args:
            drafts: of a step, at most.
        """
        width = (told.shape[1] - COUNTS - drafts) // 2
        counts, drawn, bits, draft = np.split(told, (COUNTS, COUNTS + width, COUNTS + 2 * width), axis=1)
        gained, verified, drafted = counts.T
        return cls(drawn, bits.astype(np.int32).view(np.float32), gained, verified, drafted, draft)

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
from hopwell.engine.random import uniform
from hopwell.engine.sampler import to_device

LENGTH, LIMIT, SEED, DRAFTED, LAST = range(5)
"""Columns: tokens known, of which the last is not yet in the cache; tokens at which the sequence ends; its seed; drafts
of the next step, all or none; the last token known. The drafts follow, so that they and it are the next step's rows."""


class Progress:
    """A copy of what the runner knows of its slots, and all that follows from steps it has not read."""

    def __init__(self, slots: int, drafts: int, device: torch.device) -> None:
        self._state = torch.zeros(slots, LAST + 1 + drafts, dtype=torch.int64, device=device)
        self._column = torch.arange(1 + drafts, device=device)
        self._one = torch.tensor(-1, device=device)

    def load(self, length: Ints, limit: Ints, seed: Ints, drafted: Ints, last: Ints, draft: Ints) -> None:
        """Takes over what main memory says."""
        known = np.concatenate((np.stack((length, limit, seed, drafted, last), axis=1), draft), axis=1)
        self._state.copy_(to_device(known, self._state.device))

    def begin(self, slots: Tensor, width: int) -> Going:
        """Tokens and positions of the next step of some slots, as many rows each.

        Rows beyond a slot's drafts repeat its last one: they write what that one writes. A sequence that has reached
        its limit has its last token computed once more, which harms nothing: its pages hold as many as the limit.

        Args:
            slots: int64 [rows].
            width: 1 + the most drafts that one of them has.
        """
        state = self._state[slots]
        column = self._column[:width].minimum(state[:, DRAFTED, None])
        base = state[:, LENGTH].minimum(state[:, LIMIT]).sub_(1).clamp_(min=0)
        tokens, positions = state[:, LAST:].gather(1, column), column.add_(base[:, None])
        return Going(self, slots, state, tokens.flatten(), positions.flatten())


@dataclass(slots=True)
class Going:
    """A step of some slots, where the model computes."""

    progress: Progress
    slots: Tensor
    state: Tensor
    """Their rows of the progress: as the step found them, then as `verify` leaves them."""
    tokens: Tensor
    """int64 [rows x width]."""
    positions: Tensor
    """Likewise."""
    gained: Tensor | None = None
    """int64 [rows]: tokens drawn; 0 where the limit had been reached before."""
    verified: Tensor | None = None
    """int64 [rows]: drafts that were verified."""

    def verify(self, drawn: Tensor, following: int, forced: float | None) -> Tensor:
        """Takes in what the step drew: the drafts that hold, and the token after them.

        Args:
            drawn: int64 [rows, width]; drafts that are accepted unseen are written to it.
            following: drafts to be made for the next step.
            forced: tokens a step should give on average, whatever was drawn; None: as many as were drawn alike.

        Returns:
            int64 [rows]: that of the step's rows whose draft is the next token.
        """
        width = drawn.shape[1]
        column = self.progress._column[: width - 1]
        length, limit, seed, count, last = self.state[:, : LAST + 1].unbind(1)
        drafts = self.state[:, LAST + 1 : LAST + width]
        if forced is None:
            same = (drawn[:, :-1] == drafts) & (column < count[:, None])
            accepted = same.cumprod(1).sum(1)
        else:
            whole = int(forced - 1)
            draw = uniform(seed, length, self.progress._one)
            accepted = (whole + (draw < forced - 1 - whole).long()).minimum(count)
            drawn[:, :-1] = torch.where(column < accepted[:, None], drafts, drawn[:, :-1])
        alive = length < limit
        self.gained, self.verified = torch.where(alive, accepted + 1, 0), count
        length = length + self.gained
        drafted = torch.where(alive & (length + following <= limit), following, 0)
        last = torch.where(alive, drawn.gather(1, accepted[:, None])[:, 0], last)
        known = torch.stack((length, limit, seed, drafted, last), dim=1)
        self.state = torch.cat((known, self.state[:, LAST + 1 :]), dim=1)
        return torch.arange(len(count), device=count.device) * width + accepted

    def next_positions(self, draft: int) -> Tensor:
        """That of the MTP layer's row which draws a draft, int64 [rows]; its token takes the second next position."""
        return (self.state[:, LENGTH] + (draft - 2)).minimum(self.state[:, LIMIT] - 1).clamp_(min=0)

    def end(self, drafts: list[Tensor]) -> None:
        """Leaves the state to the next step.

        Args:
            drafts: int64 [rows] each, of the next step.
        """
        if drafts:
            self.state[:, LAST + 1 : LAST + 1 + len(drafts)] = torch.stack(drafts, dim=1)
        self.progress._state[self.slots] = self.state


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


def packed(step: Going, drawn: Tensor, bits: Tensor) -> Tensor:
    """All that main memory is told of a step that has ended, in one tensor.

    Args:
        drawn, bits: int64 [rows, width]: tokens, and the bits of the highest logits.
    """
    assert step.gained is not None and step.verified is not None
    counts = torch.stack((step.gained, step.verified, step.state[:, DRAFTED]), dim=1)
    return torch.cat((counts, drawn, bits, step.state[:, LAST + 1 :]), dim=1)


def unpacked(told: Ints, drafts: int) -> Told:
    """The same, read.

    Args:
        drafts: of a step, at most.
    """
    width = (told.shape[1] - 3 - drafts) // 2
    counts, drawn, bits, draft = np.split(told, (3, 3 + width, 3 + 2 * width), axis=1)
    gained, verified, drafted = counts.T
    return Told(drawn, bits.astype(np.int32).view(np.float32), gained, verified, drafted, draft)

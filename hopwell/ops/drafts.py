"""Drafts verified where the model computes: a step's rows from what the one before drew, without main memory.

What is known of each slot is a row of one tensor, the state. `begin` makes a step's rows of it, `verify` takes in what
the step drew, `drafted` what the MTP layer drew after it. `drafts_triton` does each in one launch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hopwell.ops.random import uniform

LENGTH, LIMIT, SEED, DRAFTED, LAST = range(5)
"""Columns of the state: tokens known, of which the last is not yet in the cache; tokens at which the sequence ends; its
seed; drafts of the next step, all or none; the last token known. The drafts follow, so that they and it are the next
step's rows."""
COUNTS = 3
"""Columns of what main memory is told before the tokens: how many were gained, 0 where the limit had been reached
before; drafts that were verified; drafts of the next step."""


@dataclass(slots=True)
class Verified:
    """What a step came to."""

    told: Tensor
    """int64 [slots, COUNTS + 2 width + drafts]: the counts, the tokens drawn, the bits of their logits, and the next
    step's drafts as `drafted` fills them in."""
    drawn: Tensor
    """int64 [rows]: the tokens alone, where drafts that were accepted unseen are among them."""
    source: Tensor
    """int64 [slots]: the one of the step's rows whose draft is the next token."""
    at: Tensor
    """int64 [2, slots]: that row's position, and that of the token drafted from it."""


class DraftOps(Protocol):
    """This module, or its twin.

    In all of them `state` is int64 [all slots, LAST + 1 + drafts] and changes in place, `slots` int64 [slots], those of
    the step, each once; a step has `width` rows of each, one after another, and `found` is what was drawn from rows:
    int64 [2, rows], tokens and the bits of the highest logits.
    """

    def begin(self, state: Tensor, slots: Tensor, width: int) -> Tensor:
        """Rows of the next step of some slots.

        Rows beyond a slot's drafts repeat its last one: they write what that one writes. A sequence that has reached
        its limit has its last token computed once more, which harms nothing: its pages hold as many as the limit.

        Args:
            width: 1 + the most drafts that one of them has.

        Returns:
            int64 [3, rows]: tokens, positions, and the positions of the tokens drawn from them.
        """
        ...

    def verify(
        self, state: Tensor, slots: Tensor, found: Tensor, width: int, following: int, forced: float | None
    ) -> Verified:
        """Takes in what a step drew: the drafts that hold, and the token after them.

        Args:
            following: drafts to be made for the next step.
            forced: tokens a step should give on average, whatever was drawn; None: as many as were drawn alike.
        """
        ...

    def drafted(self, state: Tensor, slots: Tensor, told: Tensor, found: Tensor, width: int, draft: int) -> Tensor:
        """Takes in a draft of each slot, `found` int64 [2, slots].

        Args:
            told: of this step's `verify`; changes in place.
            draft: how many came before.

        Returns:
            int64 [2, slots]: `Verified.at` of the draft after it.
        """
        ...


def begin(state: Tensor, slots: Tensor, width: int) -> Tensor:
    """`DraftOps.begin`."""
    known = state[slots]
    column = torch.arange(width, device=state.device).minimum(known[:, DRAFTED, None])
    base = known[:, LENGTH].minimum(known[:, LIMIT]).sub(1).clamp(min=0)
    positions = (column + base[:, None]).flatten()
    return torch.stack((known[:, LAST:].gather(1, column).flatten(), positions, positions + 1))


def verify(state: Tensor, slots: Tensor, found: Tensor, width: int, following: int, forced: float | None) -> Verified:
    """`DraftOps.verify`."""
    drawn, bits = found.view(2, -1, width)
    column = torch.arange(width - 1, device=state.device)
    known = state[slots]
    length, limit, seed, count, last = known[:, : LAST + 1].unbind(1)
    drafts = known[:, LAST + 1 :]
    if forced is None:
        same = (drawn[:, :-1] == drafts[:, : width - 1]) & (column < count[:, None])
        accepted = same.cumprod(1).sum(1)
    else:
        whole = int(forced - 1)
        unseen = uniform(seed, length, torch.tensor(-1, device=state.device)) < forced - 1 - whole
        accepted = (whole + unseen.long()).minimum(count)
        drawn = torch.where(column < accepted[:, None], drafts[:, : width - 1], drawn[:, :-1])
        drawn = torch.cat((drawn, found[0].view(-1, width)[:, -1:]), dim=1)
    alive = length < limit
    gained = torch.where(alive, accepted + 1, 0)
    length = length + gained
    drafted = torch.where(alive & (length + following <= limit), following, 0)
    last = torch.where(alive, drawn.gather(1, accepted[:, None])[:, 0], last)
    state[slots, : LAST + 1] = torch.stack((length, limit, seed, drafted, last), dim=1)
    told = torch.cat((torch.stack((gained, count, drafted), dim=1), drawn, bits, drafts), dim=1)
    source = torch.arange(len(slots), device=state.device) * width + accepted
    return Verified(told, drawn.flatten(), source, _next_draw(state, slots, 0))


def drafted(state: Tensor, slots: Tensor, told: Tensor, found: Tensor, width: int, draft: int) -> Tensor:
    """`DraftOps.drafted`."""
    state[slots, LAST + 1 + draft] = found[0]
    told[:, COUNTS + 2 * width + draft] = found[0]
    return _next_draw(state, slots, draft + 1)


def _next_draw(state: Tensor, slots: Tensor, draft: int) -> Tensor:
    """Positions of the MTP layer's rows which draw a draft, and of those tokens: the second next."""
    known = state[slots]
    position = (known[:, LENGTH] + (draft - 2)).minimum(known[:, LIMIT] - 1).clamp(min=0)
    return torch.stack((position, position + 2))

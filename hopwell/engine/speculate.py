"""Speculation with the MTP layer, exact by construction.

A draft is verified by drawing the token at its position as if there were no draft (the noise depends on seed and
position alone, see `random`) and accepted if it is that token. What comes out is the model's own draw either way, so
output is the same token by token with any number of drafts, greedy or sampled; only the number of steps changes.

The draft itself is drawn with the noise that its verification will use. The two draws are then a Gumbel coupling of
the MTP layer's distribution and the model's: were they equal, every draft would be accepted, and in general at least
(1 - d) / (1 + d) of them, d being their total variation distance (Daliri et al., 2025).
"""

from __future__ import annotations

import numpy as np
import torch

from hopwell.engine.batch import Ints
from hopwell.ops.random import uniform


def accepted_drafts(drawn: Ints, drafts: Ints, count: Ints) -> Ints:
    """How many leading drafts each row drew.

    Args:
        drawn: [rows, 1 + k], the token drawn after i drafts in column i.
        drafts: [rows, k].
        count: drafts of each row, at most k; columns beyond are void.
    """
    same = drawn[:, :-1] == drafts
    same &= np.arange(drafts.shape[1]) < count[:, None]
    return np.minimum.accumulate(same, axis=1).sum(axis=1)


def forced_drafts(acceptance: float, seeds: Ints, positions: Ints, count: Ints) -> Ints:
    """How many drafts to accept unseen, so that a step yields `acceptance` tokens on average; for benches."""
    whole = int(acceptance - 1)
    draw = uniform(torch.from_numpy(seeds), torch.from_numpy(positions), torch.tensor(-1)).numpy()
    return np.minimum(whole + (draw < acceptance - 1 - whole), count)

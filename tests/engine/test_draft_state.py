"""Drafts verified where the model computes, against the same in main memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hopwell.engine.draft_state import Progress, packed, unpacked
from hopwell.engine.speculate import accepted_drafts, forced_drafts

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("forced", [None, 1.4, 3.0])
@pytest.mark.parametrize("drafts", [1, 2, 5])
def test_progress_is_that_of_main_memory(drafts: int, forced: float | None) -> None:
    """Many steps of slots at all distances from their limits; few tokens, so that drafts hold now and then."""
    random, slots = np.random.default_rng(torch.initial_seed() % 2**32), 12
    length, seed = random.integers(1, 20, slots), random.integers(-(2**63), 2**63 - 1, slots)
    limit, last = length + random.integers(1, 40, slots), random.integers(0, 3, slots)
    drafted, draft = drafts * random.integers(0, 2, slots), random.integers(0, 3, (slots, drafts))
    drafted[length + drafts > limit] = 0
    progress, held, steps = Progress(slots, drafts, DEVICE), 0, 0
    progress.load(length, limit, seed, drafted, last, draft)
    while (length < limit).any():
        following = int(random.integers(0, drafts + 1))  # for the next step: it may change its mind
        rows = np.sort(random.choice(slots, random.integers(1, slots + 1), replace=False))
        alive = length[rows] < limit[rows]
        width = 1 + int(drafted[rows].max())
        going = progress.begin(torch.from_numpy(rows).to(DEVICE), width)
        tokens, positions = going.tokens.cpu().view(-1, width), going.positions.cpu().view(-1, width)
        for row, (slot, lives) in enumerate(zip(rows.tolist(), alive.tolist(), strict=True)):
            valid = 1 + int(drafted[slot])
            at = min(length[slot], limit[slot]) - 1
            column = [*range(valid), *[valid - 1] * (width - valid)]
            assert positions[row].tolist() == [at + i for i in column] and max(positions[row]) < limit[slot]
            assert tokens[row].tolist() == [[last[slot], *draft[slot]][i] for i in column], (
                "rows beyond repeat the last"
            )
            assert lives or valid == 1

        drawn = random.integers(0, 3, (len(rows), width))
        here = torch.from_numpy(drawn.copy()).to(DEVICE)
        of_last = going.verify(here, following, forced).cpu().numpy()
        known = draft[rows, : width - 1]
        if forced is None:
            accepted = accepted_drafts(drawn, known, drafted[rows])
        else:
            accepted = forced_drafts(forced, seed[rows], length[rows], drafted[rows])
            drawn[:, :-1] = np.where(np.arange(width - 1) < accepted[:, None], known, drawn[:, :-1])
        gained = np.where(alive, accepted + 1, 0)
        assert of_last.tolist() == (np.arange(len(rows)) * width + accepted).tolist()
        verified, held, steps = drafted[rows], held + int(accepted[alive].sum()), steps + 1
        length[rows] += gained
        last[rows] = np.where(alive, drawn[np.arange(len(rows)), accepted], last[rows])
        drafted[rows] = np.where(alive & (length[rows] + following <= limit[rows]), following, 0)
        for i in range(following):
            places = np.minimum(length[rows] - 2 + i, limit[rows] - 1)
            assert going.next_positions(i).tolist() == places.tolist()
        draft[rows, :following] = random.integers(0, 3, (len(rows), following))
        going.end([torch.from_numpy(column).to(DEVICE) for column in draft[rows, :following].T])

        best = random.standard_normal((len(rows), width)).astype(np.float32)
        bits = torch.from_numpy(best).to(DEVICE).view(torch.int32).long()
        told = unpacked(packed(going, here, bits).cpu().numpy(), drafts)
        for found, wanted in (
            (told.drawn, drawn),
            (told.best, best),
            (told.gained, gained),
            (told.verified, verified),
            (told.drafted, drafted[rows]),
            (told.draft, draft[rows]),
        ):
            assert np.array_equal(found, wanted)
    assert held > 0 and steps > 5

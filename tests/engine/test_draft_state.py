"""Drafts verified where the model computes, by plain ops and by kernels, against the same in main memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hopwell.engine.draft_state import Progress, Told
from hopwell.engine.speculate import accepted_drafts, forced_drafts
from hopwell.ops import drafts as plain
from hopwell.ops import drafts_triton
from hopwell.ops.drafts import DraftOps

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


EACH = [(drafts, forced) for drafts in (1, 2, 3) for forced in (None, 1.4, 3.0)]
INTERPRETED = [pytest.param(*case, drafts_triton, marks=[] if case == (2, 1.4) else pytest.mark.slow) for case in EACH]


@pytest.mark.parametrize(("drafts", "forced", "ops"), [*((*case, plain) for case in EACH), *INTERPRETED])
def test_progress_is_that_of_main_memory(drafts: int, forced: float | None, ops: DraftOps) -> None:
    """Many steps of slots at all distances from their limits; few tokens, so that drafts hold now and then."""
    random, slots = np.random.default_rng(torch.initial_seed() % 2**32), 12
    length, seed = random.integers(1, 20, slots), random.integers(-(2**63), 2**63 - 1, slots)
    most = 40 if ops is plain else 24  # interpreted kernels take their time
    limit, last = length + random.integers(1, most, slots), random.integers(0, 3, slots)
    drafted, draft = drafts * random.integers(0, 2, slots), random.integers(0, 3, (slots, drafts))
    drafted[length + drafts > limit] = 0
    progress, held, steps = Progress(slots, drafts, DEVICE, forced, ops), 0, 0
    progress.load(length, limit, seed, drafted, last, draft)
    while (length < limit).any():
        following = int(random.integers(0, drafts + 1))  # for the next step: it may change its mind
        rows = np.sort(random.choice(slots, random.integers(1, slots + 1), replace=False))
        alive = length[rows] < limit[rows]
        width = 1 + int(drafted[rows].max())
        going = progress.begin(rows, width)
        tokens, positions = going.tokens.cpu().view(-1, width), going.positions.cpu().view(-1, width)
        assert torch.equal(going.places.cpu().view(-1, width), positions + 1)
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
        best = random.standard_normal((len(rows), width)).astype(np.float32)
        verified = going.verify(_found(drawn, best), following)
        known = draft[rows, : width - 1]
        if forced is None:
            accepted = accepted_drafts(drawn, known, drafted[rows])
        else:
            accepted = forced_drafts(forced, seed[rows], length[rows], drafted[rows])
            drawn[:, :-1] = np.where(np.arange(width - 1) < accepted[:, None], known, drawn[:, :-1])
        gained = np.where(alive, accepted + 1, 0)
        assert verified.source.tolist() == (np.arange(len(rows)) * width + accepted).tolist()
        assert verified.drawn.tolist() == drawn.flatten().tolist()
        count, held, steps = drafted[rows], held + int(accepted[alive].sum()), steps + 1
        length[rows] += gained
        last[rows] = np.where(alive, drawn[np.arange(len(rows)), accepted], last[rows])
        drafted[rows] = np.where(alive & (length[rows] + following <= limit[rows]), following, 0)
        draft[rows, :following] = random.integers(0, 3, (len(rows), following))
        at = verified.at
        for i in range(following):
            places = np.minimum(length[rows] - 2 + i, limit[rows] - 1).clip(min=0)
            assert at.tolist() == [places.tolist(), (places + 2).tolist()]
            at = going.drafted(_found(draft[rows, i], np.zeros(len(rows), np.float32)), i)

        told = Told.of(verified.told.cpu().numpy(), drafts)
        for found, wanted in (
            (told.drawn, drawn),
            (told.best, best),
            (told.gained, gained),
            (told.verified, count),
            (told.drafted, drafted[rows]),
            (told.draft, draft[rows]),
        ):
            assert np.array_equal(found, wanted)
    assert held > 0 and steps > 5


def _found(drawn: np.ndarray, best: np.ndarray) -> torch.Tensor:
    """What the sampler has drawn: tokens, and the bits of the highest logits."""
    bits = best.view(np.int32).astype(np.int64)
    return torch.from_numpy(np.stack((drawn.flatten(), bits.flatten()))).to(DEVICE)


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (3, 8), (5, 5), (300, 512)])
def test_the_last_row_stands_for_those_that_lack(rows: int, size: int) -> None:
    tokens, positions = torch.randint(1000, (2, rows + rows % 2), device=DEVICE)[:, :rows]
    packed = torch.full((2 * size + 3,), -7, device=DEVICE)
    drafts_triton.fill(tokens, positions, packed, size)
    source = torch.arange(size, device=DEVICE).clamp(max=rows - 1)
    assert torch.equal(packed[: 2 * size], torch.cat((tokens[source], positions[source])))
    assert (packed[2 * size :] == -7).all()

"""The printed kernel's eleven faults, each by an input that shows it, beside Hopwell's attention on the same input."""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.printed_kernel import SHARED, Array, hopwell, inputs, offset, operations, printed, whole

SMS = 132
"""Of H100."""
YARN = 0.1 * log(40) + 1
"""By whose square R1 multiplies the scale, as its config.json asks (mscale_all_dim 1, factor 40)."""


class Fault(NamedTuple):
    """One fault: an input, what the printed kernel makes of it, what Hopwell does, and whether that shows it."""

    what: str
    given: str
    printed: str
    hopwell: str
    shown: bool


def distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Relative, of the whole."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def faults() -> list[Fault]:
    """All eleven."""
    return [
        _over_the_sequence(), _no_values(), _other_row(), _covers_little(), _reads_unwritten(), _one_batch(),
        _no_maximum(), _no_mask(), _static(), _reloads(), _overflows(),
    ]  # fmt: skip


def _over_the_sequence() -> Fault:
    q, k, v = whole(1, 4, 4)
    turned = q[:, ::-1].copy(), k[:, ::-1].copy(), v
    same = np.array_equal(printed(q, k, v).out, printed(*turned).out)
    moved = distance(hopwell(*turned), hopwell(q, k, v))
    theirs = "the same output, to the bit" if same else "another output"
    return Fault(
        "sums over the sequence: scores are of pairs of features",
        "4 tokens of 4 features; then queries and keys from last to first",
        theirs, f"changes by {100 * moved:.0f} %", same and moved > 0.1,
    )  # fmt: skip


def _no_values() -> Fault:
    q, k, v = inputs(1, 4, 4)
    v[:, 1:] = 0
    theirs, ours = printed(q, k, v).out[0, -1], hopwell(q, k, v)[0, -1]
    return Fault(
        "no product with V: each weight meets one value",
        "only the first token has a value",
        f"the last token gets {_most(theirs)}", f"{_most(ours)}: its share of the first's value",
        not theirs.any() and bool(ours.all()),
    )  # fmt: skip


def _other_row() -> Fault:
    q, k, v = inputs(1, 4, 4)
    v[:] = 1
    theirs, ours = printed(q, k, v).out, hopwell(q, k, v)
    off = float(abs(ours - 1).max())
    return Fault(
        "the sum is another row's: weights do not sum to 1",
        "all values are 1, so that every output is 1",
        f"{theirs.min():.2f} to {theirs.max():.2f}", "1, to the sixth digit" if off < 1e-6 else f"off by {off:.0e}",
        bool(off < 1e-6 < 0.1 < abs(theirs - 1).max()),
    )  # fmt: skip


def _covers_little() -> Fault:
    found = printed(*inputs(1, 128, 64))
    wrote, right = int((found.writes > 0).sum()), int(found.right_reads.sum())
    ours = int(np.isfinite(hopwell(*inputs(1, 128, 64))).sum())
    return Fault(
        "one output a thread, and no loop: a block writes 1,024 at most",
        "128 tokens of 64 features: 8,192 outputs",
        f"{wrote:,} written, {right} of them from scores that exist", f"{ours:,}",
        (wrote, right, ours) == (1024, 128, 8192),
    )  # fmt: skip


def _reads_unwritten() -> Fault:
    small = inputs(1, 8, 4)
    before = [printed(*small, stale=stale) for stale in (0.0, 2.0)]
    past = before[0].past_scores, printed(*inputs(1, 128, 64)).past_scores
    differ = int((before[0].out != before[1].out).sum())
    tokens = SHARED // (4 * 64)
    return Fault(
        "reads shared memory past what was written",
        "8 tokens of 4 features, twice: with 0 and with 2 in shared memory before",
        f"{past[0]} such reads, {differ} of 32 outputs differ ({past[1]:,} reads at 128 of 64; over {tokens} tokens of "
        "64 the block is refused)",
        "reads its own pages alone", past == (80, 32768) and differ > 0,
    )  # fmt: skip


def _one_batch() -> Fault:
    q, k, v = inputs(2, 4, 4)
    once, back = printed(q, k, v), printed(q, k, v, blocks=(1, 0))
    twice, never = int((once.writes > 1).sum()), int((once.writes == 0).sum())
    race = not np.array_equal(once.out[0], back.out[0])
    other = v.copy()
    other[1] += 1
    deaf = np.array_equal(printed(q, k, other).out, once.out, equal_nan=True)
    alone = distance(hopwell(q, k, v)[1:], hopwell(q[1:], k[1:], v[1:]))
    return Fault(
        "V and the output have no offset of the block: all read and write the first sequence's",
        "2 sequences of 4 tokens of 4 features: 32 outputs",
        f"{twice} written twice, by whoever is last, {never} never; the second's values are read by none",
        "each as alone, to the sixth digit", race and deaf and (twice, never) == (16, 16) and alone < 1e-6,
    )  # fmt: skip


def _no_maximum() -> Fault:
    q, k, v = inputs(1, 4, 4)
    large = 30 * q, 30 * k, v
    theirs, ours = printed(*large).out, hopwell(*large)
    bad = int((~np.isfinite(theirs)).sum())
    return Fault(
        "no maximum is subtracted: e to more than 88.7 is infinite",
        "queries and keys 30 times as large",
        f"{bad} of 16 outputs are NaN", "finite, within the values",
        bad > 0 and bool(np.isfinite(ours).all() and abs(ours).max() <= abs(v).max() * (1 + 1e-6)),
    )  # fmt: skip


def _no_mask() -> Fault:
    q, k, v = inputs(1, 4, 4)
    later = k.copy()
    later[:, -1] += 1
    theirs = distance(printed(q, later, v).out[:, 0], printed(q, k, v).out[:, 0])
    ours = distance(hopwell(q, later, v)[:, 0], hopwell(q, k, v)[:, 0])
    beyond = printed(q, k, v, blocks=(0, 1)).outside
    q2, k2, v2 = inputs(1, 4, 8)
    second = q2.copy()
    second[..., 4:] += 1  # of two heads of 4
    mixed = distance(printed(second, k2, v2).out[..., :4], printed(q2, k2, v2).out[..., :4])
    return Fault(
        "no mask, no bounds, no heads, no rotation, no cache, another scale than R1's",
        "another key for the last token; one block too many; another query for the second of two heads",
        f"the first token's output changes by {100 * theirs:.0f} %; {beyond} reads past the arrays; the first head's "
        f"output changes by {100 * mixed:.0f} %",
        f"unchanged; R1's scale is {YARN**2:.2f} times 1/sqrt(192)",
        min(theirs, mixed) > 0.01 and ours == 0 and beyond == 128,
    )  # fmt: skip


def _static() -> Fault:
    launches = [printed(*inputs(1, 8, 4, seed)) for seed in (0, 1)]
    idle = {launch.idle for launch in launches}
    return Fault(
        "the balancing of load is an `if` of the thread's number",
        "8 tokens of 4 features, any numbers",
        f"{idle.pop()} of 32 threads compute no score; 1 of {SMS} multiprocessors has work",
        "KV splits: one sequence's rows over all multiprocessors", len(idle) == 0 and launches[0].idle == 16,
    )  # fmt: skip


def _reloads() -> Fault:
    q, k, v = inputs(1, 32, 16)
    loads, least = printed(q, k, v).loads, 2 * q.size
    theirs, true = operations(32, 16)
    return Fault(
        "scalar float32, each number loaded once a feature; other work than attention's",
        "32 tokens of 16 features",
        f"{loads:,} loads of {least:,} numbers; {theirs:,} FLOPs where attention has {true:,}",
        "tiles of a matrix, loaded once", loads == 16 * least and theirs != true,
    )  # fmt: skip


def _overflows() -> Fault:
    q, k, v = inputs(1, 4, 4)
    q[:], k[:] = 20, -20
    theirs, ours = printed(q, k, v).out, hopwell(q, k, v)
    at = offset(16384, 1024, 128)
    mean = v.cumsum(1) / np.arange(1, 5, dtype=np.float32)[:, None]
    return Fault(
        "a 32-bit place in memory, and a sum of 0 that is divided by",
        "block 16,384 of 1,024 tokens of 128; all scores -800",
        f"place {at:,}; {int(np.isnan(theirs).sum())} of 16 outputs are NaN", "the mean of the values seen",
        at < 0 and bool(np.isnan(theirs).all()) and distance(ours, mean) < 1e-6,
    )  # fmt: skip


def errors(draws: int = 200) -> tuple[float, float, float]:
    """Least, middle and greatest distance from attention without a mask, where every thread has work and every read
    was written: 4 tokens of 4 features."""
    found = []
    for seed in range(draws):
        q, k, v = inputs(1, 4, 4, seed)
        weights = np.exp(q @ k.swapaxes(1, 2) / 2)
        found.append(distance(printed(q, k, v).out, weights / weights.sum(-1, keepdims=True) @ v))
    return min(found), float(np.median(found)), max(found)


def table(found: list[Fault]) -> str:
    """In Markdown."""
    head = "| | fault | input | printed kernel | Hopwell |\n|---|---|---|---|---|\n"
    rows = (f"| {i} | {f.what} | {f.given} | {f.printed} | {f.hopwell} |" for i, f in enumerate(found, 1))
    return head + "\n".join(rows)


def _most(values: Array) -> str:
    largest = float(abs(values).max())
    return "0" if largest == 0 else f"{largest:.2g}"

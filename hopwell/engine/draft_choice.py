"""How many drafts a step pay here and now: by what steps took and what was accepted, not by a rule.

With k drafts a step gives 1 + p1 + p1 p2 + ... tokens, p_i being the share of i-th drafts that held where those before
had, and takes longer: k more rows of each sequence go through all layers, and its last one is computed k times. Both
are measured, the first over all requests, the second for each number of sequences apart, since with many of them the
rows cost more than the weights. Another number of drafts is tried for a few steps beside the present one, so that a
machine that is slower for a while is so for both.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLES = 8
"""Steps that tell what one takes: their median, for some are held up."""
RETRY = 512
"""Steps after which the neighbours of the present number are tried again."""
WEIGH = 32
"""Steps after which what is known is weighed again, as other drafts hold by now."""
MARGIN = 1.02
"""What another number must bring to be taken."""
LEARNT = 128
"""First drafts that must have been verified before anything but the most is tried: to know what is accepted."""
MEMORY = 0.999
"""What is kept of known acceptance for each draft that adds to it."""


@dataclass(slots=True)
class _Load:
    """What is known of steps with about one number of sequences."""

    chosen: int
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    """Seconds of its last steps."""
    ratios: dict[int, float] = field(default_factory=dict)
    """Seconds of a step with so many drafts, by those of one with as many as are chosen."""
    to_try: list[int] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    """Seconds of steps with the first of them."""
    steps: int = 0


class DraftChoice:
    """Chooses for the next step. One engine's, for its thread."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: drafts of a step.
        """
        self._most = most
        self._held, self._met = np.zeros(most), np.zeros(most)
        """Drafts that held, and those that could have, by position."""
        self._loads: dict[int, _Load] = {}
        """By size class."""
        self._last = 0
        """Size class of the last step."""

    def choose(self, sequences: int) -> int:
        """Drafts of the next step of so many sequences."""
        if not sequences or self._met[0] < LEARNT:
            return self._most
        load = self._load(_size_class(sequences))
        return load.to_try[0] if load.to_try and len(load.recent) == SAMPLES else load.chosen

    def observe(self, sequences: int, drafts: int, seconds: float) -> None:
        """Takes in what a step took.

        Args:
            drafts: of each of its sequences, verified and made alike.
        """
        size = _size_class(sequences)
        load = self._load(size)
        if size != self._last:  # what is compared must have been measured together
            load.recent.clear()
            load.samples.clear()
            self._last = size
        if drafts == load.chosen:
            load.recent.append(seconds)
            load.steps += 1
            if load.steps % WEIGH == 0:
                self._weigh(size, load)
            if load.steps % RETRY == 0:
                near = load.chosen - 1, load.chosen + 1
                load.to_try += [k for k in near if 0 <= k <= self._most and k not in load.to_try]
        elif load.to_try and drafts == load.to_try[0]:
            load.samples.append(seconds)
            if len(load.samples) == SAMPLES and len(load.recent) == SAMPLES:
                load.ratios[load.to_try.pop(0)] = median(load.samples) / median(load.recent)
                load.samples = []
                self._weigh(size, load)

    def accepted(self, drafted: NDArray[np.int64], accepted: NDArray[np.int64]) -> None:
        """Takes in what of each sequence's drafts held."""
        position = np.arange(self._most)
        met = ((position < drafted[:, None]) & (position <= accepted[:, None])).sum(0)
        kept = MEMORY**met
        self._held = kept * self._held + (position < accepted[:, None]).sum(0)
        self._met = kept * self._met + met

    def tokens(self, drafts: int) -> float:
        """What a step with so many gives a sequence."""
        held = self._held[:drafts] / np.maximum(self._met[:drafts], 1e-9)
        return 1.0 + float(np.cumprod(np.minimum(held, 1.0)).sum())

    def _load(self, size: int) -> _Load:
        if size not in self._loads:
            self._loads[size] = _Load(self._most, to_try=list(range(self._most - 1, -1, -1)))
        return self._loads[size]

    def _weigh(self, size: int, load: _Load) -> None:
        """Takes another number if it gives more."""
        ratios = load.ratios | {load.chosen: 1.0}
        rates = {k: self.tokens(k) / ratio for k, ratio in sorted(ratios.items())}
        best = max(rates, key=rates.__getitem__)
        if rates[best] <= MARGIN * rates[load.chosen]:
            return
        told = ", ".join(f"{k}: {rate / rates[load.chosen]:.2f}" for k, rate in rates.items())
        log.info("%d drafts in place of %d at %d sequences; tokens/s beside those: %s", best, load.chosen, size, told)
        load.ratios = {k: ratio / ratios[best] for k, ratio in ratios.items()}
        load.chosen, load.to_try = best, [k for k in load.to_try if k != best]
        load.recent.clear()
        load.samples.clear()


def _size_class(sequences: int) -> int:
    """The power of two that holds so many."""
    return 1 << max(sequences - 1, 0).bit_length()

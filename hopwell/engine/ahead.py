"""A step that a GPU has been given and whose tokens are not here yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hopwell.engine.batch import Ints, StepResult


@dataclass(slots=True)
class StepAhead:
    """Read once, when its result is asked for."""

    read: Callable[[StepAhead], StepResult]
    slots: Ints
    """Those that draw a token."""
    tenancies: Ints
    rows: Ints
    """The slots' rows in the batch."""
    height: int
    """Rows of the batch."""
    computed: int
    """Rows that go through the model."""
    drawn: Tensor
    """What comes of it, where it is computed: of `Sampler.pick`, or `Verified.told`."""
    arrived: Callable[[], Ints]
    """Waits for that to be here."""
    started: float
    measured: bool
    done: StepResult | None = None

    def result(self) -> StepResult:
        """What it drew; waits for it."""
        if self.done is None:
            self.done = self.read(self)
        return self.done

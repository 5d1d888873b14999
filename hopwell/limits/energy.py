"""Joules of a counter, told apart: of steps, for whoever they served, and of the time between them.

A counter moves now and then, steps end all the time. So each step is paid at once by the watts that were seen last, and
what the counter then shows to have been paid too little or too much goes into the next steps. All that was paid, idle
time and what is still owed always sum to the counter.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

SPREAD = 1.0
"""Seconds of steps over which what is owed is paid."""
KILOWATT_HOUR = 3.6e6
"""Joules."""


@dataclass(slots=True)
class Joules:
    """Of a request, a tenant, or all."""

    prompt: float = 0.0
    """Computing prompts, again after preemption too."""
    decode: float = 0.0

    @property
    def total(self) -> float:
        return self.prompt + self.decode


@dataclass(slots=True)
class EnergyTotals:
    """Since the start, for whoever scrapes."""

    idle: float = 0.0
    """J while no step ran."""
    owed: float = 0.0
    """J of steps that the next ones will pay; negative: paid ahead."""
    tenants: dict[str, Joules] = field(default_factory=dict)
    """By name; "" is everybody on a server without keys."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What an operator reckons a kilowatt-hour at."""

    grams: float | None = None
    """Of CO2."""
    price: float | None = None
    """In any currency."""

    def of(self, joules: Joules) -> dict[str, float]:
        """A request's energy as answers tell it: joules, and what they come to by the factors that are set."""
        told = {"joules": joules.total, "prompt_joules": joules.prompt, "decode_joules": joules.decode}
        if self.grams is not None:
            told["grams_co2"] = joules.total / KILOWATT_HOUR * self.grams
        if self.price is not None:
            told["price"] = joules.total / KILOWATT_HOUR * self.price
        return told


class Account:
    """One counter's. `sample` and `pay` may be called from different threads."""

    def __init__(self, now: float, joules: float) -> None:
        """
        Args:
            now: seconds, by the clock of all later samples.
            joules: the counter.
        """
        self.idle = self.paid = 0.0
        self._lock = threading.Lock()
        self._at, self._joules = now, joules
        self._busy = 0.0
        """Seconds of steps since the last sample."""
        self._ahead = 0.0
        """Joules paid since then."""
        self._owed = 0.0
        """Joules of steps before it that were not paid."""
        self._idle_watts: float | None = None
        self._busy_watts: float | None = None

    @property
    def watts(self) -> float | None:
        """While a step runs, as far as is known; before any sample that had steps, those of idle time."""
        return self._idle_watts if self._busy_watts is None else self._busy_watts

    @property
    def owed(self) -> float:
        """Joules up to the last sample that nobody has paid; negative: paid ahead."""
        return self._owed - self._ahead

    def sample(self, now: float, joules: float) -> None:
        """Takes in the counter."""
        with self._lock:
            seconds, used = now - self._at, joules - self._joules
            if seconds <= 0 or used < 0:
                return
            busy = min(self._busy, seconds)
            rest = seconds - busy
            watts = used / seconds  # idle time draws no more than the mean of all
            idle = rest * (watts if self._idle_watts is None else min(self._idle_watts, watts))
            if busy:
                self._busy_watts = (used - idle) / busy
            else:
                self._idle_watts = watts
            self.idle += idle
            self._owed += used - idle - self._ahead
            self._at, self._joules, self._busy, self._ahead = now, joules, self._busy - busy, 0.0

    def pay(self, seconds: float) -> float:
        """Joules of a step that has ended.

        Args:
            seconds: that it took.
        """
        with self._lock:
            now = (self.watts or 0.0) * seconds
            late = max(self._owed * min(1.0, seconds / SPREAD), -now)
            self._busy += seconds
            self._ahead += now
            self._owed -= late
            self.paid += now + late
            return now + late

    def refund(self, joules: float) -> None:
        """Takes back what was paid and found nobody to pay it: the next steps do."""
        with self._lock:
            self.paid -= joules
            self._owed += joules

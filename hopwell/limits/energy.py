"""Joules of a counter, told apart: of steps, for whoever they served, and of the time between them.

A counter moves now and then, steps end all the time. So each step is paid at once: what it used up to the last sample
by that sample, the rest by the watts that were seen last; and what the counter then shows to have been paid too little
or too much goes into the next steps. All that was paid, idle time and what is still owed always sum to the counter.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

SPREAD = 1.0
"""Seconds of steps over which what is owed is paid."""
LEAST_BUSY = 0.05
"""Share of the time between samples that steps must have taken to tell their watts: of less, idle time's errors do."""
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
    """One counter's. `sample` may be called from another thread than the rest."""

    def __init__(self, now: float, joules: float) -> None:
        """
        Args:
            now: seconds, by the clock of all later calls.
            joules: the counter.
        """
        self.idle = self.paid = 0.0
        self._lock = threading.Lock()
        self._at, self._joules = now, joules
        self._given = 0
        """Steps that the device was given and that have not ended."""
        self._since = now
        """When the oldest of them began."""
        self._sampled_seconds = self._sampled_joules = 0.0
        """Its part up to the last sample."""
        self._busy = 0.0
        """Seconds of ended steps since the last sample."""
        self._ahead = 0.0
        """Joules paid since then."""
        self._owed = 0.0
        """Joules of ended steps before it that were not paid."""
        self._idle_watts: float | None = None
        self._busy_watts: float | None = None

    @property
    def watts(self) -> float | None:
        """While a step runs, as far as is known; before any sample that had steps, those of idle time."""
        return self._idle_watts if self._busy_watts is None else self._busy_watts

    @property
    def owed(self) -> float:
        """Joules up to the last sample that nobody has paid; negative: paid ahead."""
        return self._owed + self._sampled_joules - self._ahead

    def sample(self, now: float, joules: float) -> None:
        """Takes in the counter."""
        with self._lock:
            seconds, used = now - self._at, joules - self._joules
            if seconds <= 0 or used < 0:
                return
            running = now - max(self._since, self._at) if self._given else 0.0
            busy = min(self._busy + running, seconds)
            rest = seconds - busy
            watts = used / seconds  # idle time draws no more than the mean of all
            idle = rest * (watts if self._idle_watts is None else min(self._idle_watts, watts))
            if busy >= LEAST_BUSY * seconds:
                self._busy_watts = (used - idle) / busy
            elif not busy:
                self._idle_watts = watts
            part = (used - idle) * running / busy if running else 0.0
            self._sampled_seconds += running
            self._sampled_joules += part
            self.idle += idle
            self._owed += used - idle - part - self._ahead
            self._at, self._joules, self._busy, self._ahead = now, joules, self._busy + running - busy, 0.0

    def begin(self, now: float) -> None:
        """A step is given to the device, which computes it as soon as those before have ended."""
        with self._lock:
            if not self._given:
                self._since = now
            self._given += 1

    def pay(self, now: float, seconds: float) -> float:
        """Joules of the oldest step that was given, which has ended.

        Args:
            seconds: that it took.
        """
        with self._lock:
            rest = max(seconds - self._sampled_seconds, 0.0)
            due, ahead = self._sampled_joules, (self.watts or 0.0) * rest
            late = max(self._owed * min(1.0, seconds / SPREAD), -due - ahead)
            self._busy += rest
            self._ahead += ahead
            self._owed -= late
            self.paid += due + ahead + late
            self._end(now)
            return due + ahead + late

    def fail(self, now: float) -> None:
        """The oldest step that was given has ended, and there is nobody to pay for it: the next ones do."""
        with self._lock:
            self._busy += max(now - max(self._since, self._at), 0.0)
            self._owed += self._sampled_joules
            self._end(now)

    def refund(self, joules: float) -> None:
        """Takes back what was paid and found nobody to pay it: the next steps do."""
        with self._lock:
            self.paid -= joules
            self._owed += joules

    def _end(self, now: float) -> None:
        self._given -= 1
        self._since, self._sampled_seconds, self._sampled_joules = now, 0.0, 0.0

"""The governor of clocks: how low the multiprocessors may run so that every promise of latency is still kept.

Decoding waits for memory, so a lower clock of the multiprocessors costs it little time and saves energy: up to 32 % on
an H200 (arXiv 2605.11999). Two loops decide. The fast one raises the clock to the top at once when a promise comes
near, something waits or a prompt is computed; the slow one lowers it a step when all has been calm for a while. All of
it is arithmetic: time and readings are given, clocks are answered. docs/limits.md tells what may set them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hopwell.limits.saving import Trial

FAST = 0.2
"""Seconds from one look at the load to the next, at most."""
SLOW = 5.0
"""Seconds that all must have been calm before each step down."""
RECENT = 2.0
"""Seconds of which the gaps between tokens are looked at."""
RAISE, LOWER = 0.9, 0.75
"""Of the promised seconds a token: from here up, and up to here down."""
ROOM = 0.4
"""Share of the cache in use, up to which answers may hold their part of it longer and still keep nobody waiting."""
HOLD = 30.0
"""Seconds at the top after a promise came near, or the cache had less than its room."""
LINGER = 0.4
"""Seconds at the top after something waited or a prompt was computed."""
STEP = 90
"""MHz of a step down, at most: a step lengthens no gap by more than leads from `LOWER` to below `RAISE`."""
LOCK = 1.0
"""Seconds after which a card must have followed a lock."""
SPARE = 30
"""MHz that a card may run above its lock by its own reading."""
ALARMS = ("hardware slowdown", "temperature", "temperature, by hardware", "power brake")
"""Reasons for low clocks that are not ours: whoever governs must not hide them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the cards now."""

    gap: float | None
    """Seconds between a sequence's tokens, 95th percentile of the last seconds; None: nothing was decoded."""
    promise: float | None
    """Seconds a token that the strictest running sequence was promised; None: nothing was."""
    waiting: int = 0
    prefilling: bool = False
    cache: float = 0.0
    """Share of the cache in use."""
    joules: float = 0.0
    """Of all cards, by their counters."""
    tokens: int = 0
    """Generated so far."""
    running: int = 0
    """Sequences."""
    clocks: Sequence[int] = ()
    """MHz of each card's multiprocessors, if read."""
    slowed_by: Sequence[str] = ()
    """Why they are low, all cards together."""


class Gaps:
    """The gaps between tokens of the last seconds."""

    def __init__(self) -> None:
        self._told: deque[tuple[float, float, int]] = deque()

    def tell(self, now: float, seconds: float, count: int = 1) -> None:
        """Takes in `count` gaps that ended now."""
        self._told.append((now, seconds, count))

    def p95(self, now: float) -> float | None:
        """The 95th percentile; None if there was none."""
        while self._told and self._told[0][0] < now - RECENT:
            self._told.popleft()
        left = 0.05 * sum(count for _, _, count in self._told)
        for _, seconds, count in sorted(self._told, key=lambda told: -told[1]):
            left -= count
            if left < 0:
                return seconds
        return None


class Governor:
    """Decides one clock for all cards of a group: who waits for the slowest gains nothing from the others' speed."""

    def __init__(self, clocks: Sequence[int]) -> None:
        """
        Args:
            clocks: MHz that may be asked for; the highest means no lock at all.
        """
        self.clocks = sorted(clocks)
        self.settled = self.top
        """What the slow loop has come to, for decoding alone."""
        self.off: str | None = None
        """Why it has given up; it does not come back by itself."""
        self.log: list[tuple[float, int, str]] = []
        """Each change: when, MHz, why."""
        self.trial = Trial()
        self._now_at, self._since = self.top, float("-inf")
        self._hold = self._linger = float("-inf")
        self._calm: float | None = None
        self._steady = False

    @property
    def top(self) -> int:
        return self.clocks[-1]

    @property
    def clock(self) -> int:
        """MHz decided last."""
        return self._now_at

    def decide(self, now: float, load: Load) -> int:
        """The clock to run at from now on. Call it every `FAST` seconds at least, and with every request that arrives
        before it is computed.

        Args:
            now: seconds, by any clock that never goes back.
        """
        if self.off is None and (fault := self._fault(now, load)) is not None:
            self.stop(now, fault)
        if self.off is not None:
            return self.top
        if (near := _near(load)) is not None:
            self.settled, self._hold, self._calm, self._steady = self.top, now + HOLD, None, False
            self.trial.cancel()
            return self._go(now, self.top, near)
        if load.waiting or load.prefilling:
            self._linger = now + LINGER
        self._slow(now, load)
        if self.off is not None:
            return self.top
        if now < self._linger:
            return self._go(now, self.top, "prompts")
        if self.trial.unlocked:
            return self._go(now, self.top, "trial")
        return self._go(now, self.settled, "decoding")

    def stop(self, now: float, why: str) -> None:
        """Gives up: from now on the answer is the top."""
        self.off = why
        self._go(now, self.top, why)

    def _fault(self, now: float, load: Load) -> str | None:
        """Why nothing must be locked."""
        if alarms := [reason for reason in load.slowed_by if reason in ALARMS]:
            return f"a card slows itself: {alarms[0]}"
        locked = self._now_at < self.top and now - self._since > LOCK
        if locked and any(clock > self._now_at + SPARE for clock in load.clocks):
            return f"a card runs at {max(load.clocks)} MHz though {self._now_at} was asked for"
        return None

    def _slow(self, now: float, load: Load) -> None:
        """A step down where all was calm; and whether it pays."""
        may_begin = self._steady and load.gap is not None
        saving = self.trial.look(now, load.joules, load.tokens, load.running, may_begin)
        if saving is not None and not saving.pays:
            return self.stop(now, f"it saves {100 * saving.share:.1f} %, which is not worth it")
        if load.promise is None or load.gap is None:
            return None  # nothing says how slow it may be
        if load.gap >= LOWER * load.promise or now < self._hold:
            self._calm, self._steady = None, self.settled < self.top  # slow enough
            return None
        self._calm = now if self._calm is None else self._calm
        if now - self._calm < SLOW or self.trial.running:
            return None
        self._calm = now
        lower = [clock for clock in self.clocks if self.settled - STEP <= clock < self.settled]
        if lower:
            self.settled, self._steady = lower[0], False
        else:
            self._steady = self.settled < self.top
        return None

    def _go(self, now: float, clock: int, why: str) -> int:
        if clock != self._now_at:
            self._now_at, self._since = clock, now
            self.log.append((now, clock, why))
        return clock


def _near(load: Load) -> str | None:
    """Which promise comes near."""
    if load.promise is not None and load.gap is not None and load.gap > RAISE * load.promise:
        return f"{1e3 * load.gap:.1f} ms a token of {1e3 * load.promise:.0f} promised"
    return f"{100 * load.cache:.0f} % of the cache in use" if load.cache > ROOM else None

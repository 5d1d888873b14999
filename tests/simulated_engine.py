"""A serving engine beside simulated cards, in a time of its own: what the governor is tried on.

Steps: the bytes of the weights that are touched, of the latents that are attended to, and what scales with the clock
(launches, products of prompts), for a GPU's share of R1 under TP8 on an H200. Power at the highest clock is the line
through our own steps that `hopwell.planner.power` has (419 W at 41 % of the bandwidth, 609 at 62, 691 at 73, idle 100).
Below, what multiprocessors take falls with clock and voltage squared; how much of the whole that is was chosen so that
most that can be saved while decoding is the 32 % of arXiv 2605.11999.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil
from random import Random

import simulated_nvml as nvml

from hopwell.engine.request import LATENCY_CLASSES
from hopwell.limits.clocks import Locks
from hopwell.limits.governor import FAST, Gaps, Governor, Load
from hopwell.limits.pacing import FILL, Pacer, Running
from hopwell.limits.pacing import Load as Paced

BANDWIDTH, MATH = 4.8e12, 1979e12
FASTEST = nvml.MAX_MHZ
SETTLES = 0.015
"""Seconds until a card follows a lock."""
ROWS = 2048
"""Of a step, most."""


@dataclass
class Ask:
    """A request."""

    arrival: float
    prompt: int
    answer: int
    kind: str
    left: int = 0
    """Of the prompt."""
    first: float = -1.0
    last: float = -1.0

    @property
    def size(self) -> int:
        """Of its pages in the end, in tokens."""
        return self.prompt + self.answer

    def spare(self) -> float:
        """Seconds by which both promises were kept; negative: broken."""
        limit = LATENCY_CLASSES[self.kind]
        first = float("inf") if limit.ttft is None else limit.ttft - (self.first - self.arrival)
        if limit.tpot is None or self.answer < 2:
            return first
        return min(first, limit.tpot * (self.answer - 1) - (self.last - self.first))


def trace(random: Random, seconds: float) -> list[Ask]:
    """Random load: calm and bursts, short and long, of one class or of all."""
    kinds = random.choice([["server"], ["server"], ["interactive"], ["server", "batch"], [*LATENCY_CLASSES]])
    rate, prompt, answer = 10 ** random.uniform(-1.3, 0.5), 10 ** random.uniform(1.5, 3.3), 10 ** random.uniform(2, 3.2)
    asks: list[Ask] = []
    at = 0.0
    while at < seconds:
        for _ in range(random.choice([1] * 15 + [random.randrange(1, 60)])):
            own = [max(2, int(random.expovariate(1 / mean))) for mean in (prompt, answer)]
            asks.append(Ask(at, own[0], min(own[1], 4000), random.choice(kinds)))
        at += random.expovariate(rate) * random.choice([0.3, 1, 1, 5])
    return asks


@dataclass
class Engine:
    """Continuous batching with chunked prompts; `run` plays a trace through it."""

    asks: list[Ask]
    slower: float = 1.0
    """Than R1 under TP8."""
    pages: int = 400_000
    """Tokens of the cache."""
    slots: int = 256
    drag: float = 1.0
    """By how much each step takes longer."""
    curve: float = 1.0
    """Share of the power beyond idle that follows the clock as measured; 0: none does."""
    governor: Governor | None = None
    locks: Locks | None = None
    pacer: Pacer | None = None
    joules: float = 0.0
    tokens: int = 0
    low_seconds: float = 0.0
    """Of steps below the highest clock."""
    held_seconds: float = 0.0
    """Without a step, though one could have begun."""
    now: float = 0.0
    """When all was done."""
    steps: int = 0
    """With sequences that decode."""
    _mhz: int = FASTEST
    _coming: tuple[float, int] | None = None
    """A lock that a card follows later."""
    _running: list[tuple[int, int, Ask]] = field(default_factory=list)
    """A heap: by the step at which each ends."""
    _filling: deque[Ask] = field(default_factory=deque)
    _kinds: Counter[str] = field(default_factory=Counter)
    """Of those that run or fill."""
    _used: int = 0
    _context: int = 0
    _steps: int = 0
    """That the running sequences have come through."""
    _serial: int = 0
    _gaps: Gaps = field(default_factory=Gaps)
    _pressed: bool = False

    def step(self, rows: int) -> tuple[float, float, float]:
        """Seconds of a step with so many rows of prompts; shares of bandwidth and of products."""
        all_rows = len(self._running) + rows
        moved = (3e9 + 80e9 * (1 - (1 - 8 / 256) ** all_rows) + 35e3 * self._context) * self.slower
        flops = 9.2e9 * all_rows * self.slower
        slow = FASTEST / self._mhz
        seconds = self.drag * (moved / (0.85 * BANDWIDTH) + (4e-3 * self.slower + flops / (0.5 * MATH)) * slow)
        return seconds, moved / seconds / BANDWIDTH, flops / seconds / MATH

    def watts(self, bandwidth: float, math: float) -> float:
        """Power while a step runs."""
        fast = self._mhz / FASTEST
        volts = (0.72 + 0.28 * max(0.0, (self._mhz - 1200) / (FASTEST - 1200))) ** 2
        follows = self.curve * (1 - fast * volts)
        return 100 + 600 * min(1.0, 1.33 * bandwidth * (1 - 0.5 * follows) + math * (1 - follows))

    def run(self) -> None:
        """Serves all."""
        coming, waiting = deque(self.asks), deque[Ask]()
        now, look = 0.0, 0.0
        while coming or waiting or self._running or self._filling:
            while coming and coming[0].arrival <= now:
                waiting.append(coming.popleft())
                if self.pacer is not None:
                    self.pacer.arrived(waiting[-1].arrival, LATENCY_CLASSES[waiting[-1].kind].tpot)
                look = now  # the governor hears of each before it is computed
            if self.governor is not None and now >= look:
                self._govern(now, len(waiting))
                look = now + FAST
            admit = True
            if self.pacer is not None and (self._running or self._filling or waiting):
                wait, admit = self.pacer.decide(now, self._load(waiting))
                if wait:
                    until = min(now + wait, coming[0].arrival if coming else float("inf"))
                    self.joules += 100 * (until - now)
                    self.held_seconds += until - now
                    now = until
                    continue
            while admit and waiting and len(self._running) + len(self._filling) < self.slots:
                if self._used + waiting[0].size > self.pages and self._used:
                    break
                self._used += waiting[0].size
                self._kinds[waiting[0].kind] += 1
                waiting[0].left = waiting[0].prompt
                self._filling.append(waiting.popleft())
            self._pressed = admit and bool(waiting)
            if self._coming is not None and now >= self._coming[0]:
                self._mhz, self._coming = self._coming[1], None
            next_ask = coming[0].arrival if coming else float("inf")
            if not self._running and not self._filling:
                until = min(next_ask, look) if self.governor is not None else next_ask
                self.joules += 100 * (until - now)
                now = until
            elif self._filling:
                now = self._step(now, self._budget(), 1)
            else:
                until = min(next_ask, now + FAST if self.governor is None else look)
                if self.pacer is not None and self.pacer.state.pace is not None:
                    until = now  # each step apart
                until = until if self._coming is None else min(until, self._coming[0])
                now = self._step(now, 0, until)
        self.now = now

    def idle_until(self, now: float) -> None:
        """Nothing comes any more: another engine with the same load was not done before."""
        self.joules += 100 * max(now - self.now, 0.0)

    def _step(self, now: float, rows: int, until: float) -> float:
        """One step with rows of prompts, or as many like ones as nothing comes between; when they have ended."""
        seconds, *shares = self.step(rows)
        if self.pacer is not None:
            self.pacer.began(now)
            self.pacer.stepped(len(self._running) + rows, seconds)
        batch, count = len(self._running), 1
        if not rows:
            count = max(1, min(ceil((until - now) / seconds), self._running[0][0] - self._steps))
        self.joules += self.watts(*shares) * seconds * count
        self.low_seconds += seconds * count * (self._mhz < FASTEST)
        now += seconds * count
        if batch:
            self._gaps.tell(now, seconds, batch * count)
            self._steps += count
            self.steps += count
            self.tokens += batch * count
            self._context += batch * count
        while rows:
            ask = self._filling[0]
            taken = min(rows, ask.left)
            ask.left, rows = ask.left - taken, rows - taken
            if not ask.left:
                ask.first = now
                self._serial += 1
                heappush(self._running, (self._steps + ask.answer - 1, self._serial, self._filling.popleft()))
                self._context += ask.prompt
        while self._running and self._running[0][0] <= self._steps:
            ask = heappop(self._running)[2]
            ask.last = now
            self._used -= ask.size
            self._context -= ask.size - 1
            self._kinds[ask.kind] -= 1
            if self.pacer is not None:
                limit = LATENCY_CLASSES[ask.kind]
                each = (ask.last - ask.first) / (ask.answer - 1) / limit.tpot if limit.tpot else 0.0
                first = (ask.first - ask.arrival) / limit.ttft if limit.ttft else 0.0
                self.pacer.ended(now, ask.answer, each, first)
        return now

    def _load(self, waiting: deque[Ask]) -> Paced:
        """What the pacer is told."""
        assert self.pacer is not None
        running = [
            Running(LATENCY_CLASSES[ask.kind].tpot, ask.first, ask.answer - end + self._steps)
            for end, _, ask in self._running
        ]
        ttft = {kind: limit.ttft or self.pacer.first_default for kind, limit in LATENCY_CLASSES.items()}
        return Paced(
            running=running,
            rows=len(running),
            waiting=sum(ask.prompt for ask in waiting),
            latest=min((ask.arrival + FILL * ttft[ask.kind] for ask in waiting), default=float("inf")),
            chunk=ROWS,
            reading=bool(self._filling),
            pressed=self._pressed,
            cache=self._used / self.pages,
            slots=len(running) / self.slots,
        )

    def _strictest(self) -> float | None:
        return min(
            (tpot for kind, n in self._kinds.items() if n and (tpot := LATENCY_CLASSES[kind].tpot)), default=None
        )

    def _budget(self) -> int:
        """Rows of prompts for the next step: as many as the strictest promise leaves time for."""
        rows, strictest = min(ROWS, sum(ask.left for ask in self._filling)), self._strictest()
        while rows > 64 and self._running and strictest is not None and self.step(rows)[0] > strictest:
            rows //= 2
        return rows

    def _govern(self, now: float, waiting: int) -> None:
        assert self.governor is not None and self.locks is not None
        clock = nvml.nvmlDeviceGetClockInfo(0, nvml.NVML_CLOCK_SM)
        load = Load(
            gap=self._gaps.p95(now),
            promise=self._strictest(),
            waiting=waiting,
            prefilling=bool(self._filling),
            cache=self._used / self.pages,
            joules=self.joules,
            tokens=self.tokens,
            running=len(self._running),
            clocks=[clock],
        )
        mhz = self.governor.decide(now, load)
        if mhz != clock:
            self.locks.lock(mhz)
            self._coming = now + SETTLES, mhz

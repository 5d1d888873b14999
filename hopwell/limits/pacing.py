"""Pacing: how long the next step may wait, so that more sequences share it and no promise is broken that would be kept.

By Little's law as many sequences run as come in while one is answered: where steps are held to a slower pace, more of
them share each, and the weights are read once for all. Two loops decide how slow that is. The fast one looks before
each step: at every sequence's own mean so far, at what the step will take, at what is in use; the slow one moves the
share of the promise that is aimed at, by what ended requests saw. All of it is arithmetic: time and load are given.
docs/limits.md tells what it is good for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log2
from typing import NamedTuple

OBJECTIVES = ("latency", "throughput", "energy")
FIRST, MOST, UP = 0.5, 0.75, 0.05
"""Share of the promised seconds a token that is aimed at: at first, at most, and more of it at a time."""
CALM = 5.0
"""Seconds from one such step to the next."""
NEAR, CLEAR = 0.9, 0.8
"""Of a promise: above the first pacing ends, and it does not begin before all is below the second."""
FIRST_TOKEN = 0.5
"""Of the promised seconds to the first token: if one in a hundred takes longer, nothing is held."""
ROOM = 0.1
"""Share of the cache, and of the slots, up to which slower answers may hold theirs longer and still keep nobody out."""
BURST = 0.5
"""Share that a burst has taken: what takes more would find too little where others hold theirs longer."""
REST = 30.0
"""Seconds without any hold after one of these was seen."""
REMEMBERED = 600.0
"""Seconds for which a promise, or a burst, counts as if it were there still: another may come."""
FILL = 0.25
"""Of the promised seconds to the first token, that a prompt may be held for others."""
ENDED, MANY = 60.0, 1000
"""Seconds of which ended requests are looked at, and how many at most."""
ARRIVALS = 16
"""Of which their rate is known."""
FADE = 16
"""Steps after which the longest of their size has faded to what they take."""


class Running(NamedTuple):
    """A sequence that decodes."""

    promise: float | None
    """Seconds a token; None: none was promised."""
    first: float
    """When its first token came."""
    tokens: int
    """That have come, the first included."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine knows between two steps."""

    running: Sequence[Running]
    rows: int
    """Of the next step, without prompts."""
    waiting: int = 0
    """Rows of prompts that have not begun."""
    latest: float = inf
    """When the first of them must begin, for its own promise's sake; `-inf`: at once."""
    chunk: int = 1
    """Rows of prompts that the next step can take."""
    reading: bool = False
    """A prompt is half read."""
    pressed: bool = False
    """Something waits that nobody holds: there is no room."""
    cache: float = 0.0
    slots: float = 0.0
    """Shares in use."""


class Decision(NamedTuple):
    """What is to be done now."""

    wait: float
    """Seconds until the next step; 0: at once. News may end it."""
    admit: bool
    """Whether prompts that have not begun may, in that step."""


@dataclass(slots=True)
class PacingState:
    """What is told of it."""

    objective: str
    pace: float | None = None
    """Seconds from one step to the next that are aimed at; None: each follows the last at once."""
    promise: float | None = None
    """Seconds a token that the strictest sequence was promised."""
    reason: str = "start"
    """In a word: "calm", or why nothing is held: "start", "full", "room", "waiting", "tpot" or "ttft"."""
    why: str = ""
    """With its numbers."""
    filling: bool = False
    """Whether prompts are held until a chunk is full."""
    held_seconds: float = 0.0
    """While a step could have begun, since the start."""
    prompt_seconds: float = 0.0
    """While prompts waited for others."""


class StepSeconds:
    """What a step takes, by its rows: of each size class the longest, which fades."""

    def __init__(self) -> None:
        self._longest: dict[int, float] = {}
        """By size class, four to a power of two."""

    def observe(self, rows: int, seconds: float) -> None:
        """Takes in a step."""
        size = _size(rows)
        before = self._longest.get(size, 0.0)
        self._longest[size] = max(seconds, before + (seconds - before) / FADE)

    def predict(self, rows: int) -> float | None:
        """Seconds that a step of so many rows takes at most: as long as the longest up to the next larger class that
        was seen; beyond all of them as if rows were all it cost. None: nothing was seen."""
        if not self._longest:
            return None
        most, size = max(self._longest), _size(rows)
        larger = min((seen for seen in self._longest if seen >= size), default=most)
        seconds = max(longest for seen, longest in self._longest.items() if seen <= larger)
        return seconds if size <= most else seconds * 2 ** ((size + 1 - most) / 4)


def _size(rows: int) -> int:
    return int(4 * log2(max(rows, 1)))


class Pacer:
    """Decides for one engine. Every time is given, in seconds by one clock that never goes back."""

    def __init__(
        self, objective: str, rows: int, default: float, hold_prompts: bool = True, first_default: float = inf
    ) -> None:
        """
        Args:
            objective: one of `OBJECTIVES`.
            rows: of a step of as many sequences as can run, drafts included.
            default: seconds a token, for sequences that were promised nothing.
            hold_prompts: whether prompts may be held until they fill a chunk.
            first_default: seconds to the first token, likewise.
        """
        self.default, self.first_default = default, first_default
        self.share = 0.0
        """Of the strictest promise, that is aimed at; 0: nothing is held."""
        self.state = PacingState(objective)
        self.log: list[str] = []
        """Each change of mind, with its numbers, until who reads it takes it out."""
        self.paces = objective == "energy"
        self._fills, self._rows = hold_prompts and objective != "latency", rows
        self._steps = StepSeconds()
        self._last = -inf
        """When the last step began."""
        self._rest, self._calm = -inf, -inf
        self._begun = False
        self._proven = False
        self._strictest, self._strictest_at = inf, -inf
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        self._ended: deque[tuple[float, float, float]] = deque(maxlen=MANY)
        """When, and what a token and the first one took of what was promised."""
        self._worst = 0.0, 0.0
        self._tokens = 0.0
        """Of an answer, a mean in which older ones fade."""

    # -- what is told

    def arrived(self, now: float, promise: float | None) -> None:
        """A request has come.

        Args:
            promise: seconds a token.
        """
        self._arrivals.append(now)
        self._remember(now, promise or self.default)

    def began(self, now: float) -> None:
        """A step begins."""
        self._last = now

    def stepped(self, rows: int, seconds: float) -> None:
        """A step has ended."""
        self._steps.observe(rows, seconds)

    def ended(self, now: float, tokens: int, each: float, first: float) -> None:
        """A request has ended.

        Args:
            tokens: of its answer.
            each: what a token took, of what was promised; 0: nothing was.
            first: the same of its first token.
        """
        self._tokens += (tokens - self._tokens) / 8 if self._tokens else tokens
        self._ended.append((now, each, first))
        slowest, latest = self._worst = self._percentiles(now)
        if slowest > NEAR:
            self._stop(now, "tpot", f"a token took {100 * slowest:.0f} % of what was promised, at the 99th percentile")
        elif latest > FIRST_TOKEN:
            self._stop(now, "ttft", f"first tokens took {100 * latest:.0f} % of what was promised, at the 99th")

    # -- what is asked

    def decide(self, now: float, load: Load) -> Decision:
        """When the next step is to begin. Call it before each step, again when the wait is over, and with all news."""
        if not self._begun:
            self._begun = True
            self._stop(now, "start", f"the first {REST:.0f} s show what comes")
        self._judge(now, load)
        begin = load.latest - 2 * (self._steps.predict(load.rows + load.waiting) or inf)
        admit = not (load.waiting and self._holds(now, load, begin))
        if load.reading or (load.waiting and admit):
            return Decision(0.0, True)
        start = self._start(load)
        if not admit:
            start = min(start, begin)
        return Decision(max(start - now, 0.0) if start < inf else 0.0, admit)

    def _start(self, load: Load) -> float:
        """When the next step of those that decode is due: no sequence's mean may exceed its share of its promise."""
        if not load.running:
            return inf
        pace = self.state.pace
        seconds = self._steps.predict(load.rows)
        if pace is None or seconds is None:
            return -inf
        due = min(r.first + self.share * (r.promise or self.default) * r.tokens for r in load.running)
        return min(self._last + pace, due - seconds)

    def _holds(self, now: float, load: Load, begin: float) -> bool:
        """Whether prompts wait for others that fill the chunk with them."""
        held = self._fills and self._proven and now >= self._rest
        likely = self._rate(now) * FILL * self.first_default if held else 0.0
        filling = likely >= (CLEAR if self.state.filling else 1.0)
        if filling != self.state.filling:
            self.state.filling = filling
            self.log.append(f"prompts {'' if filling else 'no longer '}wait for others: {likely:.1f} come meanwhile")
        return filling and load.waiting < load.chunk and now < begin

    def _judge(self, now: float, load: Load) -> None:
        """Which share of the promise to aim at."""
        promise = min((r.promise or self.default for r in load.running), default=None)
        if promise is not None:
            self._remember(now, promise)
        self.state.promise = promise
        if load.pressed:
            self._stop(now, "waiting", "requests wait for room")
        elif max(load.cache, load.slots) > ROOM:
            burst = max(load.cache, load.slots) > BURST
            used = f"{100 * load.cache:.0f} % of the cache and {100 * load.slots:.0f} % of the slots are in use"
            self._stop(now, "room", used, REMEMBERED if burst else REST)
        if now >= self._rest:
            self._slow(now, max(load.cache, load.slots) <= CLEAR * ROOM)
        alone = len(load.running) < 2 and self._rate(now) * self._tokens * MOST * (promise or 0.0) < 1  # Little's law
        self.state.pace = None if promise is None or not self.share or alone else self.share * promise

    def _slow(self, now: float, roomy: bool) -> None:
        """The slow loop: more of the promise where all has been calm for a while, and there is room for more to run."""
        if (full := self._steps.predict(self._rows)) is None:
            return
        self._proven = full <= (NEAR if self._proven else CLEAR) * self._strictest
        if not self._proven:
            promised = f"{1e3 * self._strictest:.0f} ms a token were promised"
            self._go(0.0, "full", f"a step of {self._rows} rows takes up to {1e3 * full:.0f} ms and {promised}")
        elif roomy and now >= self._calm + CALM and self._worst[0] <= CLEAR and self.share < MOST:
            self._calm = now
            self._go(min(self.share + UP, MOST) if self.share else FIRST, "calm", "promises leave room")

    def _stop(self, now: float, reason: str, why: str, rest: float = REST) -> None:
        if now >= self._rest or self.state.reason == "start":
            self._go(0.0, reason, why)
        self._rest, self._calm = max(self._rest, now + rest), now

    def _go(self, share: float, reason: str, why: str) -> None:
        share = share if self.paces else 0.0
        if (share, reason) == (self.share, self.state.reason) and self.state.why:
            return
        if share:
            self.log.append(f"steps aim at {100 * share:.0f} % of {1e3 * self._strictest:.0f} ms a token: {why}")
        else:
            self.log.append(f"{'prompts may be' if reason == 'calm' else 'nothing is'} held: {why}")
        self.share, self.state.reason, self.state.why = share, reason, why

    def _remember(self, now: float, promise: float) -> None:
        if promise <= self._strictest or now > self._strictest_at + REMEMBERED:
            self._strictest, self._strictest_at = promise, now

    def _percentiles(self, now: float) -> tuple[float, float]:
        """Of requests that have ended lately, the 99th of what a token took of what was promised, and the first one."""
        while self._ended[0][0] < now - ENDED:
            self._ended.popleft()
        place = ceil(0.99 * len(self._ended)) - 1
        _, each, first = (sorted(column)[place] for column in zip(*self._ended, strict=True))
        return each, first

    def _rate(self, now: float) -> float:
        """Requests a second."""
        if len(self._arrivals) < 4 or now <= self._arrivals[0]:
            return 0.0
        return (len(self._arrivals) - 1) / (now - self._arrivals[0])

"""What the governor would do to cards that it only looks at: a clock, and the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hopwell.limits.clocks import Card
from hopwell.limits.governor import ALARMS, LOWER, ROOM
from hopwell.limits.saving import LEAST


@dataclass(frozen=True, slots=True)
class Seen:
    """A server and its cards over some seconds."""

    seconds: float
    tokens: int
    """Generated."""
    gap: float | None
    """Seconds between a sequence's tokens that 95 % of the gaps did not exceed; None: too few, or longer than any
    bound that is counted."""
    waiting: int
    """Sequences that waited, most at one look."""
    cache: float
    """Share of the cache in use, most at one look."""
    cards: Sequence[Sequence[Card]]
    """Readings of all cards, look by look."""
    paced: bool = False
    """The server holds steps on purpose: `gap` is what those take, the waits between them left out."""

    @property
    def mhz(self) -> int:
        """The highest clock that was read."""
        return max(card.sm_mhz for look in self.cards for card in look)

    @property
    def joules(self) -> float | None:
        """Of all cards, by their counters; None if one has none."""
        ends = [(first.joules, last.joules) for first, last in zip(self.cards[0], self.cards[-1], strict=True)]
        known = [(a, b) for a, b in ends if a is not None and b is not None]
        return sum(b - a for a, b in known) if len(known) == len(ends) else None

    @property
    def joules_per_token(self) -> float | None:
        return self.joules / self.tokens if self.joules and self.tokens else None


@dataclass(slots=True)
class Advice:
    """A clock, or none, and why."""

    mhz: int | None
    """What to lower the multiprocessors' clock to; None: leave it."""
    why: str
    evidence: list[str] = field(default_factory=list)


def advise(seen: Seen, clocks: Sequence[int], promise: float) -> Advice:
    """The lowest clock at which decoding keeps its distance to a promise though all of each step slowed as the clock
    does. Decoding waits for memory, so it slows by less.

    Args:
        clocks: MHz that the cards may be locked to.
        promise: seconds a token.
    """
    evidence = _evidence(seen, promise)
    alarms = {reason for look in seen.cards for card in look for reason in card.slowed_by if reason in ALARMS}
    if alarms:
        return Advice(None, f"a card slows itself ({', '.join(sorted(alarms))}): see to that first", evidence)
    if not seen.tokens or seen.gap is None:
        return Advice(None, "nothing was decoded, or too slowly to say: look again under load", evidence)
    if seen.waiting or seen.cache > ROOM:
        short = f"{seen.waiting} sequences waited" if seen.waiting else f"{100 * seen.cache:.0f} % of the cache is used"
        return Advice(None, f"{short}: slower answers would keep others waiting", evidence)
    kept = [clock for clock in clocks if clock < seen.mhz and seen.gap * seen.mhz / clock <= LOWER * promise]
    if not kept:
        return Advice(None, "no lower clock keeps its distance to the promise", evidence)
    worst = 1e3 * seen.gap * seen.mhz / kept[0]
    evidence.append(
        f"at {kept[0]} MHz a gap is at most {worst:.1f} ms, as if all of a step slowed with the clock;"
        f" {100 * LOWER:.0f} % of the promise is {1e3 * LOWER * promise:.1f} ms"
    )
    evidence.append(
        f"what it saves is not known before it is tried: decoding on an H200 saved up to 32 % of its energy so"
        f" (arXiv 2605.11999); it is worth it from {100 * LEAST:.0f} % of the joules a token on"
    )
    return Advice(kept[0], f"decoding may run at {kept[0]} MHz", evidence)


def _evidence(seen: Seen, promise: float) -> list[str]:
    found = [f"{seen.tokens:,} tokens in {seen.seconds:.0f} s"]
    if seen.gap is not None:
        what = "the steps, which the server holds to a pace," if seen.paced else "the gaps between tokens"
        found.append(f"95 % of {what} at most {1e3 * seen.gap:.1f} ms of {1e3 * promise:.0f} promised")
    found.append(f"at most {seen.waiting} waiting and {100 * seen.cache:.0f} % of the cache in use")
    if seen.joules is not None:
        found.append(f"{seen.joules:,.0f} J by the cards' counters, {seen.joules / seen.seconds:,.0f} W")
    if seen.joules_per_token is not None:
        found.append(f"{seen.joules_per_token:.3g} J a token, idle time included")
    found.append(f"multiprocessors at up to {seen.mhz} MHz")
    return found

"""Tails, open loops and traces, where a steady state does not serve: one replica, event by event.

Between two events, an arrival or an answer's end, every step is the same: time jumps from one to the next. Prompts
enter as soon as there is room, first come first served, at most a chunk of them a step. A prompt holds the others up by
its share, as in the steady state, and is itself done no sooner than it would be alone.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf, log
from typing import NamedTuple

from hopwell.planner.question import Option, Question
from hopwell.planner.serving import CHUNK, Load, Serving
from hopwell.planner.step import total

REQUESTS = 4000
"""Simulated; the first tenth, which meets an empty server, is not counted."""
SPREAD = 0.2
"""Lengths are drawn from length * (1 - this) to length * (1 + this)."""


class Arrival(NamedTuple):
    """A request."""

    us: float
    input: float
    output: float


class Seen(NamedTuple):
    """What became of it, in us."""

    ttft: float
    tpot: float


@dataclass(frozen=True, slots=True)
class Server:
    """What a replica takes for what, in us."""

    step: Callable[[int, float], float]
    """By sequences and the mean of their rows."""
    share: Callable[[float], float]
    """By which a prompt of so many tokens makes a step longer."""
    alone: Callable[[float], float]
    """A prompt of so many tokens by itself."""
    tokens: float
    """That the cache holds."""
    sequences: int
    chunk: float = CHUNK
    """Tokens of prompts in a step."""
    accepted: float = 1.0
    """Tokens a step."""


@dataclass(frozen=True, slots=True)
class Tails:
    """Percentiles of what requests saw, and the share of them that kept both promises."""

    ttft_ms: tuple[float, float, float]
    """50th, 95th, 99th."""
    tpot_ms: tuple[float, float, float]
    kept: float
    requests: int


def simulate(arrivals: Sequence[Arrival], server: Server) -> list[Seen]:
    """What each request sees, in order of arrival; none may be longer than the cache."""
    seen = [Seen(0.0, 0.0)] * len(arrivals)
    ends: list[tuple[int, int, float]] = []
    """Of running answers: their last step, which they are, and when their first token came."""
    now, late, steps, at, head, held, rows = 0.0, 0.0, 0, 0, 0, 0.0, 0.0
    while head < len(arrivals) or ends:
        if not ends and head == at:
            now = max(now, arrivals[at].us)
        while at < len(arrivals) and arrivals[at].us <= now:
            at += 1
        begin, fresh = head, 0.0  # of those that wait, who enters in this step
        while head < at and len(ends) + head - begin < server.sequences:
            request = arrivals[head]
            if held + request.input + request.output > server.tokens and held:
                break
            if fresh and fresh + request.input > server.chunk:
                break
            held, fresh, head = held + request.input + request.output, fresh + request.input, head + 1
        batch = len(ends)
        step = server.step(batch, rows / batch + steps * server.accepted) if batch else 0.0
        if head > begin:
            mean = fresh / (head - begin)
            longer = (head - begin) * server.share(mean)
            jump, now, late = 1, now + step + longer, max(0.0, server.alone(mean) - longer)
        else:
            due = arrivals[at].us if at < len(arrivals) else inf
            jump = min(ends[0][0] - steps, max(1, ceil((due - now) / step)) if due < inf else 1 << 60)
            now += jump * step
        steps += jump
        while ends and ends[0][0] <= steps:
            _, which, first = heapq.heappop(ends)
            request, last = arrivals[which], steps
            started = last - ceil((request.output - 1) / server.accepted)
            held, rows = held - request.input - request.output, rows - request.input + started * server.accepted
            seen[which] = Seen(first - request.us, max(0.0, now - first) / (request.output - 1))
        for which in range(begin, head):
            request = arrivals[which]
            if request.output <= 1:
                seen[which], held = Seen(now + late - request.us, 0.0), held - request.input - request.output
                continue
            heapq.heappush(ends, (steps + ceil((request.output - 1) / server.accepted), which, now + late))
            rows += request.input - steps * server.accepted
    return seen


def poisson(rate: float, load: Load, count: int = REQUESTS, spread: float = SPREAD) -> list[Arrival]:
    """Requests at random, `rate` a second, of about a load's lengths; the same each time."""
    rng = random.Random(0)

    def length(mean: float) -> float:
        return max(1.0, round(mean * rng.uniform(1 - spread, 1 + spread)))

    times = accumulate(rng.expovariate(rate) * 1e6 for _ in range(count))
    return [Arrival(at, length(load.input), length(load.output)) for at in times]


def server_of(option: Option, load: Load) -> Server:
    """A replica of an option; what it takes is kept for lengths within a twentieth of each other."""
    machine, engine = option.machine, option.engine
    factor = engine.served.step if engine.served else 1.0
    steps: dict[tuple[int, int], float] = {}
    prompts: dict[int, Serving] = {}

    def step(batch: int, context: float) -> float:
        key = _near(batch), _near(context)
        if key not in steps:
            steps[key] = factor * total(machine.decode(batch, context, option.drafts))
        return steps[key]

    def prompt(tokens: float) -> Serving:
        key = _near(tokens)
        if key not in prompts:
            prompts[key] = Serving(machine, Load(tokens, load.output, load.cached), option.drafts)
        return prompts[key]

    accepted = engine.mtp[option.drafts][1] if option.drafts else 1.0
    most = option.memory.sequences(1.0, engine, option.layout.dp)
    return Server(
        step, lambda tokens: factor * prompt(tokens).prompt_share_us, lambda tokens: prompt(tokens).prompt_us,
        option.memory.tokens, most, CHUNK * option.layout.dp, accepted,
    )  # fmt: skip


def _near(value: float) -> int:
    return round(20 * log(max(value, 1.0)))


def tails(option: Option, question: Question, trace: Sequence[Arrival] = ()) -> Tails | None:
    """What requests see of an option at the question's rate, each replica getting every n-th of them.

    Args:
        trace: requests as they came; none: Poisson's.

    Returns:
        None where prompts have GPUs of their own, which is not simulated, or no rate is given.
    """
    if option.prompts is not None or (question.rate is None and not trace):
        return None
    server = server_of(option, question.load)
    stream = trace or poisson(question.rate or 1.0, question.load, REQUESTS * min(option.replicas, 8))
    mine = [each for each in stream[:: option.replicas] if each.input + each.output <= server.tokens]
    seen = simulate(mine, server)[0 if trace else len(mine) // 10 :]
    if not seen:
        return None
    first = [option.engine.first_token_us(option.gpu, each.ttft) / 1e3 for each in seen]
    between = [each.tpot / 1e3 for each in seen]
    kept = sum(a <= question.ttft_ms and b <= question.tpot_ms for a, b in zip(first, between, strict=True))
    return Tails(_percentiles(first), _percentiles(between), kept / len(seen), len(seen))


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99))
    return p50, p95, p99

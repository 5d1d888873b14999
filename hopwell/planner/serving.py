"""What users get of a replica in its steady state: a closed loop of so many of them, by Little's law any rate."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from hopwell.planner.memory import plan_memory
from hopwell.planner.step import Machine, Op, total

CHUNK = 8192
"""Tokens of prompts that go into one step."""


@dataclass(frozen=True, slots=True)
class Load:
    """Tokens of a request, on average."""

    input: float
    output: float
    cached: float = 0.0
    """Of the prompt, the share that a prefix cache has already."""


@dataclass(frozen=True, slots=True)
class Point:
    """One replica under `users` of a closed loop: who has an answer asks again at once."""

    users: float
    admitted: float
    """Users that run at the same time; the others wait."""
    tpot_ms: float
    ttft_ms: float
    requests_per_s: float
    decode: tuple[Op, ...]
    decode_us: float
    prompt_us: float
    tokens_a_step: float
    busy_prompts: float
    """Share of the time that goes into prompts."""


class Serving:
    """A machine under a load. Steps' times are kept: a curve asks for them again."""

    def __init__(self, machine: Machine, load: Load, drafts: int = 0, colocated: bool = True) -> None:
        self.machine, self.load, self.drafts, self.colocated = machine, load, drafts, colocated
        self.memory = plan_memory(machine, drafts > 0)
        engine, layout = machine.engine, machine.layout
        self.limit = self.memory.sequences(load.input + load.output, engine, layout.dp)
        self.accepted = engine.mtp[drafts][1] if drafts else 1.0
        self.fresh = max(1.0, load.input * (1 - load.cached))
        together = max(1.0, min(CHUNK // self.fresh, 4.0))
        self.prompt_us = self._prompts(1.0)
        self.prompt_share_us = self._prompts(together) / (together * layout.dp)
        """Of the whole replica, what one prompt takes among others."""

    def _prompts(self, together: float) -> float:
        """us of so many prompts at once on every group, in chunks."""
        kept = self.machine.prompt_times
        key = self.fresh, self.load.input, together
        if key not in kept:
            chunks, tokens = max(1.0, self.fresh / CHUNK), min(self.fresh, float(CHUNK))
            seen = (tokens + self.load.input) / 2 if chunks > 1 else tokens + self.load.input - self.fresh
            kept[key] = chunks * total(self.machine.prompt(tokens, seen, together))
        return kept[key]

    def at(self, users: float, rounds: float = 0.0) -> Point:
        """The steady state with `users` of them; `limit` must be above 0.

        Args:
            rounds: requests a user of a benchmark that starts all of them at once; 0: they come when they come.
        """
        admitted = min(users, float(self.limit))
        load = self.load
        ops = self.machine.decode(admitted, load.input + load.output / 2, self.drafts)
        factor = self.machine.engine.served.step if self.machine.engine.served else 1.0
        if factor != 1:
            ops = [op._replace(us=op.us * factor) for op in ops]
        step = total(ops)
        decode = step / self.accepted
        stalls = factor * (admitted - 1) / load.output * self.prompt_share_us if self.colocated else 0.0
        tpot = decode + max(0.0, stalls)
        queue = self._queue_us(admitted, load.output * tpot)
        if rounds:
            queue += (admitted - 1) / 2 * self.prompt_share_us / rounds
        first = self.first_us(step, queue)
        answer = first + load.output * tpot
        rate = admitted / answer
        waits = (users - admitted) / rate if users > admitted else 0.0
        return Point(
            users, admitted, tpot / 1e3, (first + waits) / 1e3, rate * 1e6, tuple(ops), step, self.prompt_us,
            self.accepted, min(1.0, rate * self.prompt_share_us),
        )  # fmt: skip

    def _queue_us(self, admitted: float, rest: float) -> float:
        """What a prompt waits for others of its group, in a closed loop whose users take `rest` us for the remainder:
        Schweitzer's mean values, halved since prompts take alike. Who is answered sooner asks sooner, yet nobody is
        answered later for it."""
        groups = self.machine.layout.dp
        users, prompt = admitted / groups, self.prompt_share_us * groups
        if users <= 1:
            return 0.0
        over = users * prompt - rest
        stay = (over + sqrt(over * over + 4 * prompt * rest)) / 2
        return (stay - prompt) / 2

    def first_us(self, step: float, queue: float = 0.0) -> float:
        """From arrival to the first token, nobody waiting for cache: half a step of others, the prompts before it, its
        own, the host."""
        return self.machine.engine.first_token_us(self.machine.gpu, step / 2 + self.prompt_us + queue)

"""What the pacer is told of an engine, and what comes of it: steps that are held, and prompts that wait for others."""

from __future__ import annotations

import logging
from dataclasses import replace

from hopwell.engine.config import EngineConfig
from hopwell.engine.request import LATENCY_CLASSES
from hopwell.engine.scheduler import Scheduler
from hopwell.engine.sequence import Sequence, SequenceGroup
from hopwell.limits.pacing import FILL, ROOM, Load, Pacer, PacingState, Running

POLL = 0.05
"""Seconds that a step is held at one go: who looks whether the engine hangs sees it turn."""
SERVER = LATENCY_CLASSES["server"]
log = logging.getLogger(__name__)


class Pacing:
    """Of one engine, for its thread. Every time is by the clock of `time.monotonic`."""

    def __init__(self, config: EngineConfig, scheduler: Scheduler) -> None:
        assert SERVER.tpot is not None and SERVER.ttft is not None
        default = SERVER.tpot if config.tpot_promise_ms is None else config.tpot_promise_ms / 1e3
        rows = config.max_seqs * (1 + config.drafts)
        self.pacer = Pacer(config.objective, rows, default, config.hold_prompts, SERVER.ttft)
        self._scheduler, self._config = scheduler, config
        self._since: tuple[float, bool, bool] | None = None
        """The last decision: when, and whether a step and prompts were held."""

    @property
    def state(self) -> PacingState:
        """What is told of it; from any thread."""
        return replace(self.pacer.state)

    def wait(self, now: float) -> float:
        """Seconds to hold the next step, most of them at one go; has the scheduler leave prompts out that wait for
        others."""
        load = self._load()
        decision = self.pacer.decide(now, load)
        self._count(now)
        self._since = now, bool(decision.wait and load.running), bool(load.waiting) and not decision.admit
        self._scheduler.admitting = decision.admit
        for line in self.pacer.log:
            log.info("%s; %d sequences run, %d rows of prompts wait", line, self._scheduler.running, load.waiting)
        self.pacer.log.clear()
        return min(decision.wait, POLL)

    def accepted(self, group: SequenceGroup, now: float) -> None:
        """A request has come."""
        self.pacer.arrived(now, group.latency.tpot)

    def ended(self, sequences: list[Sequence], now: float) -> None:
        """A request has ended, all of its answers have."""
        group = sequences[0].group
        promise = group.latency
        each = (group.worst_tpot or 0.0) / (promise.tpot or self.pacer.default)
        first = (now if group.first_token_at is None else group.first_token_at) - group.request.arrival
        tokens = sum(len(seq.answer) for seq in sequences)
        self.pacer.ended(now, tokens, each, first / promise.ttft if promise.ttft else 0.0)

    def _load(self) -> Load:
        scheduler, config = self._scheduler, self._config
        pools = scheduler.pools
        cache = 1 - sum(pool.available for pool in pools) / sum(pool.num_pages for pool in pools)
        slots = scheduler.running / config.max_seqs
        # with so much in use nothing is held: each of many sequences need not be looked at
        decoding = scheduler.decoding() if max(cache, slots) <= ROOM else []
        running = [
            Running(seq.group.latency.tpot, seq.first_token_at, len(seq.answer))
            for seq in decoding
            if seq.first_token_at
        ]
        chunk = scheduler.prompt_budget()
        waiting, latest = self._prompts(chunk)
        return Load(
            running=running,
            rows=len(running) * (1 + config.drafts),
            waiting=waiting,
            latest=latest,
            chunk=chunk,
            reading=bool(scheduler.prefilling),
            pressed=bool(waiting) and scheduler.short,
            cache=cache,
            slots=slots,
        )

    def _prompts(self, chunk: int) -> tuple[int, float]:
        """Rows of prompts that have not begun, as far as a chunk goes; when the first of them must."""
        rows, latest = 0, float("inf")
        for seq in self._scheduler.queued():
            rows += len(seq.tokens) - self._scheduler.cached(seq)
            latest = min(latest, self._latest(seq))
            if rows >= chunk:
                break
        return rows, latest

    def _latest(self, seq: Sequence) -> float:
        group = seq.group
        if seq.admitted or group.first_token_at is not None:  # it has waited before
            return float("-inf")
        if group.latency.ttft is None and not self.pacer.paces:  # it was promised nothing, and is not slowed
            return float("-inf")
        return group.request.arrival + FILL * (group.latency.ttft or self.pacer.first_default)

    def _count(self, now: float) -> None:
        """Adds up what the last decision has come to."""
        if self._since is None:
            return
        since, step, prompts = self._since
        self.pacer.state.held_seconds += step * (now - since)
        self.pacer.state.prompt_seconds += prompts * (now - since)

"""The engine: receive, schedule, launch step N, finish step N - 1.

The plain loop finishes a step before it schedules the next. The overlapped loop finishes it one step later, so that
the scheduling, stopping and text of one step happen while the device runs another. Both are the same four parts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

import numpy as np
from llguidance import LLMatcher

from hopwell.cache.policies import new_policy
from hopwell.cache.pool import PagePool
from hopwell.cache.prefix import PAGE
from hopwell.engine.batch import Batch, InFlightStep, Ints, StepResult
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.draft_choice import DraftChoice
from hopwell.engine.energy import EnergyMeter
from hopwell.engine.fetches import Fetches
from hopwell.engine.inbox import Inbox
from hopwell.engine.input_processor import InputProcessor
from hopwell.engine.meter import StepMeter
from hopwell.engine.metrics import Metrics
from hopwell.engine.output_processor import OutputProcessor
from hopwell.engine.pacing import Pacing
from hopwell.engine.request import FinishReason, Request, RequestError, RequestOutput, TokenLogprobs
from hopwell.engine.runnable import Model
from hopwell.engine.runner import Runner
from hopwell.engine.scheduler import Scheduler
from hopwell.engine.sequence import Sequence, SequenceGroup, State
from hopwell.engine.thermal import ThermalWatch
from hopwell.engine.tiering import make_tiering
from hopwell.engine.tokenizer import Tokenizer
from hopwell.limits.history import AtWork, Report
from hopwell.limits.pacing import PacingState
from hopwell.limits.thermal import ThermalState
from hopwell.parallel.memory import RankLost

T = TypeVar("T")
FETCH_POLL = 0.02
"""Seconds between two looks, where nothing runs, at whether a fetch is late."""
log = logging.getLogger(__name__)


class Engine:
    """Continuous batching over one model.

    `submit`, `abort`, `call` and `wake` may be called from any thread; all else from the thread that steps.
    """

    def __init__(
        self,
        model: Model,
        config: EngineConfig,
        *,
        model_len: int,
        num_pages: int,
        pools: int = 1,
        vocab_size: int,
        eos_token_ids: tuple[int, ...] = (),
        tokenizer: Tokenizer | None = None,
        meter: StepMeter | None = None,
        energy: EnergyMeter | None = None,
        thermal: ThermalWatch | None = None,
    ) -> None:
        """
        Args:
            model_len: the model's context, in tokens.
            num_pages: pages of the latent cache.
            pools: equal parts that they are in, of which a sequence's are in one: ranks that attend for their own.
            eos_token_ids: tokens that end an answer unless the request ignores them.
            tokenizer: for structured output, and to know that stop strings can be found; without it, requests for
                those are refused.
            meter: measures steps; None: nothing does.
            energy: shares joules among requests; None: there is no counter.
            thermal: says when requests of class batch must wait; None: degrees have no limit.

        Raises:
            EngineConfigError: the model cannot do what the config asks for.
            DiskTierError, StoreError: where pages are to be kept cannot be used.
        """
        if config.drafts and not model.has_mtp:
            raise EngineConfigError(f"drafts is {config.drafts}, but this model has no MTP layer; set it to 0")
        if config.max_model_len is not None and config.max_model_len > model_len:
            raise EngineConfigError(
                f"max_model_len is {config.max_model_len}, above the model's context of {model_len}"
            )
        self.config = config
        self.model_len = min(config.max_model_len or model_len, num_pages // pools * PAGE)
        self.vocab_size = vocab_size
        self._input = InputProcessor(config, self.model_len, vocab_size, eos_token_ids, tokenizer)
        self.metrics = Metrics(pages_total=num_pages, accepted_at=[0] * config.drafts)
        each = num_pages // pools
        policies = [new_policy(config.cache_policy, each) for _ in range(pools)]
        self.pools = [PagePool(each, policy, self._count_eviction) for policy in policies]
        self.scheduler = Scheduler(config, self.pools, self.model_len, self.metrics)
        self.draft_choice = DraftChoice(config.drafts) if config.adaptive_drafts and config.drafts else None
        self.pacing = Pacing(config, self.scheduler) if config.objective != "latency" else None
        self.meter, self.energy, self.thermal = meter, energy, thermal
        self.runner = Runner(
            model, num_pages, config.max_seqs, config.drafts, config.forced_acceptance, config.overlap, meter
        )
        self.tiering = make_tiering(config, model, self.runner.latent, vocab_size, self.pools[0], self.metrics)
        self._inbox = Inbox()
        if thermal is not None:
            thermal.changed = self._inbox.wake
        self._fetches = Fetches(self.tiering, self.scheduler, self._inbox.post)
        if self.tiering is not None:
            self.scheduler.tiering, self.runner.mover = self.tiering, self.tiering.mover
            self.scheduler.fetch = self._fetches.begin
        self.output = OutputProcessor(self.metrics)
        self._groups: dict[str, list[Sequence]] = {}
        self._ids: set[str] = set()
        self._lock = threading.Lock()  # of _ids
        self.step_started: float | None = None
        """When the step that runs now began, by the clock of `time.monotonic`."""
        self._device_seconds = 0.0
        """Of the step that runs now: spent waiting for the device, or computing in its place."""
        self._in_flight: InFlightStep | None = None
        self._told = 0, 0, 0.0
        """The meter: rows, tokens and seconds so far."""
        self._gauge()  # before its first step its pages are free, not held

    # -- from any thread

    def submit(self, request: Request, matcher: LLMatcher | None = None) -> None:
        """Accepts a request for the next step.

        Args:
            matcher: what `compile` gave; without it a constraint is compiled here, while the caller waits.

        Raises:
            RequestError: it cannot be served; nothing was accepted.
        """
        self._check_queue()
        sequences = self._input.sequences(request, matcher)
        with self._lock:
            if request.request_id in self._ids:
                raise RequestError(f"request_id {request.request_id!r} is in use; give another", "request_id")
            self._ids.add(request.request_id)
        self._inbox.post(lambda: self._accept(sequences))

    async def compile(self, request: Request) -> LLMatcher | None:
        """Compiles a request's constraint, if it has one, for `submit`. Cancelling it leaves nothing behind.

        Raises:
            RequestError: as `submit` does.
        """
        self._check_queue()
        return await self._input.compile(request)

    def warm_grammars(self) -> None:
        """Sets up what compiles constraints, so that the first of them waits for nothing."""
        with suppress(RequestError):  # whoever wants structured output hears of it
            self._input.grammars()

    def abort(self, request_id: str) -> None:
        """Cancels a request; unknown ids do nothing."""
        self._inbox.post(lambda: self._end_early(request_id, FinishReason.ABORT))

    def end(self, request_id: str, index: int) -> None:
        """Ends one of a request's answers as complete: whoever reads it has found a stop string. One that has ended,
        and unknown ids, do nothing."""
        self._inbox.post(lambda: self._end_early(request_id, FinishReason.STOP, index))

    def call(self, function: Callable[[Engine], T]) -> Future[T]:
        """Runs `function(engine)` in the engine's thread, between two steps."""
        return self._inbox.call(lambda: function(self))

    def when_settled(self, done: Callable[[], None]) -> None:
        """Calls `done`, in any thread, once all pages that requests have given back so far are where the tiers below
        the pool keep them; without tiers at once."""
        self._inbox.post(lambda: self._settle(done))

    def fail(self, error: Exception) -> None:
        """Ends the engine with an error, as soon as it steps: what it works on is lost."""

        def run() -> None:
            raise error

        self._inbox.post(run)

    def fail_calls(self, error: Exception) -> None:
        """Answers every pending `call` with an error: nobody steps any more."""
        self._inbox.fail_calls(error)

    def has_work(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._inbox or self._groups or self._in_flight)

    def wait_for_work(self) -> None:
        """Audits the pages, then blocks until `submit`, `abort`, `call` or `wake`."""
        try:
            self.check()
        except AssertionError as error:  # a fault of ours: say so, and serve on
            self.metrics.faults["page_accounting"] += 1
            log.error("page accounting does not add up: %s", error)
        self._inbox.wait()

    def wake(self) -> None:
        """Ends `wait_for_work`."""
        self._inbox.wake()

    # -- from the engine's thread

    def step(self) -> list[RequestOutput]:
        """One turn of the loop; returns the news of all requests."""
        self.step_started = time.monotonic()
        try:
            return self._step()
        finally:
            self.step_started = None

    def _step(self) -> list[RequestOutput]:
        began, self._device_seconds = time.perf_counter(), 0.0
        self._inbox.carry_out()
        self._fetches.end_late()
        held = self._hold()
        batch = None if held else self.scheduler.schedule()
        if batch is not None and self.draft_choice is not None:
            batch.drafts = self.draft_choice.choose(len(batch.decode) + sum(c.following is None for c in batch.chunks))
        if batch is not None and self.energy is not None:
            self.energy.begin()
        if batch is not None and self.pacing is not None:
            self.pacing.pacer.began(time.monotonic())
        flight = self.runner.launch(batch) if batch is not None else None
        if self.config.overlap:
            flight, self._in_flight = self._in_flight, flight
        if flight is not None:
            self._finish(flight)
        elif self._waits(held):
            self._inbox.wait(held or FETCH_POLL)
        if self.tiering is not None and not self._groups and (saves := self.tiering.idle_saves()):
            self.runner.save(saves)  # no step may come for long
        self._gauge()
        outputs = self.output.take()
        if flight is not None:
            host = time.perf_counter() - began - self._device_seconds
            self.metrics.host_time.observe(host)
            if self.meter is not None:
                self._tell(self.meter, host)
        return outputs

    def _waits(self, held: float) -> bool:
        """Whether there is nothing to do for now, and nothing to tell."""
        later = held or self._fetches or self.scheduler.shedding
        return bool(later) and self._in_flight is None and not self.output.pending

    def _hold(self) -> float:
        """Seconds until the next step; whoever has news ends them. What is in flight is finished first."""
        if self.thermal is not None and self.thermal.hot != self.scheduler.shedding:
            self.scheduler.shed_unpromised(self.thermal.hot)
        return 0.0 if self.pacing is None else self.pacing.wait(time.monotonic())

    def _tell(self, meter: StepMeter, host: float) -> None:
        """Has the meter take in a step that has been finished."""
        m, last = self.metrics, self._told
        self._told = m.computed_tokens, m.generated_tokens, m.step_time.total
        rows, tokens, seconds = (now - before for now, before in zip(self._told, last, strict=True))
        meter.history.step(seconds, host, int(rows), int(tokens), self._at_work())

    def _at_work(self) -> AtWork:
        m = self.metrics
        return AtWork(m.running, m.waiting, m.pages_total - m.pages_free - m.pages_cached, m.pages_total)

    def counted(self) -> Metrics:
        """What was counted so far, the meter's counts with it."""
        if self.meter is not None:
            self.metrics.meter = self.meter.totals()
        if self.energy is not None:
            self.metrics.energy = self.energy.totals()
        self.metrics.pacing, self.metrics.thermal = self._restraints()
        return self.metrics

    def limits(self) -> Report:
        """What the last seconds' steps took, op by op, of what the device can do; from any thread."""
        report = Report(on=False)
        if self.meter is not None:
            report = self.meter.report()
            report.now = self.meter.history.now(self._at_work())
        report.pacing, report.thermal = self._restraints()
        return report

    def _restraints(self) -> tuple[PacingState | None, ThermalState | None]:
        """What holds steps, prompts and batch work."""
        thermal = None if self.thermal is None else self.thermal.state(self.scheduler.shed)
        return None if self.pacing is None else self.pacing.state, thermal

    def check(self) -> None:
        """Audits the page accounting.

        Raises:
            AssertionError: pages have leaked or are used by more than their count says.
        """
        self.scheduler.check()

    def flush_cache(self) -> int:
        """Gives up all pages kept for reuse that nobody uses; returns how many."""
        before = self._free
        for pool in self.pools:
            pool.flush()
        if self.tiering is not None:
            self.tiering.flush()
        return self._free - before

    @property
    def _free(self) -> int:
        """Pages that hold nothing."""
        return sum(pool.free for pool in self.pools)

    def close(self) -> None:
        """Waits for the step in flight, ends the runner's thread and frees the latent cache. Nothing runs after it."""
        self.runner.finish()
        if self.tiering is not None:
            self.tiering.close()
        self.runner.close()
        self._input.close()
        for watch in (self.energy, self.thermal):
            if watch is not None:
                watch.close()

    # -- parts

    def _settle(self, done: Callable[[], None]) -> None:
        if self.tiering is None:
            done()
            return
        if saves := self.tiering.idle_saves():
            self.runner.save(saves)
        tiers = self.tiering.tiers
        self.runner.after_launched(lambda: tiers.when_settled(done))

    def _check_queue(self) -> None:
        waiting = self.scheduler.waiting + len(self._inbox)
        if waiting >= self.config.max_waiting:
            raise RequestError(f"{waiting:,} requests are waiting already; try later", kind="overloaded")

    def _finish(self, flight: InFlightStep) -> None:
        """Takes in what a step drew: stops, faults, text, pages to keep."""
        batch = flight.batch
        slots = batch.slots
        current = self.scheduler.epoch[slots] == batch.epochs
        waited = time.perf_counter()
        try:
            result = flight.result.result()
        except RankLost:
            raise
        except Exception:
            log.exception("a step failed; its requests are ended")
            if self.energy is not None:
                self.energy.fail()
            for slot in slots[current].tolist():
                self._fail(slot, "internal")
            return
        now = time.monotonic()
        self._device_seconds = max(time.perf_counter() - waited, 0.0 if self.config.overlap else result.seconds)
        self._count(result, batch)
        if self.energy is not None:
            self.energy.share(batch, current, self.scheduler, 1 + int(result.drafted.max(initial=0)), result.seconds)
        for row in [row for row in result.faults if current[row]]:
            current[row] = False
            self._fail(int(slots[row]), result.faults[row])
        for row, entries in result.prompt_logprobs.items():
            if current[row]:
                self._add_prompt_logprobs(int(slots[row]), batch.chunks[row - len(batch.decode)].start, entries)

        launched = np.full(len(slots), 1 + self.config.drafts)
        launched[len(batch.decode) :] = 1
        drew = np.arange(len(slots)) < len(batch.decode)
        drew |= result.counts > 0
        rows = (current & drew).nonzero()[0]
        self._advance(slots[rows], launched[rows], rows, result, now)

    def _advance(self, slots: Ints, launched: Ints, rows: Ints, result: StepResult, now: float) -> None:
        """Extends sequences by their new tokens and ends those that are done."""
        scheduler = self.scheduler
        tokens = result.tokens[rows]
        ends = (tokens[:, :, None] == scheduler.stops[slots][:, None, :]).any(axis=2)
        for row in scheduler.sleeping[slots].nonzero()[0].tolist():
            ends[row] = scheduler.runs_in(int(slots[row])).ends_with(tokens[row].tolist())
        until_end = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, tokens.shape[1])
        taken = np.minimum(result.counts[rows], until_end)
        taken = np.minimum(taken, scheduler.limit[slots] - scheduler.known[slots])
        scheduler.settle(slots, launched, taken)
        known = scheduler.known[slots]
        stopped = ends[np.arange(len(rows)), np.maximum(taken, 1) - 1] & (taken > 0)
        full = known >= scheduler.limit[slots]
        pages = (known - 1) // PAGE > scheduler.kept[slots]
        self.metrics.generated_tokens += int(taken.sum())

        seqs, advance = scheduler.seqs, self.output.advance
        for slot, new, count, row, at_end, at_limit, page in zip(
            slots.tolist(),
            tokens.tolist(),
            taken.tolist(),
            rows.tolist(),
            stopped.tolist(),
            full.tolist(),
            pages.tolist(),
            strict=True,
        ):
            if not count:
                continue
            seq = seqs[slot]
            assert seq is not None
            seq.tokens += new[:count]
            if page:
                scheduler.keep_pages(seq)
            if row in result.logprobs:
                seq.logprobs += result.logprobs[row][:count]
            reason = FinishReason.STOP if at_end else FinishReason.LENGTH if at_limit else None
            advance(seq, count, reason, now)
            if reason is not None:
                self._end(seq, at_end)
            self._release_siblings(seq.group)

    def _accept(self, sequences: list[Sequence]) -> None:
        group = sequences[0].group
        self._groups[group.request.request_id] = sequences
        first = len(sequences) if not self.config.prefix_cache else 1
        group.siblings = sequences[first:]
        if self.pacing is not None:
            self.pacing.accepted(group, time.monotonic())
        for seq in sequences[:first]:
            if not self._fetches.begin(seq):
                self.scheduler.add(seq)

    def _release_siblings(self, group: SequenceGroup) -> None:
        """The prompt's pages are there to share, or never will be."""
        if not group.siblings:
            return
        first = self._groups[group.request.request_id][0]
        known = first.lookup[: (first.prompt_len - 1) // PAGE]  # of the prompt, which they share
        for seq in group.siblings:
            seq.lookup = known.copy()
            self.scheduler.add(seq)
        group.siblings = []

    def _end_early(self, request_id: str, reason: FinishReason, index: int | None = None) -> None:
        """Ends one of a request's answers, or all of them."""
        for seq in self._groups.get(request_id, []):
            if index in (None, seq.index) and not seq.finished:
                self.output.end(seq, reason)
                self._end(seq, stopped=reason is FinishReason.STOP)

    def _fail(self, slot: int, kind: str) -> None:
        seq = self.scheduler.runs_in(slot)
        if kind == "unsatisfiable" and seq.grammar is not None and seq.grammar.failed:
            kind = "too_complex"
        self.metrics.faults[kind] += 1
        self.output.end(seq, FinishReason.ERROR, kind)
        self._end(seq)
        self._release_siblings(seq.group)

    def _end(self, seq: Sequence, stopped: bool = False) -> None:
        """Takes an answer out.

        Args:
            stopped: whether it is complete.
        """
        group = seq.group
        if seq in group.siblings:  # it never reached the queue
            group.siblings.remove(seq)
            seq.state = State.FINISHED
        else:
            if seq.state is State.FETCHING:
                self._fetches.remove(seq)
            self.scheduler.finish(seq, stopped)
        if not group.unfinished:
            if self.pacing is not None:
                self.pacing.ended(self._groups[group.request.request_id], time.monotonic())
            del self._groups[group.request.request_id]
            with self._lock:
                self._ids.discard(group.request.request_id)

    def _add_prompt_logprobs(self, slot: int, start: int, entries: list[TokenLogprobs]) -> None:
        group = self.scheduler.runs_in(slot).group
        if start == 0 or group.prompt_logprobs is None:  # a first chunk, or again the first after preemption
            group.prompt_logprobs = [None]
        group.prompt_logprobs += entries

    def _count(self, result: StepResult, batch: Batch) -> None:
        """Takes in what a step took."""
        prefill = sum(len(chunk.tokens) for chunk in batch.chunks)
        m = self.metrics
        if self.tiering is not None and prefill >= PAGE and 2 * prefill >= result.computed:
            self.tiering.observe(result.computed, result.seconds)
        m.steps += 1
        m.computed_tokens += result.computed
        m.step_time.observe(result.seconds)
        self.scheduler.step_time.observe(result.computed - prefill, prefill, result.seconds)
        if self.pacing is not None:
            self.pacing.pacer.stepped(result.computed, result.seconds)
        if self.config.drafts:
            tried = result.drafted > 0
            accepted = result.counts[tried] - 1
            m.draft_steps += int(tried.sum())
            m.drafted_tokens += int(result.drafted.sum())
            m.accepted_tokens += int(accepted.sum())
            for i in range(self.config.drafts):
                m.accepted_at[i] += int((accepted > i).sum())
            if self.draft_choice is not None:
                self._learn(self.draft_choice, batch, result)

    def _learn(self, choice: DraftChoice, batch: Batch, result: StepResult) -> None:
        """What drafts gave and, of a step without prompts whose sequences all verified and made as many, took."""
        tried = result.drafted > 0
        choice.accepted(result.drafted[tried], result.counts[tried] - 1)
        live = result.drafted[result.counts > 0]
        if len(live) and not batch.chunks and (live == batch.drafts).all():
            choice.observe(len(live), int(live[0]), result.seconds)

    def _gauge(self) -> None:
        m = self.metrics
        m.running, m.waiting = self.scheduler.running, self.scheduler.waiting + len(self._fetches)
        if self.tiering is not None:
            self.tiering.gauge()
        m.pages_free, m.pages_cached = self._free, sum(pool.prefix.idle for pool in self.pools)

    def _count_eviction(self, age: float) -> None:
        self.metrics.cache_evicted_pages += 1
        self.metrics.eviction_age.observe(age)

"""Who runs in the next step: admission, chunked prefill under a token budget, growth, preemption.

The scheduler may run one step ahead of what it knows. For every slot it keeps the fewest and the most tokens that the
sequence can have once all launched steps are done, plans pages for the most, and stops at the limit by the fewest.
Costs a step: a few vector operations over the running slots, and work for each sequence whose state changes.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from math import inf

import numpy as np

from hopwell.cache.host import HostPage
from hopwell.cache.policy import Use
from hopwell.cache.pool import PagePool
from hopwell.cache.prefix import PAGE, page_keys
from hopwell.engine.batch import Admission, Batch, Chunk, Ints
from hopwell.engine.config import EngineConfig
from hopwell.engine.metrics import Metrics
from hopwell.engine.placing import best_place
from hopwell.engine.sequence import Sequence, State
from hopwell.engine.step_time import StepTime
from hopwell.engine.tiering import Tiering

AIM = 0.9
"""Of a promised mean, that steps with others' prompts may use up."""
ANSWERS = 64
"""That ended last, whose lengths are known."""
SHORT = 0.1
"""Part of them that were shorter than a new answer is taken to become."""
LET_IN = 0.8
"""Of the rows that keep a promise: as many come in, so that who was set aside for one more does not come and go."""
Queued = tuple[tuple[int, float, float, int], int, Sequence]
"""A sequence in the queue behind what it is sorted by: its order, and of equals when it came."""


class Scheduler:
    """Owns sequences, slots and pages. All methods run in the engine's thread.

    Where ranks attend for sequences of their own, each has a pool, and a sequence's pages are of one. A batch numbers
    pages through all pools, which are equally large.
    """

    def __init__(self, config: EngineConfig, pools: list[PagePool], model_len: int, metrics: Metrics) -> None:
        slots = config.max_seqs
        self.config, self.pools, self.metrics = config, pools, metrics
        self._loads = [0] * len(pools)
        """Running sequences of each pool."""
        self._placed = 0
        self.tiering: Tiering | None = None
        self.fetch: Callable[[Sequence], bool] = lambda seq: False
        """Whether a sequence is to wait for pages from below the pool, and be added when they are there."""
        self.admitting = True
        """Whether sequences may leave the queue; those that pacing holds do not."""
        self.shedding = False
        self._aside: list[Queued] = []
        """Of the queue, what was promised nothing, while that is shed."""
        self.step_time = StepTime()
        self._planned = 0.0
        """Seconds of the last step, as foreseen."""
        self._lengths = deque[int](maxlen=ANSWERS)
        self._short = 0
        """Tokens that an answer has at least, but for some."""
        self.seqs: list[Sequence | None] = [None] * slots
        self.prefilling: list[Sequence] = []
        self._waiting: list[Queued] = []
        self._serial = count()
        self._abandoned = 0  # finished sequences still in the queue
        self._free_slots = list(range(slots - 1, -1, -1))
        self._decode = np.zeros(0, np.int64)
        self._admissions: list[Admission] = []
        self._fresh: list[int] = []

        self.fewest = np.zeros(slots, np.int64)
        self.most = np.zeros(slots, np.int64)
        self.limit = np.zeros(slots, np.int64)
        self.known = np.zeros(slots, np.int64)
        self.kept = np.zeros(slots, np.int64)
        """Leading pages that were offered for reuse."""
        self.epoch = np.zeros(slots, np.int64)
        self.stops = np.full((slots, 1), -1, np.int64)
        """Tokens that end each slot's sequence; -1 is none."""
        self.sleeping = np.zeros(slots, np.bool_)
        """Slots whose sequence has tokens that do not end it in its thinking."""
        self._promised = np.zeros(slots)
        """Seconds a token; 0: none were promised."""
        self._first_at = np.zeros(slots)
        """When the first token came, once that was asked; 0 before."""
        self._prompt_len = np.zeros(slots, np.int64)
        self._capacity = np.zeros(slots, np.int64)
        self._pool_of = np.zeros(slots, np.int64)
        self._page_table = np.zeros((slots, -(-model_len // PAGE)), np.int32)

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._aside) - self._abandoned

    @property
    def running(self) -> int:
        return len(self.seqs) - len(self._free_slots)

    @property
    def shed(self) -> int:
        """Sequences that wait because what was promised nothing is shed."""
        return sum(seq.state is not State.FINISHED for _, _, seq in self._aside)

    @property
    def short(self) -> bool:
        """Whether the first in the queue finds no slot, or no pages."""
        seq = self._first_waiting()
        return seq is not None and self._place(seq) is None

    def runs_in(self, slot: int) -> Sequence:
        """The sequence of a slot that has one."""
        seq = self.seqs[slot]
        assert seq is not None
        return seq

    def decoding(self) -> list[Sequence]:
        """Sequences whose prompt has been launched whole."""
        return [self.runs_in(slot) for slot in self._decode.tolist()]

    def queued(self) -> Iterator[Sequence]:
        """Sequences that may come next, in no order."""
        self._first_waiting()
        return (seq for _, _, seq in self._waiting if seq.state is not State.FINISHED and not self._sheds(seq))

    def cached(self, seq: Sequence) -> int:
        """Tokens of a waiting sequence that need not be computed, at best."""
        keys = self.lookup_keys(seq)
        return PAGE * max(len(pool.prefix.match(keys)) for pool in self.pools)

    def prompt_budget(self) -> int:
        """Rows of prompts that the next step can take."""
        return self._budget(len(self._decode) * (1 + self.config.drafts))

    def shed_unpromised(self, on: bool) -> None:
        """Keeps out, or no longer, whatever was promised nothing."""
        self.shedding = on
        if not on:
            for entry in self._aside:
                heapq.heappush(self._waiting, entry)
            self._aside.clear()

    def add(self, seq: Sequence) -> None:
        """Queues a sequence."""
        seq.state = State.WAITING
        heapq.heappush(self._waiting, (seq.order, next(self._serial), seq))

    def finish(self, seq: Sequence, stopped: bool = False) -> None:
        """Takes a sequence out, wherever it is, and returns its pages.

        Args:
            stopped: whether its answer is complete.
        """
        if seq.awaited is not None and self.tiering is not None:
            self.tiering.drop(seq.awaited)
            seq.awaited = None
        if seq.state is State.WAITING:
            self._abandoned += 1
        elif seq.state is not State.FETCHING:
            request, answer = seq.request, len(seq.answer)
            self._vacate(seq, Use(seq.prompt_len, answer, stopped, request.cache_hint, request.priority))
            if stopped:
                self._lengths.append(answer)
                self._short = sorted(self._lengths)[int(SHORT * len(self._lengths))]
        seq.state = State.FINISHED

    def schedule(self) -> Batch | None:
        """Plans the next step, or None if nothing can run before the steps in flight are done."""
        self._grow()
        self._keep_pace()
        self._yield_to_first()
        decode = self._decode[self.fewest[self._decode] < self.limit[self._decode]]
        width = 1 + self.config.drafts
        chunks = self._prefill(self._budget(len(decode) * width))
        if not len(decode) and not chunks:
            return None
        slots = np.concatenate((decode, np.array([chunk.slot for chunk in chunks], np.int64))) if chunks else decode
        columns = int(self._capacity[slots].max()) // PAGE
        batch = Batch(
            decode=decode,
            chunks=chunks,
            pages=self._page_table[slots, :columns],
            epochs=self.epoch[slots],
            admissions=self._admissions,
            fresh=self._fresh,
        )
        if self.tiering is not None:
            batch.saves, batch.loads = self.tiering.moves()
        self._admissions, self._fresh = [], []
        self._planned = self.step_time.seconds(len(decode) * width, sum(len(chunk.tokens) for chunk in chunks))
        self.fewest[decode] += 1
        self.most[decode] += width
        for chunk in chunks:
            if chunk.following is None:
                self._start_decoding(chunk.slot)
        return batch

    def settle(self, slots: Ints, launched: Ints, taken: Ints) -> None:
        """Learns what steps did: slots that could have gained 1 to `launched` tokens gained `taken`."""
        self.known[slots] += taken
        self.fewest[slots] += taken - 1
        self.most[slots] += taken - launched

    def keep_pages(self, seq: Sequence) -> None:
        """Offers for reuse the pages that a sequence has filled; call it once their last row proved finite."""
        if not self.config.prefix_cache:
            return
        computed = len(seq.tokens) - 1  # the last token is not in the cache yet
        if seq.request.cache_tokens is not None:
            computed = min(computed, seq.request.cache_tokens)
        pool, first, end = self.pools[seq.pool], len(seq.keys), computed // PAGE
        parent = seq.keys[-1] if seq.keys else seq.root
        for i, key in enumerate(page_keys(seq.tokens[first * PAGE : end * PAGE], parent), start=first):
            seq.keys.append(key)
            seq.pages[i] = page = pool.keep(key, seq.pages[i], seq.pages[i - 1] if i else None)
            self._page_table[seq.slot, i] = self._number(seq.pool, page)
        self.kept[seq.slot] = end

    def check(self) -> None:
        """Audits the page accounting.

        Raises:
            AssertionError: as `PagePool.check`.
        """
        for number, pool in enumerate(self.pools):
            pool.check([seq.pages for seq in self.seqs if seq is not None and seq.pool == number])

    def _grow(self) -> None:
        """Gives decoding sequences the pages that their next step may touch, preempting the last in order if needed."""
        decode = self._decode
        reach = np.minimum(self.most[decode] + 2 * self.config.drafts, self.limit[decode])
        short = decode[(reach > self._capacity[decode]) & (self.fewest[decode] < self.limit[decode])]
        for slot, epoch in zip(short.tolist(), self.epoch[short].tolist(), strict=True):
            seq = self.seqs[slot]
            if seq is None or self.epoch[slot] != epoch:
                continue  # preempted for another's sake
            tokens = min(int(self.most[slot]) + 2 * self.config.drafts, seq.limit)
            if self._make_room(-(-tokens // PAGE) - len(seq.pages), seq):
                self._extend(seq, self._allocate(seq.pool, -(-tokens // PAGE) - len(seq.pages)))

    def _make_room(self, pages: int, seq: Sequence) -> bool:
        """Preempts until `pages` are available where `seq` is; False if it was its own turn to give way."""
        while self.pools[seq.pool].available < pages:
            last = self._last(seq.pool)
            assert last is not None, "whoever grows runs"
            self._preempt(last)
            if last is seq:
                return False
        return True

    def _last(self, pool: int | None = None) -> Sequence | None:
        """The running sequence that is served last, of those of a pool; None: of all."""
        running = (seq for seq in self.seqs if seq is not None and pool in (None, seq.pool))
        return max(running, key=lambda seq: seq.order, default=None)

    def _preempt(self, seq: Sequence) -> None:
        """Sends a running sequence back to the queue; its pages are computed again, but for those that stay kept."""
        self._vacate(seq)
        self.metrics.preemptions += 1
        seq.fetches = 0
        self.add(seq)

    def _budget(self, decode_rows: int) -> int:
        """Rows left for prefill: a step must not break a promise to one that decodes."""
        rows = self.config.max_batch_tokens - decode_rows
        if (promised := self._promises()).size and decode_rows:
            first = self._first_waiting() if self.admitting else None
            read = [*self.prefilling, *([] if first is None else [first])]
            urgent = any(seq.group.latency.promises for seq in read)
            allowed = max(float(promised.min()), self._spare(decode_rows) if urgent else 0.0)
            rows = min(rows, max(self.step_time.prompt_rows_within(allowed, decode_rows), PAGE))
        return int(rows)

    def _promises(self) -> np.ndarray:
        """Seconds a token of each that decodes and was promised some."""
        promised = self._promised[self._decode]
        return promised[promised > 0]

    def _spare(self, decode_rows: int) -> float:
        """Seconds that a step may take for the sake of others' first tokens. What is promised is an answer's mean: who
        was faster so far can wait, and who has just begun can as long as the rest of an answer, though it be short,
        will make up for it."""
        slots = self._decode[self._promised[self._decode] > 0]
        for slot in slots[self._first_at[slots] == 0].tolist():
            self._first_at[slot] = self.runs_in(slot).first_token_at
        launched = self.fewest[slots] - self._prompt_len[slots]
        tokens = np.maximum(launched + 1, np.minimum(self._short, self.limit[slots] - self._prompt_len[slots]))
        first = self._first_at[slots]
        taken = np.where(first > 0, time.monotonic() - first, 0.0)
        taken += np.where(self.fewest[slots] > self.known[slots], self._planned, 0.0)
        each = self.step_time.seconds(decode_rows)
        spare = AIM * self._promised[slots] * (tokens - 1) - taken - each * (tokens - 1 - launched)
        return float(spare.min(initial=inf))

    def _prefill(self, budget: int) -> list[Chunk]:
        """Chunks of admitted sequences and of new ones, best in order first: a long prompt is set aside for an urgent
        one."""
        chunks: list[Chunk] = []
        begun = deque(sorted(self.prefilling, key=lambda seq: seq.order))
        while budget > 0:
            first = self._first_waiting() if self.admitting else None
            urgent = first is not None and (not begun or first.order < begun[0].order)
            seq = (self._admit() if urgent else None) or (begun.popleft() if begun else None)
            if seq is None:
                break
            chunks.append(self._chunk(seq, budget))
            budget -= len(chunks[-1].tokens)
        self.prefilling = [seq for seq in self.prefilling if seq.scheduled < len(seq.tokens)]
        return chunks

    def _chunk(self, seq: Sequence, budget: int) -> Chunk:
        start, total = seq.scheduled, len(seq.tokens)
        seq.scheduled = end = min(start + budget, total)
        following = seq.tokens[end] if end < total else None
        wanted = seq.params.prompt_logprobs if start < seq.prompt_len and not seq.answer and seq.index == 0 else None
        return Chunk(seq.slot, start, seq.tokens[start:end], following, wanted)

    def _admit(self) -> Sequence | None:
        """Gives the first in the queue a slot and pages for what it holds already, if they can be had."""
        while True:
            seq = self._first_waiting()
            if seq is None or (place := self._place(seq)) is None or self._held_back(seq):
                return None
            heapq.heappop(self._waiting)
            if not self.fetch(seq):  # else it comes again, with pages from below the pool
                break
        keys = self.lookup_keys(seq)
        shared = self.pools[place].share(keys)
        seq.slot = slot = self._free_slots.pop()
        self.seqs[slot] = seq
        seq.pool = self._pool_of[slot] = place
        self._loads[place] += 1
        self._placed += 1
        fetched = self._take_fetched(seq, len(shared))
        known = len(shared) + len(fetched)
        seq.state, seq.scheduled, seq.pages, seq.keys = State.PREFILL, known * PAGE, [], keys[: len(shared)]
        self.kept[slot] = len(shared)
        self.limit[slot], self._capacity[slot] = seq.limit, 0
        self._promised[slot], self._first_at[slot] = seq.group.latency.tpot or 0.0, 0.0
        self._prompt_len[slot] = seq.prompt_len
        self._set_stops(slot, seq.ends)
        self.sleeping[slot] = bool(seq.sleeping)
        self._extend(seq, shared)
        new = self._allocate(place, self._first_pages(seq) - len(shared))
        self._extend(seq, new)
        if fetched and self.tiering is not None:
            self.tiering.load(new[: len(fetched)], fetched)
        self.prefilling.append(seq)
        prompt, answer = seq.tokens.prompt, list(seq.answer)
        self._admissions.append(Admission(slot, seq.params, seq.seed, seq.limit, prompt, answer, seq.ends, seq.grammar))
        self._count_lookup(seq, keys, len(shared), known)
        return seq

    def _take_fetched(self, seq: Sequence, shared: int) -> list[HostPage]:
        """Pages from below the pool that follow the shared ones of a sequence."""
        awaited, seq.awaited = seq.awaited, None
        return [] if awaited is None or self.tiering is None else self.tiering.take(awaited, shared)

    def _first_waiting(self) -> Sequence | None:
        while self._waiting:
            seq = self._waiting[0][2]
            if seq.state is State.FINISHED:
                heapq.heappop(self._waiting)
                self._abandoned -= 1
            elif self._sheds(seq):
                self._aside.append(heapq.heappop(self._waiting))
            else:
                return seq
        return None

    def _sheds(self, seq: Sequence) -> bool:
        return self.shedding and not seq.group.latency.promises

    def _first_pages(self, seq: Sequence) -> int:
        """Pages for what a sequence holds, its next token and the drafts after that."""
        return -(-min(len(seq.tokens) + 1 + 2 * self.config.drafts, seq.limit) // PAGE)

    def _place(self, seq: Sequence) -> int | None:
        """The pool that suits a waiting sequence best, of those that can give it pages without taking them from
        another; None: there is none, or no slot."""
        if not self._free_slots:
            return None
        keys = self.lookup_keys(seq)
        known = [pool.prefix.match(keys) for pool in self.pools]
        loads = {place: self._loads[place] for place, pages in enumerate(known) if self._has_room(seq, place, pages)}
        return best_place([len(pages) for pages in known], loads, self._placed) if loads else None

    def _has_room(self, seq: Sequence, place: int, known: list[int]) -> bool:
        """Whether a pool that keeps some of a sequence's pages can give it the others."""
        pool = self.pools[place]
        idle = sum(not pool.users(page) for page in known)  # to be shared, so not to be given up
        # some room for those that decode, or they would preempt the newcomer at once
        spare = min(int((self._pool_of[self._decode] == place).sum()), pool.num_pages // 16)
        return pool.available >= self._first_pages(seq) - len(known) + idle + spare

    def _held_back(self, seq: Sequence) -> bool:
        """Whether a sequence that was promised no pace waits, because its rows would break another's promise."""
        rows = (self.running + 1) * (1 + self.config.drafts)
        return seq.group.latency.tpot is None and self._breaks(rows / LET_IN, seq.request.priority)

    def _breaks(self, rows: float, priority: int) -> bool:
        """Whether steps of so many rows break the promise to one that runs and comes no later than this priority. A
        promise that cannot be kept even alone is none."""
        promised = [
            seq.group.latency.tpot
            for seq in self.seqs
            if seq is not None and seq.group.latency.tpot and seq.request.priority <= priority
        ]
        return bool(promised) and 1 + self.config.drafts <= self.step_time.rows_within(min(promised)) < rows

    def _keep_pace(self) -> None:
        """Preempts those who were promised no pace, the last in order first, while their rows break another's promise:
        one came when they ran already."""
        width, decoding = 1 + self.config.drafts, len(self._decode)
        promised = self._promises()
        if not 0 < promised.size < decoding:
            return
        if decoding * width <= self.step_time.rows_within(float(promised.min())):
            return
        unpromised = [seq for seq in self.decoding() if seq.group.latency.tpot is None]
        for seq in sorted(unpromised, key=lambda seq: seq.order, reverse=True):
            if self._breaks(len(self._decode) * width, seq.request.priority):
                self._preempt(seq)

    def _yield_to_first(self) -> None:
        """Preempts sequences of lower priority than the first in the queue, or of its own and without a promise where
        that one has one, of one pool, until it fits."""
        seq, pool = self._first_waiting() if self.admitting else None, None
        if seq is None:
            return
        promises = seq.group.latency.promises
        while self._place(seq) is None:
            last = self._last(pool)
            if last is None or last.request.priority < seq.request.priority:
                return
            if last.request.priority == seq.request.priority and not (promises and not last.group.latency.promises):
                return
            pool = last.pool
            self._preempt(last)

    def lookup_keys(self, seq: Sequence) -> list[bytes]:
        """Keys of the pages that a sequence may share: all but the last token, whose row gives the next one."""
        if not self.config.prefix_cache or seq.params.prompt_logprobs is not None:
            return []
        full = (len(seq.tokens) - 1) // PAGE
        if len(seq.lookup) < full:  # a sequence at the head of the queue is looked up every step
            parent = seq.lookup[-1] if seq.lookup else seq.root
            seq.lookup += page_keys(seq.tokens[len(seq.lookup) * PAGE : full * PAGE], parent)
        return seq.lookup

    def _count_lookup(self, seq: Sequence, keys: list[bytes], shared: int, known: int) -> None:
        """Counts hits and misses, of a sequence's first admission only.

        Args:
            known: pages that need not be computed, the `shared` ones of the pool among them.
        """
        if seq.admitted:
            return
        seq.admitted = True
        if seq.group.scheduled_at is None:
            seq.group.scheduled_at = time.monotonic()
        if seq.group.cached_tokens is None:
            seq.group.cached_tokens = known * PAGE
        self.metrics.prompt_tokens += seq.prompt_len
        if self.config.prefix_cache:
            self.metrics.cache_lookup_tokens += seq.prompt_len
            self.metrics.cache_hit_tokens += shared * PAGE
            self.metrics.cache_recomputed_tokens += self.pools[seq.pool].prefix.lost(keys[known:]) * PAGE

    def _set_stops(self, slot: int, ends: list[int]) -> None:
        if len(ends) > self.stops.shape[1]:
            more = np.full((len(self.stops), len(ends) - self.stops.shape[1]), -1, np.int64)
            self.stops = np.concatenate((self.stops, more), axis=1)
        self.stops[slot] = -1
        self.stops[slot, : len(ends)] = ends

    def _number(self, pool: int, page: int) -> int:
        """Of a pool's page, through all pools."""
        return pool * self.pools[0].num_pages + page

    def _allocate(self, pool: int, count: int) -> list[int]:
        pages = self.pools[pool].allocate(count)
        self._fresh += [self._number(pool, page) for page in pages]
        return pages

    def _extend(self, seq: Sequence, pages: list[int]) -> None:
        numbers = [self._number(seq.pool, page) for page in pages]
        self._page_table[seq.slot, len(seq.pages) : len(seq.pages) + len(pages)] = numbers
        seq.pages += pages
        self._capacity[seq.slot] = len(seq.pages) * PAGE

    def _start_decoding(self, slot: int) -> None:
        seq = self.runs_in(slot)
        seq.state = State.DECODE
        self.known[slot] = len(seq.tokens)
        self.fewest[slot] = self.most[slot] = len(seq.tokens) + 1
        self._decode = np.append(self._decode, slot)

    def _vacate(self, seq: Sequence, use: Use | None = None) -> None:
        """Takes back a slot and its pages. Steps in flight may still write to them; the next tenant's come after.

        Args:
            use: what the request was, if it has ended.
        """
        slot = seq.slot
        if seq.state is State.PREFILL and seq in self.prefilling:
            self.prefilling.remove(seq)
        if seq.state is State.DECODE:
            self._decode = self._decode[self._decode != slot]
        self.pools[seq.pool].release(seq.pages, use)
        self._loads[seq.pool] -= 1
        if self.tiering is not None:
            self.tiering.released(seq.keys, seq.pages)
        self.epoch[slot] += 1
        self.seqs[slot] = None
        self._free_slots.append(slot)
        seq.slot, seq.pages, seq.keys, seq.scheduled = -1, [], [], 0

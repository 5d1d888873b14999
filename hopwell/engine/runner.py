"""The device's side of the engine: runs batches in order and draws their tokens.

It alone knows how far each slot has come, so a step can be launched before the last one's tokens are known. With
`overlap` a CPU's steps run in a thread of the runner's own. A GPU works on its own anyhow: there a step is given to it
while it computes the one before, whose tokens it takes from where they are, in its memory; with drafts, which of them
held as well. But for steps with grammars, penalties or log-probabilities, which need the tokens here, and with drafts
those with prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.engine.ahead import StepAhead
from hopwell.engine.batch import Admission, Batch, Chunk, InFlightStep, Ints, Result, StepResult
from hopwell.engine.draft_state import Progress, Told
from hopwell.engine.logits_processor import LogitsProcessor
from hopwell.engine.logprobs import prompt_logprobs, token_logprobs
from hopwell.engine.meter import StepMeter
from hopwell.engine.page_mover import Move, PageMover
from hopwell.engine.runnable import Markable, Model, Positioned, close_model, draft_ops
from hopwell.engine.sampler import Draws, Sampler, to_device, to_host
from hopwell.engine.speculate import accepted_drafts, forced_drafts
from hopwell.limits.marks import UNMARKED, Marks
from hopwell.model.batch import ForwardBatch
from hopwell.ops.device import as_current

INPUTS, SAMPLING = "inputs", "sampling"
"""What the runner does of a step, as the meter has it."""


class Runner:
    """Executes batches over one latent cache."""

    def __init__(
        self,
        model: Model,
        num_pages: int,
        slots: int,
        drafts: int = 0,
        forced_acceptance: float | None = None,
        overlap: bool = False,
        meter: StepMeter | None = None,
    ) -> None:
        """
        Args:
            meter: what measures steps; None: nothing does.
        """
        self.meter, self._marked = meter, model
        if meter is not None:
            assert isinstance(model, Markable), "a meter is made for a model that can be marked"
            self._marked = model.marked(meter.recorder)
        self.model, self.drafts, self.forced_acceptance = model, drafts, forced_acceptance
        self.device = model.device
        self.latent = model.new_latent(num_pages)
        self.mover: PageMover | None = None
        """Moves pages from and to host memory, where there is a tier for them."""
        self.sampler = Sampler(slots, self.device, getattr(model, "greedy", None))
        self._processors: dict[int, LogitsProcessor] = {}
        self._logprobs = np.full(slots, -1, np.int64)
        self._length = np.zeros(slots, np.int64)  # tokens known, the last one not yet in the cache
        self._limit = np.zeros(slots, np.int64)
        self._last = np.zeros(slots, np.int64)  # the last token known
        self._draft = np.zeros((slots, drafts), np.int64)
        self._drafted = np.zeros(slots, np.int64)
        self._asked = np.zeros(slots, np.int64)
        """Drafts that were to be made of each slot in its last step: at least what there is, while that is ahead."""
        self._tenancy = np.zeros(slots, np.int64)
        """Counts the tenants of each slot: a step read late must not touch what is a later one's."""
        self._read_at = 0.0
        on_gpu = self.device.type == "cuda"
        self._thread = ThreadPoolExecutor(1, "hopwell-runner") if overlap and not on_gpu else None
        self._runs_ahead = overlap and on_gpu
        self._ahead: StepAhead | None = None
        self._progress = Progress(slots, drafts, self.device, forced_acceptance, draft_ops(model)) if drafts else None
        self._progress_holds = False
        """Whether it says what is said here and what follows from steps that are ahead."""

    def launch(self, batch: Batch) -> InFlightStep:
        """Starts a step. Steps run in the order of their launch; an exception comes out of the flight's result."""
        if self._thread is not None:
            return InFlightStep(batch, self._thread.submit(self._execute, batch))
        result: Future[StepResult] = Future()
        try:
            with as_current(self.device):
                if self._runs_ahead and self._can_run_ahead(batch):
                    return InFlightStep(batch, self._execute_ahead(batch))
                self._settle()
                self._progress_holds = False
                result.set_result(self._execute(batch))
        except Exception as error:
            result.set_exception(error)
        return InFlightStep(batch, result)

    def save(self, moves: list[Move]) -> None:
        """Copies pages to host memory after all that was launched, and waits until that is done or begun."""
        mover = self.mover
        assert mover is not None
        if self._thread is not None:
            self._thread.submit(mover.save, moves).result()
            return
        with as_current(self.device):
            mover.save(moves)

    def after_launched(self, function: Callable[[], None]) -> None:
        """Calls a function once all that was launched has given its saves to the mover."""
        if self._thread is not None:
            self._thread.submit(function)
        else:
            function()

    def _settle(self) -> None:
        """Until nothing is ahead."""
        if self._ahead is not None:
            self._ahead.result()

    def _can_run_ahead(self, batch: Batch) -> bool:
        """Whether a step needs nothing of the one before but its tokens."""
        admitted = [admission.params for admission in batch.admissions]
        if any(LogitsProcessor.needed(params) or params.logprobs is not None for params in admitted):
            return False
        if self.drafts and not self._can_draft_ahead(batch):
            return False
        if any(chunk.prompt_logprobs is not None for chunk in batch.chunks):
            return False
        new = {admission.slot for admission in batch.admissions}
        old = [slot for slot in batch.slots.tolist() if slot not in new]
        return not (self._logprobs[old] >= 0).any() and not any(slot in self._processors for slot in old)

    def _can_draft_ahead(self, batch: Batch) -> bool:
        rows = len(batch.decode) * (1 + int(self._asked[batch.decode].max(initial=0)))
        return not batch.chunks and isinstance(self.model, Positioned) and self.model.takes_positions(rows)

    def finish(self) -> None:
        """Waits for what was launched, and ends the runner's thread."""
        self._settle()
        if self._thread is not None:
            self._thread.shutdown()

    def close(self) -> None:
        """After `finish`: gives the latent cache's memory back."""
        self.finish()
        self.mover = None
        self.latent = torch.empty(0)
        close_model(self.model)

    @torch.inference_mode()
    def _execute_ahead(self, batch: Batch) -> Result:
        """Gives the device a step; `_read` takes in what it drew."""
        if self._progress is not None:
            return self._draft_ahead(batch, self._progress)
        started = time.perf_counter()
        model, marks, live = self._begin(batch)
        decoding = batch.decode[live]
        if not len(decoding) and not batch.chunks:
            return _at_once(StepResult.empty(len(batch.pages), 1))
        tokens, last = self._given(decoding)
        forward = self._forward_batch(batch, live, np.ones(len(decoding), np.int64), last, self._length[decoding] - 1)
        if tokens is not None:
            chunks = forward.tokens[len(decoding) :]
            given = torch.cat((tokens, self._tensor(chunks.numpy()))) if len(chunks) else tokens
            forward = replace(forward, tokens=given)
        slots, rows, source = self._drawing_rows(batch, live, len(decoding))
        marks.mark(INPUTS)
        _, logits = self._step(model, forward, source)
        if len(slots):
            drawn = self.sampler.pick(logits, slots, self._length[slots])
        else:  # nothing, but its arrival says when the device has done all that it was given before
            drawn = torch.empty(2, 0, dtype=torch.int64, device=self.device)
        arrived = to_host(drawn)
        marks.mark(SAMPLING, len(slots))
        self._length[slots] += 1
        self._ahead = StepAhead(
            read=self._read,
            slots=slots,
            tenancies=self._tenancy[slots],
            rows=rows,
            height=len(batch.pages),
            computed=len(forward.positions),
            drawn=drawn,
            arrived=arrived,
            started=started,
            measured=self._stop(marks),
        )
        return self._ahead

    def _draft_ahead(self, batch: Batch, progress: Progress) -> Result:
        """The same with drafts; `_read_drafted` takes in what came of them."""
        started = time.perf_counter()
        model, marks, live = self._begin(batch)
        slots, following = batch.decode[live], self._drafts_after(batch)
        if not len(slots):
            return _at_once(StepResult.empty(len(batch.pages), 1 + self.drafts))
        width = 1 + int(self._asked[slots].max())
        if not self._progress_holds:
            progress.load(self._length, self._limit, self.sampler.seed, self._drafted, self._last, self._draft)
            self._progress_holds = True
        pages, going = torch.from_numpy(batch.pages[live]), progress.begin(slots, width)
        # at most: a step that is ahead may have gained as many, and this one writes as many
        reach = np.minimum(self._length[slots] + 2 * (1 + self.drafts), self._limit[slots]).tolist()
        forward = ForwardBatch(going.tokens, going.positions, [width] * len(slots), reach, pages)
        marks.mark(INPUTS)
        hidden, logits = model.step(forward, self.latent)
        found = self.sampler.pick(logits, np.repeat(slots, width), going.places)
        verified = going.verify(found, following)
        marks.mark(SAMPLING, len(logits))
        hidden = model.draft(hidden, replace(forward, tokens=verified.drawn), self.latent)
        if following:
            hidden, (positions, places) = hidden.index_select(0, verified.source), verified.at
        for i in range(following):
            if i:
                one = ForwardBatch(found[0], positions, [1] * len(slots), reach, pages)
                marks.mark(INPUTS)
                hidden = model.draft(hidden, one, self.latent)
            found = self.sampler.pick(model.logits(hidden), slots, places)
            positions, places = going.drafted(found, i)
            marks.mark(SAMPLING, len(slots))
        self._asked[slots] = following
        self._ahead = StepAhead(
            read=self._read_drafted,
            slots=slots,
            tenancies=self._tenancy[slots],
            rows=live,
            height=len(batch.pages),
            computed=len(forward.positions),
            drawn=verified.told,
            arrived=to_host(verified.told),
            started=started,
            measured=self._stop(marks),
        )
        return self._ahead

    def _begin(self, batch: Batch) -> tuple[Model, Marks, Ints]:
        """Takes in what comes before a step's rows.

        Returns:
            What computes the step and who hears of its ops, and those of `batch.decode` that are below their limits.
        """
        model, marks = self._model()
        self._move(model, batch)
        for admission in batch.admissions:
            self._admit(admission)
        return model, marks, (self._length[batch.decode] < self._limit[batch.decode]).nonzero()[0]

    def _stop(self, marks: Marks) -> bool:
        """Ends the marks of a step; whether there are any.

        Hazard: those of one that is ahead are read with its tokens, so the next measured step must begin after that:
        see `meter.LEAST`.
        """
        if self.meter is None or marks is UNMARKED:
            return False
        self.meter.recorder.stop()
        return True

    def _model(self) -> tuple[Model, Marks]:
        if self.meter is not None and self.meter.begin():
            return self._marked, self.meter.recorder
        return self.model, UNMARKED

    def _given(self, slots: Ints) -> tuple[Tensor | None, Ints]:
        """The last tokens of slots: on the device, where the step before draws them; and here, if they are known."""
        before = self._ahead
        if before is not None and len(slots):
            row_of = np.full(len(self._length), -1)
            row_of[before.slots] = np.arange(len(before.slots))
            source = row_of[slots]
            if (source < 0).any():  # a slot that paused: its last token is known, the others' will be
                self._settle()
            elif len(source) == len(before.slots) and (source == np.arange(len(source))).all():
                return before.drawn[0], self._last[slots]
            else:
                return before.drawn[0][self._tensor(source)], self._last[slots]
        return None, self._last[slots]

    def _drawing_rows(self, batch: Batch, live: Ints, count: int) -> tuple[Ints, Ints, Ints]:
        """Who draws a token: the live decode slots, and those whose prefill ends, which begin to decode here.

        Args:
            count: rows of the decode slots in the forward batch.

        Returns:
            Their slots, their rows in `batch`, and the forward batch's rows to draw from: all `count`, then the ends'.
        """
        ends = np.cumsum([count, *(len(chunk.tokens) for chunk in batch.chunks)])[1:] - 1
        final = np.array([i for i, chunk in enumerate(batch.chunks) if chunk.following is None], np.int64)
        for i in final:
            chunk = batch.chunks[i]
            self._length[chunk.slot] = chunk.start + len(chunk.tokens)
            self._last[chunk.slot] = chunk.tokens[-1]
        slots = np.concatenate((batch.decode[live], np.array([batch.chunks[i].slot for i in final], np.int64)))
        return slots, np.concatenate((live, len(batch.decode) + final)), np.concatenate((np.arange(count), ends[final]))

    def _step(self, model: Model, batch: ForwardBatch, rows: Ints) -> tuple[Tensor, Tensor]:
        """Hidden states of a step, and logits of some of its rows, in order."""
        every = len(rows) == len(batch.positions)
        return model.step(batch, self.latent, None if every else self._tensor(rows))

    def _read(self, step: StepAhead) -> StepResult:
        """The tokens of a step that was given ahead."""
        draws, result = Draws.of(step.arrived()), StepResult.empty(step.height, 1)
        result.tokens[step.rows, 0], result.counts[step.rows] = draws.tokens, 1
        result.computed = step.computed
        own = self._tenancy[step.slots] == step.tenancies
        self._last[step.slots[own]] = draws.tokens[own]
        for i in (~np.isfinite(draws.best)).nonzero()[0].tolist():
            result.faults[int(step.rows[i])] = "nan_logits"
            if own[i]:
                self._limit[step.slots[i]] = 0  # a step already launched must not run it again
        self._has_read(step, result)
        return result

    def _read_drafted(self, step: StepAhead) -> StepResult:
        """The tokens of a step with drafts that was given ahead."""
        told, result = Told.of(step.arrived(), self.drafts), StepResult.empty(step.height, 1 + self.drafts)
        width = told.drawn.shape[1]
        result.tokens[step.rows, :width], result.counts[step.rows] = told.drawn, told.gained
        result.drafted[step.rows], result.computed = told.verified, step.computed
        own = self._tenancy[step.slots] == step.tenancies
        self._take(step.slots[own], told, own)
        drawn = np.arange(width) < told.gained[:, None]
        faulty = (~np.isfinite(told.best) & drawn).any(axis=1)
        result.faults = dict.fromkeys(step.rows[faulty].tolist(), "nan_logits")
        self._limit[step.slots[faulty & own]] = 0
        self._has_read(step, result)
        return result

    def _take(self, slots: Ints, told: Told, own: NDArray[np.bool_]) -> None:
        """Follows what the device has done with slots, whose rows in `told` are `own`."""
        gained = told.gained[own]
        self._length[slots] += gained
        last = told.drawn[own, np.maximum(gained, 1) - 1]
        self._last[slots] = np.where(gained > 0, last, self._last[slots])
        self._draft[slots], self._drafted[slots] = told.draft[own], told.drafted[own]

    def _has_read(self, step: StepAhead, result: StepResult) -> None:
        if self._ahead is step:
            self._ahead = None
        # it began when it was given, or when the one before was done
        now = time.perf_counter()
        result.seconds, self._read_at = now - max(step.started, self._read_at), now
        if self.meter is not None and step.measured:
            self.meter.end(result.seconds)

    @torch.inference_mode()
    def _execute(self, batch: Batch) -> StepResult:
        started = time.perf_counter()
        model, marks, live = self._begin(batch)

        # decode rows: the last known token and its drafts; equally long rows adjacent, for attention takes them at once
        queries = 1 + self._drafted[batch.decode[live]]
        if self.drafts and len(set(queries.tolist())) > 1:
            order = np.argsort(-queries, kind="stable")
            live, queries = live[order], queries[order]
        slots = batch.decode[live]
        columns = np.arange(1 + self.drafts)
        valid = columns < queries[:, None]
        tokens = np.concatenate((self._last[slots, None], self._draft[slots]), axis=1)[valid]
        positions = (self._length[slots, None] - 1 + columns)[valid]
        if not len(tokens) and not batch.chunks:
            return StepResult.empty(len(batch.pages), 1 + self.drafts)  # all had reached their limits
        forward = self._forward_batch(batch, live, queries, tokens, positions)
        slots, rows, source = self._drawing_rows(batch, live, len(tokens))
        marks.mark(INPUTS)
        hidden, logits = self._step(model, forward, source)
        queries = np.concatenate((queries, np.ones(len(slots) - len(live), np.int64)))
        valid = columns < queries[:, None]
        ends = np.cumsum([len(tokens), *(len(chunk.tokens) for chunk in batch.chunks)])[1:] - 1
        result = StepResult.empty(len(batch.pages), 1 + self.drafts)
        result.computed = len(forward.positions)
        result.prompt_logprobs = prompt_logprobs(model, batch, hidden, ends)
        drawn = np.zeros((len(slots), 1 + self.drafts), np.int64)
        accepted = np.zeros(len(slots), np.int64)
        if len(slots):
            accepted = self._draw(logits, slots, rows, queries, valid, drawn, result)
            result.tokens[rows], result.counts[rows] = drawn, accepted + 1
            result.drafted[rows] = queries - 1
            self._length[slots] += accepted + 1
            self._last[slots] = drawn[np.arange(len(slots)), accepted]
        marks.mark(SAMPLING, len(logits))
        if self.drafts:
            first = np.concatenate(([0], np.cumsum(queries[: len(live)])))[:-1]
            last = np.concatenate((first + accepted[: len(live)], source[len(tokens) :]))
            following = self._following(drawn[valid][: len(tokens)], drawn[len(live) :, 0], batch.chunks)
            self._propose(model, marks, forward, hidden, following, last, slots, batch, rows)
        result.seconds = time.perf_counter() - started
        if self._stop(marks) and self.meter is not None:
            self.meter.end(result.seconds)
        return result

    def _move(self, model: Model, batch: Batch) -> None:
        """Pages that change hands: saved, zeroed, loaded."""
        if batch.saves and self.mover is not None:
            self.mover.save(batch.saves)
        if batch.fresh:
            model.clear(self.latent, batch.fresh)
        if batch.loads and self.mover is not None:
            self.mover.load(batch.loads)

    def _admit(self, admission: Admission) -> None:
        slot, params = admission.slot, admission.params
        self._tenancy[slot] += 1
        self.sampler.admit(slot, params, admission.seed)
        self._limit[slot], self._length[slot] = admission.limit, 0
        self._drafted[slot] = self._asked[slot] = 0
        self._logprobs[slot] = -1 if params.logprobs is None else params.logprobs
        self._processors.pop(slot, None)
        if LogitsProcessor.needed(params):
            self._processors[slot] = LogitsProcessor(admission)

    def _forward_batch(self, batch: Batch, live: Ints, queries: Ints, tokens: Ints, positions: Ints) -> ForwardBatch:
        """The model's input: decode rows, then chunks."""
        query_lens, seq_lens = queries.tolist(), (self._length[batch.decode[live]] - 1 + queries).tolist()
        pages = batch.pages
        if len(live) < len(batch.decode) or self.drafts:
            pages = pages[np.concatenate((live, np.arange(len(batch.decode), len(pages))))]
        if batch.chunks:
            tokens = np.concatenate((tokens, *(chunk.tokens for chunk in batch.chunks)))
            spans = [np.arange(c.start, c.start + len(c.tokens)) for c in batch.chunks]
            positions = np.concatenate((positions, *spans))
            query_lens += [len(chunk.tokens) for chunk in batch.chunks]
            seq_lens += [chunk.start + len(chunk.tokens) for chunk in batch.chunks]
        return ForwardBatch(
            torch.from_numpy(tokens), torch.from_numpy(positions), query_lens, seq_lens, torch.from_numpy(pages)
        )

    def _draw(
        self, logits: Tensor, slots: Ints, rows: Ints, queries: Ints, valid: NDArray, drawn: Ints, result: StepResult
    ) -> Ints:
        """Draws a token for each row of logits into `drawn` [slots, 1 + drafts]; returns how many drafts hold."""
        drafts = self._draft[slots]
        first = np.concatenate(([0], np.cumsum(queries)))
        processors = [(i, self._processors[slot]) for i, slot in enumerate(slots.tolist()) if slot in self._processors]
        reported = (self._logprobs[slots] >= 0).nonzero()[0].tolist()
        raw = logits.clone() if processors and reported else logits
        for i, processor in processors:
            processor.edit(logits[first[i] : first[i + 1]], drafts[i, : queries[i] - 1].tolist())

        positions = (self._length[slots, None] + np.arange(1 + self.drafts))[valid]
        draws = self.sampler.draw(logits, np.repeat(slots, queries), positions)
        drawn[valid] = draws.tokens
        if self.forced_acceptance is None:
            accepted = accepted_drafts(drawn, drafts, queries - 1) if self.drafts else np.zeros(len(slots), np.int64)
        else:
            accepted = forced_drafts(self.forced_acceptance, self.sampler.seed[slots], self._length[slots], queries - 1)
            drawn[:, :-1] = np.where(np.arange(self.drafts) < accepted[:, None], drafts, drawn[:, :-1])

        if not np.isfinite(draws.best).all():
            for i in range(len(slots)):
                best = draws.best[first[i] : first[i] + accepted[i] + 1]
                if not np.isfinite(best).all():
                    hopeless = np.isneginf(best).any() and slots[i] in self._processors
                    result.faults[int(rows[i])] = "unsatisfiable" if hopeless else "nan_logits"
                    self._limit[slots[i]] = 0  # a step already launched must not run it again
        for i, processor in processors:
            processor.accept(drawn[i, : accepted[i] + 1].tolist())
        for i in reported:
            count = accepted[i] + 1
            rows_of, wanted = raw[first[i] : first[i] + count], int(self._logprobs[slots[i]])
            result.logprobs[int(rows[i])] = token_logprobs(rows_of, drawn[i, :count], wanted)
        return accepted

    def _following(self, decoded: Ints, first_tokens: Ints, chunks: list[Chunk]) -> Tensor:
        """The token after each row of the forward batch, in main memory: drawn, or the prompt's next."""
        drawn = iter(first_tokens.tolist())
        parts = [decoded]
        for chunk in chunks:
            parts.append(np.array([*chunk.tokens[1:], next(drawn) if chunk.following is None else chunk.following]))
        return torch.from_numpy(np.concatenate(parts))

    def _propose(
        self,
        model: Model,
        marks: Marks,
        forward: ForwardBatch,
        hidden: Tensor,
        following: Tensor,
        last: Ints,
        slots: Ints,
        batch: Batch,
        rows: Ints,
    ) -> None:
        """Fills the MTP layer's cache for this step's rows and drafts for the next: its one layer, again and again.

        Args:
            following: the token after each row of `forward`.
            last: for each slot, the row of its last token but one, whose draft is the next token.
            rows: each slot's row in the batch.
        """
        marks.mark(INPUTS)
        hidden = model.draft(hidden, replace(forward, tokens=following), self.latent)
        drafts = self._drafts_after(batch)
        going = (self._length[slots] + drafts <= self._limit[slots]).nonzero()[0]
        self._drafted[slots] = self._asked[slots] = 0
        slots, length = slots[going], self._length[slots[going]]
        if not len(slots):
            return
        pages = torch.from_numpy(batch.pages[rows[going]])
        hidden = hidden[self._tensor(last[going])]
        for i in range(drafts):
            if i:
                at = length - 2 + i
                step = ForwardBatch(
                    torch.from_numpy(self._draft[slots, i - 1]),
                    torch.from_numpy(at),
                    [1] * len(slots),
                    (at + 1).tolist(),
                    pages,
                )
                marks.mark(INPUTS)
                hidden = model.draft(hidden, step, self.latent)
            self._draft[slots, i] = self.sampler.draw(model.logits(hidden), slots, length + i).tokens
            marks.mark(SAMPLING, len(slots))
        self._drafted[slots] = self._asked[slots] = drafts

    def _drafts_after(self, batch: Batch) -> int:
        """Drafts to be made for the next step."""
        return self.drafts if batch.drafts is None else batch.drafts

    def _tensor(self, array: NDArray) -> Tensor:
        return to_device(array, self.device)


def _at_once(result: StepResult) -> Result:
    done: Future[StepResult] = Future()
    done.set_result(result)
    return done

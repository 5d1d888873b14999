"""What the engine tells of its sequences: tokens, log-probabilities, timings, and why each ended."""

from __future__ import annotations

import time

from hopwell.engine.metrics import Metrics
from hopwell.engine.request import FinishReason, RequestOutput, RequestTiming, SequenceOutput
from hopwell.engine.sequence import Sequence, SequenceGroup
from hopwell.engine.thinking import Where


class OutputProcessor:
    """Gathers outputs during a step."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._news: list[RequestOutput] = []

    @property
    def pending(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._news)

    def take(self) -> list[RequestOutput]:
        """The outputs gathered since the last call."""
        news, self._news = self._news, []
        return news

    def advance(self, seq: Sequence, count: int, reason: FinishReason | None, now: float) -> None:
        """Tells of `count` new tokens, the last ones of the sequence.

        Args:
            reason: why it ends with these tokens, if it does.
        """
        if not seq.last_token_at:
            self._first_token(seq, now)
        else:
            self.metrics.itl.observe(now - seq.last_token_at)
        seq.last_token_at = now
        if seq.where is not Where.ANSWER:
            seq.follow(seq.tokens[-count:])
        if reason is not None:
            self.end(seq, reason)
        elif seq.group.request.told_each_step:
            self._tell(seq)

    def end(self, seq: Sequence, reason: FinishReason, fault: str | None = None) -> None:
        """Tells the rest of a sequence and why it ended.

        Args:
            fault: with `FinishReason.ERROR`, its kind.
        """
        group, stop = seq.group, None
        if reason is FinishReason.STOP and seq.tokens[-1] in seq.params.stop_token_ids:
            stop = seq.tokens[-1]
        group.unfinished -= 1
        self.metrics.finished[reason] += 1
        self.metrics.answer_length.observe(len(seq.tokens) - seq.prompt_len)
        tpot = seq.tpot()
        if tpot is not None:
            self.metrics.tpot.observe(tpot)
            group.worst_tpot = max(group.worst_tpot or 0.0, tpot)
        self._tell(seq, reason, stop, fault)

    def _first_token(self, seq: Sequence, now: float) -> None:
        seq.first_token_at = now
        if seq.group.first_token_at is None:
            seq.group.first_token_at = now
            self.metrics.ttft.observe(now - seq.request.arrival)

    def _tell(
        self, seq: Sequence, reason: FinishReason | None = None, stop: int | None = None, fault: str | None = None
    ) -> None:
        group = seq.group
        wanted = seq.params.logprobs is not None
        tokens, logprobs = seq.tokens[seq.reported :], seq.logprobs if wanted else None
        output = SequenceOutput(seq.index, tokens, "", logprobs, reason, stop, fault=fault)
        seq.reported = len(seq.tokens)
        if wanted:
            seq.logprobs = []
        news = RequestOutput(group.request.request_id, [output], False, seq.prompt_len, group.cached_tokens or 0)
        if group.prompt_logprobs is not None:
            news.prompt_logprobs, group.prompt_logprobs = group.prompt_logprobs, None
        if not group.unfinished:
            news.finished, news.timing, news.joules = True, self._timing(group), group.joules
        self._news.append(news)

    def _timing(self, group: SequenceGroup) -> RequestTiming:
        request, promise, m = group.request, group.latency, self.metrics
        now = time.monotonic()
        queued = (group.scheduled_at or now) - request.arrival
        ttft = None if group.first_token_at is None else group.first_token_at - request.arrival
        late_first = promise.ttft is not None and (ttft if ttft is not None else now - request.arrival) > promise.ttft
        late_rest = promise.tpot is not None and group.worst_tpot is not None and group.worst_tpot > promise.tpot
        m.classes[promise.name] += 1
        m.missed[f"{promise.name} ttft"] += late_first
        m.missed[f"{promise.name} tpot"] += late_rest
        m.queue_time.observe(queued)
        m.e2e.observe(now - request.arrival)
        m.prompt_length.observe(len(request.prompt))
        return RequestTiming(queued, ttft, group.worst_tpot, now - request.arrival, not (late_first or late_rest))

"""What the engine tells of its sequences: text, tokens, log-probabilities, timings, and why each ended."""

from __future__ import annotations

import time

from hopwell.engine.core import FinishReason, RequestOutput, RequestTiming, SequenceOutput
from hopwell.engine.metrics import Metrics
from hopwell.engine.sequence import Group, Sequence


class Reporter:
    """Gathers outputs during a step."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._news: list[RequestOutput] = []

    def take(self) -> list[RequestOutput]:
        """The outputs gathered since the last call."""
        news, self._news = self._news, []
        return news

    def advance(self, seq: Sequence, count: int, reason: FinishReason | None, now: float) -> bool:
        """Tells of `count` new tokens, the last ones of the sequence; returns whether it has ended.

        Args:
            reason: why it ends with these tokens, if it does; a stop string may end it too.
        """
        if not seq.last_token_at:
            self._first_token(seq, now)
        seq.last_token_at = now
        stop: str | int | None = None
        if seq.text is not None:
            visible = seq.tokens[-count:]
            if reason is FinishReason.STOP:
                visible.pop()  # the token that ends an answer is not part of its text
            watch = len(seq.tokens) - seq.prompt_len >= seq.params.min_tokens
            text, stop = seq.text.push(visible, watch)
            seq.pending_text += text
            if stop is not None:
                reason = FinishReason.STOP
        if reason is None:
            if seq.group.request.stream:
                self._tell(seq, None, None, None)
            return False
        if reason is FinishReason.STOP and stop is None and seq.tokens[-1] in seq.params.stop_token_ids:
            stop = seq.tokens[-1]
        self.end(seq, reason, stop=stop)
        return True

    def end(self, seq: Sequence, reason: FinishReason, error: str | None = None, stop: str | int | None = None) -> None:
        """Tells the rest of a sequence and why it ended."""
        if seq.text is not None and not isinstance(stop, str):
            text, found = seq.text.flush()
            seq.pending_text += text
            stop = stop if found is None else found
        group = seq.group
        group.unfinished -= 1
        self.metrics.finished[reason] += 1
        self.metrics.answer_length.observe(len(seq.tokens) - seq.prompt_len)
        tpot = seq.tpot()
        if tpot is not None:
            self.metrics.tpot.observe(tpot)
            group.worst_tpot = max(group.worst_tpot or 0.0, tpot)
        self._tell(seq, reason, stop, error)

    def _first_token(self, seq: Sequence, now: float) -> None:
        seq.first_token_at = now
        if seq.group.first_token_at is None:
            seq.group.first_token_at = now
            self.metrics.ttft.observe(now - seq.request.arrival)

    def _tell(self, seq: Sequence, reason: FinishReason | None, stop: str | int | None, error: str | None) -> None:
        group = seq.group
        wanted = seq.params.logprobs is not None
        tokens, logprobs = seq.tokens[seq.reported :], seq.logprobs if wanted else None
        output = SequenceOutput(seq.index, tokens, seq.pending_text, logprobs, reason, stop, error)
        seq.reported, seq.pending_text = len(seq.tokens), ""
        if wanted:
            seq.logprobs = []
        news = RequestOutput(group.request.request_id, [output], False, seq.prompt_len, group.cached_tokens or 0)
        if group.prompt_logprobs is not None:
            news.prompt_logprobs, group.prompt_logprobs = group.prompt_logprobs, None
        if not group.unfinished:
            news.finished, news.timing = True, self._timing(group)
        self._news.append(news)

    def _timing(self, group: Group) -> RequestTiming:
        request, promise, m = group.request, group.latency, self.metrics
        now = time.monotonic()
        queued = (group.scheduled_at or now) - request.arrival
        ttft = None if group.first_token_at is None else group.first_token_at - request.arrival
        late_first = promise.ttft is not None and (ttft if ttft is not None else now - request.arrival) > promise.ttft
        late_rest = promise.tpot is not None and group.worst_tpot is not None and group.worst_tpot > promise.tpot
        m.classes[promise.name] += 1
        m.missed[promise.name, "ttft"] += late_first
        m.missed[promise.name, "tpot"] += late_rest
        m.queue_time.observe(queued)
        m.e2e.observe(now - request.arrival)
        m.prompt_length.observe(len(request.prompt))
        return RequestTiming(queued, ttft, group.worst_tpot, now - request.arrival, not (late_first or late_rest))

"""An answer's text, on the side of whoever asked: the engine tells tokens, and goes on until it is told to stop."""

from __future__ import annotations

from dataclasses import dataclass, field

from hopwell.engine.request import FinishReason, Request, RequestOutput, SamplingParams, SequenceOutput, TokenLogprobs
from hopwell.engine.text import TextStream
from hopwell.engine.thinking import Where
from hopwell.engine.tokenizer import Tokenizer


class Reader:
    """Reads one request's outputs."""

    def __init__(self, request: Request, tokenizer: Tokenizer | None) -> None:
        """
        Args:
            tokenizer: None: tokens stay without text.
        """
        self._stream = request.stream
        self._answers = [_Answer(request.params, tokenizer) for _ in range(request.params.n)]
        self._prompt_logprobs: list[TokenLogprobs | None] | None = None
        """Not told yet."""

    def read(self, output: RequestOutput) -> list[int]:
        """Gives an output its text, and ends at stop strings. What there is nothing to tell of is taken out of it.

        Returns:
            Answers that have reached a stop string: the engine must be told (`Engine.end`), and then confirms it.
        """
        stopped, told = [], []
        for part in output.outputs:
            answer = self._answers[part.index]
            if answer.read(part):
                stopped.append(part.index)
            if not self._stream:
                answer.hold(part)
            if part.finish_reason is not None or (self._stream and part.tokens):
                told.append(part)
        output.outputs = told
        self._prompt_logprobs = output.prompt_logprobs or self._prompt_logprobs
        if told:
            output.prompt_logprobs, self._prompt_logprobs = self._prompt_logprobs, None
        return stopped


@dataclass(slots=True)
class _Answer:
    """One answer so far."""

    params: SamplingParams
    tokenizer: Tokenizer | None
    text: TextStream | None = field(init=False)
    where: Where = field(init=False)
    count: int = 0
    """Tokens."""
    thought: int = 0
    """Those of them that are thinking."""
    stop: str | None = None
    """The stop string that has ended it."""
    held: SequenceOutput | None = None
    """What is not told before the end."""

    def __post_init__(self) -> None:
        self.text = None if self.tokenizer is None else TextStream(self.tokenizer.decoder(), self.params.stop)
        self.where = self.params.begins

    def read(self, part: SequenceOutput) -> bool:
        """Gives a part its text; returns whether it reached a stop string that the engine does not know of."""
        ended, known = part.finish_reason is not None, self.stop is not None
        if known:  # the engine has gone on for a step or two
            _cut(part, len(part.tokens))
        else:
            self._read_tokens(part)
            if self.stop is None and ended and self.text is not None:
                rest, self.stop = self.text.flush(self._watched(self.count))
                part.text += rest
        part.thinking_tokens = self.thought
        if ended and self.stop is not None:
            part.finish_reason, part.stop_reason, part.fault = FinishReason.STOP, self.stop, None
        return self.stop is not None and not known and not ended

    def hold(self, part: SequenceOutput) -> None:
        """Adds a part to those before it; the last one is given all of them."""
        if self.held is not None:
            part.tokens, part.text = self.held.tokens + part.tokens, self.held.text + part.text
            if part.logprobs is not None:
                part.logprobs = (self.held.logprobs or []) + part.logprobs
        self.held = part

    def _read_tokens(self, part: SequenceOutput) -> None:
        new = part.tokens
        self.count += len(new)
        # the token that ends an answer is not part of its text
        shown = new[:-1] if part.finish_reason is FinishReason.STOP else new
        if self.where is Where.ANSWER and (self.text is None or not self.text.watches):
            part.text = "" if self.text is None else self.text.push(shown)[0]
            return
        for place, token in enumerate(new):
            count = self.count - len(new) + place + 1
            self._follow(token, count)
            if self.text is None or place == len(shown):
                continue
            text, self.stop = self.text.push([token], self._watched(count))
            part.text += text
            if self.stop is not None:  # the tokens after it are forgotten: their number would depend on the drafts
                self.count = count
                _cut(part, len(new) - place - 1)
                return

    def _follow(self, token: int, count: int) -> None:
        self.where = self.params.after(self.where, token)
        if self.where in (Where.INSIDE, Where.BEHIND):
            self.thought = count

    def _watched(self, count: int) -> bool:
        """Whether stop strings end an answer of `count` tokens here."""
        p = self.params
        if p.apply_to_thinking or p.thinking is None:
            return count >= p.min_tokens
        return self.where is Where.ANSWER and count - self.thought >= p.min_tokens


def _cut(part: SequenceOutput, count: int) -> None:
    """Takes back the last tokens of a part."""
    if count:
        del part.tokens[-count:]
        if part.logprobs is not None:
            del part.logprobs[-count:]

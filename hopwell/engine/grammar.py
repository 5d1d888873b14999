"""Structured output: JSON schema, regex and Lark grammars as masks over the vocabulary, by llguidance."""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from hopwell.engine.core import RequestError, SamplingParams


class Mark(Enum):
    """What following a token did, so that it can be undone."""

    IGNORED = auto()
    OPENED = auto()
    """It was the token after which the grammar holds."""
    CONSUMED = auto()


class GrammarCompiler:
    """Compiles constraints for one tokenizer."""

    def __init__(self, tokenizer_json: str, vocab_size: int, eos_token: int) -> None:
        """
        Args:
            tokenizer_json: contents of tokenizer.json.
            vocab_size: of the model, whose logits may have more columns than the tokenizer has tokens.
        """
        self._tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocab_size, eos_token=eos_token)
        self.vocab_size, self.eos_token = vocab_size, eos_token

    def compile(self, params: SamplingParams) -> LLMatcher:
        """The matcher of a request's constraint. It may take a second; the GIL is free.

        Raises:
            RequestError: the constraint is malformed or nothing can satisfy it; `field` names the parameter.
        """
        field = next(name for name in ("json_schema", "regex", "grammar") if getattr(params, name) is not None)
        try:
            if params.json_schema is not None:
                schema: Any = params.json_schema
                text = schema if isinstance(schema, str) else json.dumps(schema)
                source = LLMatcher.grammar_from_json_schema(text)
            elif params.regex is not None:
                source = LLMatcher.grammar_from_regex(params.regex)
            else:
                source = LLMatcher.grammar_from_lark(params.grammar or "")
        except (ValueError, TypeError) as error:
            raise RequestError(f"{field} is malformed: {_first_line(error)}", field) from None
        matcher = LLMatcher(self._tokenizer, source, log_level=0)
        if matcher.is_error():
            raise RequestError(f"{field} cannot be used: {_first_line(matcher.get_error())}", field)
        return matcher


class GrammarState:
    """Where a sequence stands in its grammar. `push` and `pop` follow drafts forth and back."""

    def __init__(self, matcher: LLMatcher, vocab_size: int, eos_token: int, after: int | None) -> None:
        """
        Args:
            after: the token after which the grammar holds, or None if it holds from the start.
        """
        self._matcher, self._eos, self._after = matcher, eos_token, after
        self._words = np.zeros((vocab_size + 31) // 32, np.int32)
        self._vocab_size = vocab_size
        self._active = after is None

    @property
    def active(self) -> bool:
        """Whether the grammar holds for the next token."""
        return self._active

    def restart(self, answer: list[int]) -> None:
        """Returns to the start and follows the answer so far: after preemption."""
        self._matcher.reset()
        self._active = self._after is None
        for token in answer:
            self.push(token)

    def allowed(self) -> np.ndarray:
        """The tokens that may come next, bool [vocabulary]; all False if the grammar has failed."""
        if not self._active:
            return np.ones(self._vocab_size, np.bool_)
        if self._matcher.is_error():
            return np.zeros(self._vocab_size, np.bool_)
        if self._matcher.is_stopped():
            mask = np.zeros(self._vocab_size, np.bool_)
            mask[self._eos] = True
            return mask
        self._matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        bits = np.unpackbits(self._words.view(np.uint8), bitorder="little")
        return bits[: self._vocab_size].astype(np.bool_)

    def push(self, token: int) -> Mark | None:
        """Follows one token.

        Returns:
            What `pop` needs to undo it, or None if the grammar does not allow the token, with nothing changed.
        """
        if not self._active:
            self._active = token == self._after
            return Mark.OPENED if self._active else Mark.IGNORED
        if self._matcher.is_stopped():
            return Mark.IGNORED if token == self._eos else None
        return Mark.CONSUMED if self._matcher.try_consume_tokens([token]) else None

    def pop(self, marks: list[Mark]) -> None:
        """Undoes the last pushes, which returned these marks."""
        self._matcher.rollback(marks.count(Mark.CONSUMED))
        if Mark.OPENED in marks:
            self._active = False


def _first_line(error: object) -> str:
    return str(error).strip().split("\n", 1)[0][:300]

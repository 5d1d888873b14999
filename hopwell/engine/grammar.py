"""Structured output: JSON schema, regex and Lark grammars as masks over the vocabulary, by llguidance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from hopwell.engine.bounded_matcher import ALLOWANCE, BoundedMatcher
from hopwell.engine.constraints import BETWEEN_TOKENS, constraint_text, first_line, too_complex, with_usual_json
from hopwell.engine.request import RequestError, SamplingParams

if TYPE_CHECKING:
    import numpy as np


MAX_LEXER_STATES = 50_000
"""Of one matcher, 1 to 2 kB each; a long answer to a vicious regex would else fill half a gigabyte."""


class GrammarCompiler:
    """Compiles constraints for one tokenizer, and trusts them: see `hopwell.engine.grammars` for those of strangers."""

    def __init__(self, tokenizer_json: str, vocab_size: int, eos_token: int) -> None:
        """
        Args:
            tokenizer_json: contents of tokenizer.json.
            vocab_size: of the model, whose logits may have more columns than the tokenizer has tokens.
        """
        self.tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocab_size, eos_token=eos_token)
        self._limits = LLParserLimits(max_lexer_states=MAX_LEXER_STATES, verbose_errors=False)
        self.vocab_size, self.eos_token = vocab_size, eos_token

    def compile(self, params: SamplingParams) -> LLMatcher:
        """The matcher of a request's constraint. It may take a second; the GIL is free.

        Raises:
            RequestError: the constraint is malformed or nothing can satisfy it; `field` names the parameter.
        """
        return self.compile_text(*constraint_text(params))

    def compile_text(self, field: str, text: str) -> LLMatcher:
        """The matcher of what `constraint_text` gives.

        Raises:
            RequestError: as `compile` does.
        """
        try:
            if field == "json_schema":
                source = LLMatcher.grammar_from_json_schema(text, BETWEEN_TOKENS)
            elif field == "regex":
                source = LLMatcher.grammar_from_regex(text)
            else:
                source = LLMatcher.grammar_from_lark(with_usual_json(text))
        except (ValueError, TypeError) as error:
            raise RequestError(f"{field} is malformed: {first_line(error)}", field) from None
        matcher = LLMatcher(self.tokenizer, source, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise RequestError(f"{field} cannot be used: {first_line(matcher.get_error())}", field)
        return matcher


def checker(setup: list[Any]) -> Callable[[list[str]], str | None]:
    """Made in a child process: compiles a constraint, asks what may come first, and says why it cannot be used, or
    None.

    Args:
        setup: arguments of `GrammarCompiler`.
    """
    compiler = GrammarCompiler(*setup)

    def check(value: list[str]) -> str | None:
        try:
            matcher = compiler.compile_text(*value)
        except RequestError as error:
            return str(error)
        began = time.thread_time()
        matcher.compute_bitmask()
        return too_complex(value[0]) if matcher.is_error() or time.thread_time() - began > ALLOWANCE else None

    return check


class GrammarState:
    """Where a sequence stands in its grammar. `push` and `pop` follow drafts forth and back."""

    def __init__(self, matcher: LLMatcher | BoundedMatcher, compiler: GrammarCompiler) -> None:
        self._matcher, self._eos = matcher, compiler.eos_token
        self._vocab_size, self._tokenizer = compiler.vocab_size, compiler.tokenizer

    @property
    def failed(self) -> bool:
        """Whether what may come next is too much to work out."""
        return self._matcher.is_error()

    def restart(self) -> None:
        """Returns to the start."""
        self._matcher.reset()

    def allowed(self) -> np.ndarray:
        """The tokens that may come next, bool [vocabulary]; all False if the grammar has failed."""
        import numpy as np  # not by the child that checks grammars: half of its start

        if self._matcher.is_error():
            return np.zeros(self._vocab_size, np.bool_)
        if self._matcher.is_stopped():
            mask = np.zeros(self._vocab_size, np.bool_)
            mask[self._eos] = True
            return mask
        words = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            return np.zeros(self._vocab_size, np.bool_)
        mask = np.unpackbits(words, bitorder="little")[: self._vocab_size].astype(np.bool_)
        if np.count_nonzero(mask) == 1 and self._tokenizer.is_special_token(token := int(mask.argmax())):
            # hazard: where text must spell a special token, llguidance allows that token alone, and then refuses it
            if self._matcher.try_consume_tokens([token]):
                self._matcher.rollback(1)
            else:
                mask[token] = False
                mask[self._tokenizer.greedy_tokenize(self._tokenizer.decode_str([token]))[0]] = True
        return mask

    def push(self, token: int) -> int | None:
        """Follows one token.

        Returns:
            How many it has taken in, for `pop`: 1, or 0 for the end of a sequence whose grammar is complete. None: the
            grammar does not allow the token, and nothing has changed.
        """
        if self._matcher.is_stopped():
            return 0 if token == self._eos else None
        return 1 if self._matcher.try_consume_tokens([token]) else None

    def pop(self, count: int) -> None:
        """Undoes the last pushes, which have taken in so many tokens."""
        self._matcher.rollback(count)

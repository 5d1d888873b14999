"""The gate: a request is checked whole before it enters, and becomes sequences."""

from __future__ import annotations

import random

from hopwell.cache.prefix import root_key
from hopwell.engine.config import EngineConfig
from hopwell.engine.core import Request, RequestError
from hopwell.engine.grammar import GrammarCompiler, GrammarState
from hopwell.engine.sequence import Group, Sequence
from hopwell.engine.text import TextStream, Tokenizer


class Intake:
    """Knows the limits of one engine. `sequences` may be called from any thread."""

    def __init__(
        self, config: EngineConfig, model_len: int, vocab_size: int, eos: tuple[int, ...], tokenizer: Tokenizer | None
    ) -> None:
        self.config, self.model_len, self.vocab_size = config, model_len, vocab_size
        self.eos, self.tokenizer = eos, tokenizer
        self._compiler: GrammarCompiler | None = None
        self._seeds = random.Random()

    def sequences(self, request: Request) -> list[Sequence]:
        """A request's n sequences.

        Raises:
            RequestError: it is too long, names a token that does not exist, or asks for what this engine lacks.
        """
        params, prompt = request.params, list(request.prompt)
        self._check(request, prompt)
        ends = sorted({*params.stop_token_ids, *(() if params.ignore_eos else self.eos)})
        answer = self.model_len - len(prompt) if params.max_tokens is None else params.max_tokens
        group = Group(request)
        seed = self._seeds.getrandbits(63) if params.seed is None else params.seed
        result = []
        for index in range(params.n):
            result.append(
                Sequence(
                    group=group,
                    index=index,
                    tokens=list(prompt),
                    limit=len(prompt) + answer,
                    seed=(seed + index) & ((1 << 63) - 1),
                    root=root_key(request.cache_salt),
                    ends=ends,
                    grammar=self._grammar(request),
                    text=None if self.tokenizer is None else TextStream(self.tokenizer.decoder(), params.stop),
                )
            )
        return result

    def _check(self, request: Request, prompt: list[int]) -> None:
        params = request.params
        room = self.model_len - len(prompt)
        if room < 1:
            raise RequestError(
                f"the prompt has {len(prompt):,} tokens, the context {self.model_len:,} with the answer; shorten it",
                "prompt",
                "too_long",
            )
        if params.max_tokens is not None and params.max_tokens > room:
            raise RequestError(
                f"max_tokens is {params.max_tokens:,}, but the prompt's {len(prompt):,} tokens leave {room:,} of the"
                f" context of {self.model_len:,}; lower it",
                "max_tokens",
                "too_long",
            )
        if not 0 <= min(prompt) <= max(prompt) < self.vocab_size:
            raise RequestError(f"prompt holds a token outside the vocabulary of {self.vocab_size:,}", "prompt")
        for name in ("logit_bias", "stop_token_ids"):
            for token in getattr(params, name):
                if not 0 <= token < self.vocab_size:
                    raise RequestError(f"{name} names token {token}; there are {self.vocab_size:,}", name)
        if request.cache_tokens is not None and request.cache_tokens < 0:
            raise RequestError(f"cache_tokens is {request.cache_tokens}; give 0 or more", "cache_tokens")
        if self.tokenizer is None and params.stop:
            raise RequestError("stop needs a tokenizer, and this engine runs without", "stop")
        if not params.constrained:
            return
        for name, clash in (
            ("ignore_eos", params.ignore_eos),
            ("forced_acceptance", self.config.forced_acceptance is not None),
        ):
            if clash:
                raise RequestError(f"{name} cannot be combined with structured output", name)

    def _grammar(self, request: Request) -> GrammarState | None:
        params = request.params
        if not params.constrained:
            return None
        if self.tokenizer is None or not self.eos:
            raise RequestError("structured output needs a tokenizer with an end-of-sequence token, and this has none")
        if self._compiler is None:
            self._compiler = GrammarCompiler(self.tokenizer.json(), self.vocab_size, self.eos[0])
        matcher = self._compiler.compile(params)
        return GrammarState(matcher, self.vocab_size, self.eos[0], params.constrain_after)

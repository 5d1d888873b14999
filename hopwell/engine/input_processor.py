"""The gate: a request is checked whole before it enters, and becomes sequences."""

from __future__ import annotations

import random
import threading

from llguidance import LLMatcher

from hopwell.cache.prefix import root_key
from hopwell.engine.config import EngineConfig
from hopwell.engine.grammar import GrammarState
from hopwell.engine.grammars import Grammars
from hopwell.engine.request import Request, RequestError, TooLongError
from hopwell.engine.sequence import Sequence, SequenceGroup, Transcript
from hopwell.engine.tokenizer import Tokenizer
from hopwell.engine.typed import shown


class InputProcessor:
    """Knows the limits of one engine. `sequences` may be called from any thread."""

    def __init__(
        self, config: EngineConfig, model_len: int, vocab_size: int, eos: tuple[int, ...], tokenizer: Tokenizer | None
    ) -> None:
        self.config, self.model_len, self.vocab_size = config, model_len, vocab_size
        self.eos, self.tokenizer = eos, tokenizer
        self._seeds = random.Random()
        self._lock = threading.Lock()  # of the two below
        self._grammars: Grammars | None = None
        self._unable = ""

    def grammars(self) -> Grammars:
        """What compiles constraints. With a large vocabulary it takes a second or two to set up, and holds the GIL.

        Raises:
            RequestError: this engine cannot constrain answers; it says why.
        """
        with self._lock:
            if self._grammars is None and not self._unable:
                self._set_up()
        if self._grammars is None:
            raise RequestError(self._unable)
        return self._grammars

    def _set_up(self) -> None:
        if self.tokenizer is None or not self.eos:
            self._unable = "structured output needs a tokenizer with an end-of-sequence token, and this has none"
            return
        try:
            self._grammars = Grammars(self.tokenizer.json(), self.vocab_size, self.eos[0])
        except ValueError as error:
            self._unable = f"structured output cannot be had with this tokenizer: {error}"

    async def compile(self, request: Request) -> LLMatcher | None:
        """Compiles a request's constraint, if it has one, in its tenant's turn; for `sequences`.

        Raises:
            RequestError: as `sequences` does.
        """
        if not request.params.constrained:
            return None
        self._check(request)
        return await self.grammars().compile_for(request.params, request.cache_salt)

    def sequences(self, request: Request, matcher: LLMatcher | None = None) -> list[Sequence]:
        """A request's n sequences.

        Args:
            matcher: what `compile` gave; without it a constraint is compiled here.

        Raises:
            RequestError: it is too long, names a token that does not exist, or asks for what this engine lacks.
        """
        params, prompt = request.params, list(request.prompt)
        self._check(request)
        if params.constrained and matcher is None:
            matcher = self.grammars().compile(params)
        always = set(() if params.ignore_eos else self.eos)
        ends = sorted(always.union(params.stop_token_ids))
        sleeping = frozenset() if params.thinking is None or params.apply_to_thinking else frozenset(ends) - always
        answer = self.model_len - len(prompt) if params.max_tokens is None else params.max_tokens
        group = SequenceGroup(request)
        seed = self._seeds.getrandbits(63) if params.seed is None else params.seed
        grammars: list[GrammarState | None] = [None] * params.n
        if matcher is not None:
            grammars = [*self.grammars().states(matcher, params, request.cache_salt)]
        return [
            Sequence(
                group=group,
                index=index,
                tokens=Transcript(prompt),
                limit=len(prompt) + answer,
                seed=(seed + index) & ((1 << 63) - 1),
                root=root_key(request.cache_salt),
                ends=ends,
                sleeping=sleeping,
                grammar=grammar,
            )
            for index, grammar in enumerate(grammars)
        ]

    def close(self) -> None:
        """Ends what compiles constraints, if anything was."""
        if self._grammars is not None:
            self._grammars.close()

    def _check(self, request: Request) -> None:
        params, prompt = request.params, request.prompt
        room = self.model_len - len(prompt)
        if room < 1:
            raise TooLongError(len(prompt), None, self.model_len)
        if params.max_tokens is not None and params.max_tokens > room:
            raise TooLongError(len(prompt), params.max_tokens, self.model_len)
        if {*map(type, prompt)} != {int}:
            odd = next(token for token in prompt if type(token) is not int)
            raise RequestError(f"prompt holds {shown(odd)}, which is no token id; give whole numbers", "prompt")
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

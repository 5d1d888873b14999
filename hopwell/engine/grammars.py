"""Constraints of strangers: compiled in a child process first, and here only if they were harmless there.

A compiled grammar cannot leave the process that made it, and llguidance recurses as deep as a grammar's rules refer to
each other. So the child, which has less stack than we, finds out what a grammar takes; what it survives is compiled
again, once a request. Once compiled, nothing recurses. Matchers are not kept for later requests: copies share a lexer,
whose states add up until it refuses to go on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from llguidance import LLMatcher

from hopwell.bounded import Bounded, BoundedError, Limits
from hopwell.engine.bounded_matcher import Allowance, BoundedMatcher, Deputy
from hopwell.engine.constraints import constraint_text, first_line, too_complex
from hopwell.engine.grammar import GrammarCompiler, GrammarState
from hopwell.engine.request import RequestError, SamplingParams

CHECKER = "hopwell.engine.grammar:checker"
LIMITS = Limits(seconds=5.0, memory=512 << 20, stack=16 << 20)
"""A chain of 1,000 definitions needs 8 MiB of stack, and no schema written by hand has one; a large schema takes a
second."""
AT_ONCE = 2
"""Compilations. A tenant has one at a time, so no tenant alone keeps the others waiting."""
MAX_QUEUED = 256
"""Compilations of one tenant, the running one included."""
VERDICTS = 4096
PAUSE = 5.0
"""Seconds until a tenant's next constraint is compiled, after one that kept steps waiting: ten times that wait."""


class Grammars:
    """Compiles constraints for one tokenizer, within limits. From any thread."""

    def __init__(self, tokenizer_json: str, vocab_size: int, eos_token: int, limits: Limits = LIMITS) -> None:
        """
        Raises:
            ValueError: llguidance cannot read the tokenizer.
        """
        self.limits = limits
        self._check = Bounded(CHECKER, [tokenizer_json, vocab_size, eos_token], limits, AT_ONCE)
        self._check.warm()  # it reads the tokenizer while we do
        self._compiler = GrammarCompiler(tokenizer_json, vocab_size, eos_token)
        self._threads = _deep_threads(AT_ONCE, 4 * limits.stack)
        self._verdicts = _Verdicts()
        self._turns: dict[str, _Turn] = {}
        self._deputy = Deputy()
        self._paused_until: dict[str, float] = {}

    def compile(self, params: SamplingParams) -> LLMatcher:
        """The matcher of a request's constraint. The GIL is free meanwhile.

        Raises:
            RequestError: the constraint is malformed, takes too much, or nothing can satisfy it; `field` names the
                parameter.
        """
        name, text = constraint_text(params)
        if not self._verdicts.passed(name, text):
            try:
                refusal = self._check([name, text])
            except BoundedError as error:
                refusal = self._too_much(name, error)
            self._settle(name, text, refusal)
        return self._threads.submit(self._compiler.compile_text, name, text).result()

    async def compile_for(self, params: SamplingParams, tenant: str) -> LLMatcher:
        """The same in a coroutine, a tenant's constraints one after another. Cancelling it ends the child's work.

        Raises:
            RequestError: as above, or too many of the tenant's constraints wait already (kind `overloaded`).
        """
        name, text = constraint_text(params)
        async with self._turn(tenant):
            await asyncio.sleep(self._paused_until.get(tenant, 0.0) - time.monotonic())
            if not self._verdicts.passed(name, text):
                try:
                    refusal = await self._check.run([name, text])
                except BoundedError as error:
                    refusal = self._too_much(name, error)
                self._settle(name, text, refusal)
            return await asyncio.wrap_future(self._threads.submit(self._compiler.compile_text, name, text))

    def states(self, matcher: LLMatcher, params: SamplingParams, tenant: str) -> list[GrammarState]:
        """Where a request's answers stand in its grammar, at the start. They share an allowance of time; a constraint
        that spends it is refused from then on, and its tenant's next one waits."""
        allowance = Allowance(lambda: self._spent(params, tenant))
        copies = (BoundedMatcher(matcher.deep_copy(), allowance, self._deputy) for _ in range(params.n))
        return [GrammarState(copy, self._compiler) for copy in copies]

    def _spent(self, params: SamplingParams, tenant: str) -> None:
        name, text = constraint_text(params)
        self._paused_until[tenant] = time.monotonic() + PAUSE
        self._verdicts.add(name, text, too_complex(name))

    def close(self) -> None:
        """Ends the child."""
        self._check.close()
        self._deputy.close()
        self._threads.shutdown(wait=False)

    def _too_much(self, name: str, error: BoundedError) -> str:
        """Why a constraint that the child did not survive is refused.

        Raises:
            RequestError: it says nothing of the constraint: no child is there, or the machine is too busy.
        """
        if error.kind == "start":
            raise RequestError("schemas and grammars cannot be compiled now; try later", kind="overloaded") from None
        if error.kind == "time":  # not to be remembered
            raise RequestError(
                f"{name} takes more than {self.limits.seconds:g} s to compile; simplify it", name
            ) from None
        if error.kind == "memory":
            return f"{name} takes more than {self.limits.memory >> 20} MiB to compile; simplify it"
        if error.kind == "raised":
            return f"{name} cannot be used: {first_line(error)}"
        return f"{name} is nested, or refers from one part to the next, too deeply; simplify it"

    def _settle(self, name: str, text: str, refusal: str | None) -> None:
        self._verdicts.add(name, text, refusal)
        if refusal is not None:
            raise RequestError(refusal, name)

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncGenerator[None]:
        turn = self._turns.setdefault(tenant, _Turn())
        if turn.users >= MAX_QUEUED:
            raise RequestError(f"{turn.users} schemas and grammars wait to be compiled; try later", kind="overloaded")
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[tenant]


@dataclass(slots=True)
class _Turn:
    """A tenant's place at the compilers."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class _Verdicts:
    """What the child found of the last few thousand constraints, so that a schema that comes again costs nothing."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, str | None] = OrderedDict()
        self._lock = threading.Lock()

    def passed(self, name: str, text: str) -> bool:
        """Whether a constraint was found harmless; False if nothing is known.

        Raises:
            RequestError: it was refused.
        """
        key = self._key(name, text)
        with self._lock:
            if key not in self._known:
                return False
            self._known.move_to_end(key)
            refusal = self._known[key]
        if refusal is not None:
            raise RequestError(refusal, name)
        return True

    def add(self, name: str, text: str, refusal: str | None) -> None:
        """Remembers what was found."""
        with self._lock:
            self._known[self._key(name, text)] = refusal
            while len(self._known) > VERDICTS:
                self._known.popitem(last=False)

    @staticmethod
    def _key(name: str, text: str) -> bytes:
        return sha256(f"{name}\n{text}".encode(errors="surrogatepass")).digest()


def _deep_threads(count: int, stack: int) -> ThreadPoolExecutor:
    """Threads to compile in, whose stack is larger than the child's."""
    pool = ThreadPoolExecutor(count, "hopwell-grammar")
    before = threading.stack_size(stack)
    try:
        met = threading.Barrier(count)
        for started in [pool.submit(met.wait) for _ in range(count)]:  # all now, while the size holds
            started.result()
    finally:
        threading.stack_size(before)
    return pool

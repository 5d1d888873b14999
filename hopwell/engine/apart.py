"""Prompts computed by some engines, answers decoded by others: pages go from one to the other through a store.

The split of prefill and decode is DistServe's (OSDI 2024) and Mooncake's (FAST 2025). Here an API process does it: it
asks one engine for a token of the prompt, which has exported the prompt's pages when it says that it is done, and then
sends the request to another, which imports them and computes what is left, less than a page. Nothing depends on it:
what has not come is computed where it is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from hopwell.engine.copies import EngineCopies, pages_of
from hopwell.engine.request import EngineDownError, FinishReason, Request, RequestError, RequestOutput, SamplingParams
from hopwell.engine.tokenizer import Tokenizer
from hopwell.ops.sizes import PAGE

ONE_TOKEN = SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True)


class EnginesApart(EngineCopies):
    """`EngineCopies` whose last engines compute prompts, and only those."""

    def __init__(self, tokenizer: Tokenizer | None, decoding: int, computing: int) -> None:
        """
        Args:
            tokenizer: as `EngineClient` has it.
            decoding, computing: engines for answers, and for prompts: the first ones, and those after them.
        """
        super().__init__(tokenizer, decoding + computing)
        self._decoding, self._computing = range(decoding), range(decoding, decoding + computing)
        self._closing = False
        self._aborted: set[str] = set()

    @property
    def trouble(self) -> str:
        """Why no answer can be decoded, in one line; empty while one can."""
        troubles = [self.clients[copy].trouble for copy in self._decoding]
        return troubles[0] if all(troubles) else ""

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        """As `EngineClient`; a prompt is computed apart if that is worth the way.

        Raises:
            RequestError, EngineDownError: as there.
        """
        if self._closing:
            raise RequestError("the engine is shutting down; try another", kind="overloaded")
        try:
            cached = await self._compute(request)
            if request.request_id in self._aborted:  # who decodes it is told, once he has it
                asyncio.get_running_loop().call_soon(super().abort, request.request_id)
        finally:
            self._aborted.discard(request.request_id)
        async with aclosing(self._by(self._chosen(request, self._decoding), request)) as outputs:
            async for output in outputs:
                if cached is not None:  # what was computed for it elsewhere was not found
                    output.cached_tokens = min(output.cached_tokens, cached)
                yield output

    def abort(self, request_id: str) -> None:
        """As `EngineClient`."""
        if self._owners.get(request_id, 0) in self._computing:
            self._aborted.add(request_id)
        super().abort(request_id)

    def abort_all(self) -> None:
        """As `EngineClient`."""
        self._aborted |= {name for name, owner in self._owners.items() if owner in self._computing}
        super().abort_all()

    async def stop(self, drain: bool = True, timeout: float | None = None) -> None:
        """As `EngineClient`; prompts that are computed have their answers first."""
        self._closing = True
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(self.clients[copy].stop(drain, timeout) for copy in self._computing))
        left = None if timeout is None else max(0.0, timeout - (asyncio.get_running_loop().time() - began))
        await asyncio.gather(*(self.clients[copy].stop(drain, left) for copy in self._decoding))

    async def _compute(self, request: Request) -> int | None:
        """Has a prompt computed and its pages exported; returns how many of its tokens that engine knew. None: it was
        left to the engine that decodes, which has its pages, or has to see every token; or no other engine runs."""
        if len(request.prompt) <= PAGE or request.params.prompt_logprobs is not None:
            return None
        pages = pages_of(request.prompt[: (len(request.prompt) - 1) // PAGE * PAGE], request.cache_salt)
        known = self._router.known(pages)
        if any(known[copy] == len(pages) and not self.clients[copy].trouble for copy in self._decoding):
            return None
        prompt = replace(request, params=ONE_TOKEN, stream=False, cache_tokens=None)
        try:
            copy = self._chosen(prompt, self._computing)
            async with aclosing(self._by(copy, prompt, hand_over=True)) as outputs:
                async for output in outputs:
                    if any(answer.finish_reason is FinishReason.LENGTH for answer in output.outputs):
                        return output.cached_tokens
        except EngineDownError:  # it has none, or has ended: whoever decodes can compute too
            return None
        return None

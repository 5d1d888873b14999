"""Several engines with the same model, as one: what data parallelism by whole copies is to an API process."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from hopwell.engine import wire
from hopwell.engine.client import EngineClient
from hopwell.engine.metrics import Metrics, merged
from hopwell.engine.placing import best_place
from hopwell.engine.request import EngineDownError, Request, RequestOutput
from hopwell.engine.tokenizer import Tokenizer
from hopwell.limits.history import Report
from hopwell.ops.sizes import PAGE

KNOWN_PAGES = 1 << 18
"""Of prompts, that a router remembers: 16 million tokens, in about 40 MB."""
ANSWER_SECONDS = 5.0
"""For a copy to say what it has counted."""


class PrefixRouter:
    """Which copy is given a request: the one that was given most of its prompt's beginning before, unless it has much
    more to do than another (`best_place`); each copy has a prefix cache of its own. It rests on what this process has
    sent, not on what copies have kept: a page that has gone costs a guess, never a token.
    """

    def __init__(self, copies: int, pages: int = KNOWN_PAGES) -> None:
        """
        Args:
            pages: to be remembered; the longest unused are forgotten first.
        """
        self._copies, self._pages, self._turn = copies, pages, 0
        self._given: OrderedDict[int, int] = OrderedDict()
        """By the hash of a page and all before it: to which copies it went, a bit each."""

    def choose(self, pages: Sequence[int], loads: Sequence[int | None]) -> int:
        """A copy, which is remembered to have a prompt's pages now.

        Args:
            pages: of `pages_of`.
            loads: sequences on their way at each copy; None: it does not run, or is not to be chosen. One is there.
        """
        running = {copy: load for copy, load in enumerate(loads) if load is not None}
        self._turn += 1
        chosen = best_place(self.known(pages), running, self._turn)
        for page in pages:
            self._given[page] = self._given.get(page, 0) | 1 << chosen
            self._given.move_to_end(page)
        while len(self._given) > self._pages:
            self._given.popitem(last=False)
        return chosen

    def forget(self, copy: int) -> None:
        """A copy has begun anew: it knows nothing."""
        self._given = OrderedDict((page, left) for page, at in self._given.items() if (left := at & ~(1 << copy)))

    def known(self, pages: Sequence[int]) -> list[int]:
        """How many pages each copy knows from the first on."""
        known, left = [0] * self._copies, (1 << self._copies) - 1
        for page in pages:
            left &= self._given.get(page, 0)
            if not left:
                break
            for copy in range(self._copies):
                known[copy] += left >> copy & 1
        return known


def pages_of(prompt: Sequence[int], salt: str) -> list[int]:
    """A hash of each full page of a prompt and all before it; of this process alone.

    Args:
        salt: prompts under different ones share no pages.
    """
    found, before = [], hash(salt)
    for start in range(0, len(prompt) - PAGE + 1, PAGE):
        before = hash((before, *prompt[start : start + PAGE]))
        found.append(before)
    return found


class EngineCopies:
    """An `EngineClient` over several engines: each request goes to one of them. While one runs, this does."""

    def __init__(self, tokenizer: Tokenizer | None, copies: int) -> None:
        """
        Args:
            tokenizer: as `EngineClient` has it.
        """
        self.clients, self.count = [EngineClient(tokenizer) for _ in range(copies)], copies
        self._router = PrefixRouter(copies)
        self._loads = [0] * copies
        self._owners: dict[str, int] = {}

    @property
    def info(self) -> wire.Info:
        """What the first engine told of itself; the others are alike."""
        return self.clients[0].info

    @property
    def trouble(self) -> str:
        """Why no engine runs, in one line; empty while one does."""
        troubles = [client.trouble for client in self.clients]
        return troubles[0] if all(troubles) else ""

    async def connect(self, end: socket.socket, copy: int) -> wire.Info:
        """Speaks to a copy at the other end from now on: its first process, or one that has taken its place.

        Raises:
            EngineDownError: it has ended before it said anything.
        """
        self._router.forget(copy)
        return await self.clients[copy].connect(end)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        """As `EngineClient`, by the copy that suits best.

        Raises:
            RequestError, EngineDownError: as there.
        """
        copy = self._owners.get(request.request_id)
        if copy is None:
            copy = self._chosen(request, range(self.count))
        async with aclosing(self._by(copy, request)) as outputs:
            async for output in outputs:
                yield output

    async def _by(self, copy: int, request: Request, hand_over: bool = False) -> AsyncGenerator[RequestOutput, None]:
        """`EngineClient.generate` of one of them."""
        count = request.params.n
        self._loads[copy] += count
        self._owners.setdefault(request.request_id, copy)
        try:
            async with aclosing(self.clients[copy].generate(request, hand_over)) as outputs:
                async for output in outputs:
                    yield output
        finally:
            self._loads[copy] -= count
            self._owners.pop(request.request_id, None)

    def _chosen(self, request: Request, among: Collection[int]) -> int:
        """Which of some engines is given a request.

        Raises:
            EngineDownError: none of them runs.
        """
        running = {copy for copy in among if not self.clients[copy].trouble}
        loads = [load if copy in running else None for copy, load in enumerate(self._loads)]
        if not running:
            raise EngineDownError(f"the engine is not running: {self.clients[next(iter(among))].trouble}")
        return self._router.choose(pages_of(request.prompt, request.cache_salt), loads)

    def abort(self, request_id: str) -> None:
        """As `EngineClient`."""
        if (copy := self._owners.get(request_id)) is not None:
            self.clients[copy].abort(request_id)

    def abort_all(self) -> None:
        """As `EngineClient`."""
        for client in self.clients:
            client.abort_all()

    async def flush_cache(self) -> int:
        """As `EngineClient`, of all copies that run."""
        return sum(await asyncio.gather(*(self.clients[copy].flush_cache() for copy in self._running())))

    async def all_metrics(self) -> dict[int, Metrics]:
        """What each copy that answers soon has counted, by its number: one that hangs hides no other.

        Raises:
            EngineDownError: none answers.
        """
        asked = self._running()
        waits = (asyncio.wait_for(self.clients[copy].metrics(), ANSWER_SECONDS) for copy in asked)
        found = await asyncio.gather(*waits, return_exceptions=True)
        counted = {copy: one for copy, one in zip(asked, found, strict=True) if isinstance(one, Metrics)}
        if not counted:
            raise EngineDownError(f"the engine is not running: {self.trouble or 'no copy answers'}")
        return counted

    async def metrics(self) -> Metrics:
        """The same, all together (`merged`)."""
        return merged([*(await self.all_metrics()).values()])

    async def limits(self, copy: int | None = None) -> Report:
        """As `EngineClient`, of a copy; None: of the first that runs."""
        chosen = self._running()[0] if copy is None else copy
        report = await self.clients[chosen].limits()
        report.engine, report.engines = chosen + 1, self.count
        return report

    async def stop(self, drain: bool = True, timeout: float | None = None) -> None:
        """As `EngineClient`."""
        await asyncio.gather(*(client.stop(drain, timeout) for client in self.clients))

    def _running(self) -> list[int]:
        """Those that run; or the first, which says why it does not."""
        return [copy for copy, client in enumerate(self.clients) if not client.trouble] or [0]


AnyEngine = EngineClient | EngineCopies
"""What an API has before it."""

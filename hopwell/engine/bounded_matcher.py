"""A matcher whose work is bounded in time: what a grammar allows next may take seconds to say, and a step waits for it.

llguidance's own limits count expressions and items, not time, and its calls cannot be interrupted. So they run in a
thread that is left behind when a request has spent its allowance: that request ends, and the step goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from llguidance import LLMatcher

T = TypeVar("T")
ALLOWANCE = 0.5
"""Seconds of a processor that one request's matchers may take at first. The first masks of a large schema over 129,000
tokens take up to 0.05 s."""
REFILL = 0.01
"""Seconds more with every mask, up to the same."""
PATIENCE = 20
"""Times as long on the clock: on a machine that is busy, the thread may not get the processor."""


class Allowance:
    """What the matchers of one request may still take. All its answers share it."""

    def __init__(self, spent: Callable[[], None] | None = None) -> None:
        """
        Args:
            spent: called once, when nothing is left.
        """
        self.left, self._spent = ALLOWANCE, spent

    @property
    def gone(self) -> bool:
        return self.left <= 0

    def charge(self, seconds: float, refill: float = 0.0) -> None:
        """Takes off what was spent; nothing comes back once all is gone."""
        if self.gone:
            return
        self.left = min(self.left - seconds + refill, ALLOWANCE) if seconds < self.left else 0.0
        if self.gone and self._spent is not None:
            self._spent()


class Deputy:
    """A thread that calls for its owner, and can be left behind in the middle of a call. For one owner's thread."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], T], seconds: float) -> tuple[T | None, float]:
        """Calls a function that frees the GIL; returns its result, None if it took too long, and the processor's time.

        Args:
            seconds: of a processor. After that the thread is left to itself until the function returns.
        """
        if self._thread is None:
            self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
            self._results: SimpleQueue[tuple[Any, float]] = SimpleQueue()
            self._thread = threading.Thread(
                target=_deputise, args=(self._calls, self._results), name="hopwell-masks", daemon=True
            )
            self._thread.start()
        clock = _cpu_clock(self._thread)
        began, deadline = clock(), time.monotonic() + PATIENCE * seconds
        self._calls.put(function)
        while (left := began + seconds - clock()) > 0 and time.monotonic() < deadline:
            try:
                return self._results.get(timeout=left)
            except Empty:
                pass
        self.close()
        return None, seconds

    def close(self) -> None:
        """Lets the thread end, once its call has."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread = None


class BoundedMatcher:
    """An `LLMatcher` on an allowance, with the methods that `GrammarState` needs. Spent, it is in error for good."""

    def __init__(self, matcher: LLMatcher, allowance: Allowance, deputy: Deputy) -> None:
        self._matcher, self._allowance, self._deputy = matcher, allowance, deputy

    def is_error(self) -> bool:
        return self._allowance.gone or self._matcher.is_error()

    def is_stopped(self) -> bool:
        return self._allowance.gone or self._matcher.is_stopped()

    def compute_bitmask(self) -> bytes:
        """A bit a token; empty if the allowance is spent."""
        return self._call(self._matcher.compute_bitmask, REFILL) or b""

    def try_consume_tokens(self, tokens: list[int]) -> int:
        return self._call(lambda: self._matcher.try_consume_tokens(tokens)) or 0

    def rollback(self, count: int) -> None:
        if not self._allowance.gone:
            self._matcher.rollback(count)

    def reset(self) -> None:
        if not self._allowance.gone:
            self._matcher.reset()

    def _call(self, function: Callable[[], T], refill: float = 0.0) -> T | None:
        if self._allowance.gone:  # the thread that was left behind may still hold the matcher
            return None
        result, seconds = self._deputy.call(function, self._allowance.left)
        failed = seconds < self._allowance.left and self._matcher.is_error()  # llguidance has limits of its own
        self._allowance.charge(self._allowance.left if failed else seconds, refill)
        return result


def _deputise(calls: SimpleQueue[Callable[[], Any] | None], results: SimpleQueue[tuple[Any, float]]) -> None:
    while (function := calls.get()) is not None:
        began = time.thread_time()
        try:
            result = function()
        except Exception:  # a call that was left behind holds the matcher: its owner hears of nothing
            result = None
        results.put((result, time.thread_time() - began))
        del function, result


def _cpu_clock(thread: threading.Thread) -> Callable[[], float]:
    """A thread's time on the processor; where that cannot be known, of the wall."""
    if not hasattr(time, "pthread_getcpuclockid") or thread.ident is None:
        return time.monotonic
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(clock)

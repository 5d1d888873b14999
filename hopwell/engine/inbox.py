"""What other threads have the engine's thread do between two steps, and the answers that some of them wait for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Inbox:
    """Actions, in the order in which they came. All but `carry_out` and `wait` may be called from any thread."""

    def __init__(self) -> None:
        self._actions: deque[Callable[[], None]] = deque()
        self._calls: set[Future] = set()
        self._news = threading.Event()

    def __len__(self) -> int:
        return len(self._actions)

    def post(self, action: Callable[[], None]) -> None:
        """Has something done."""
        self._actions.append(action)
        self._news.set()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Has something done whose result, or error, is wanted."""
        future: Future[T] = Future()
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)

        def run() -> None:
            if future.done():  # cancelled, or failed while a step hung
                return
            try:
                result = function()
            except Exception as error:
                _settle(future, error=error)
            else:
                _settle(future, result)

        self.post(run)
        return future

    def fail_calls(self, error: Exception) -> None:
        """Answers every pending `call` with an error."""
        for future in list(self._calls):
            _settle(future, error=error)

    def carry_out(self) -> None:
        """Does what has come; an error of `post` comes out here."""
        while self._actions:
            self._actions.popleft()()

    def wake(self) -> None:
        """Ends `wait`, now or when it is next called."""
        self._news.set()

    def wait(self, seconds: float | None = None) -> None:
        """Until something comes, or `wake`, or so long."""
        self._news.wait(seconds)
        self._news.clear()


def _settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    """Answers a call, unless that has been done."""
    with suppress(InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

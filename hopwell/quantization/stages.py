"""Where a conversion's time goes: seconds by stage, while somebody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

REST = "walk"
"""What is in no other stage: reading weights, the forward pass."""


class Stages:
    """Watches while it is entered. A stage within another counts for itself alone; all together are the whole time.

    hazard: on a GPU the host waits at both ends of a stage, so that work counts where it was launched.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}
        self._now, self._since = REST, 0.0

    def turn(self, to: str) -> str:
        """Begins a stage; returns the one that ends."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now, ended = time.perf_counter(), self._now
        self.seconds[ended] = self.seconds.get(ended, 0.0) + now - self._since
        self._now, self._since = to, now
        return ended

    def __enter__(self) -> Stages:
        self._token = _watching.set(self)
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.turn(REST)
        _watching.reset(self._token)


_watching: ContextVar[Stages | None] = ContextVar("watching", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Around a stage, or as a function's decorator; costs nothing unless watched."""
    watching = _watching.get()
    if watching is None:
        yield
        return
    outer = watching.turn(name)
    try:
        yield
    finally:
        watching.turn(outer)

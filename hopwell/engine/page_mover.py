"""Pages between the latent cache and host memory, in the order of the runner's steps.

A page is saved before the step that gives it to another, and loaded before the step that reads it. On a GPU pages are
gathered within its memory, which is quick, and cross the link on a stream of their own: a step waits for what it loads,
and never for what is saved.

Of several ranks that each have all pages the first one saves, once for all, and what it loads goes on to the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hopwell.cache.host import HostPage
from hopwell.cache.tiers import Tiers
from hopwell.engine.runnable import Filling, Model

LOAD_BYTES = 64 << 20
"""That are on their way to the latent cache in one piece: a GPU has to have room for them."""
Move = tuple[int, HostPage]
"""A page of the latent cache, and the slot of host memory that it is copied to or from."""


def host_memory(latent: Tensor, slots: int) -> Tensor:
    """Memory for pages of a latent cache, pinned where a GPU reads it: uint8 [slots, layers, 64, bytes of a row]."""
    layers, _, rows, _ = latent.shape
    row_bytes = latent.shape[-1] * latent.itemsize
    return torch.empty((slots, layers, rows, row_bytes), dtype=torch.uint8, pin_memory=latent.is_cuda)


def put_pages(latent: Tensor, pages: Sequence[int], values: Tensor) -> None:
    """Fills pages of a latent cache [layers, pages, 64, values] with uint8 [pages, layers, 64, bytes of a row]."""
    at = torch.tensor(pages, device=latent.device)
    latent.view(torch.uint8).index_copy_(1, at, values.transpose(0, 1))


class PageMover:
    """Copies pages in the thread that runs steps."""

    def __init__(self, latent: Tensor, memory: Tensor, tiers: Tiers, model: Model | None = None) -> None:
        """
        Args:
            latent: [layers, pages, 64, values].
            memory: as `host_memory` makes it.
            model: whose cache it is; one that is `Filling` is given what is loaded.
        """
        self._others = model if isinstance(model, Filling) else None
        self._latent, self._memory, self._tiers = latent.view(torch.uint8), memory, tiers
        self._side = torch.cuda.Stream(latent.device) if latent.is_cuda else None

    def save(self, moves: Sequence[Move]) -> None:
        """Copies pages to host memory."""
        hosts = [host for _, host in moves]
        try:
            wait = self._save_cpu(moves) if self._side is None else self._save_gpu(moves, self._side)
        except BaseException:
            self._tiers.abandon(hosts)
            raise
        self._tiers.filled(hosts, wait)

    def load(self, moves: Sequence[Move]) -> None:
        """Copies pages from host memory; steps that are given to the device from here on find them."""
        hosts = [host for _, host in moves]
        at_once = max(1, LOAD_BYTES // self._memory[0].numel())
        taken = list[Callable[[], float]]()
        try:
            for first in range(0, len(moves), at_once):
                some = moves[first : first + at_once]
                taken.append(self._load_cpu(some) if self._side is None else self._load_gpu(some, self._side))
        except BaseException:
            self._tiers.abandon(hosts)
            raise
        self._tiers.loaded(hosts, lambda: sum(seconds() for seconds in taken))

    def gather(self, pages: Sequence[int]) -> Tensor:
        """Pages of the latent cache in one piece of its device's memory: uint8 [pages, layers, 64, bytes]."""
        at = torch.tensor(pages, device=self._latent.device)
        return self._latent.index_select(1, at).transpose(0, 1).contiguous()

    def _save_cpu(self, moves: Sequence[Move]) -> None:
        for page, host in moves:
            self._memory[host.slot].copy_(self._latent[:, page])

    def _load_cpu(self, moves: Sequence[Move]) -> Callable[[], float]:
        started = time.perf_counter()
        for page, host in moves:
            self._latent[:, page].copy_(self._memory[host.slot])
            if self._others is not None:
                self._others.fill([page], self.gather([page]))
        taken = time.perf_counter() - started
        return lambda: taken

    def _save_gpu(self, moves: Sequence[Move], side: torch.cuda.Stream) -> Callable[[], None]:
        gathered = self.gather([page for page, _ in moves])
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for (_, host), page in zip(moves, gathered, strict=True):
                self._memory[host.slot].copy_(page, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        gathered.record_stream(side)  # hazard: its memory must not be given away before it is copied
        return done.synchronize

    def _load_gpu(self, moves: Sequence[Move], side: torch.cuda.Stream) -> Callable[[], float]:
        current = torch.cuda.current_stream()
        began, done = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(side):
            shape = (len(moves), *self._memory.shape[1:])
            staged = torch.empty(shape, dtype=torch.uint8, device=self._latent.device)
            began.record()
            for (_, host), page in zip(moves, staged, strict=True):
                page.copy_(self._memory[host.slot], non_blocking=True)
            done.record()
        current.wait_event(done)
        pages = [page for page, _ in moves]
        if self._others is not None:
            self._others.fill(pages, staged)
        put_pages(self._latent, pages, staged)
        staged.record_stream(current)

        def seconds() -> float:
            done.synchronize()
            return began.elapsed_time(done) / 1e3

        return seconds

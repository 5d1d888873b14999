"""The engine's side of the tiers: which pages go down, which a prompt is to wait for, and what that has brought."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from hopwell.cache.disk import DiskTier
from hopwell.cache.host import HostPage, HostTier
from hopwell.cache.pace import Pace
from hopwell.cache.pool import PagePool
from hopwell.cache.store import open_store
from hopwell.cache.tiers import DISK, HOST, STORE, Fetch, Tiers
from hopwell.engine.config import EngineConfig, EngineConfigError, check_fits
from hopwell.engine.metrics import Metrics
from hopwell.engine.page_mover import Move, PageMover, host_memory
from hopwell.engine.runnable import Model
from hopwell.engine.sequence import Awaited
from hopwell.model.batch import ForwardBatch
from hopwell.ops.sizes import PAGE
from hopwell.system import memory_bytes

PROBE_PAGES = 4
LATE = 2.0
"""A fetch that takes so many times what computing its pages would is waited for no longer."""
LEAST_WAIT, UNKNOWN_WAIT = 0.05, 2.0
"""Seconds: the shortest such wait, and that where it is not known what computing takes."""


class Tiering:
    """All but `done` of `begin` runs in the engine's thread."""

    def __init__(self, tiers: Tiers, mover: PageMover, pool: PagePool, metrics: Metrics, pages_of: str = "") -> None:
        """
        Args:
            pages_of: the fingerprint of what is on disk or in a store.
        """
        self.tiers, self.mover, self.metrics, self.pages_of = tiers, mover, metrics, pages_of
        self._pool = pool
        self._saves: list[Move] = []
        self._loads: list[Move] = []
        self._prefill = Pace()

    # -- down

    def released(self, keys: Sequence[bytes], pages: Sequence[int]) -> None:
        """A sequence has given its pages back: what nobody uses any more is to be copied to host memory.

        Args:
            keys: of the leading pages, those that are kept.
        """
        for key, page in zip(reversed(keys), reversed(pages[: len(keys)]), strict=True):
            # what other engines wait for is not held back by who still uses it here
            free = self.tiers.store is not None or not self._pool.users(page)
            if free and (host := self.tiers.reserve(key)) is not None:
                self._saves.append((page, host))

    def idle_saves(self) -> list[Move]:
        """What is to be saved now, before a next step."""
        saves, self._saves = self._saves, []
        return saves

    def moves(self) -> tuple[list[Move], list[Move]]:
        """What the next step has to save and to load; a second call gives it no more."""
        moves = self._saves, self._loads
        self._saves, self._loads = [], []
        return moves

    # -- up

    def begin(self, keys: Sequence[bytes], done: Callable[[Fetch], None]) -> Awaited | None:
        """Begins to fetch what a prompt's pages lack in the pool, if a tier has it and that is faster than to compute.

        Args:
            done: called in another thread when it is there.
        """
        first = len(self._pool.prefix.match(keys))
        wanted = keys[first:]
        seconds = self._prefill.seconds
        fetch = self.tiers.seek(wanted, seconds, done)
        if fetch is None:
            tiers = self.tiers.worth(wanted, seconds)
            fetch = self.tiers.fetch(wanted[: len(tiers)], tiers, done) if tiers else None
        if fetch is None:
            return None
        count = len(wanted) if fetch.sought else len(fetch.tiers)
        wait = UNKNOWN_WAIT if seconds is None else max(LEAST_WAIT, LATE * seconds * count)
        return Awaited(fetch, first, time.monotonic() + wait)

    def late(self, awaited: Awaited) -> None:
        """A fetch is not waited for any longer."""
        tier = STORE if awaited.fetch.sought else DISK if DISK in awaited.fetch.tiers else HOST
        self.tiers.counts.faults[f"{tier} slow"] += 1
        self.tiers.give_up(awaited.fetch)
        if tier == STORE:  # or every prompt would wait for it
            self.tiers.rest()

    def drop(self, awaited: Awaited) -> None:
        """A fetch is not needed any more."""
        self.tiers.give_up(awaited.fetch)

    def take(self, awaited: Awaited, shared: int) -> list[HostPage]:
        """Of what was fetched, the pages that follow the `shared` ones, to be given to `load`; the rest is let go."""
        offset, pages = shared - awaited.first, awaited.fetch.pages
        usable = pages[offset:] if 0 <= offset < len(pages) else []
        for tier in awaited.fetch.tiers[offset : offset + len(usable)]:
            self.metrics.tier_hit_tokens[tier] += PAGE
        awaited.fetch.pages = []
        self.tiers.abandon(pages[: len(pages) - len(usable)])
        return usable

    def load(self, pages: Sequence[int], hosts: Sequence[HostPage]) -> None:
        """Pages of the pool are to hold what was fetched, before the next step."""
        self._loads += zip(pages, hosts, strict=True)

    # -- counts

    def observe(self, rows: int, seconds: float) -> None:
        """Takes in a step that computed prompts."""
        self._prefill.observe(seconds, rows / PAGE)

    def gauge(self) -> None:
        """Copies what the tiers count into the engine's metrics."""
        m, tiers = self.metrics, self.tiers
        m.host_pages, m.disk_pages = len(tiers.host), 0 if tiers.disk is None else len(tiers.disk)
        m.tier_saved_pages, m.tier_written_pages = tiers.counts.saved, tiers.counts.written
        m.tier_unwritten_pages = tiers.counts.unwritten
        m.tier_declined_pages, m.tier_faults = dict(tiers.counts.declined), dict(tiers.counts.faults)
        paces = {"compute": self._prefill, "link": tiers.link, **tiers.paces}
        m.tier_page_seconds = {name: pace.seconds for name, pace in paces.items() if pace.seconds is not None}

    def flush(self) -> None:
        """Forgets all pages below the pool."""
        self.tiers.clear()

    def close(self) -> None:
        """Saves what was given back last, and ends the tiers; no step runs any more."""
        saves, loads = self.moves()
        self.tiers.abandon([host for _, host in loads])
        if saves:
            self.mover.save(saves)
        self.tiers.close()


def make_tiering(
    config: EngineConfig, model: Model, latent: Tensor, vocab_size: int, pool: PagePool, metrics: Metrics
) -> Tiering | None:
    """The tiers that a config asks for, or None.

    Raises:
        EngineConfigError: host memory for less than two pages.
        DiskTierError, StoreError: the folder or the store cannot be used.
    """
    if config.host_cache_gb is None and config.page_store is None:
        return None
    if config.host_cache_gb is not None:
        check_fits("host_cache_gb", config.host_cache_gb, 1e9, memory_bytes())
    page_bytes = latent[:, 0].numel() * latent.itemsize
    slots = latent.shape[1] if config.host_cache_gb is None else int(config.host_cache_gb * 1e9) // page_bytes
    if slots < 2:
        least = f"give {2 * page_bytes / 1e9:g} or more"
        raise EngineConfigError(f"host_cache_gb is {slots * page_bytes / 1e9:g}, less than two pages; {least}")
    disk, store, own = None, None, ""
    if config.disk_cache is not None or config.page_store is not None:
        own = fingerprint(model, latent, vocab_size, config.drafts > 0)
        if config.disk_cache is not None:
            assert config.disk_cache_gb is not None
            disk = DiskTier(Path(config.disk_cache), own, page_bytes, int(config.disk_cache_gb * 1e9))
        else:
            assert config.page_store is not None
            room = None if config.page_store_gb is None else int(config.page_store_gb * 1e9)
            store = open_store(config.page_store, own, page_bytes, room)
    memory = host_memory(latent, slots)
    tiers = Tiers(HostTier(memory.view(slots, -1).numpy()), disk, store)
    return Tiering(tiers, PageMover(latent, memory, tiers, model), pool, metrics, own)


@torch.inference_mode()
def fingerprint(model: Model, latent: Tensor, vocab_size: int, drafts: bool) -> str:
    """A name for the pages of a model as this engine computes them: a hash of the latents of some tokens, bit by bit,
    in all layers. Other weights, kernels or formats give other bits. Call it while nothing else uses the pages.

    Args:
        drafts: whether the MTP layer's rows are filled too.
    """
    pages = list(range(min(PROBE_PAGES, latent.shape[1])))
    positions = torch.arange(len(pages) * PAGE)
    tokens = (positions * 2654435761 + 97) % vocab_size
    table = torch.tensor([pages], dtype=torch.int32)
    model.clear(latent, pages)
    count = len(positions)
    model.step(ForwardBatch(tokens, positions, [count], [count], table), latent, torch.tensor([0], device=model.device))
    found = latent[:, pages].contiguous().view(torch.uint8).cpu().numpy()
    model.clear(latent, pages)
    digest = blake2b(found.tobytes(), digest_size=16)
    digest.update(f"{drafts}, {found.shape}, {latent.dtype}".encode())
    return digest.hexdigest()

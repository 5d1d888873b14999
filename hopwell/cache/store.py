"""The seam to other stores of pages: what LMCache, Mooncake, NIXL or a folder must be able to do to stand behind an
engine's host memory, and be shared by several engines.

A page is `page_bytes` bytes as the latent cache has them, [layers, 64 tokens, bytes of a row]. It is known by 16 bytes:
a hash of its tokens and of the key of the page before it, the first of which is a hash of the tenant's salt
(`prefix.page_keys`, `root_key`). So equal keys mean the same tenant, and the same tokens from the first on. What a key
leaves open, the model's weights, its formats and kernels, is in the fingerprint that a store is opened with
(`engine/tiering.fingerprint`): pages of different ones are never mixed.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from hopwell.cache.directory import DirectoryStore
from hopwell.errors import HopwellError

FOLDER = "dir:"


class StoreError(HopwellError):
    """A store that cannot be opened; the message says why."""


class PageStore(Protocol):
    """Pages of one fingerprint. All is called from one thread of the engine's process, never from the one that steps:
    it may take its time, but the prompts that want its pages wait (`engine/tiering.LATE`). What it raises costs a hit,
    and for some seconds it is not asked again. It may forget any page at any time. Whoever can write to it can put
    words into the model's mouth: a checksum finds faults, not forgers."""

    def find(self, keys: Sequence[bytes]) -> int:
        """How many leading ones of these pages it has now, as far as it knows."""
        ...

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        """Takes a page, of which it must not keep the memory. A page that it has already it may ignore.

        Args:
            checksum: 16 bytes to be given back with it.
        """
        ...

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        """Fills `into` with a page, and returns its checksum; None: it has it no longer."""
        ...

    def close(self) -> None:
        """Nothing is asked of it after this."""
        ...


def open_store(where: str, fingerprint: str, page_bytes: int, capacity: int | None) -> PageStore:
    """Opens the store that `--page-store` names.

    Args:
        where: `dir:FOLDER`, or `MODULE:FUNCTION`, a function of a fingerprint and the bytes of a page.
        capacity: bytes that pages may take in a folder, at least two pages; None for others.

    Raises:
        StoreError: there is no such module or function, it has failed, or the folder cannot be used.
    """
    if where.startswith(FOLDER):
        assert capacity is not None
        if capacity < 2 * page_bytes:
            raise StoreError(f"page_store_gb is {capacity / 1e9:g}; give {2 * page_bytes / 1e9:g} or more")
        try:
            return DirectoryStore(Path(where.removeprefix(FOLDER)), fingerprint, page_bytes, capacity)
        except OSError as error:
            raise StoreError(f"page_store {where}: {error.strerror}; give a folder that can be written") from None
    module, _, name = where.partition(":")
    try:
        make: Any = getattr(importlib.import_module(module), name)
        return make(fingerprint, page_bytes)
    except Exception as error:  # whatever somebody else's code raises
        raise StoreError(f"page_store {where}: {error!r}; give dir:FOLDER, or MODULE:FUNCTION that opens one") from None

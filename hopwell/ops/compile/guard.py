"""Kernels that arrive late: after the engine said that it is ready, nothing may be compiled or loaded any more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


class LateCompileError(RuntimeError):
    """A kernel was first wanted after the engine had said that it was ready."""


class RecompileGuard:
    """Watches Triton from `start` on for kernels that are not loaded yet: each costs a request its compile time.

    Triton has one hook a process; a watch that starts takes it from the one before.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        """Raise `LateCompileError` in place of noting it: for tests."""
        self.names: list[str] = []
        """What was late, with the types and constants that made it another kernel."""

    def start(self) -> None:
        """From here on kernels are late."""
        from triton import knobs

        knobs.runtime.jit_cache_hook = self._on_new_kernel

    def stop(self) -> None:
        """Gives the hook back, if it is still this watch's."""
        from triton import knobs

        if knobs.runtime.jit_cache_hook == self._on_new_kernel:
            knobs.runtime.jit_cache_hook = None

    def _on_new_kernel(self, *, repr: str, **_: Any) -> bool:
        """Triton's hook, called before a kernel that this process has not launched yet; False lets it go on."""
        self.names.append(repr)
        if self.strict:
            raise LateCompileError(f"{repr} was compiled after the engine was ready")
        log.warning("compiled after the engine was ready: %s", repr)
        return False


@contextmanager
def unwatched() -> Iterator[None]:
    """For a bench's own kernels, which no request waits for."""
    from triton import knobs

    hook, knobs.runtime.jit_cache_hook = knobs.runtime.jit_cache_hook, None
    try:
        yield
    finally:
        knobs.runtime.jit_cache_hook = hook

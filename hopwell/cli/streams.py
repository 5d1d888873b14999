"""stdout and stderr as commands have them: a fault of writing to the one bears its name, of the other is forgotten."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

NAME = "stdout"
"""The `filename` of an OSError that is its own."""


class Stdout:
    """A stream whose OSErrors bear the name of stdout."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, as the stream does."""
        try:
            return self._stream.write(text)
        except OSError as error:
            error.filename = NAME
            raise

    def flush(self) -> None:
        """Writes what waits."""
        try:
            self._stream.flush()
        except OSError as error:
            error.filename = NAME
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Stderr:
    """A stream that loses what it cannot write: notes beside an answer must not cost the answer."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, or not."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what waits, or not."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def own_stderr() -> Iterator[None]:
    """Tells through a `Stderr`."""
    with redirect_stderr(cast(TextIO, Stderr(sys.stderr))):
        yield


@contextmanager
def own_stdout() -> Iterator[None]:
    """Prints through a `Stdout`, and writes at the end what waits.

    Raises:
        OSError: named `NAME`, stdout takes no more.
    """
    guarded = Stdout(sys.stdout)
    with redirect_stdout(cast(TextIO, guarded)):
        try:
            yield
        finally:
            guarded.flush()

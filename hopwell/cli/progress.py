"""Bars for whatever takes long: bytes of a big model, kernels to compile. On stderr, and only in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column

SHOW_AFTER = 1.0
"""Seconds. What is quicker needs no bar."""
SHOW_FROM = 100_000_000
"""Bytes. Less is a small model on a slow disk, and not worth a line either."""
SAY_EVERY = 10.0
"""Seconds from one line to the next where there is no terminal."""
REDRAW = 0.1
"""Seconds between two pictures; a checkpoint has 100,000 tensors."""


@contextmanager
def byte_progress(doing: str, done: str | None) -> Iterator[Callable[[int, int, str], None]]:
    """A callback for `load_model(progress=...)`, `LLM(progress=...)` and `synthesise(progress=...)`.

    A terminal sees a bar with GB, GB/s and the time left; afterwards, and without a terminal, one line says how much
    and how fast. Nothing is printed for work that took less than `SHOW_AFTER`, nor for work that failed.

    Args:
        doing, done: the verb before and after, as "Loading" and "Loaded"; without the latter there is no line.

    Example:
        with byte_progress("Loading", "Loaded") as progress:
            llm = LLM(model, progress=progress)
    """
    meter = _Meter(doing)
    try:
        yield meter
    finally:
        meter.stop()
    if done is not None and meter.bytes_done >= SHOW_FROM and meter.seconds > SHOW_AFTER:
        how = f"{meter.bytes_done / 1e9:.2f} GB in {meter.seconds:.1f} s ({meter.rate:.2f} GB/s)"
        print(f"{done} {how}", file=sys.stderr)


@contextmanager
def count_progress(doing: str, aloud: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A callback with how many are done, how many there are, and a name; a terminal sees a bar from its first call on.

    Args:
        doing: what stands before the bar, as "Answering".
        aloud: the bar is there at once; without a terminal there is a line in each `SAY_EVERY`.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    terminal = sys.stderr.isatty()
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    bar = _bar(*columns, disable=not terminal)
    task = bar.add_task(doing, total=None)
    began = aloud
    said = time.monotonic()

    def progress(done: int, total: int, name: str) -> None:
        nonlocal began, said
        if not began:
            bar.start()
            began = True
        bar.update(task, completed=done, total=total)
        if aloud and not terminal and (now := time.monotonic()) >= said + SAY_EVERY:
            said = now
            print(f"{doing}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    if aloud:
        bar.start()
    try:
        yield progress
    finally:
        if began:
            bar.stop()


def kernel_progress(aloud: bool = False) -> AbstractContextManager[Callable[[int, int, str], None]]:
    """A callback for `load_model(on_compile=...)`, `LLM(on_compile=...)` and `Warming.wait`: a bar over kernels."""
    return count_progress("Compiling kernels", aloud)


@contextmanager
def weight_progress() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, str], None]]]:
    """For a conversion: what prints a line on stdout, and a callback for a bar over weights with the time left."""
    from rich.progress import TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=16), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"), _name())
    terminal = sys.stderr.isatty()
    with _bar(*columns, disable=not terminal, expand=True) as bar:
        task = bar.add_task("Compensating", total=None, name="")

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=name, visible=done < total)

        yield bar.console.print if terminal and sys.stdout.isatty() else print, progress


class _Meter:
    def __init__(self, doing: str) -> None:
        self.doing, self.bytes_done = doing, 0
        self._started = self._last = self._drawn = time.monotonic()
        self._bar: Progress | None = None

    @property
    def seconds(self) -> float:
        """From the start to the last bytes."""
        return self._last - self._started

    @property
    def rate(self) -> float:
        """GB/s so far."""
        return self.bytes_done / 1e9 / max(self.seconds, 1e-9)

    def __call__(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if done != self.bytes_done:
            self.bytes_done, self._last = done, now
        if now - self._drawn < REDRAW and done < total:
            return
        self._drawn = now
        if self._bar is None:
            if now - self._started < SHOW_AFTER or not sys.stderr.isatty():
                return
            columns = (BarColumn(bar_width=24), DownloadColumn(), TextColumn("{task.fields[speed]}"), _name())
            self._bar = _bar(*columns, auto_refresh=False, expand=True)
            self._bar.add_task(self.doing, total=total, speed="", name="")
            self._bar.start()
        left = (total - done) / 1e9 / max(self.rate, 1e-9)
        speed = f"{self.rate:.2f} GB/s, {left:.0f} s left"
        self._bar.update(self._bar.task_ids[0], completed=done, speed=speed, name=name, refresh=True)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Bar(Progress):
    """Without a word where it is disabled: rich 13 ends with a line feed there too."""

    def stop(self) -> None:
        if not self.disable:
            super().stop()


def _name() -> TextColumn:
    """What a bar is at: it takes the room that is left, and nothing else is cut for it."""
    return TextColumn("[dim]{task.fields[name]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))


def _bar(*columns: ProgressColumn, **options: Any) -> Progress:
    """A bar on stderr that leaves nothing behind. What is printed meanwhile stands above it, if that goes to the bar's
    own terminal.

    hazard: rich would write it to the bar's stream, which is stderr, even where stdout is a file or a pipe.
    """
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    doing = TextColumn("{task.description}")
    return _Bar(doing, *columns, console=console, transient=True, redirect_stdout=redirect, **options)

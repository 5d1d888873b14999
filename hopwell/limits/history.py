"""The meter's last minutes, second by second, and what is told of them: each op's share of the device's limits.

docs/limits.md defines every figure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hopwell.limits.board import Board
from hopwell.limits.meter import Key, Reading, Sums
from hopwell.limits.pacing import PacingState
from hopwell.limits.thermal import ThermalState

RECENT = 10
"""Seconds of which rows are means."""
HISTORY = 600
"""Seconds of which there are points."""


@dataclass(slots=True)
class Row:
    """One op, the mean of a measured step. Rates and percent are None where no ceiling binds."""

    layer: int | None
    op: str
    us: float
    bytes: float
    flops: float
    gb_per_s: float | None = None
    tflop_per_s: float | None = None
    limit_us: float | None = None
    percent: float | None = None
    """Of the ceiling: the least time that bytes and FLOPs take, of the time."""
    bound: str | None = None
    """The ceiling that binds: "memory" or "math"."""

    @classmethod
    def of(cls, key: Key, sums: Sums, steps: int) -> Row:
        row = cls(*key, 1e6 * sums.seconds / steps, sums.bytes / steps, sums.flops / steps)
        if sums.floor and sums.seconds:
            row.gb_per_s = sums.bytes / sums.seconds / 1e9
            row.tflop_per_s = sums.flops / sums.seconds / 1e12
            row.limit_us = 1e6 * sums.floor / steps
            row.percent = 100 * sums.floor / sums.seconds
            row.bound = "memory" if sums.memory >= sums.math else "math"
        return row


@dataclass(slots=True)
class Point:
    """One second with steps in it, or this moment."""

    at: float
    """By the clock of the world, Unix seconds."""
    steps: int = 0
    measured: int = 0
    rows: int = 0
    """Through the model, drafts included."""
    tokens: int = 0
    """Generated."""
    seconds: float = 0.0
    """Of steps, their hosts' apart."""
    host_seconds: float = 0.0
    measured_seconds: float = 0.0
    """Of those that were measured."""
    limit_seconds: float = 0.0
    """What those would have taken at the ceilings."""
    running: int = 0
    waiting: int = 0
    pages_used: int = 0
    pages_total: int = 0
    board: Board | None = None


@dataclass(slots=True)
class Report:
    """What `/v1/limits` tells."""

    on: bool
    engine: int = 1
    """Which of several engines this is of, and how many there are."""
    engines: int = 1
    device: str = ""
    bytes_per_s: float = 0.0
    flops_per_s: dict[str, float] = field(default_factory=dict)
    layers: int = 0
    """Of the model; the MTP layer's number is this."""
    every: int = 0
    """Steps from one that is measured to the next."""
    overhead: float = 0.0
    """Share of the time that measuring takes, by its own clock."""
    steps: int = 0
    """Of the last seconds that had any: what `rows` are means of, and what follows."""
    measured: int = 0
    step_us: float = 0.0
    """Of a step, measured or not, without its host's time."""
    measured_us: float = 0.0
    """Of a measured step: what `rows` sum to, but for the host's."""
    host_us: float = 0.0
    """A step of the engine's own thread."""
    overlapped: bool = False
    """Whether the host works while the device does."""
    mean_rows: float = 0.0
    rows: list[Row] = field(default_factory=list)
    ops: list[Row] = field(default_factory=list)
    """The same of all layers together, the longest first; with the host's."""
    history: list[Point] = field(default_factory=list)
    now: Point | None = None
    """What runs, waits and is cached at this moment, of no steps: where nothing runs, the last of `history` is old."""
    pacing: PacingState | None = None
    """Where the objective is not latency, whether or not the meter is on."""
    thermal: ThermalState | None = None
    """Likewise where degrees have a limit."""


@dataclass(slots=True)
class Totals:
    """Counts since the start, for whoever scrapes."""

    measured: int = 0
    """Steps."""
    ops: dict[str, Sums] = field(default_factory=dict)
    every: int = 0
    overhead: float = 0.0
    bytes_per_s: float = 0.0
    flops_per_s: dict[str, float] = field(default_factory=dict)
    board: Board | None = None


class AtWork(NamedTuple):
    """Sequences that run and wait, pages in use and in all."""

    running: int
    waiting: int
    pages_used: int
    pages_total: int


class History:
    """The last minutes, second by second. Written by who steps, read by anybody."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._points: deque[Point] = deque(maxlen=HISTORY)
        self._recent: deque[tuple[Point, Reading]] = deque(maxlen=RECENT)
        self._lock = threading.Lock()
        self.board: Board | None = None
        self._ops: dict[str, Sums] = {}
        """By op, since the start."""
        self._measured = 0
        """Steps, likewise."""

    def step(self, seconds: float, host_seconds: float, rows: int, tokens: int, at_work: AtWork) -> None:
        """Takes in a step, measured or not; the fields are those of `Point`."""
        with self._lock:
            point, _ = self._now()
            point.steps += 1
            point.rows += rows
            point.tokens += tokens
            point.seconds += seconds
            point.host_seconds += host_seconds
            point.running, point.waiting, point.pages_used, point.pages_total = at_work
            point.board = self.board

    def now(self, at_work: AtWork) -> Point:
        """This moment, which no step is part of."""
        return Point(float(int(self._clock())), **at_work._asdict(), board=self.board)

    def measure(self, reading: Reading) -> None:
        """Takes in what was measured of a step."""
        with self._lock:
            point, ops = self._now()
            self._measured += 1
            point.measured += 1
            for key, sums in reading.items():
                ops.setdefault(key, Sums()).add(sums)
                self._ops.setdefault(key[1], Sums()).add(sums)
                point.measured_seconds += sums.seconds
                point.limit_seconds += sums.floor

    def _now(self) -> tuple[Point, Reading]:
        second = float(int(self._clock()))
        if not self._recent or self._recent[-1][0].at != second:
            self._recent.append((Point(second), Reading()))
            self._points.append(self._recent[-1][0])
        return self._recent[-1]

    def totals(self) -> Totals:
        """Sums since the start."""
        with self._lock:
            return Totals(self._measured, {op: replace(sums) for op, sums in self._ops.items()}, board=self.board)

    def fill(self, report: Report) -> Report:
        """Sets what a report tells of steps."""
        with self._lock:
            points = [point for point, _ in self._recent]
            every, by_op = Reading(), Reading()
            for _, ops in self._recent:
                for (layer, op), sums in ops.items():
                    every.setdefault((layer, op), Sums()).add(sums)
                    by_op.setdefault((None, op), Sums()).add(sums)
            report.history = list(self._points)
        report.steps, report.measured = sum(p.steps for p in points), sum(p.measured for p in points)
        steps, measured = max(report.steps, 1), max(report.measured, 1)
        report.step_us = 1e6 * sum(p.seconds for p in points) / steps
        report.host_us = 1e6 * sum(p.host_seconds for p in points) / steps
        report.measured_us = 1e6 * sum(p.measured_seconds for p in points) / measured
        report.mean_rows = sum(p.rows for p in points) / steps
        report.rows = [Row.of(key, sums, measured) for key, sums in every.items()]
        report.ops = [Row.of(key, sums, measured) for key, sums in by_op.items()]
        if report.steps:
            report.ops.append(Row(None, "host", report.host_us, 0, 0))
        report.ops.sort(key=lambda row: -row.us)
        return report

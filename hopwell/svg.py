"""Curves as SVG, without a library or outside resources: for pages and reports, which style its classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import count
from math import ceil, floor, inf, log10
from typing import NamedTuple

SPAN, HEIGHT, LEFT, BOTTOM, TOP = 306, 300, 52, 42, 28
"""What curves have of the width, and what stands round them; on the right are their names."""
LETTER = 7
COLOURS = ("#3d7ff0", "#e0692e", "#1f9d63", "#a45ee5", "#b8860b", "#d8477e", "#0e9aa7", "#7a8594", "#7c9a1b")
"""Readable on white and on black."""
DECADES = 5
"""What lies further below the highest is left out of a logarithmic plot."""
MANY = 40
"""Marks of a line that are not drawn one by one."""
STYLE = """
svg text { font: 11px system-ui, sans-serif } svg .title { font-weight: 600; font-size: 13px }
svg .left { text-anchor: end; dominant-baseline: middle } svg .below { text-anchor: middle }
svg .grid { stroke: #ddd }
"""
"""For a page that has none of its own."""


class Mark(NamedTuple):
    """One point of a curve."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    """Of the band around it; None: there is none."""
    title: str = ""
    """What a pointer that rests there is told."""


class Series(NamedTuple):
    """Marks in one colour, joined by a line or not."""

    name: str
    marks: Sequence[Mark]
    line: bool = True


def curves(title: str, across: str, series: Sequence[Series], log: bool = True) -> str:
    """An SVG, or nothing if there is nothing to show.

    Args:
        title: what is drawn upwards.
        across: what is drawn to the right.
        log: upwards in powers of ten; else from zero.
    """
    least = max((mark.y for each in series for mark in each.marks), default=0.0) / 10**DECADES if log else -inf
    series = [each._replace(marks=sorted(mark for mark in each.marks if mark.y > least)) for each in series]
    marks = [mark for each in series for mark in each.marks]
    if not marks:
        return ""
    columns = _ticks(min(mark.x for mark in marks), max(mark.x for mark in marks))
    first, last = columns[0], columns[-1]
    lowest, highest = min(mark.low or mark.y for mark in marks), max(mark.high or mark.y for mark in marks)
    rows = _powers(lowest, highest) if log else _ticks(0.0, highest)
    low, high = (log10(rows[0]), log10(rows[-1])) if log else (rows[0], rows[-1])
    width = LEFT + SPAN + 16 + LETTER * max(len(each.name) for each in series)

    def x(value: float) -> str:
        return f"{LEFT + SPAN * (value - first) / (last - first):.1f}"

    def y(value: float) -> str:
        share = ((log10(value) if log else value) - low) / (high - low)
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP):.1f}"

    parts = [
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(title)}, against {escape(across)}">',
        f'<text x="6" y="16" class="title">{escape(title)}</text>',
        f'<text x="{LEFT + SPAN // 2}" y="{HEIGHT - 8}" class="below">{escape(across)}</text>',
    ]
    for value in rows:
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + SPAN}" y1="{y(value)}" y2="{y(value)}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value)}" class="left">{value:,.6g}</text>')
    for value in columns:
        parts.append(f'<text x="{x(value)}" y="{HEIGHT - BOTTOM + 16}" class="below">{value:,.6g}</text>')
    for i, (name, each, line) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        banded = [mark for mark in each if mark.low is not None and mark.high is not None]
        edge = [(mark.x, mark.high) for mark in banded] + [(mark.x, mark.low) for mark in reversed(banded)]
        around = " ".join(f"{x(at)},{y(up)}" for at, up in edge if up is not None)
        if around:
            parts.append(f'<polygon points="{around}" fill="{colour}" opacity="0.12"/>')
        if line:
            path = " ".join(f"{x(mark.x)},{y(mark.y)}" for mark in each)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for mark in each if not line or len(each) <= MANY else ():
            told = f"<title>{escape(mark.title)}</title>"
            parts.append(f'<circle cx="{x(mark.x)}" cy="{y(mark.y)}" r="3" fill="{colour}">{told}</circle>')
        place = f'x="{LEFT + SPAN + 8}" y="{HEIGHT // 6 + 18 * i}"'
        parts.append(f'<text {place} fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    """From `low` or just below, at most seven, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    steps = (digit * 10.0**power for power in count(floor(log10(span)) - 1) for digit in (1, 2, 5))
    step = next(step for step in steps if span / step <= 6)
    return [step * i for i in range(floor(low / step), max(ceil(high / step), floor(low / step) + 1) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """One and three times powers of ten, from the last below `low` to the first above `high`."""
    steps = [digit * 10.0**power for power in range(floor(log10(low)) - 1, ceil(log10(high)) + 2) for digit in (1, 3)]
    first = max(i for i, step in enumerate(steps) if step <= low)
    last = min(i for i, step in enumerate(steps) if step >= high)
    return steps[first : max(last, first + 1) + 1]

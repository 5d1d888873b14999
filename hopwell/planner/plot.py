"""Curves with bands as SVG, without a library: logarithmic upwards, a colour a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

from hopwell.planner.uncertainty import Band, figures

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 420, 300, 52, 42, 28, 62
COLOURS = ("#3d7ff0", "#e0692e", "#1f9d63", "#a45ee5", "#b8860b", "#d8477e", "#0e9aa7", "#7a8594", "#7c9a1b")
"""Readable on white and on black."""
ACROSS = [digit * 10.0**power for power in range(-3, 9) for digit in (1, 2, 5)]
"""Steps that a scale may have."""


class Mark(NamedTuple):
    """One point of a curve."""

    x: float
    y: Band
    title: str = ""
    """What a pointer that rests there is told."""


def curves(title: str, across: str, series: Mapping[str, Sequence[Mark]]) -> str:
    """An SVG of several curves; bands are P10 to P90."""
    marks = [mark for each in series.values() for mark in each]
    if not marks:
        return ""
    right = max(mark.x for mark in marks) * 1.05
    lowest, highest = min(mark.y.p10 for mark in marks), max(mark.y.p90 for mark in marks)
    steps = [digit * 10.0**power for power in range(floor(log10(lowest)), ceil(log10(highest)) + 1) for digit in (1, 3)]
    steps = [max(step for step in steps if step <= lowest), *(step for step in steps if lowest < step < highest),
             min(step for step in steps if step >= highest)]  # fmt: skip
    low, high = log10(steps[0]), log10(steps[-1])

    def x(value: float) -> str:
        return f"{LEFT + value / right * (WIDTH - LEFT - RIGHT):.1f}"

    def y(value: float) -> str:
        share = (log10(value) - low) / (high - low)
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP):.1f}"

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}, against {escape(across)}">',
        f'<text x="6" y="16" class="title">{escape(title)}</text>',
    ]
    for value in steps:
        at = y(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at}" class="left">{figures(value, 1)}</text>')
    step = next(step for step in ACROSS if right / step <= 6)
    for i in range(int(right / step) + 1):
        value = step * i
        parts.append(f'<text x="{x(value)}" y="{HEIGHT - BOTTOM + 16}" class="below">{figures(value)}</text>')
    parts.append(f'<text x="{WIDTH // 2 - 20}" y="{HEIGHT - 8}" class="below">{escape(across)}</text>')
    for i, (name, each) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        ordered = sorted(each, key=lambda mark: mark.x)
        upper = [f"{x(mark.x)},{y(mark.y.p90)}" for mark in ordered]
        lower = [f"{x(mark.x)},{y(mark.y.p10)}" for mark in reversed(ordered)]
        line = " ".join(f"{x(mark.x)},{y(mark.y.p50)}" for mark in ordered)
        parts.append(f'<polygon points="{" ".join(upper + lower)}" fill="{colour}" opacity="0.12"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for m in ordered:
            told = f"<title>{escape(m.title)}</title>"
            parts.append(f'<circle cx="{x(m.x)}" cy="{y(m.y.p50)}" r="3" fill="{colour}">{told}</circle>')
        label = HEIGHT // 6 + 18 * i
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{label}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])

"""Line and dot plots as SVG, without outside resources: what a conversion's report shows."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 40, 46
DECADES = 5
COLOURS = ("#8a8f98", "#0a7d5a", "#c2410c", "#1d4ed8")


@dataclass(frozen=True, slots=True)
class Series:
    """Points in one colour, joined by lines or not."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True


def plot(series: Sequence[Series], x_label: str, y_label: str, log: bool = False) -> str:
    """An SVG with axes, ticks and a legend above.

    Args:
        log: a logarithmic vertical axis; values more than `DECADES` below the largest are left out.
    """
    floor = max((y for s in series for _, y in s.points), default=0.0) / 10**DECADES if log else -math.inf
    shown = [Series(s.name, [p for p in s.points if p[1] > floor], s.line) for s in series]
    points = [p for s in shown for p in s.points]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right = min(xs), max(xs)
    if log:
        low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        ticks = [10.0**e for e in range(low, max(high, low + 1) + 1)]
    else:
        ticks = _ticks(max(ys))
    span_x, bottom, top = (right - left) or 1.0, _height(ticks[0], log), _height(ticks[-1], log)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - left) / span_x if right > left else 0.5)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (_height(y, log) - bottom) / (top - bottom)

    parts = []
    for tick in ticks:
        y = up(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for x in sorted({left, (left + right) / 2, right}):
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:.4g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(x_label)}</text>')
    parts.append(f'<text x="{LEFT}" y="14" fill="#555">{html.escape(y_label)}</text>')
    place = LEFT
    for index, each in enumerate(shown):
        colour = COLOURS[index % len(COLOURS)]
        spots = [(across(x), up(y)) for x, y in each.points]
        if each.line:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if not each.line or len(spots) <= 40:
            size = 4.5 if len(spots) == 1 else 2.5
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>' for x, y in spots]
        parts.append(f'<rect x="{place}" y="22" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{place + 14}" y="31">{html.escape(each.name)}</text>')
        place += 34 + 7 * len(each.name)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12" fill="#222">{"".join(parts)}</svg>'


def _height(y: float, log: bool) -> float:
    return math.log10(y) if log else y


def _ticks(peak: float) -> list[float]:
    """From zero to just above `peak`, in steps of 1, 2 or 5 times a power of ten."""
    if peak <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(peak / 4))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * 5 >= peak)
    return [step * i for i in range(math.ceil(peak / step - 1e-9) + 1)]

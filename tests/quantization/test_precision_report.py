"""The report's plots: what they show lies inside the picture, and what they say is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from hopwell.quantization.plots import HEIGHT, WIDTH, Series, plot


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[0.2, 0.004, 7.3], [1e-9, 3e-5, 0.0], [5.0], [0.3, 0.3]])
def test_points_lie_inside_and_higher_values_higher(values: list[float], log: bool) -> None:
    picture = plot([Series("a < b", [(float(i), v) for i, v in enumerate(values)], line=False)], "x", "y", log)
    root = ElementTree.fromstring(picture)
    spots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter("circle")]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in spots)
    shown = [v for v in values if not log or v > max(values) * 1e-5]
    assert len(spots) == len(shown)
    order = sorted(range(len(shown)), key=lambda i: shown[i])
    heights = [spots[i][1] for i in order]
    assert heights == sorted(heights, reverse=True)
    assert "a &lt; b" in picture and not re.search(r"nan|inf\b", picture)


def test_nothing_to_show_is_nothing() -> None:
    assert plot([Series("a", [])], "x", "y") == "" and plot([Series("a", [(0, 0.0)])], "x", "y", log=True) == ""

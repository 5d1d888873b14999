"""Curves: what they show lies inside the picture, and what they say is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from hopwell.svg import Mark, Series, curves


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[0.2, 0.004, 7.3], [1e-9, 3e-5, 0.0], [5.0], [0.3, 0.3], [1.0]])
def test_marks_lie_inside_and_higher_values_higher(values: list[float], log: bool) -> None:
    marks = [Mark(float(i), value) for i, value in enumerate(values)]
    picture = curves("upwards", "x", [Series("a < b", marks, line=False)], log)
    root = ElementTree.fromstring(picture)
    width, height = map(int, root.attrib["viewBox"].split()[2:])
    spots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter("circle")]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in spots)
    shown = [v for v in values if not log or v > max(values) * 1e-5]
    assert len(spots) == len(shown)
    order = sorted(range(len(shown)), key=lambda i: shown[i])
    heights = [spots[i][1] for i in order]
    assert heights == sorted(heights, reverse=True)
    assert "a &lt; b" in picture and not re.search(r"nan|inf\b", picture)


def test_a_band_lies_round_its_line_and_many_marks_are_a_line_alone() -> None:
    picture = curves("y", "x", [Series("a", [Mark(2.0, 3.0, 2.5, 3.6, "<told>"), Mark(1.0, 5.0, 4.0, 6.0)])])
    root = ElementTree.fromstring(picture)
    (band,), (line,) = (
        [[float(point.split(",")[1]) for point in each.attrib["points"].split()] for each in root.iter(name)]
        for name in ("polygon", "polyline")
    )
    assert len(band) == 4 and min(band) < min(line) < max(line) < max(band)
    assert "&lt;told&gt;" in picture and picture.count("<circle") == 2
    assert "<circle" not in curves("y", "x", [Series("a", [Mark(float(i), 1.0 + i) for i in range(100)])])


def test_nothing_to_show_is_nothing() -> None:
    assert curves("y", "x", []) == "" and curves("y", "x", [Series("a", [])]) == ""
    assert curves("y", "x", [Series("a", [Mark(0.0, 0.0)])]) == ""

"""Results on disk: the same values, a row a line, and the commit of this repository alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hopwell
from hopwell.cli.result import environment, write_result


def test_a_row_is_a_line_and_nothing_is_lost(tmp_path: Path) -> None:
    rows = [{"batch": 1, "by_task": {"a": 1}}, {"batch": 8, "by_task": {}}]
    path = write_result(tmp_path, "made", rows, task={"decode": [[1, 64], [8, 64]], "steps": 8}, empty=[], plain=[1, 2])
    text = path.read_text(encoding="utf-8")
    found = json.loads(text)
    assert path.name.startswith("made-2") and found["rows"] == rows
    assert found["empty"] == [] and found["plain"] == [1, 2]
    assert found["task"] == {"decode": [[1, 64], [8, 64]], "steps": 8} and found["versions"]["hopwell"]
    assert all(f"\n  {json.dumps(row)}" in text for row in rows) and "\n   [8, 64]\n" in text


def test_an_installed_package_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hopwell, "__file__", str(tmp_path / "site-packages" / "hopwell" / "__init__.py"))
    monkeypatch.setenv("HOPWELL_COMMIT", "abc")
    assert environment()["commit"] == "abc"

"""`benchmarks.nano`: processes that answer side by side write what one writes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from benchmarks import nano


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.json"
        asked = {"problems": 2, "unseen": 1, "outside": 3, "seed": 3, "task": ["addition", "tool_call"]}
        with suppress(typer.Exit):  # of so few problems one may be wrong
            nano.main(None, temperature=0.0, device="cpu", processes=processes, show_wrong=0, out=out, **asked)
        found.append(json.loads(out.read_text()))
    one, two = found
    assert one["rows"] == two["rows"] and one["models"] == two["models"]
    assert sum(row["problems"] for row in one["rows"]) == 9

"""`hopwell top` at any width: columns go, digits stay."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest
import typer
from commands import hopwell
from rich.console import Console

from hopwell.cli import app
from hopwell.cli.servers import with_scheme
from hopwell.cli.top import LEAST, NAMES, screen


def row(op: str, us: float, layer: int | None = None) -> dict[str, Any]:
    return {
        "op": op, "us": us, "gb_per_s": 1234.5, "tflop_per_s": 987.6, "limit_us": us / 2, "percent": 50.0,
        "bound": "bytes", "layer": layer, "bytes": us * 1e3, "flops": us * 1e6,
    }  # fmt: skip


REPORT: dict[str, Any] = {
    "on": True, "engine": 0, "engines": 1, "device": "NVIDIA H200", "bytes_per_s": 4.321e12,
    "flops_per_s": {"bf16": 7.654e14, "fp8": 1.5e15}, "steps": 7, "overlapped": True, "step_us": 45_678.0,
    "mean_rows": 128.0, "host_us": 321.0, "every": 64, "overhead": 0.0123, "layers": 61,
    "history": [{"at": second, "tokens": 12_345, "running": 128, "waiting": 9, "pages_used": 12_345,
                 "pages_total": 67_890, "board": None} for second in range(100)],
    "now": {"at": 99, "tokens": 0, "running": 128, "waiting": 9, "pages_used": 12_345, "pages_total": 67_890,
            "board": None},
    "ops": [row("experts_of_a_very_long_name", 1_234_567.0), row("attention", 23_456.0)],
    "rows": [row("attention", 23_456.0, 0), row("attention", 23_456.0, 61)],
}  # fmt: skip


def shown(width: int, layers: bool = False) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(screen(REPORT, console, layers))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 90, 100, 200])
def test_no_width_cuts_a_digit(width: int) -> None:
    said = shown(width, layers=True)
    assert max(map(len, said.splitlines())) <= width
    lines = [line for line in said.splitlines() if "1,234,567" in line]
    assert len(lines) == 1 and "50.0 %" in lines[0] and said.count("23,456") == 3
    for told in ("4,321 GB/s", "765 TFLOP/s", "45.7 ms", "12,345 of", "67,890", "12,345 at most"):
        assert told in " ".join(said.split()), told
    for cut in re.findall(r"\S*…", said):
        assert re.fullmatch("[a-z_]+…", cut), cut


def test_a_layer_may_take_no_longer_than_its_marks() -> None:
    console = Console(width=120, file=io.StringIO())
    console.print(screen({**REPORT, "rows": [row("router", 0.0, 3)]}, console, layers=True))
    assert "layer 3" in console.file.getvalue()  # type: ignore[attr-defined]


def test_columns_go_from_the_least_worth_to_the_most() -> None:
    before = set(NAMES)
    for width in range(120, 30, -1):
        said = shown(width)
        heads = next(line for line in said.splitlines() if line.startswith(" op "))
        now = {name for name in NAMES if name and name in heads} | ({""} if "░" in said else set())
        gone = [name for name in LEAST if name not in now]
        assert now <= before and gone == list(LEAST[: len(gone)])
        before = now
    assert before == {"op", "us", "of limit"}
    assert "░" not in shown(80) and "limit us" in shown(80) and "░" in shown(120)


def test_an_idle_server_is_not_shown_as_it_last_ran() -> None:
    idle = {"at": 150, "tokens": 0, "running": 0, "waiting": 0, "pages_used": 3, "pages_total": 67_890, "board": None}
    console = Console(width=100, file=io.StringIO())
    console.print(screen(REPORT | {"now": idle}, console))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0 run, 0 wait; cache 3 of 67,890 pages" in said
    assert f"tokens/s {9 * '█'}{51 * ' '} 12,345 at most" in said, "51 seconds without a step"


def test_into_a_pipe_it_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["hopwell.cli.top"], "fetch", lambda url, key: REPORT)
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, hopwell("top").out.splitlines())) <= 50
    monkeypatch.delenv("COLUMNS")
    said = hopwell("top", "--once").out
    assert "░" in said and "1,500 TFLOP/s" in said and "617,284" in said and "experts_of_a_very_long_name" in said


def test_host_and_port_are_called_by_http(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys.modules["hopwell.cli.top"], "fetch", lambda url, key: asked.append(url) or REPORT)
    for url in ("127.0.0.1:8000", "https://a.example"):
        assert hopwell("top", url).code == 0
    assert asked == ["http://127.0.0.1:8000", "https://a.example"] and with_scheme(None) is None
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    several = [commands["top"], commands["clocks"], commands["bench"].commands["serve"]]
    several += [commands["plan"].commands[name] for name in ("calibrate", "verify")]
    for command in several:
        (url,) = (each for each in command.params if each.name == "url")
        assert url.process_value(command.make_context("x", [], resilient_parsing=True), "h:1") == "http://h:1"

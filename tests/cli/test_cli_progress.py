"""The bar over bytes: silent where work is quick, one line without a terminal, a bar on one."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable

import pytest

from hopwell.cli import progress as module
from hopwell.cli import texts
from hopwell.cli.progress import byte_progress, count_progress, weight_progress
from hopwell.model import NANO


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def work(clock: Clock, progress: Callable[[int, int, str], None], seconds: float, steps: int = 100) -> None:
    for step in range(1, steps + 1):
        clock.now += seconds / steps
        progress(step * 50_000_000, steps * 50_000_000, f"tensor.{step}")


def test_quick_work_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with byte_progress("Loading", "Loaded") as progress:
        work(clock, progress, 0.9)
    with byte_progress("Loading", "Loaded"):
        clock.now += 10  # nothing to load, as where a model is loaded already
    with byte_progress("Loading", "Loaded") as progress:
        work(clock, progress, 5, steps=1)  # 50 MB
    with byte_progress("Loading", None) as progress:
        work(clock, progress, 5)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_one_line_tells_how_fast(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with byte_progress("Loading", "Loaded") as progress:
        work(clock, progress, 2.5)
        clock.now += 40  # what comes after the last byte does not count
        progress(5_000_000_000, 5_000_000_000, "measuring")
    assert capsys.readouterr() == ("", "Loaded 5.00 GB in 2.5 s (2.00 GB/s)\n")


def test_a_terminal_sees_a_bar_with_rate_and_name(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with byte_progress("Loading", "Loaded") as progress:
        work(clock, progress, 5)
        assert "Loading" in screen.getvalue() and "1.00 GB/s" in screen.getvalue() and "tensor." in screen.getvalue()
    assert screen.getvalue().endswith("Loaded 5.00 GB in 5.0 s (1.00 GB/s)\n")


def test_work_that_fails_leaves_the_terminal_clean(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), byte_progress("Loading", "Loaded") as progress:
        work(clock, progress, 5)
        raise ZeroDivisionError
    assert capsys.readouterr() == ("", "")


def test_what_is_done_aloud_is_told_in_lines_without_a_terminal(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with count_progress("Asking", aloud=True) as progress:
        for done in range(1, 1001):
            clock.now += 0.025
            progress(done, 1000, "")
    assert capsys.readouterr() == ("", "Asking: 400 of 1,000\nAsking: 800 of 1,000\n")
    with count_progress("Answering") as progress:
        clock.now += 60
        progress(1, 2, "")
    assert capsys.readouterr() == ("", "")


def test_what_is_printed_beside_a_bar_stays_on_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    out, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", terminal)
    with count_progress("Answering") as progress:
        progress(0, 2, "")
        print("a row")
    with weight_progress() as (say, _):
        say("a line")
    assert out.getvalue() == "a row\na line\n"
    assert "Answering" in terminal.getvalue() and "a row" not in terminal.getvalue()


def test_a_model_that_writes_its_own_text_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SAY_EVERY", 0.0)
    monkeypatch.setattr(texts, "SAMPLE_TOKENS", 40)
    assert [len(text) for text in texts.sampled(NANO, 80, seed=0)] == [40, 40]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Writing text: ")]
    assert len(told) > 5 and told[-1] == "Writing text: 78 of 78"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_long_name_cuts_no_figure(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, name = Terminal(), "model.layers.60.mlp.shared_experts.gate_proj"
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with weight_progress() as (_, progress):
        for done in range(1, 8):
            progress(done, 8, name)
        time.sleep(0.3)  # two pictures
    pictures = [
        line
        for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))
        if name[:8] in line
    ]
    assert pictures
    for picture in pictures:
        assert re.fullmatch(r"Compensating \S+ +\d+% (\d:\d\d:\d\d|-:--:--) left model\.layer\S+ *", picture), picture
        assert len(picture) <= columns

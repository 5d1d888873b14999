"""Old names of the benches that only developers need: they run the script, or say where it is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import hopwell, refused

from hopwell.cli import moved


@pytest.mark.parametrize("name", moved.SCRIPTS)
def test_an_old_name_runs_the_script_with_its_arguments(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(moved.subprocess, "run", run)
    told = hopwell("bench", name, "model", "--batch", "8", "--help")
    assert told.code == 1 and not told.out and told.err == f"moved: python -m benchmarks.{moved.SCRIPTS[name]}\n"
    assert ran[0][1:] == ["-m", f"benchmarks.{moved.SCRIPTS[name]}", "model", "--batch", "8", "--help"]


def test_outside_a_checkout_it_says_where_the_script_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "ROOT", tmp_path)
    assert "source repository" in (told := refused("bench", "stress", "nano")) and "benchmarks.stress" in told
    assert "source repository" in refused("verify", "nano", "--against", "nano", "--tasks", "1")


def test_only_what_users_run_is_listed() -> None:
    listed = hopwell("bench", "--help").out
    assert all(f" {name} " in listed for name in ("serve", "engine", "against", "ceilings"))
    assert not any(f" {name} " in listed for name in moved.SCRIPTS)

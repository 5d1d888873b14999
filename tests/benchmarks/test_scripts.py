"""Every script starts, and names itself by what it is run with."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import pytest

from benchmarks import ROOT
from hopwell.cli.moved import SCRIPTS

README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
STARTED = {
    "gpu_parts", "overrun", "peer_aiconfigurator", "peer_llama", "peer_transformers", "peer_vllm",
    "precision_peer_jobs", "soak_attacks",
}  # fmt: skip
"""By other scripts, as processes."""


def test_the_readme_lists_every_script() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")}
    cells = re.findall(r"^\| (`.+?) \|", README, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == scripts - STARTED
    assert scripts >= set(SCRIPTS.values())


@pytest.mark.parametrize("name", sorted({*SCRIPTS.values(), "compile", "soak", "generate_load"}))
def test_a_script_tells_what_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: the test below has one of its own."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    assert not ended.value.code and "usage: " in capsys.readouterr().out.lower()


def test_a_fault_is_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plot", "none.json", "x.png"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: none.json: not a bench's result")
    assert done.stderr.count("\n") == 1

"""Children and the signals that reach all processes of a group."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hopwell.control import Child

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs socket pairs that pass descriptors")
PRESSED = """
import os, signal
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    os.kill(os.getpid(), getattr(signal, name))

from hopwell.control import as_child

def main():
    control, message = as_child()
    control.send(message.kind)
    os._exit(7)
"""


def test_signals_of_a_group_do_not_reach_a_child_even_while_it_imports(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A Ctrl-C during a server's start is its first process's; the others would each print a traceback."""
    (tmp_path / "pressed.py").write_text(PRESSED)
    child = Child.start("pressed:main", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    with child.process:
        child.control.send("said")
        message = child.control.receive()
        assert message is not None and message.kind == "said"
        assert child.process.wait(60) == 7
    assert capfd.readouterr().err == ""

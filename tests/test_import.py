"""Importing Hopwell changes nothing for anybody else in the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hopwell
from hopwell.ops.process import VARIABLES

STATE = """
import importlib, json, logging, os, pkgutil, signal, sys, warnings
import torch

def state():
    backends = torch.backends
    return {
        "environment": dict(os.environ),
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "warnings": [str(one) for one in warnings.filters],
        "logging": [logging.root.level, [str(one) for one in logging.root.handlers], logging.root.manager.disable],
        "hooks": [str(sys.excepthook), str(sys.displayhook), sys.getrecursionlimit(), sys.path[:]],
        "torch": [
            torch.get_num_threads(), torch.get_num_interop_threads(), str(torch.get_default_dtype()),
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(), backends.mkldnn.enabled, backends.quantized.engine,
            backends.cuda.matmul.allow_tf32, backends.cudnn.benchmark, backends.cudnn.deterministic,
            str(torch.get_default_device()), torch.initial_seed() if torch.random.default_generator else None,
        ],
    }
"""
IMPORTS = """
failed = {}
for found in pkgutil.walk_packages(hopwell.__path__, "hopwell."):
    if found.name not in ("hopwell.__main__",):
        try:
            importlib.import_module(found.name)
        except ImportError as error:  # an extra that is not installed here
            failed[found.name] = error.name
"""


@pytest.mark.slow
def test_importing_every_module_changes_no_state() -> None:
    """What others have imported is imported first, so that only Hopwell's own doing shows."""
    others = "import hopwell\n" + IMPORTS + "seen = [name for name in sys.modules if not name.startswith('hopwell')]\n"
    first = subprocess.run(
        [sys.executable, "-c", STATE + others + "print(json.dumps(seen))"],
        capture_output=True, text=True, timeout=120, env=_plain(), check=True,
    )  # fmt: skip
    code = STATE + (
        "import contextlib\n"
        "for name in json.loads(sys.stdin.read()):\n"
        "    with contextlib.suppress(Exception):\n"
        "        importlib.import_module(name)\n"
        "before = state()\nimport hopwell\n" + IMPORTS + "after = state()\n"
        "names = [name for name in sys.modules if name.startswith('hopwell.')]\n"
        "print(json.dumps([before, after, names, failed]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=first.stdout.splitlines()[-1], capture_output=True, text=True, timeout=120, env=_plain(), check=True,
    )  # fmt: skip
    before, after, names, failed = json.loads(done.stdout.splitlines()[-1])
    for kind in before:
        assert after[kind] == before[kind], kind
    files = {
        path for path in Path(hopwell.__file__).parent.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    }
    assert len(files) - len(failed) <= len(names)
    assert not any(str(missing).startswith("hopwell") for missing in failed.values())


def _plain() -> dict[str, str]:
    """The environment without what a test process has set for itself."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | {
        "PYTHONPATH": os.pathsep.join(sys.path)
    }

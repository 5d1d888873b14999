"""A process whose Triton compiles, where the tests' own interprets: one a pytest worker, since its start takes longer
than most of what it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

from benchmarks import ROOT

LOOP = """
import contextlib, io, json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a compiler prints past Python is no answer
for line in sys.stdin:
    script, sys.argv[1:] = json.loads(line)
    out, fault = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(out):
            exec(script, {"__name__": "script"})
    except BaseException:
        fault = traceback.format_exc()
    print(json.dumps([out.getvalue(), fault]), file=answers, flush=True)
"""


@cache
def _process() -> subprocess.Popen[str]:
    """It ends with this process, which holds the other end of its stdin."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", LOOP], cwd=ROOT, env=environment, **pipes)  # type: ignore[call-overload]


def compiled(script: str, *arguments: str) -> str:
    """What a script prints, run where kernels are compiled.

    Raises:
        AssertionError: the script failed; with its traceback.
    """
    process = _process()
    assert process.stdin and process.stdout
    print(json.dumps([script, arguments]), file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        _process.cache_clear()
        raise AssertionError(f"the compiling process ended with {process.wait()}")
    out, fault = json.loads(line)
    assert not fault, fault[-2000:]
    return out

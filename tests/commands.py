"""The `hopwell` command inside a test's own process: exit code, stdout and stderr as a user gets them.

A process of its own costs seconds, most of them torch's import: it is for what only a process has, such as signals.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from typer.main import get_command

from hopwell.cli import app, main


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str


@cache
def command() -> Any:
    """All commands with their options, which Typer would make anew for each test."""
    return get_command(app)


def hopwell(*args: str | Path, stdin: str | bytes = "") -> Ran:
    """Runs the command's entry point, with `stdin` as what a pipe holds."""
    out, err = io.StringIO(), io.StringIO()
    given = io.TextIOWrapper(io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode()), encoding="utf-8")
    code: object = 0
    argv, pipe = mock.patch.object(sys, "argv", ["hopwell", *map(str, args)]), mock.patch.object(sys, "stdin", given)
    with argv, pipe, redirect_stdout(out), redirect_stderr(err):
        try:
            main(command())
        except SystemExit as exit_:
            code = exit_.code
    return Ran(int(str(code or 0)), out.getvalue(), err.getvalue())


def refused(*args: str | Path, stdin: str | bytes = "") -> str:
    """Runs a command that a fault of the user's must end: exit code 2 and one line on stderr, which is returned."""
    ran = hopwell(*args, stdin=stdin)
    assert ran.code == 2, ran
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1 and not ran.out, ran
    return ran.err

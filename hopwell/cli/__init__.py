"""Floor 8. The `hopwell` command: parse, call, print.

One file a group of commands. Each imports what it needs inside its function, so that `hopwell --help` stays instant.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import hopwell
from hopwell.cli import streams
from hopwell.cli.bench import bench
from hopwell.cli.chat import chat
from hopwell.cli.clocks import clocks
from hopwell.cli.console import check_utf8, shortened
from hopwell.cli.doctor import doctor
from hopwell.cli.generate import PromptCommand, generate
from hopwell.cli.help import SETTINGS, GroupedCommand, ListedGroup
from hopwell.cli.inspect import inspect
from hopwell.cli.pack import pack
from hopwell.cli.planning import planning
from hopwell.cli.quantize import quantize, verify
from hopwell.cli.serve import serve
from hopwell.cli.streams import own_stderr, own_stdout
from hopwell.cli.synth import synth
from hopwell.cli.top import top
from hopwell.cli.upgrade import upgrade
from hopwell.cli.verify_cache import verify_cache
from hopwell.cli.warm import warm
from hopwell.errors import HopwellError
from hopwell.ops.process import own_process
from hopwell.system import ended_like_interrupted, forget_stdout, open_missing_streams

app = typer.Typer(
    name="hopwell",
    cls=ListedGroup,
    help="Runs the DeepSeek-R1 family, and says how close to the hardware's limit it is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
)
app.command(cls=PromptCommand)(generate)
for command in (chat, serve, top, clocks, upgrade, inspect, pack, synth, quantize, verify, verify_cache, warm, doctor):
    app.command(cls=GroupedCommand)(command)
app.add_typer(planning)
app.add_typer(bench)


def main(run: Callable[[], object] = app) -> None:
    """The entry point. A fault in the user's input is one line on stderr and exit code 2; Ctrl-C, SIGTERM and SIGHUP
    are 130; a stdout that takes no more is one line, or none where its reader has left, and 1. A stderr that takes no
    more is no fault."""
    open_missing_streams()
    own_process()
    with own_stderr():
        _run(run)


def _run(run: Callable[[], object]) -> None:
    try:
        check_utf8(sys.argv[1:])
        with own_stdout(), ended_like_interrupted():
            run()
    except HopwellError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"error: {shortened(str(error.filename))}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        if error.filename != streams.NAME:
            raise
        if error.errno != errno.EPIPE:
            print(f"error: stdout cannot be written: {error.strerror}", file=sys.stderr)
        forget_stdout()  # or the interpreter would fail on it again at its end
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        print(hopwell.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version)] = False,
) -> None:
    """Options that stand before any command."""

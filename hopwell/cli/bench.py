"""`hopwell bench`: measurements, each beside what it is held to. Results go to a JSON file with `--out`."""

from __future__ import annotations

import typer

from hopwell.cli.bench_against import against
from hopwell.cli.bench_gpu import ceilings, engine
from hopwell.cli.bench_serve import serve
from hopwell.cli.bench_start import start
from hopwell.cli.bench_whole import whole
from hopwell.cli.help import GroupedCommand, ListedGroup
from hopwell.cli.moved import add_moved

bench = typer.Typer(
    name="bench", cls=ListedGroup, help="Measure a server, or this machine and the model on it.", no_args_is_help=True
)
for command in (serve, start, engine, whole, against, ceilings):
    bench.command(cls=GroupedCommand)(command)
add_moved(bench)

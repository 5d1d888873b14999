"""`hopwell top`: a running server's ops beside the limits of its hardware, again and again."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.servers import Key, ask, with_scheme
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from httpx import Response
    from rich.console import Console, RenderableType
    from rich.table import Table

BAR = 24
"""Columns of a full bar."""
KEPT = 60
"""Seconds of the line of tokens a second."""
STEPS = " ▁▂▃▄▅▆▇█"
NAMES = ("op", "us", "share", "GB/s", "GFLOP/s", "limit us", "of limit", "", "bound")
"""Of the columns; the bar has none."""
LEAST = ("", "GB/s", "GFLOP/s", "bound", "limit us", "share")
"""What a narrow screen leaves out, the first first: the bar says again what stands beside it, and rates and the limit
follow from the time and the percentage. What is left is an op, its time and how close to the limit that is."""


def top(
    url: Annotated[
        str, typer.Argument(help="A server of hopwell serve.", callback=with_scheme)
    ] = "http://127.0.0.1:8000",
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds from one look to the next.")] = 1.0,
    layers: Annotated[bool, typer.Option("--layers", help="A row a layer too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print /v1/limits once, as it is.")] = False,
    key: Key = None,
) -> None:
    """What a server's steps take, op by op, beside what its hardware can do."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from hopwell.cli.tables import UNBOUND

    if as_json:
        print(json.dumps(fetch(url, key)))
        return
    console = Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else UNBOUND)
    if once or not sys.stdout.isatty():
        console.print(screen(fetch(url, key), console, layers))
        return
    with Live(screen(fetch(url, key), console, layers), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            try:
                live.update(screen(fetch(url, key), console, layers), refresh=True)
            except HopwellError as error:  # a server that starts anew comes back
                live.update(Text(str(error), style="red"), refresh=True)


def fetch(url: str, key: str | None) -> dict[str, Any]:
    """A server's `/v1/limits`.

    Raises:
        HopwellError: nothing answers there, or its meter is off.
    """

    def read(reply: Response) -> dict[str, Any]:
        report = reply.json()
        if not report["on"]:
            raise HopwellError(f"{url}: this server does not measure itself; start it with --meter")
        return report

    return ask(url, "/v1/limits", key, read)


def screen(report: dict[str, Any], console: Console, layers: bool = False) -> RenderableType:
    """A report as wide as a console: nothing but ops' names is shortened."""
    from rich.console import Group
    from rich.measure import Measurement
    from rich.text import Text

    from hopwell.cli.tables import UNBOUND

    whole = sum(row["us"] for row in report["ops"]) or 1.0
    groups = [[[row["op"], *_cells(row, whole)] for row in report["ops"]]]
    if layers:
        groups.append([[name, *_cells(row, whole)] for name, row in _by_layer(report).items()])
    unbound = console.options.update(width=10 * UNBOUND)

    def excess(table: Table) -> int:
        return Measurement.get(console, unbound, table).maximum - console.width

    counts = range(len(LEAST) + 1)
    without = next((LEAST[:count] for count in counts if excess(_table(groups, LEAST[:count])) <= 0), LEAST)
    table = _table(groups, without)
    if (over := excess(table)) > 0:
        longest = max(len(row[0]) for group in groups for row in group)
        table = _table(groups, without, max(longest - over, 2))
    return Group(*map(Text, headlines(report, console.width)), table)


def _table(groups: list[list[list[str]]], without: Sequence[str], name_width: int | None = None) -> Table:
    """Rows in groups, some columns left out, and names cut to a width."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    for place, name in enumerate(NAMES):
        if name not in without:
            justify = "left" if name in ("op", "", "bound") else "right"
            table.add_column(name, justify=justify, no_wrap=True, max_width=None if place else name_width)
    for group in groups:
        for row in group:
            table.add_row(*(cell for name, cell in zip(NAMES, row, strict=True) if name not in without))
        table.add_section()
    return table


def headlines(report: dict[str, Any], width: int) -> list[str]:
    """The lines above the table, the last one no wider than `width` columns."""
    rates = ", ".join(
        f"{_plain(rate / 1e12)} TFLOP/s {form or ''}".strip() for form, rate in report["flops_per_s"].items()
    )
    which = f"engine {report['engine']} of {report['engines']}, " if report["engines"] > 1 else ""
    lines = [f"{which}{report['device']}: {report['bytes_per_s'] / 1e9:,.4g} GB/s, {rates}, measured"]
    if not report["steps"]:
        return [*lines, "no step yet"]
    host = "beside the device" if report["overlapped"] else "before the next"
    lines.append(
        f"step {report['step_us'] / 1e3:.3g} ms with {report['mean_rows']:.3g} rows, and {report['host_us']:.0f} us of"
        f" the host {host}"
    )
    lines.append(f"1 step in {report['every']} measured op by op, {100 * report['overhead']:.2f} % of the time")
    last = report["now"]
    lines.append(
        f"{last['running']} run, {last['waiting']} wait; cache {last['pages_used']:,} of {last['pages_total']:,} pages"
    )
    if board := last["board"]:
        known = {"W": board["watts"], "C": board["degrees"], "MHz": board["sm_mhz"]}
        told = [f"{value:.0f} {unit}" for unit, value in known.items() if value is not None]
        lines.append(", ".join([*told, *(f"slowed by {why}" for why in board["slowed_by"])]))
    lines += held(report)
    tokens = {round(point["at"]): point["tokens"] for point in report["history"]}
    now = round(last["at"])
    line = [tokens.get(second, 0) for second in range(now - KEPT + 1, now + 1)]
    most = max(max(line), 1)
    said = f" {most:,} at most"
    seen = line[-max(1, min(KEPT, width - len("tokens/s ") - len(said))) :]
    return [*lines, f"tokens/s {''.join(STEPS[-(-8 * each // most)] for each in seen)}{said}"]


def held(report: dict[str, Any]) -> list[str]:
    """What steps and requests wait for."""
    lines, pacing, thermal = [], report.get("pacing"), report.get("thermal")
    if pacing is not None:
        pace = "nothing is held" if pacing["pace"] is None else f"a step every {1e3 * pacing['pace']:.0f} ms"
        lines.append(f"objective {pacing['objective']}: {pace}, {pacing['why']}")
    if thermal is not None and thermal["hot"]:
        lines.append(f"hot, {thermal['why']}: {thermal['held']} of class batch wait")
    return lines


def _cells(row: dict[str, Any], whole: float) -> list[str]:
    cells = [f"{row['us']:,.0f}", f"{100 * row['us'] / whole:.1f} %"]
    if row["percent"] is None:
        return [*cells, "", "", "", "", "", ""]
    full = min(round(BAR * row["percent"] / 100), BAR)
    return [
        *cells, _plain(row["gb_per_s"]), _plain(1e3 * row["tflop_per_s"]), _plain(row["limit_us"]),
        f"{row['percent']:.1f} %", "█" * full + "░" * (BAR - full), row["bound"],
    ]  # fmt: skip


def _plain(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _by_layer(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A row a layer: sums of its ops'."""
    found: dict[str, dict[str, Any]] = {}
    for row in report["rows"]:
        number = row["layer"]
        if number is None:
            continue
        name = "MTP layer" if number == report["layers"] else f"layer {number}"
        into = found.setdefault(name, {"us": 0.0, "bytes": 0.0, "flops": 0.0, "limit_us": 0.0, "bound": ""})
        for field in ("us", "bytes", "flops", "limit_us"):
            into[field] += row[field] or 0.0
    for row in found.values():
        us = row["us"] or inf  # a layer's ops may all be shorter than their marks
        row |= {"gb_per_s": row["bytes"] / us / 1e3, "tflop_per_s": row["flops"] / us / 1e6}
        row["percent"] = 100 * row["limit_us"] / us
    return found

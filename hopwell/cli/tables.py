"""Rows of a result, printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hopwell.errors import HopwellError

UNBOUND = 200
"""Columns of a table that goes to a file or a pipe, where nothing need be cut."""


def print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None, wrap: bool = False) -> None:
    """Prints rows with the same keys as one table, keys as its head; columns of numbers to the right.

    Args:
        wrap: cells of many words may take several lines; else only tables of few columns do that.

    Where a terminal is too narrow for the table, each row is a block of lines, a key a line. Keys without any value are
    left out.
    """
    told = [name for name in rows[0] if any(row[name] is not None and str(row[name]) for row in rows)]
    rows = [{name: row[name] for name in told} for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in rows[0]:
        numbers = all(_is_number(row[name]) for row in rows)
        table.add_column(
            name.replace("_", " "),
            justify="right" if numbers else "left",
            no_wrap=not wrap and (numbers or len(rows[0]) > 4),
            overflow="fold",  # of a word longer than its column nothing is lost
        )
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else UNBOUND)
    wanted = Measurement.get(console, console.options.update(width=10 * UNBOUND), table).maximum
    if not wrap and wanted > console.width:
        table = _blocks(rows, title)
    console.print(table)


def _blocks(rows: Sequence[Mapping[str, Any]], title: str | None) -> Table:
    """The same, a key a line and a line between rows."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        for name, value in row.items():
            if value is not None and str(value):
                table.add_row(name.replace("_", " "), str(value))
        table.add_section()
    return table


def _is_number(value: Any) -> bool:
    """Whether a cell begins like a number, or is empty."""
    return value is None or str(value)[:1] in set("0123456789-+<") or not str(value)


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of measurements with four digits of each."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def short(value: float, units: tuple[str, ...] = ("k", "M", "G", "T"), digits: int = 3) -> str:
    """A count with a unit: 1.28M. `units` are of thousands, millions and so on."""
    power = 0
    while power < len(units) and value >= 999.5:
        value, power = value / 1000, power + 1
    return f"{value:.{digits}g}{units[power - 1] if power else ''}"


def one_output(as_json: bool, as_markdown: bool) -> None:
    """Refuses both.

    Raises:
        HopwellError: `--json` and `--markdown` were given.
    """
    if as_json and as_markdown:
        raise HopwellError("--json and --markdown were given; give one")

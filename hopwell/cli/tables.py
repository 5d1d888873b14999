"""Rows of a result, printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

UNBOUND = 200
"""Columns of a table that goes to a file or a pipe, where nothing need be cut."""


def print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None, wrap: bool = False) -> None:
    """Prints rows with the same keys as one table, keys as its head; columns of numbers to the right.

    Args:
        wrap: cells of many words may take several lines; else only tables of few columns do that.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in rows[0]:
        numbers = all(_is_number(row[name]) for row in rows)
        table.add_column(
            name.replace("_", " "),
            justify="right" if numbers else "left",
            no_wrap=not wrap and (numbers or len(rows[0]) > 4),
        )
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else UNBOUND).print(table)


def _is_number(value: Any) -> bool:
    """Whether a cell begins like a number, or is empty."""
    return value is None or str(value)[:1] in set("0123456789-+<") or not str(value)


def short(value: float, units: tuple[str, ...] = ("k", "M", "G", "T"), digits: int = 3) -> str:
    """A count with a unit: 1.28M. `units` are of thousands, millions and so on."""
    power = 0
    while power < len(units) and value >= 999.5:
        value, power = value / 1000, power + 1
    return f"{value:.{digits}g}{units[power - 1] if power else ''}"

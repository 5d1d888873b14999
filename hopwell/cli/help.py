"""What `--help` prints: every option's name whole, at any width, in groups; a terminal's width or 100 columns."""

from __future__ import annotations

from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Of every command's context."""
WHOLE = 1000
"""Characters: more than any first sentence has."""
MODEL, LAYOUT, MEMORY, STEPS, ENERGY, SERVER = "Model", "Layout", "Memory", "Steps", "Energy", "Server"
in_model, in_layout, in_memory, in_steps, in_energy, in_server = (
    partial(typer.Option, rich_help_panel=group) for group in (MODEL, LAYOUT, MEMORY, STEPS, ENERGY, SERVER)
)
"""Options of a group."""


class GroupedCommand(TyperCommand):
    """A command whose options are listed in groups, those of one `rich_help_panel` together.

    Typer's tables would cut names to make room for types.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then groups in the order of their first options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class ListedGroup(TyperGroup):
    """A group whose commands are listed with the whole of their first sentence; click would cut it at the margin."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command's name and what it does."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(WHOLE)) for name, command in listed if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

"""`hopwell plan`: a question to the planner, and what else it does, each under a name of its own."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from hopwell.cli.help import GroupedCommand
from hopwell.cli.plan import plan
from hopwell.cli.plan_article import article
from hopwell.cli.plan_calibrate import calibrate
from hopwell.cli.plan_verify import verify


class _First(TyperGroup):
    """A group whose first command stands for itself: `hopwell plan MODEL`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Puts its name before what names no command."""
        if not args or args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The first command is called as the group is."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == next(iter(self.commands)) else name, command, rest


class _Itself(GroupedCommand):
    """The command that a group stands for: its usage is the group's name, without the blank before its own."""

    class context_class(GroupedCommand.context_class):
        @property
        def command_path(self) -> str:
            return super().command_path.rstrip()


planning = typer.Typer(name="plan", cls=_First, help="Which GPUs, how many, at what latency, watts and price.")
OTHERS = (calibrate, verify, article)
ALSO = f"Also: {', '.join(f'hopwell plan {other.__name__}' for other in OTHERS)}."
planning.command(cls=_Itself, epilog=ALSO)(plan)
for command in OTHERS:
    planning.command(cls=GroupedCommand)(command)

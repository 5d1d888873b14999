"""`--help` of every command: names of options are whole, however narrow the terminal is."""

from __future__ import annotations

from typing import Any

import pytest
from commands import command as all_commands
from commands import hopwell

from hopwell.cli.help import ENERGY, LAYOUT, MEMORY, MODEL, SERVER, STEPS


def commands() -> dict[tuple[str, ...], Any]:
    """Every listed command by the words that call it."""
    found: dict[tuple[str, ...], Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), all_commands())]
    while waiting:
        words, command = waiting.pop()
        below = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
        waiting += [((*words, name), each) for name, each in below.items()]
        if not below:
            found[words] = command
    return found


@pytest.mark.parametrize("columns", [50, 80])
def test_no_width_cuts_an_options_name(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert len(commands()) > 20
    for words, command in commands().items():
        said = hopwell(*words, "--help").out
        seen = said.replace(",", " ").split()
        for param in command.params:
            if param.param_type_name == "option" and not param.hidden:
                assert {*param.opts, *param.secondary_opts} <= {*seen}, (words, param.opts)
        assert "…" not in said and "─" not in said
        assert max(map(len, said.splitlines())) <= max(columns, 60)


def test_what_serve_takes_is_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = hopwell("serve", "--help").out
    heads = [line.removesuffix(":") for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert set(heads) == {"Arguments", MODEL, LAYOUT, MEMORY, STEPS, ENERGY, SERVER, "Options"}
    assert said.split("\nOptions:\n")[1].split() == ["-h,", "--help", "Show", "this", "message", "and", "exit."]
    assert "--cache-tokens" in said.split("\nMemory:\n")[1].split("\n\n")[0]


def test_a_wrong_option_is_told_without_a_frame() -> None:
    ran = hopwell("serve", "--prot", "1")
    assert ran.code == 2 and "No such option" in ran.err and "--port" in ran.err and "─" not in ran.err


@pytest.mark.parametrize("columns", [50, 80])
def test_no_width_cuts_what_a_command_does(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ((), ("bench",)):
        said = " ".join(hopwell(*words, "--help").out.split("\nCommands:\n")[1].split())
        assert "..." not in said
        for (*group, name), command in commands().items():
            if tuple(group) == words:
                assert f"{name} {command.get_short_help_str(1000)}" in said, name


def test_the_command_that_a_group_stands_for_is_called_as_the_group() -> None:
    for ran in (hopwell("plan"), hopwell("plan", "--nosuch"), hopwell("plan", "--help")):
        assert "hopwell plan [OPTIONS] {model}\n" in ran.out + ran.err and "plan  " not in ran.out + ran.err

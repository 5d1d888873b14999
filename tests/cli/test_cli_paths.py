"""What every command says of a path or name that is none: one line, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import hopwell, refused
from tiny import random_tensors, tiny_config, write_checkpoint
from tiny_tokenizer import write_tokenizer

from hopwell.cli import app

NAME = "someone/some-model"
COMMANDS: dict[str, Callable[[Any, Path], tuple[Any, ...]]] = {
    "chat": lambda model, out: ("chat", model),
    "generate": lambda model, out: ("generate", "-m", model, "x"),
    "inspect": lambda model, out: ("inspect", model),
    "inspect --read": lambda model, out: ("inspect", model, "--read"),
    "synth": lambda model, out: ("synth", model, out),
    "quantize": lambda model, out: ("quantize", model, out),
    "verify": lambda model, out: ("verify", model, "--against", "nano"),
    "verify --against": lambda model, out: ("verify", "nano", "--against", model),
    "verify-cache": lambda model, out: ("verify-cache", model),
    "warm": lambda model, out: ("warm", model, "--arch", "90"),
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_that_is_none_is_one_line(command: str, tmp_path: Path) -> None:
    out, empty, file = tmp_path / "out", tmp_path / "empty", tmp_path / "file.gguf"
    empty.mkdir()
    file.write_bytes(b"GGUF\x03\0\0\0\xff\xfe")
    for model in (tmp_path / "missing", file, NAME, empty, "missing-name"):
        told = refused(*COMMANDS[command](model, out), stdin="a question")
        name = model.name if isinstance(model, Path) else model
        assert name in told and len(told) < 800, told
        assert not out.exists() and not list(empty.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_called_nano_is_the_model_of_that_name(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    told = refused(*COMMANDS[command]("nano", tmp_path / "out"), stdin="a question")
    assert "nano" in told and "config.json" in told, told


@pytest.mark.parametrize("command", [*COMMANDS, "plan"])
def test_a_name_longer_than_any_file_s_is_one_line(command: str, tmp_path: Path) -> None:
    name = "x" * 5000
    told = refused(*COMMANDS[command](name, tmp_path / "out") if command in COMMANDS else ("plan", name))
    assert "xxx" in told and "File name too long" in told and len(told) < 200


@pytest.mark.parametrize("kind", ["a file", "below a file", "/proc"])
def test_what_cannot_be_written_is_told_before_the_work(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("r1", vocab_size=262)
    folder = write_checkpoint(tmp_path / "m", config, random_tensors(config))
    write_tokenizer(folder)
    file = tmp_path / "file"
    file.write_text("")
    place = {"a file": file, "below a file": file / "out", "/proc": Path("/proc/none/out")}[kind]
    monkeypatch.setattr("hopwell.cli.texts.sampled", None)  # no text is made first
    for command in (("quantize", folder, place), ("synth", folder, place)):
        assert str(place) in refused(*command)
    if kind != "a file":
        assert str(place) in refused("verify", folder, "--against", folder, "--out", place)
        assert str(place) in refused("verify-cache", folder, "--dry-run", "--out", place)


OUTPUTS = {
    "bench serve": ("bench", "serve", "--out"),
    "bench serve's plot": ("bench", "serve", "--plot"),
    "bench start": ("bench", "start", "--out"),
    "bench engine": ("bench", "engine", "--out"),
    "bench engine's plot": ("bench", "engine", "--plot"),
    "bench whole": ("bench", "whole", NAME, "--out"),
    "bench against": ("bench", "against", NAME, "--out"),
    "bench against's plot": ("bench", "against", NAME, "--plot"),
    "bench ceilings": ("bench", "ceilings", "--out"),
    "plan": ("plan", "deepseek-r1", "--html"),
    "plan verify": ("plan", "verify", NAME, "--gpus", "8xh200", "--out"),
    "plan calibrate": ("plan", "calibrate", "--folder"),
    "verify": ("verify", NAME, "--against", NAME, "--out"),
    "verify-cache": ("verify-cache", NAME, "--out"),
    "pack": ("pack", NAME),
    "synth": ("synth", NAME),
    "quantize": ("quantize", NAME),
}
FILES = ("--plot", "--html", "--out")
"""Options that name a file; of these `--out` may be a folder to put it into, but for JSON lines."""


@pytest.mark.parametrize("command", OUTPUTS)
def test_every_output_needs_the_folder_that_is_to_hold_it(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert refused(*OUTPUTS[command], missing / "x.json").endswith(
        f"x.json: there is no folder {missing}; make it, or give another place\n"
    )
    assert "/proc/x.json: cannot be written: " in refused(*OUTPUTS[command], "/proc/x.json")
    if OUTPUTS[command][-1] not in FILES:
        file = tmp_path / "file"
        file.write_text("")
        assert "is a file; give a new folder" in refused(*OUTPUTS[command], file)
    elif OUTPUTS[command][-1] != "--out" or command == "plan verify":
        assert "is a folder; give a file" in refused(*OUTPUTS[command], tmp_path)
    assert not missing.exists()


def test_no_output_goes_unchecked() -> None:
    """Whatever is called so is an output, and has the callback of one."""
    names = {"out", "plot", "html", "folder"}
    found = {}
    commands = [("", typer.main.get_command(app))]
    while commands:
        name, command = commands.pop()
        commands += [(f"{name} {sub}", each) for sub, each in getattr(command, "commands", {}).items()]
        found |= {f"{name} {each.name}": each.callback for each in command.params if each.name in names}
    assert len(found) >= len(OUTPUTS) and all(found.values()), found


def test_a_folder_that_cannot_be_written_is_told_before_the_cache_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("r1", vocab_size=262)
    folder = write_checkpoint(tmp_path / "m", config, random_tensors(config))
    write_tokenizer(folder)

    def read_only(*_: Any, **__: Any) -> None:  # root may write everywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hopwell.checkpoint.files.tempfile.TemporaryFile", read_only)
    monkeypatch.setattr("hopwell.cli.texts.sampled", None)
    assert f"{folder}: cannot be written: Permission denied" in refused("verify-cache", folder)


def test_a_hub_model_is_judged_before_its_weights_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[list[str]] = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("kimi-k2")))
    assert "neither a tokenizer.json nor a tiktoken.model" in refused("generate", "-m", NAME, "x")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    assert "a Qwen model, as R1's distillations are" in refused("generate", "-m", NAME, "x")
    assert not any("*.safetensors" in patterns for patterns in asked)


@pytest.mark.parametrize(
    ("args", "prompts"),
    [
        (("-5 + 3",), ["-5 + 3"]),
        (("a", "-5", "b"), ["a", "-5", "b"]),
        (("--max-tokens", "3", "- a list", "-(1+2)"), ["- a list", "-(1+2)"]),
        (("--", "-x", "-5"), ["-x", "-5"]),
    ],
)
def test_a_prompt_may_begin_with_a_minus(args: tuple[str, ...], prompts: list[str]) -> None:
    tokens = () if "--max-tokens" in args else ("--max-tokens", "3")
    ran = hopwell("generate", "--raw", "--json", *tokens, *args)
    assert ran.code == 0, ran
    assert [json.loads(line)["prompt"] for line in ran.out.splitlines()] == prompts


def test_a_minus_before_a_word_is_still_an_option() -> None:
    assert hopwell("generate", "-z", "x").code == 2 and hopwell("generate", "--tempature", "x").code == 2


@pytest.mark.parametrize("name", ["nano", "v2-lite"])
def test_warm_knows_shipped_names(name: str) -> None:
    told = refused("warm", name, "--arch", "7")  # the model was found, or that would be told first
    assert name not in told and "7" in told, told


@pytest.mark.parametrize("command", [*COMMANDS, "plan", "upgrade"])
def test_a_name_that_is_empty_is_not_the_folder_one_is_in(command: str, tmp_path: Path) -> None:
    """As of a variable of the shell's that is not set."""
    more = {"plan": ("plan", ""), "upgrade": ("upgrade", "", "--have", "8xh200")}
    asked = more[command] if command in more else COMMANDS[command]("", tmp_path / "out")
    assert refused(*asked, stdin="a question").startswith("error: the model's name is empty; give ")

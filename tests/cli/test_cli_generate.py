"""`hopwell generate`: where prompts come from, what comes out, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Ran, hopwell, refused
from terminal import HOPWELL, Terminal

from hopwell.model import NANO

GREEDY = ("--temperature", "0", "--device", "cpu")


def run(*arguments: str, stdin: str | bytes = "") -> Ran:
    return hopwell("generate", *arguments, stdin=stdin)


def rows(done: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.split("\n") if line]


def test_lines_of_a_pipe_may_end_in_cr_lf() -> None:
    answers = run("--raw", "--max-tokens", "1", "--json", *GREEDY, stdin=b"1+1\r\n2+2\r\n")
    assert [row["prompt"] for row in rows(answers)] == ["1+1", "2+2"]


def test_one_question_is_answered_through_the_template() -> None:
    command = (*HOPWELL, "generate", "What is 50 + 7?", *GREEDY)
    done = subprocess.run(command, input="", capture_output=True, text=True, encoding="utf-8", timeout=250)
    assert done.returncode == 0
    assert done.stdout.startswith("<think>\n") and done.stdout.endswith("</think>\n\n50 + 7 = \\boxed{57}\n")
    assert "tokens/s" in done.stderr and "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_what_is_cut_off_is_told() -> None:
    assert "stop" in rows(run("--json", "5 + 5", *GREEDY))[0]["finish_reason"]
    assert "cut off" not in run("5 + 5", "6 + 6", *GREEDY).err
    assert run("5 + 5", "--max-tokens", "3", *GREEDY).err.endswith(", cut off by --max-tokens\n")
    assert run("Hello", "25 + 38", "--max-tokens", "40", *GREEDY).err.endswith(", 1 answer cut off by --max-tokens\n")
    assert run("5 + 5", "6 + 6", "--max-tokens", "3", *GREEDY).err.endswith(", 2 answers cut off by --max-tokens\n")


@pytest.mark.slow
def test_activations_are_taken_or_refused_by_name() -> None:
    done = run("What is 37 * 43?", "--activations", "fp8", *GREEDY)
    assert done.code == 0 and "1591" in done.out
    said = refused("generate", "What is 37 * 43?", "--activations", "int8", *GREEDY)
    assert "activations is 'int8'; known: fp8, bf16, auto" in said


def test_json_lines_in_the_order_of_the_prompts() -> None:
    sums = [(100 + 37 * i, i) for i in range(6)]
    lines = "\n\n".join(f"{a} * {b}" if i % 2 else f"{a} + {b}" for i, (a, b) in enumerate(sums))
    done = run("--json", *GREEDY, stdin=lines)
    found = rows(done)
    assert [row["index"] for row in found] == list(range(6))
    for (a, b), row in zip(sums, found, strict=True):
        assert f"\\boxed{{{a * b if row['index'] % 2 else a + b}}}" in row["content"]
        assert row["text"] == f"{row['reasoning']}\n</think>\n\n{row['content']}"
        assert row["completion_tokens"] == len(row["token_ids"]) > 10 and row["prompt_tokens"] > 5
        assert row["finish_reason"] == "stop"
        times = row["seconds"]
        assert 0 <= times["queued"] <= times["first_token"] <= times["total"] and times["per_token"] > 0


@pytest.mark.slow
def test_several_answers_and_a_seed(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("hello\nSort 3, 1, 2\n", encoding="utf-8")
    options = (
        "--file",
        str(tmp_path / "prompts.txt"),
        "--json",
        "-n",
        "3",
        "--temperature",
        "3",
        "--top-p",
        "1",
        "--seed",
        "5",
    )
    first, again = rows(run(*options, "--max-tokens", "40")), rows(run(*options, "--max-tokens", "40"))
    assert [(row["index"], row["answer"]) for row in first] == [(i, j) for i in range(2) for j in range(3)]
    assert [row["token_ids"] for row in first] == [row["token_ids"] for row in again]
    assert len({tuple(row["token_ids"]) for row in first}) == 6


def test_raw_text_goes_on_and_stops(tmp_path: Path) -> None:
    prompt = "<｜begin▁of▁sentence｜><｜User｜>What is 37 * 43?<｜Assistant｜><think>\n"
    (row,) = rows(run("--raw", prompt, "--json", *GREEDY, "--stop", "Add the", "--stop", "zzz"))
    assert row["text"].startswith("Multiply digit by digit.\n") and row["text"].endswith("so 148\n")
    assert (row["finish_reason"], row["stop_reason"]) == ("stop", "Add the") and "reasoning" not in row
    (row,) = rows(run("--raw", prompt, "--json", *GREEDY, "--max-tokens", "7"))
    assert (row["finish_reason"], row["completion_tokens"]) == ("length", 7)


@pytest.mark.slow
def test_a_prompt_that_is_too_long_hinders_no_other() -> None:
    done = run("--json", *GREEDY, "1+1", "1+" * 9000, "2+2")
    first, bad, last = rows(done)
    assert done.code == 2
    assert "\\boxed{2}" in first["content"] and "\\boxed{4}" in last["content"]
    assert bad["error"].startswith("the prompt has 18,") and "text" not in bad
    plain = run(*GREEDY, "1+1", "1+" * 9000)
    assert plain.code == 2 and "\\boxed{2}" in plain.out
    assert "error: prompt 2: the prompt has 18," in plain.err


@pytest.mark.slow
def test_without_a_template_text_goes_on_but_a_bad_one_is_an_error(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(NANO, model)
    path = model / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "chat_template": "{{ ''.__class__ }}"}), encoding="utf-8")
    assert "error: the chat template refuses" in refused("generate", "hi", "--model", model)
    del config["chat_template"]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert "reasoning" not in rows(run("hi", "--model", str(model), "--json", "--max-tokens", "3"))[0]
    assert "has no chat_template" in refused("generate", "hi", "--chat", "--model", model)


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        ((), "", "stdin holds no prompts"),
        (("-m", "nope"), "", "nope: no such folder"),
        (("x", "--file", __file__), "", "as arguments and with --file"),
        (("x", "--top-k", "-1"), "", "top_k is -1"),
        (("x", "-n", "0"), "", "n is 0; give 1 to 128"),
        (("x", "--max-tokens", "0"), "", "max_tokens is 0; give 1 to 2,147,483,6"),
        (
            ("x", "--ep", "2"),
            "",
            "--ep is 2, which must be as --tp, whose ranks share out experts; give --tp 2 too, or",
        ),
        ((), b"1+1\n\xff", "stdin is not UTF-8 at byte 4; convert it"),
        (("x", "--raw", "--system", "s"), "", "--system needs the chat template"),
        (("1+" * 9000,), "", "the prompt has 18,"),
        (("x", "--model", "/no/such/folder"), "", "/no/such/folder: no such folder"),
        (("x", "--model", __file__), "", "is a file; give the folder of the checkpoint"),
    ],
)
def test_faults_are_one_line(arguments: tuple[str, ...], stdin: str | bytes, says: str) -> None:
    assert says in refused("generate", *arguments, stdin=stdin)


@pytest.mark.slow
def test_a_file_is_utf8_and_its_byte_order_mark_no_part_of_the_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbf1+1=\n" + b"7" * 300 + b"\n")
    first, second = rows(run("--file", str(file), "--raw", "--json", "--max-tokens", "1"))
    assert (first["prompt"], len(second["prompt"])) == ("1+1=", 300)
    headings = [line for line in run("--file", str(file), "--raw", "--max-tokens", "1").out.splitlines() if "[" in line]
    assert headings[0] == "[1] 1+1=" and headings[1] == f"[2] {'7' * 119}\u2026"
    assert rows(run("--raw", "--json", "--max-tokens", "1", stdin=b"\xef\xbb\xbf1+1="))[0]["prompt"] == "1+1="
    file.write_text("1+1=\r\n1\f2\u2028 3\x85 4\n", encoding="utf-8", newline="")  # Unicode's other line breaks
    asked = rows(run("--file", str(file), "--raw", "--json", "--max-tokens", "1"))
    assert [row["prompt"] for row in asked] == ["1+1=", "1\f2\u2028 3\x85 4"]
    file.write_bytes(b"1+1=\n\xff")
    assert refused("generate", "--file", file) == f"error: {file} is not UTF-8 at byte 5; convert it\n"


def test_what_cannot_be_mended_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.engine.energy.find_counter", lambda _: None)
    for options in (("--energy",), ("--grams-per-kwh", "3"), ("--price-per-kwh", "3", "--json")):
        assert refused("generate", "x", *options).startswith("error: no energy counter here: ")
    monkeypatch.setattr("hopwell.engine.energy.find_counter", lambda _: lambda: 0.0)
    assert "are for --json; give it too" in refused("generate", "x", "--grams-per-kwh", "3")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize(("unbuffered", "flushes"), [("", True), ("", False), ("1", False)])
def test_a_stdout_that_is_full_is_one_line(unbuffered: str, flushes: bool) -> None:
    code = f"from hopwell.cli import main; main(lambda: print('hi', flush={flushes}))"
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert ran.returncode == 1 and ran.stderr == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("end", [lambda terminal: terminal.type("\x03"), Terminal.signal], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("command", ["generate", "chat"])
def test_a_terminal_sees_dim_thinking_and_is_left_plain(command: str, end: Callable[[Terminal], None]) -> None:
    question = "Compute (98 * 97 - 7654) * 3 + 879"
    given = [question] if command == "generate" else []
    with Terminal(*HOPWELL, command, *GREEDY, *given) as terminal:
        if command == "chat":
            terminal.until("> ")
            terminal.type(question + "\r")
        assert "\x1b[2mOne operation" in terminal.until("One operation")
        end(terminal)
        if command == "chat" and end is not Terminal.signal:  # Ctrl-C stops the answer alone
            terminal.until("> ")
            terminal.type("\x04")
            assert terminal.leave() == 0
        else:
            assert terminal.leave() == 130
        assert "Traceback" not in terminal.said and "boxed" not in terminal.said
        assert terminal.said.rindex("\x1b[0m") > terminal.said.rindex("\x1b[2m")


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, {})
    said = capsys.readouterr().out
    for answer in ("37 * 43 = \\boxed{1591}", "12 + 30 = \\boxed{42}", "9 * 9 = \\boxed{81}", "x = \\boxed{5}"):
        assert answer in said

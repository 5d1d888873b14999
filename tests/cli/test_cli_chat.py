"""`hopwell chat` as a user meets it: through a pipe, and in a terminal with Ctrl-C and Ctrl-D."""

from __future__ import annotations

import signal
import subprocess

import pytest
from commands import hopwell, refused
from terminal import HOPWELL, Terminal

GREEDY = ("--temperature", "0", "--device", "cpu")


def test_a_pipe_is_one_question() -> None:
    done = hopwell("chat", *GREEDY, "--seed", "1", stdin="What is 37 * 43?\n")
    assert done.code == 0
    assert done.out.startswith("<think>\n") and done.out.count("</think>\n\n") == 1
    assert done.out.endswith("\n\n37 * 43 = \\boxed{1591}\n")
    assert "\x1b" not in done.out + done.err
    (note,) = done.err.splitlines()
    assert "tokens, " in note and "tokens/s, first after" in note


def test_the_calculator_is_run() -> None:
    done = hopwell("chat", *GREEDY, "--tools", "calculator", stdin="What is 123456 * 789?")
    assert 'calculator {"expression": "123456*789"} -> 97406784\n' in done.out
    assert done.out.endswith("\\boxed{97406784}\n")


@pytest.mark.parametrize(
    ("stdin", "options", "says"),
    [
        ("", (), "stdin holds no question"),
        ("", ("nope",), "nope: no such folder"),
        (b"\xff\xfe", (), "stdin is not UTF-8 at byte 0"),
        ("1+1", ("--temperature", "-1"), "temperature is -1.0; give 0 to 100"),
        ("1+1", ("--top-p", "nan"), "top_p is nan"),
        ("1+1", ("--drafts", "7"), "drafts is 7; give 0 to 3"),
        ("1+1", ("--device", "abacus"), "device 'abacus' is unknown; known: auto, cpu, cuda"),
        ("1+1", ("--dtype", "float8"), "dtype 'float8' is unknown; known: auto, bfloat16, float16, float32"),
        ("1+1", ("--no-thinking",), "--no-thinking: the chat template of nano has no switch"),
        ("1+1", ("/no/such/folder",), "/no/such/folder: no such folder"),
        ("1+" * 9000, (), "the prompt has 18,"),
        ("1+1", ("--max-tokens", "20000"), "max_tokens is 20,000, but the prompt's"),
    ],
)
def test_faults_are_one_line(stdin: str | bytes, options: tuple[str, ...], says: str) -> None:
    assert says in refused("chat", *options, stdin=stdin)


@pytest.mark.slow
def test_an_interrupted_pipe_ends_with_130() -> None:
    command = (*HOPWELL, "chat", *GREEDY)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b"Compute (98 * 97 - 7654) * 3 + 879")
        process.stdin.close()
        assert process.stdout.read(9) == b"<think>\nO"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"stopped" in process.stderr.read() and b"boxed" not in process.stdout.read()


@pytest.mark.slow
def test_a_session_in_a_terminal() -> None:
    with Terminal(*HOPWELL, "chat", *GREEDY) as terminal:
        assert "nano on cpu" in terminal.until("> ")
        terminal.type("What is 50 + 7?\r")
        said = terminal.until("\\boxed{57}")
        assert "\x1b[2mAdd the columns" in said and "\x1b[0m\r\n50 + 7 = " in said and "<think>" not in said
        terminal.until("first after")
        terminal.until("> ")
        terminal.type("Now add 15.\r")
        assert "The last answer was 57" in terminal.until("\\boxed{72}")
        terminal.until("> ")

        terminal.type("Compute (98 * 97 - 7654) * 3 + 879\r")
        terminal.until("One operation at a time")
        terminal.type("\x03")
        assert "boxed" not in terminal.until("stopped, no answer, so the question is forgotten")
        terminal.until("> ")
        terminal.type("Now add 4.\r")
        terminal.until("\\boxed{76}")  # 72 and 4: what was stopped is not in the history
        terminal.until("> ")

        terminal.type("half a line")
        terminal.until("half a line")
        terminal.interrupt("> ")
        terminal.type("/nonsense\r")
        terminal.until("error: /nonsense is unknown; known: /reset, /help; Ctrl-D leaves")
        terminal.type("/Reset\r")
        terminal.until("a new conversation")
        terminal.until("> ")
        terminal.type("/help\r")
        assert "begin a new conversation" in terminal.until("Ctrl-D leaves.")
        terminal.until("> ")
        terminal.type("\x1b[A\x1b[A\x1b[A\x1b[A\r")  # four lines up in the history
        terminal.until("first after")
        assert "Now add 4." in terminal.said[terminal.said.rindex("Ctrl-D leaves.") :]
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.leave() == 0


@pytest.mark.slow
def test_a_terminal_goes_on_after_a_prompt_that_is_too_long() -> None:
    with Terminal(*HOPWELL, "chat", *GREEDY, "--system", "1+" * 9000) as terminal:
        for _ in range(2):
            terminal.until("> ")
            terminal.type("1+1\r")
            terminal.until("error: the prompt has 18,0")
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.leave() == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_ends_it_and_leaves_the_terminal_as_it_was(number: signal.Signals) -> None:
    with Terminal(*HOPWELL, "chat", *GREEDY) as terminal:
        echoed = terminal.echoes()
        terminal.until("> ")
        assert terminal.stopped(number) == 130 and "Traceback" not in terminal.said
        assert echoed and terminal.echoes()

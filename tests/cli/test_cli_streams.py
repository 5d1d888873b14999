"""What whoever starts the command may leave it with: closed standard streams, arguments that are no text, Ctrl-C before
it is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refused
from terminal import HOPWELL

from hopwell.cli.console import check_utf8
from hopwell.errors import HopwellError

SAYS = """
import os, socket, subprocess, sys
from hopwell.cli import main

def run():
    assert socket.socket().fileno() > 2 and sys.stdin.read() == ""
    print("said", flush=True)
    subprocess.run(["sh", "-c", "echo child; echo child >&2"], check=True)
    os.write(1, b"below"), os.write(2, b"below")
    print("said", file=sys.stderr)
    print("asked", sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty(), flush=True)

main(run)
"""
PRESSES = """
import signal, sys

class Presses:
    def find_spec(self, name, *_):
        if name == "MODULE":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Presses())
from hopwell.__main__ import main
main()
"""


def closed(streams: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with streams closed, as a shell writes it: `<&- >&-`. Those left open hold what was printed."""
    line = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_like_the_null_device(streams: str) -> None:
    ran = closed(streams, sys.executable, "-c", SAYS)
    assert ran.returncode == 0, ran
    assert ran.stdout == ("" if " >&-" in f" {streams}" else "said\nchild\nbelowasked False False False\n")
    assert ran.stderr == ("" if "2>&-" in streams else "child\nbelowsaid\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_an_answer_is_given_whose_notes_nobody_can_take() -> None:
    for streams in ("2>/dev/full", "2</dev/null"):  # the disk of a log is full; a descriptor that can only be read
        ran = closed(streams, *HOPWELL, "generate", "1+1", "--max-tokens", "3")
        assert ran.returncode == 0 and ran.stdout.startswith("<think>"), ran
        assert closed(streams, *HOPWELL, "inspect", "/nowhere").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.slow
def test_a_question_is_missed_on_a_closed_stdin_as_on_an_empty_one() -> None:
    for command in ("chat", "generate"):
        ran = closed("<&-", *HOPWELL, command)
        assert ran.returncode == 2 and ran.stderr.startswith("error: stdin holds no "), ran
        assert closed("<&- >&- 2>&-", *HOPWELL, command).returncode == 2


@pytest.mark.parametrize(
    "command", [("generate", "\udcff 1+1"), ("chat", "--system", "\udcff 1+1"), ("plan", "\udcff 1+1")]
)
def test_an_argument_that_is_not_utf8_is_refused_in_one_line(command: tuple[str, ...]) -> None:
    said = refused(*command, stdin="1+1")
    assert said == r"error: '\xff 1+1' on the command line is not UTF-8 at byte 0; convert it" + "\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no bytes on the command line")
def test_an_argument_that_the_locale_cannot_hold_is_refused_as_the_locales_fault() -> None:
    with pytest.raises(HopwellError, match=r"^'\\xc3\\xa9 1\+1' on .* to the locale, which is .*; set LC_ALL=C\.UTF-8"):
        check_utf8(["1+1", "\udcc3\udca9 1+1"])
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run([*HOPWELL, "generate", b"\xc3\xa9 1+1"], capture_output=True, text=True, env=env, timeout=300)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and "which is ascii" in ran.stderr, ran


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("hopwell.cli.chat", ()),
        ("torch.nn", ("generate", "1+1")),
        ("torch.nn", ("serve", "--api-workers", "0")),
        ("torch.nn", ("quantize", "nano", "OUT")),
        ("torch.nn", ("pack", "nano", "OUT")),
    ],
)
def test_ctrl_c_while_something_is_imported_is_silent(module: str, command: tuple[str, ...], tmp_path: Path) -> None:
    line = [sys.executable, "-c", PRESSES.replace("MODULE", module), *command]
    line = [part.replace("OUT", str(tmp_path / "new")) for part in line]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "") and not list(tmp_path.iterdir())


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    presses = PRESSES.strip().replace("MODULE", "hopwell.cli.chat")
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {presses}"
    ran = subprocess.run([sys.executable, "-c", ignoring, "--version"], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0 and ran.stdout and not ran.stderr

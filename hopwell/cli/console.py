"""What a conversation looks like: on a terminal thinking is dim, elsewhere it stands between its marks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.chat.source import Event
    from hopwell.engine.conversation import ToolResult, Turn

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
HEADING = 120
"""Characters of a prompt that stand over its answer."""
DIMMED = ("reasoning", "call", "result")
CONTROL = {code: None for code in (*range(9), 11, 12, *range(13, 32), *range(127, 160))}
"""A model's text must not move the cursor: these are left out on a terminal."""


def styled(stream: TextIO) -> bool:
    """Whether a stream is a terminal that knows escape codes."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and "NO_COLOR" not in os.environ


def utf8() -> None:
    """Text is UTF-8 on every stream, whatever the locale; broken input is an error, not a guess. Lines of a pipe end as
    those of a file may, in CR LF too."""
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors=errors)  # type: ignore[union-attr]
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(newline=None)  # type: ignore[union-attr]


def check_utf8(arguments: Sequence[str]) -> None:
    """Of every command, since none could print or tokenize what is no text.

    Raises:
        HopwellError: an argument is not UTF-8, or is, and the locale is not.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = shortened(ascii(argument).replace(r"\udc", r"\x"))
            raise HopwellError(f"{shown} on the command line is not UTF-8 {_told(argument)}") from None


def _told(argument: str) -> str:
    """Where it is not, or why it was read wrongly, and the remedy."""
    try:
        os.fsencode(argument).decode()
    except UnicodeDecodeError as error:
        return f"at byte {error.start}; convert it"
    return f"to the locale, which is {sys.getfilesystemencoding()}; set LC_ALL=C.UTF-8, or leave out PYTHONUTF8=0"


def read_text(file: Path | None) -> str:
    """A file's text, or stdin's, without a byte order mark.

    Raises:
        HopwellError: it cannot be read, or is not UTF-8.
    """
    try:
        text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise HopwellError(f"{file or 'stdin'} is not UTF-8 at byte {error.start}; convert it") from None
    except OSError as error:
        raise HopwellError(f"{file or 'stdin'}: cannot read: {error.strerror}") from None
    return text.removeprefix("\ufeff")


def shortened(text: str) -> str:
    """A text in one line of at most `HEADING` characters."""
    line = " ".join(text[: HEADING + 1].splitlines())
    return line if len(line) <= HEADING else line[: HEADING - 1] + "\N{HORIZONTAL ELLIPSIS}"


def note(text: str) -> None:
    """A dim line on stderr, beside the answer."""
    print(f"{DIM}{text}{PLAIN}" if styled(sys.stderr) else text, file=sys.stderr, flush=True)


class AnswerPrinter:
    """Prints one answer as it comes, to stdout."""

    def __init__(self) -> None:
        self._style, self._terminal = styled(sys.stdout), sys.stdout.isatty()
        self._part = ""
        self._column_zero = True

    def event(self, event: Event) -> None:
        """A piece of thinking, content or a call."""
        if event.kind == "call":
            self._begin("call")
            self._write(f"{event.name} ")
            return
        self._begin("call" if event.kind == "arguments" else event.kind)
        self._write(event.text)

    def result(self, result: ToolResult) -> None:
        """What a tool said."""
        self._begin("call")
        self._write(f" -> {result.result}\n")
        self._part = "result"

    def end(self) -> None:
        """Ends the line."""
        self._begin("")
        if not self._column_zero:
            self._write("\n")
        sys.stdout.flush()

    def _begin(self, part: str) -> None:
        """Closes what was being told, if another part begins."""
        if part == self._part:
            return
        before, self._part = self._part, part
        if before and not self._column_zero:
            self._write("\n")
        if self._style:
            if before in DIMMED:
                sys.stdout.write(PLAIN)
            if before == "reasoning" and part:
                self._write("\n")
            if part in DIMMED:
                sys.stdout.write(DIM)
            return
        if before == "reasoning":
            self._write("</think>\n\n" if part else "</think>\n")
        if part == "reasoning":
            self._write("<think>\n")

    def _write(self, text: str) -> None:
        text = text.translate(CONTROL) if self._terminal else text
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._column_zero = text.endswith("\n")


def cut_off(max_tokens: int | None) -> str:
    """What ended an answer of full length."""
    return "cut off by --max-tokens" if max_tokens is not None else "cut off at the end of the context"


def summary(turn: Turn, max_tokens: int | None) -> str:
    """Tokens, speed and time to the first token of an answer, and why it ended if not by itself."""
    parts = [f"{turn.tokens:,} tokens"]
    if turn.tokens_per_s is not None:
        parts.append(f"{turn.tokens_per_s:,.0f} tokens/s")
    if turn.first is not None:
        parts.append(f"first after {turn.first:.2f} s")
    if turn.finish_reason == "length":
        parts.append(cut_off(max_tokens))
    elif turn.finish_reason == "abort":
        parts.append("stopped")
    if not turn.kept:
        parts.append("no answer, so the question is forgotten")
    return ", ".join(parts)

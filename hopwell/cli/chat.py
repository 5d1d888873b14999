"""`hopwell chat`: questions and answers in a terminal, or one question through a pipe."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hopwell.cli import options as opt
from hopwell.errors import HopwellError
from hopwell.system import Terminated, ignored

if TYPE_CHECKING:
    from types import FrameType

    from hopwell.engine.conversation import Conversation, Tool

HELP = """\
/reset   begin a new conversation
/help    this list
A line that ends in \\ goes on in the next.
Ctrl-C stops the answer, Ctrl-D leaves."""
COMMAND = re.compile(r"/[A-Za-z]+")  # "/4" is a question: divide by four


class ToolName(StrEnum):
    """Tools that the chat can run."""

    CALCULATOR = "calculator"


def chat(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A checkpoint's folder or hub name; default: nano.")] = None,
    system: opt.System = None,
    tools: Annotated[list[ToolName] | None, typer.Option(help="Tools that the model may call; repeatable.")] = None,
    thinking: opt.Thinking = None,
    chat_template: opt.ChatTemplate = None,
    max_tokens: opt.MaxTokens = None,
    temperature: opt.Temperature = None,
    top_p: opt.TopP = None,
    top_k: opt.TopK = None,
    min_p: opt.MinP = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tp: opt.Tp = 1,
    ep: opt.Ep = 1,
    dp_attention: opt.DpAttention = False,
    gpus: opt.Gpus = None,
    drafts: opt.Drafts = None,
    activations: opt.Activations = None,
    four_bits: opt.FourBits = None,
) -> None:
    """Chat with a model; without a name, with the embedded nano, which knows arithmetic.

    Reads a pipe too: everything on stdin is then one question, and thinking stands between <think> and </think>.
    """
    from hopwell.cli.console import note, utf8
    from hopwell.engine.frontend import folder_here

    utf8()
    opt.check_gpus(ctx, gpus)
    options = opt.given(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed
    )
    folder_here(model)  # a wrong name is told before what may still be typed
    question = None if sys.stdin.isatty() else _piped()
    llm = opt.load(
        model, device, dtype, gpus, drafts, tp=tp, ep=ep, dp_attention=dp_attention, chat_template=chat_template,
        max_seqs=1, activations=activations, four_bits=four_bits, meter=False,
    )  # fmt: skip
    from hopwell.engine.conversation import Conversation
    from hopwell.engine.describe import precision

    talk = Conversation(
        llm, replace(llm.default_params, **options), system, _tools(tools or ()), opt.template_variables(llm, thinking)
    )
    if question is not None:
        if not _answer(talk, question):
            raise KeyboardInterrupt
        return
    where = f"{llm.loaded.model.device.type}, {precision(llm.loaded.model)}"
    note(f"{llm.loaded.name} on {where}, {llm.engine.model_len:,} tokens of context. /help lists what you can type.")
    for text in _questions(talk):
        try:
            _answer(talk, text)
            print()
        except HopwellError as error:
            print(f"error: {error}", file=sys.stderr)
            if talk.messages:
                note("/reset begins a new conversation")


def _piped() -> str:
    from hopwell.cli.console import read_text

    text = read_text(None).strip()
    if not text:
        raise HopwellError('stdin holds no question; try: echo "What is 37 * 43?" | hopwell chat')
    return text


def _questions(talk: Conversation) -> Iterator[str]:
    """What is typed, commands carried out, until Ctrl-D."""
    from hopwell.cli.console import note

    with suppress(ImportError):
        import readline  # noqa: F401  # gives input() its line editing and history

    while True:
        try:
            text = _line("> ")
            while text.endswith("\\"):
                text = text[:-1] + "\n" + _line("  ")
        except Terminated:
            raise
        except KeyboardInterrupt:
            print()
            continue
        except UnicodeDecodeError:
            print("error: that is not UTF-8", file=sys.stderr)
            continue
        except EOFError:
            print()
            return
        text = text.strip()
        if not COMMAND.fullmatch(text):
            if text:
                yield text
        elif text.lower() == "/reset":
            talk.reset()
            note("a new conversation")
        elif text.lower() == "/help":
            print(HELP)
        else:
            print(f"error: {text} is unknown; known: /reset, /help; Ctrl-D leaves", file=sys.stderr)


def _line(prompt: str) -> str:
    """A line from the terminal; the prompt goes to stderr where the answers go into a file."""
    if sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _answer(talk: Conversation, question: str) -> bool:
    """Prints an answer as it comes; returns False if Ctrl-C stopped it.

    Raises:
        HopwellError: there is none.
    """
    from hopwell.cli.console import AnswerPrinter, note, summary
    from hopwell.engine.conversation import ToolResult

    printer = AnswerPrinter()
    with _interrupts() as stopped:
        parts = talk.ask(question)
        try:
            for part in parts:
                printer.result(part) if isinstance(part, ToolResult) else printer.event(part)
                if stopped:
                    break
        finally:
            parts.close()
            printer.end()
    note(summary(talk.turn, talk.params.max_tokens))
    return not stopped


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl-C fills the list, so that it never cuts into a step of the engine; the second one is the usual error."""
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = signal.getsignal(signal.SIGINT)
    if not ignored(signal.SIGINT):
        signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _tools(names: list[ToolName] | tuple[()]) -> dict[str, Tool]:
    from hopwell.cli.calculator import CALCULATOR, calculator
    from hopwell.engine.conversation import Tool

    known = {ToolName.CALCULATOR: Tool(CALCULATOR, lambda arguments: calculator(str(arguments["expression"])))}
    return {name.value: known[name] for name in names}

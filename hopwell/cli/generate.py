"""`hopwell generate`: answers to prompts from arguments, a file or a pipe, as text or as JSON lines."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli import options as opt
from hopwell.cli.help import GroupedCommand, in_energy
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.chat.reply import ReplyParser
    from hopwell.engine.llm import LLM, Completion, Prompt
    from hopwell.engine.request import SamplingParams
    from hopwell.limits.energy import Factors

MINUS = re.compile(r"-[\d\s.(]")
"""How a prompt begins that is no option: `-5 + 3`."""
MARK = "\0"
"""Before such a prompt, until options are told from prompts."""


class PromptCommand(GroupedCommand):
    """Takes what begins with a minus and then a number for a prompt, in its place among the others."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Hides the minus from the parser where it is not the value of an option."""
        valued = {name for option in self.params if not getattr(option, "is_flag", False) for name in option.opts}
        end = args.index("--") if "--" in args else len(args)
        for place, text in enumerate(args[:end]):
            if MINUS.match(text) and not (place and args[place - 1] in valued):
                args[place] = MARK + text
        return super().parse_args(ctx, args)


File = Annotated[Path | None, typer.Option(help="Read prompts from here, one a line.", exists=True, dir_okay=False)]
MAX_SEQS = 256


def generate(
    ctx: typer.Context,
    prompts: Annotated[list[str] | None, typer.Argument(help="Default: --file, or stdin, one a line.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Folder or hub name; default: nano.")] = None,
    file: File = None,
    chat: Annotated[
        bool | None,
        typer.Option("--chat/--raw", help="Ask through the chat template, or go on from the text itself. Default: "
                     "--chat where the model has a template."),
    ] = None,
    system: opt.System = None,
    thinking: opt.Thinking = None,
    chat_template: opt.ChatTemplate = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: text, tokens, timings.")] = False,
    n: Annotated[int, typer.Option("-n", help="Answers to each prompt.")] = 1,
    max_tokens: opt.MaxTokens = None,
    temperature: opt.Temperature = None,
    top_p: opt.TopP = None,
    top_k: opt.TopK = None,
    min_p: opt.MinP = None,
    seed: opt.Seed = None,
    stop: opt.Stop = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tp: opt.Tp = 1,
    ep: opt.Ep = 1,
    dp_attention: opt.DpAttention = False,
    gpus: opt.Gpus = None,
    drafts: opt.Drafts = None,
    activations: opt.Activations = None,
    four_bits: opt.FourBits = None,
    energy: Annotated[
        bool | None, in_energy(help="For --json: joules, where there is a counter.")
    ] = None,
    grams_per_kwh: opt.Grams = None,
    price_per_kwh: opt.Price = None,
) -> None:  # fmt: skip
    """Answer prompts, many at once, in the order in which they were given.

    Without --json the thinking stands between <think> and </think>. A prompt that cannot be served is told of in its
    place and hinders no other; the exit code is then 2.
    """
    from hopwell.cli.console import cut_off, note, utf8
    from hopwell.engine.frontend import folder_here
    from hopwell.limits.energy import Factors

    utf8()
    opt.check_gpus(ctx, gpus)
    options = opt.given(
        n=n, max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed,
        stop=stop or None,
    )  # fmt: skip
    folder_here(model)  # a wrong name is told before what may still be given
    texts = _texts([text.removeprefix(MARK) for text in prompts or ()], file)
    if chat is False and chat_template is not None:
        raise HopwellError("--chat-template is for --chat; leave --raw out")
    energy = opt.needs_energy(energy, grams_per_kwh, price_per_kwh)
    if energy:
        opt.check_counter(device)
    if energy and not as_json:
        raise HopwellError("--energy, --grams-per-kwh and --price-per-kwh are for --json; give it too")
    factors = Factors(grams_per_kwh, price_per_kwh)
    seqs = min(MAX_SEQS, len(texts) * n)
    llm = opt.load(
        model, device, dtype, gpus, drafts, tp=tp, ep=ep, dp_attention=dp_attention, chat_template=chat_template,
        max_seqs=seqs, activations=activations, four_bits=four_bits, energy=energy, meter=False,
    )  # fmt: skip
    asked = [_prompt(llm, text, chat, system, thinking) for text in texts]
    if not isinstance(asked[0], str):  # through the one template all of them end alike
        options["thinking"] = llm.thinking(asked[0])
    params = replace(llm.default_params, **options)
    started, tokens, failed, cut = time.perf_counter(), 0, 0, 0
    if len(texts) == n == 1 and not as_json:
        answers = _streamed(llm, asked[0], params)
    else:
        answers = _in_order(llm, asked, params)
    for place, completion in answers:
        tokens += sum(len(answer.tokens) for answer in completion.answers)
        failed += any(answer.error is not None for answer in completion.answers)
        cut += sum(answer.finish_reason == "length" for answer in completion.answers)
        if as_json:
            for row in _rows(llm, place, texts[place], asked[place], completion, factors):
                print(json.dumps(row, ensure_ascii=False), flush=True)
        elif len(texts) > 1 or n > 1:
            _show(llm, place, texts[place], asked[place], completion)
    seconds = time.perf_counter() - started
    what = f"{len(texts):,} prompts, " if len(texts) > 1 else ""
    told = f"{what}{tokens:,} tokens in {seconds:.2f} s, {tokens / seconds:,.0f} tokens/s"
    if cut:
        many = f"{cut:,} answer{'s' if cut > 1 else ''} " if len(texts) * n > 1 else ""
        told += f", {many}{cut_off(max_tokens)}"
    note(told)
    if failed:
        raise typer.Exit(2)


def _texts(prompts: list[str] | None, file: Path | None) -> list[str]:
    """The prompts; blank lines of a file or a pipe are none.

    Raises:
        HopwellError: there are none, or two sources of them.
    """
    from hopwell.cli.console import read_text

    if prompts and file is not None:
        raise HopwellError("prompts were given as arguments and with --file; give one")
    if prompts:
        return prompts
    if file is None and sys.stdin.isatty():
        raise HopwellError('no prompts; give them as arguments ("What is 37 * 43?"), with --file, or through a pipe')
    texts = [line for line in read_text(file).split("\n") if line.strip()]  # other breaks are a prompt's own
    if not texts:
        raise HopwellError(f"{file or 'stdin'} holds no prompts; give one a line")
    return texts


def _prompt(llm: LLM, text: str, chat: bool | None, system: str | None, thinking: bool | None) -> Prompt:
    """What the model reads: the rendered conversation, or the text."""
    from hopwell.chat.template import NoTemplateError

    try:
        variables = {} if chat is False else opt.template_variables(llm, thinking)
        if chat is False:
            if given := [name for name, value in (("--system", system), ("--thinking", thinking)) if value is not None]:
                raise HopwellError(f"{given[0]} needs the chat template; leave --raw out")
            return text
        before = [{"role": "system", "content": system}] if system else []
        return llm.render([*before, {"role": "user", "content": text}], variables=variables)
    except NoTemplateError:
        if chat or system or thinking is not None:
            raise
        return text


def _parser(llm: LLM, prompt: Prompt) -> ReplyParser | None:
    """What splits the answer into thinking and content; None where the text was to be gone on from."""
    from hopwell.chat.reply import ReplyParser

    if isinstance(prompt, str):
        return None
    thinking = llm.thinking(prompt)
    return ReplyParser(thinking is not None and thinking.begun, tools=False)


def _streamed(llm: LLM, prompt: Prompt, params: SamplingParams) -> Iterator[tuple[int, Completion]]:
    """The one answer to the one prompt, printed as it comes.

    Raises:
        RequestError: it cannot be served.
    """
    from hopwell.chat.source import content
    from hopwell.cli.console import AnswerPrinter
    from hopwell.engine.llm import Answer, Completion
    from hopwell.engine.request import RequestError

    completion = Completion(0, 0, [Answer()])
    parser, printer = _parser(llm, prompt), AnswerPrinter()
    try:
        for output in llm.stream(prompt, params):
            completion.add(output)
            text = output.outputs[0].text
            for event in [content(text)] if parser is None else parser.push(text):
                printer.event(event)
        for event in () if parser is None else parser.finish():
            printer.event(event)
    finally:  # a terminal is not left dim
        printer.end()
    if (error := completion.answers[0].error) is not None:
        raise RequestError(error)
    yield 0, completion


def _show(llm: LLM, place: int, text: str, prompt: Prompt, completion: Completion) -> None:
    """Prints a prompt and its answers."""
    from hopwell.chat.source import content
    from hopwell.cli.console import AnswerPrinter, shortened

    for index, answer in enumerate(completion.answers):
        which = f".{index + 1}" if len(completion.answers) > 1 else ""
        print(f"[{place + 1}{which}] {shortened(text)}")
        if answer.error is not None:
            print(f"error: prompt {place + 1}: {answer.error}", file=sys.stderr)
            continue
        parser, printer = _parser(llm, prompt), AnswerPrinter()
        for event in [content(answer.text)] if parser is None else [*parser.push(answer.text), *parser.finish()]:
            printer.event(event)
        printer.end()
        print(flush=True)


def _rows(
    llm: LLM, place: int, text: str, prompt: Prompt, completion: Completion, factors: Factors
) -> Iterator[dict[str, Any]]:
    """A prompt's answers as JSON objects."""
    timing = completion.timing
    for index, answer in enumerate(completion.answers):
        row: dict[str, Any] = {"index": place, "answer": index, "prompt": text}
        if answer.error is not None:
            yield row | {"error": answer.error}
            continue
        row["text"] = answer.text
        if (parser := _parser(llm, prompt)) is not None:
            events = [*parser.push(answer.text), *parser.finish()]
            for kind in ("reasoning", "content"):
                row[kind] = "".join(event.text for event in events if event.kind == kind)
        row |= {
            "finish_reason": answer.finish_reason,
            "stop_reason": answer.stop_reason,
            "prompt_tokens": completion.prompt_tokens,
            "cached_tokens": completion.cached_tokens,
            "completion_tokens": len(answer.tokens),
            "token_ids": answer.tokens,
        }
        if timing is not None:
            times = {
                "queued": timing.queued,
                "first_token": timing.ttft,
                "per_token": timing.tpot,
                "total": timing.total,
            }
            row["seconds"] = {name: None if value is None else round(value, 6) for name, value in times.items()}
        if completion.joules is not None:
            row["energy"] = {name: float(f"{value:.6g}") for name, value in factors.of(completion.joules).items()}
        yield row


def _in_order(llm: LLM, prompts: list[Prompt], params: SamplingParams) -> Iterator[tuple[int, Completion]]:
    """Completions in the order of their prompts, with a bar on a terminal."""
    from hopwell.cli.progress import count_progress

    done: dict[int, Completion] = {}
    turn = 0
    with count_progress("Answering") as progress:
        progress(0, len(prompts), "")
        for number, (place, completion) in enumerate(llm.each(prompts, params), start=1):
            done[place] = completion
            progress(number, len(prompts), "")
            while turn in done:
                yield turn, done.pop(turn)
                turn += 1

"""What the prefix cache gives a conversation: the time to the second turn's first token beside the first turn's."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.options import Checkpoint, Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.llm import LLM, Message
from hopwell.engine.request import SamplingParams

ANSWER_TOKENS = 16


def bench_turns(llm: LLM, history: int, conversations: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Two turns of several conversations, one after the other, each of words of its own.

    Args:
        history: tokens that the first turn's prompt has at least.

    Returns:
        A row a turn: prompt and cached tokens of the last conversation, and the median seconds to the first token.
    """
    rng = random.Random(seed)
    found: list[list[tuple[int, int, float]]] = [[], []]
    params = SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
    for number in range(conversations + 1):
        messages = _history(llm, rng, history)
        for turn in found:
            prompt, cached, seconds, text = _ask(llm, messages, params)
            if number:  # the first conversation warms up
                turn.append((prompt, cached, seconds))
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And 3 more than that?"}]
    return [_row(i, turn) for i, turn in enumerate(found, start=1)]


def _row(number: int, turn: list[tuple[int, int, float]]) -> dict[str, Any]:
    prompt, cached, _ = turn[-1]
    seconds = median(seconds for _, _, seconds in turn)
    return {"turn": number, "prompt_tokens": prompt, "cached_tokens": cached, "ttft_ms": round(seconds * 1e3, 2)}


def _history(llm: LLM, rng: random.Random, tokens: int) -> list[Message]:
    """A conversation so far, its last message the user's."""
    messages: list[Message] = []
    while not messages or len(llm.render(messages)) < tokens:
        a, b = rng.randrange(1000, 10_000), rng.randrange(1000, 10_000)
        if messages:
            messages.append({"role": "assistant", "content": f"{messages[-1]['content']} is known."})
        messages.append({"role": "user", "content": f"What is {a} * {b}, if {b} - {a} = {b - a}?"})
    return messages


def _ask(llm: LLM, messages: list[Message], params: SamplingParams) -> tuple[int, int, float, str]:
    """Prompt tokens, cached ones, seconds to the first token, and the answer's text."""
    prompt = llm.render(messages)
    started, first, cached, text = time.perf_counter(), 0.0, 0, ""
    for output in llm.stream(prompt, params):
        first = first or time.perf_counter() - started
        cached = output.cached_tokens
        text += output.outputs[0].text
    return len(prompt), cached, first, text.partition("</think>")[2]


def main(
    model: Checkpoint = None,
    history: Annotated[int, typer.Option(min=128, help="Tokens of the first turn's prompt.")] = 2048,
    conversations: Annotated[int, typer.Option(min=1, help="Of which the median counts.")] = 5,
    device: Device = "auto",
    limit: Annotated[float, typer.Option(help="Exit 1 if the second turn takes more than this of the first.")] = 1 / 3,
    out: Out = None,
) -> None:
    """Time to the first token of a conversation's second turn beside the first: what the prefix cache gives."""
    rows = bench_turns(LLM(model, device=device, max_seqs=8), history, conversations)
    share = rows[1]["ttft_ms"] / rows[0]["ttft_ms"]
    print_rows(rows)
    typer.echo(f"the second turn takes {share:.3f} of the first, at most {limit:.3f} is wanted")
    if out is not None:
        write_result(out, "turns", rows, share=round(share, 4))
    if share > limit:
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
